//! The local socket for the secrets that a mesh refers to by name.
//!
//! ```text
//!   Envoy (cluster static_cluster_sds_unix_socket) ── SDS ──▶ socket ──▶ cache ──▶ Secrets Manager
//! ```
//!
//! The protocol is that of ADS, with one resource type. The socket decides which users may connect: its owner, or the
//! configured users. The node id is ignored: every admitted client may have every bound secret.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_server::{
    SecretDiscoveryService, SecretDiscoveryServiceServer,
};
use futures::Stream;
use tokio::sync::watch;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};
use xds::ads::{DeltaStream, SotwStream};
use xds::{ResourceType, SecretRef, Snapshot};

use super::ads_stream::stopped;
use super::bounds;
use super::listen::{ConnectedPeer, ListenError, ListeningSockets};
use super::protocol::Protocol;
use super::settings::{ListenAddress, XdsAuth, XdsListener, XdsSettings};
use crate::connections::{Busy, ConnectionLimits, ConnectionTable};
use crate::log::Truncated;
use crate::metrics::Metrics;
use crate::secrets::{SecretLookup, Secrets};

/// How long connections may take to close after their streams have ended.
const GRACE: Duration = Duration::from_secs(5);

/// Serves bound secrets on a socket.
#[derive(Debug)]
pub struct SdsServer {
    sockets: ListeningSockets,
    secrets: Arc<dyn Secrets>,
    names: BTreeSet<String>,
}

impl SdsServer {
    /// Binds the socket. Without users its mode is 0600; with users the group may connect, and the UID of each
    /// connection is checked.
    pub async fn bind(
        socket: PathBuf,
        users: Option<Vec<u32>>,
        names: BTreeSet<String>,
        secrets: Arc<dyn Secrets>,
    ) -> Result<Self, ListenError> {
        let auth = users.map_or(XdsAuth::None, |uids| XdsAuth::Unix { uids });
        let listen = vec![XdsListener { address: ListenAddress::Unix(socket), auth }];
        let settings = XdsSettings { listen, ..XdsSettings::default() };
        Ok(Self { sockets: ListeningSockets::bind(&settings).await?, secrets, names })
    }

    /// The address of the socket: `unix:/run/sds.sock`.
    #[must_use]
    pub fn socket(&self) -> String {
        self.sockets.addresses().concat()
    }

    /// Serves until the future is ready, then ends every stream and removes the socket.
    pub async fn serve(
        self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), tonic::transport::Error> {
        let Self { sockets, secrets, names } = self;
        let (stop, stopping) = watch::channel(false);
        let mut changes = secrets.changes();
        let (publish, snapshots) = watch::channel(snapshot(secrets.as_ref(), &names));
        let mut until = stopping.clone();
        let following = tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = stopped(&mut until) => return,
                    result = changes.changed() => if result.is_err() { return },
                }
                publish.send_replace(snapshot(secrets.as_ref(), &names));
            }
        });
        let service = SecretDiscoveryServiceServer::new(SdsService { snapshots, stopping: stopping.clone() });
        let signal = async move {
            shutdown.await;
            stop.send_replace(true);
        };
        // Every client is a user of this machine, so the metrics are not exposed.
        let connections = ConnectionTable::new(ConnectionLimits::default(), Metrics::new().connections());
        let sweeping = connections.sweep();
        let (incoming, tasks) = sockets.connections(&connections);
        let answering = Server::builder().add_service(service).serve_with_incoming_shutdown(incoming, signal);
        let mut overtime = stopping;
        let served = tokio::select! {
            served = answering => served,
            () = async {
                stopped(&mut overtime).await;
                tokio::time::sleep(GRACE).await;
            } => Ok(()),
        };
        tasks.join_all().await;
        following.abort();
        sweeping.abort();
        served
    }
}

