//! The two kinds of ADS stream, state of the world and delta, behind one trait.

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::google::rpc::Status as Refusal;
use xds::ads::{DeltaStream, PreviousResources, SotwStream, Status};
use xds::{ResourceType, Snapshot};

/// The server side of a stream: its responses to requests and snapshots.
pub(super) trait Protocol: std::fmt::Debug + Send + 'static {
    /// The name in reports.
    const NAME: &'static str;
    /// The request message.
    type Request: Send + 'static;
    /// The response message.
    type Response: Send + 'static;

    /// Starts a stream. A client that reconnects may have some of these sets of resources.
    fn begin(previous: Vec<PreviousResources>) -> Self;
    /// The resources that the client may have if the stream breaks now, and that its next stream has to know.
    fn resources_for_next_stream(&self) -> Vec<PreviousResources>;
    fn on_request(&mut self, request: &Self::Request, snapshot: &Snapshot) -> Vec<Self::Response>;
    fn on_snapshot(&mut self, snapshot: &Snapshot) -> Vec<Self::Response>;
    /// Whether only previous clusters or targets of previous gateway routes are still to be removed, after some time.
    fn lingers(&self, snapshot: &Snapshot) -> bool;
    /// Removes those targets.
    fn release(&mut self, snapshot: &Snapshot) -> Vec<Self::Response>;
    fn status(&self) -> &Status;
    fn has(&self, snapshot: &Snapshot) -> bool;

    fn node(request: &Self::Request) -> Option<&Node>;
    /// The bytes of the resource names that are kept for the client, excluding names that its next request replaces.
    fn name_bytes(&self) -> usize;
    /// The bytes of the resource names in a request.
    fn name_bytes_of(request: &Self::Request) -> usize;
    /// The error of a NACK, for shortening.
    fn refusal_mut(request: &mut Self::Request) -> Option<&mut Refusal>;
    /// The error of a NACK.
    fn refusal(request: &Self::Request) -> Option<&Refusal>;
    fn type_url(request: &Self::Request) -> &str;
    /// Whether the client's first request reports an earlier configuration.
    fn is_returning(request: &Self::Request) -> bool;
    /// Whether an unprocessed request is an ACK or a NACK, not a change of the subscription.
    fn is_answer(&self, request: &Self::Request) -> bool;
    fn type_url_of(response: &Self::Response) -> &str;
}

macro_rules! protocol {
    ($stream:ty, $name:literal, $request:ty, $response:ty, $returning:expr, $kept:expr, $names:expr) => {
        impl Protocol for $stream {
            const NAME: &'static str = $name;
            type Request = $request;
            type Response = $response;

            fn begin(previous: Vec<PreviousResources>) -> Self {
                Self::new(previous)
            }

            fn resources_for_next_stream(&self) -> Vec<PreviousResources> {
                self.resources_for_next_stream().collect()
            }

            fn on_request(&mut self, request: &$request, snapshot: &Snapshot) -> Vec<$response> {
                self.on_request(request, snapshot)
            }

            fn on_snapshot(&mut self, snapshot: &Snapshot) -> Vec<$response> {
                self.on_snapshot(snapshot)
            }

            fn lingers(&self, snapshot: &Snapshot) -> bool {
                self.lingers(snapshot)
            }

            fn release(&mut self, snapshot: &Snapshot) -> Vec<$response> {
                self.release(snapshot)
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

            fn name_bytes(&self) -> usize {
                let kept: fn(&Self) -> usize = $kept;
                kept(self)
            }

            fn name_bytes_of(request: &$request) -> usize {
                let names: fn(&$request) -> usize = $names;
                names(request)
            }

            fn refusal_mut(request: &mut $request) -> Option<&mut Refusal> {
                request.error_detail.as_mut()
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

            fn is_answer(&self, request: &$request) -> bool {
                ResourceType::of_url(&request.type_url).is_some_and(|kind| self.awaits(kind, &request.response_nonce))
            }

            fn type_url_of(response: &$response) -> &str {
                &response.type_url
            }
        }
    };
}

protocol!(
    SotwStream,
    "sotw",
    DiscoveryRequest,
    DiscoveryResponse,
    |request| !request.version_info.is_empty(),
    |_| 0,
    |request| bytes(&request.resource_names)
);
protocol!(
    DeltaStream,
    "delta",
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    |request| !request.initial_resource_versions.is_empty(),
    Self::name_bytes,
    |request| {
        let versions = request.initial_resource_versions.iter().map(|(name, version)| name.len() + version.len());
        bytes(&request.resource_names_subscribe) + versions.sum::<usize>()
    }
);

fn bytes(names: &[String]) -> usize {
    names.iter().map(String::len).sum()
}
