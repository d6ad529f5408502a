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

use super::Shared;
use super::conversation::converse;
use super::listen::Listening;
use super::peer::Peer;

/// The largest request. One names every resource that its proxy subscribes to: a thousand clusters are 100 KB.
const LARGEST_REQUEST: usize = 4 * 1024 * 1024;

/// How often a silent connection is asked whether anybody is there, and how long it may take to answer: a machine that
/// went away without a word is off the roster after both.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));

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
        let peer = peer(&request)?;
        let responses = converse::<SotwStream>(Arc::clone(&self.0), peer, request.into_inner());
        Ok(Response::new(Box::pin(responses)))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let peer = peer(&request)?;
        let responses = converse::<DeltaStream>(Arc::clone(&self.0), peer, request.into_inner());
        Ok(Response::new(Box::pin(responses)))
    }
}

fn peer<T>(request: &Request<T>) -> Result<Peer, Status> {
    request.extensions().get::<Peer>().cloned().ok_or_else(|| Status::internal("the connection has no peer"))
}

/// Serves all connections until the future given is ready, then ends every stream.
pub(super) async fn serve(
    shared: Arc<Shared>,
    listening: Listening,
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
    let (connections, accepting) = listening.connections();
    let serving = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE.0))
        .http2_keepalive_timeout(Some(KEEPALIVE.1))
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
