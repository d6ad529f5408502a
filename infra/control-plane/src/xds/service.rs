//! The gRPC service of ADS.

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
use jiff::Timestamp;
use tokio::sync::watch;
use tonic::metadata::MetadataMap;
use tonic::transport::Server;
use tonic::{Extensions, Request, Response, Status, Streaming};
use xds::ads::{DeltaStream, SotwStream};

use super::ads_stream::responses_of;
use super::listen::{ConnectedPeer, ListeningSockets};
use super::metered::Metering;
use super::peer::{Proof, XdsPeer};
use super::{AdsLimits, AdsState};

/// The largest request, in bytes. It names every resource that a proxy subscribes to: a thousand clusters are 100 KB.
const MAX_REQUEST: usize = 4 * 1024 * 1024;

/// The interval between HTTP/2 pings on a silent connection, and the timeout of a ping. Together they bound how long
/// a lost machine stays in the registry.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));

/// The most streams of one connection. An Envoy has one; an xDS relay may have many.
const MAX_STREAMS: u32 = 200;

/// The most headers of one request, in bytes.
const MAX_HEADER_LIST: u32 = 32 * 1024;

/// The most unread data of a stream, and of a connection, in bytes.
const WINDOW: u32 = 256 * 1024;

/// How long connections may take to close after their streams have ended.
const GRACE: Duration = Duration::from_secs(5);

/// The implementation of the service.
#[derive(Debug)]
struct AdsService(Arc<AdsState>);

type AdsResponses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AggregatedDiscoveryService for AdsService {
    type StreamAggregatedResourcesStream = AdsResponses<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = AdsResponses<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        let (metadata, extensions, requests) = request.into_parts();
        let connected_peer = self.connected_peer(&extensions, &metadata).await?;
        let responses = responses_of::<SotwStream>(Arc::clone(&self.0), connected_peer, requests);
        Ok(Response::new(Box::pin(responses)))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let (metadata, extensions, requests) = request.into_parts();
        let connected_peer = self.connected_peer(&extensions, &metadata).await?;
        let responses = responses_of::<DeltaStream>(Arc::clone(&self.0), connected_peer, requests);
        Ok(Response::new(Box::pin(responses)))
    }
}

impl AdsService {
    /// The peer of a stream. Where tokens are required, its token is verified here, before any message is read.
    async fn connected_peer(&self, extensions: &Extensions, metadata: &MetadataMap) -> Result<ConnectedPeer, Status> {
        let connected = extensions.get::<ConnectedPeer>().cloned();
        let connected = connected.ok_or_else(|| Status::internal("the connection has no peer"))?;
        if connected.peer.proof != Proof::TokenRequired {
            return Ok(connected);
        }
        let tokens = self.0.tokens.as_ref().ok_or_else(|| Status::unauthenticated("no token is accepted"))?;
        match tokens.verify(metadata, Timestamp::now()).await {
            Ok(proof) => Ok(ConnectedPeer { peer: XdsPeer { proof, ..connected.peer }, ..connected }),
            Err(refusal) => {
                self.0.registry.metrics().stream_refused("token");
                if let Some(suppressed) = tokens.refusals.allow() {
                    tracing::warn!(peer = %connected.peer.address, reason = refusal.label(), suppressed, "refused token of ADS stream");
                }
                Err(Status::unauthenticated(refusal.to_string()))
            }
        }
    }
}

/// Serves all connections until the future is ready, then ends every stream.
pub(super) async fn serve(
    shared: Arc<AdsState>,
    sockets: ListeningSockets,
    limits: AdsLimits,
    stop: watch::Sender<bool>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), tonic::transport::Error> {
    let service = AggregatedDiscoveryServiceServer::new(AdsService(shared)).max_decoding_message_size(MAX_REQUEST);
    let mut stopping = stop.subscribe();
    let signal = async move {
        shutdown.await;
        stop.send_replace(true);
    };
    // Clients may ping at any rate: those of App Mesh do so every ten seconds, with or without data.
    let (connections, accepting) = sockets.connections(&limits.connections);
    let serving = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE.0))
        .http2_keepalive_timeout(Some(KEEPALIVE.1))
        .max_concurrent_streams(MAX_STREAMS)
        .http2_max_header_list_size(MAX_HEADER_LIST)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .layer(Metering::new(&limits))
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