/// The available secrets. A client waits for a secret that is not in it.
fn snapshot(secrets: &dyn Secrets, names: &BTreeSet<String>) -> Snapshot {
    let bound: BTreeMap<_, _> =
        names.iter().map(|name| SecretRef::Bundle(name.clone())).map(|secret| (secret.name(), secret)).collect();
    secrets.in_use(&bound.values().cloned().collect());
    Snapshot::new(bound.into_iter().filter_map(|(name, secret)| match secrets.find(&secret) {
        SecretLookup::Known(known, _) => Some((ResourceType::Secret, name, secret.resource(Some(&known.material))?)),
        SecretLookup::Pending | SecretLookup::Missing(_) => None,
    }))
}

#[derive(Debug)]
struct SdsService {
    snapshots: watch::Receiver<Snapshot>,
    stopping: watch::Receiver<bool>,
}

impl SdsService {
    fn stream<P: Protocol>(&self, request: Request<Streaming<P::Request>>) -> Response<SecretResponses<P::Response>> {
        let connected_peer = request.extensions().get::<ConnectedPeer>();
        if let Some(connected_peer) = connected_peer {
            tracing::info!(peer = %connected_peer.peer.address, protocol = P::NAME, "SDS stream opened");
        }
        let stream = SecretStream::<P> {
            _busy: connected_peer.map(|connected_peer| connected_peer.slot.busy()),
            machine: P::begin(Vec::new()),
            snapshots: self.snapshots.clone(),
            stopping: self.stopping.clone(),
            requests: request.into_inner(),
            waiting: Vec::new(),
        };
        let responses = futures::stream::unfold(Some(stream), async |stream| {
            let mut stream = stream?;
            match stream.next().await? {
                Ok(response) => Some((Ok(response), Some(stream))),
                Err(status) => Some((Err(status), None)),
            }
        });
        Response::new(Box::pin(responses))
    }
}

type SecretResponses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

struct SecretStream<P: Protocol> {
    machine: P,
    snapshots: watch::Receiver<Snapshot>,
    stopping: watch::Receiver<bool>,
    requests: Streaming<P::Request>,
    /// Responses to send, the next one last.
    waiting: Vec<P::Response>,
    /// Keeps the connection busy.
    _busy: Option<Busy>,
}

impl<P: Protocol> SecretStream<P> {
    async fn next(&mut self) -> Option<Result<P::Response, Status>> {
        loop {
            if let Some(response) = self.waiting.pop() {
                return Some(Ok(response));
            }
            let mut responses = tokio::select! {
                biased;
                () = stopped(&mut self.stopping) => return None,
                request = self.requests.message() => match request {
                    Ok(Some(request)) => match self.handle_request(request) {
                        Ok(responses) => responses,
                        Err(status) => return Some(Err(status)),
                    },
                    Ok(None) => return None,
                    Err(status) => return Some(Err(status)),
                },
                changed = self.snapshots.changed() => match changed {
                    Ok(()) => {
                        let snapshot = self.snapshots.borrow_and_update().clone();
                        self.machine.on_snapshot(&snapshot)
                    }
                    Err(_) => return Some(Err(Status::unavailable("the source of secrets has stopped"))),
                },
            };
            responses.reverse();
            self.waiting = responses;
        }
    }

    fn handle_request(&mut self, mut request: P::Request) -> Result<Vec<P::Response>, Status> {
        bounds::apply::<P>(&mut request, self.machine.name_bytes())?;
        if let Some(refusal) = P::refusal(&request) {
            tracing::warn!(reason = %Truncated(&refusal.message), "proxy rejected a secret (NACK)");
        }
        let snapshot = self.snapshots.borrow_and_update().clone();
        Ok(self.machine.on_request(&request, &snapshot))
    }
}

#[tonic::async_trait]
impl SecretDiscoveryService for SdsService {
    type StreamSecretsStream = SecretResponses<DiscoveryResponse>;
    type DeltaSecretsStream = SecretResponses<DeltaDiscoveryResponse>;

    async fn stream_secrets(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamSecretsStream>, Status> {
        Ok(self.stream::<SotwStream>(request))
    }

    async fn delta_secrets(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaSecretsStream>, Status> {
        Ok(self.stream::<DeltaStream>(request))
    }

    async fn fetch_secrets(&self, _: Request<DiscoveryRequest>) -> Result<Response<DiscoveryResponse>, Status> {
        Err(Status::unimplemented("secrets are served on streams only"))
    }
}
