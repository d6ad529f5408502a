//! The gRPC service.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use futures::Stream;
use tokio::sync::watch;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};
use xds::ads::{DeltaStream, SotwStream};

use super::conversation::converse;
use super::listen::{Guest, Listening};
use super::metered::Metering;
use super::{Gate, Shared};

/// The largest request. One names every resource that its proxy subscribes to: a thousand clusters are 100 KB.
const LARGEST_REQUEST: usize = 4 * 1024 * 1024;

/// How often a silent connection is asked whether anybody is there, and how long it may take to answer: a machine that
/// went away without a word is off the roster after both.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));

/// The most streams of one connection. An Envoy has one; a proxy of proxies may have many.
const STREAMS: u32 = 200;

/// The most headers of one request.
const HEADER_LIST: u32 = 32 * 1024;

/// What may arrive unread on a stream and on a connection.
const WINDOW: u32 = 256 * 1024;

/// How long connections may take to close once their streams have ended.
const GRACE: Duration = Duration::from_secs(5);

/// The service on its own.
#[derive(Debug)]
struct Service(Arc<Shared>);

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AggregatedDiscoveryService for Service {
    type StreamAggregatedResourcesStream = Responses<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Responses<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        let guest = guest(&request)?;
        let responses = converse::<SotwStream>(Arc::clone(&self.0), guest, request.into_inner());
        Ok(Response::new(Box::pin(responses)))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let guest = guest(&request)?;
        let responses = converse::<DeltaStream>(Arc::clone(&self.0), guest, request.into_inner());
        Ok(Response::new(Box::pin(responses)))
    }
}

fn guest<T>(request: &Request<T>) -> Result<Guest, Status> {
    request.extensions().get::<Guest>().cloned().ok_or_else(|| Status::internal("the connection has no peer"))
}

/// Serves all connections until the future given is ready, then ends every stream.
pub(super) async fn serve(
    shared: Arc<Shared>,
    listening: Listening,
    gate: Gate,
    stop: watch::Sender<bool>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), tonic::transport::Error> {
    let service = AggregatedDiscoveryServiceServer::new(Service(shared)).max_decoding_message_size(LARGEST_REQUEST);
    let mut stopping = stop.subscribe();
    let signal = async move {
        shutdown.await;
        stop.send_replace(true);
    };
    // Clients may ping as often as they like: App Mesh's do so every ten seconds, data or not.
    let (connections, accepting) = listening.connections(&gate.connections);
    let serving = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE.0))
        .http2_keepalive_timeout(Some(KEEPALIVE.1))
        .max_concurrent_streams(STREAMS)
        .http2_max_header_list_size(HEADER_LIST)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .layer(Metering::new(&gate))
        .add_service(service)
        .serve_with_incoming_shutdown(connections, signal);
    let overtime = async move {
        let _ = stopping.wait_for(|stopping| *stopping).await;
        tokio::time::sleep(GRACE).await;
    };
    let served = tokio::select! {
        served = serving => served,
        () = overtime => Ok(()),
    };
    accepting.join_all().await;
    served
}
