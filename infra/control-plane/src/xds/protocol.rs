//! The two kinds of ADS stream, state of the world and delta, as one.

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::google::rpc::Status as Refusal;
use xds::Snapshot;
use xds::ads::{DeltaStream, SotwStream, Status};

/// One side of a stream: what a request and a new snapshot are answered with.
pub(super) trait Protocol: std::fmt::Debug + Send + 'static {
    /// As it is called in reports.
    const NAME: &'static str;
    /// What comes in.
    type Request: Send + 'static;
    /// What goes out.
    type Response: Send + 'static;

    fn begin() -> Self;
    fn on_request(&mut self, request: &Self::Request, snapshot: &Snapshot) -> Vec<Self::Response>;
    fn on_snapshot(&mut self, snapshot: &Snapshot) -> Vec<Self::Response>;
    fn status(&self) -> &Status;
    fn has(&self, snapshot: &Snapshot) -> bool;

    fn node(request: &Self::Request) -> Option<&Node>;
    /// The error of a NACK.
    fn refusal(request: &Self::Request) -> Option<&Refusal>;
    fn type_url(request: &Self::Request) -> &str;
    /// Whether the client says, in its first request, that it has a configuration from before.
    fn is_returning(request: &Self::Request) -> bool;
    /// Whether it answers a response, with an ACK or a NACK.
    fn is_answer(request: &Self::Request) -> bool;
    fn type_url_of(response: &Self::Response) -> &str;
}

macro_rules! protocol {
    ($stream:ty, $name:literal, $request:ty, $response:ty, $returning:expr) => {
        impl Protocol for $stream {
            const NAME: &'static str = $name;
            type Request = $request;
            type Response = $response;

            fn begin() -> Self {
                Self::new()
            }

            fn on_request(&mut self, request: &$request, snapshot: &Snapshot) -> Vec<$response> {
                self.on_request(request, snapshot)
            }

            fn on_snapshot(&mut self, snapshot: &Snapshot) -> Vec<$response> {
                self.on_snapshot(snapshot)
            }

            fn status(&self) -> &Status {
                self.status()
            }

            fn has(&self, snapshot: &Snapshot) -> bool {
                self.has(snapshot)
            }

            fn node(request: &$request) -> Option<&Node> {
                request.node.as_ref().filter(|node| !node.id.is_empty())
            }

            fn refusal(request: &$request) -> Option<&Refusal> {
                request.error_detail.as_ref()
            }

            fn type_url(request: &$request) -> &str {
                &request.type_url
            }

            fn is_returning(request: &$request) -> bool {
                let returning: fn(&$request) -> bool = $returning;
                returning(request)
            }

            fn is_answer(request: &$request) -> bool {
                !request.response_nonce.is_empty()
            }

            fn type_url_of(response: &$response) -> &str {
                &response.type_url
            }
        }
    };
}

protocol!(SotwStream, "sotw", DiscoveryRequest, DiscoveryResponse, |request| !request.version_info.is_empty());
protocol!(DeltaStream, "delta", DeltaDiscoveryRequest, DeltaDiscoveryResponse, |request| {
    !request.initial_resource_versions.is_empty()
});
