//! The socket beside a proxy, for the secrets that a mesh calls by names of its own.
//!
//! ```text
//!   Envoy (cluster static_cluster_sds_unix_socket) ── SDS ──▶ socket ──▶ keeper ──▶ Secrets Manager
//! ```
//!
//! The same stream as ADS, of one type of resource. Who may connect is decided by the socket: its own user, or those that
//! were named. What a node says it is, is not looked at: whoever may connect may have every secret that is bound.

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

use super::bounds;
use super::conversation::stopped;
use super::listen::{Guest, ListenError, Listening};
use super::protocol::Protocol;
use super::settings::{Listen, XdsAuth, XdsListener, XdsSettings};
use crate::connections::{Busy, ConnectionLimits, ConnectionTable};
use crate::log::Short;
use crate::metrics::Metrics;
use crate::secrets::{Found, Secrets};

/// How long connections may take to close once their streams have ended.
const GRACE: Duration = Duration::from_secs(5);

/// Serves bound secrets on a socket of its own.
#[derive(Debug)]
pub struct SdsServer {
    listening: Listening,
    secrets: Arc<dyn Secrets>,
    names: BTreeSet<String>,
}

impl SdsServer {
    /// Takes the socket. Without users, its mode is 0600; with them, the group may try, and each is asked who it is.
    pub async fn bind(
        socket: PathBuf,
        users: Option<Vec<u32>>,
        names: BTreeSet<String>,
        secrets: Arc<dyn Secrets>,
    ) -> Result<Self, ListenError> {
        let auth = users.map_or(XdsAuth::None, |uids| XdsAuth::Unix { uids });
        let listen = vec![XdsListener { place: Listen::Unix(socket), auth }];
        let settings = XdsSettings { listen, ..XdsSettings::default() };
        Ok(Self { listening: Listening::bind(&settings).await?, secrets, names })
    }

    /// Where it listens: `unix:/run/sds.sock`.
    #[must_use]
    pub fn place(&self) -> String {
        self.listening.places().concat()
    }

    /// Answers until the future given is ready, then ends every stream and removes the socket.
    pub async fn serve(
        self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), tonic::transport::Error> {
        let Self { listening, secrets, names } = self;
        let (stop, stop_asked) = watch::channel(false);
        let mut changes = secrets.changes();
        let (publish, snapshots) = watch::channel(snapshot(secrets.as_ref(), &names));
        let mut until = stop_asked.clone();
        let following = tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = stopped(&mut until) => return,
                    told = changes.changed() => if told.is_err() { return },
                }
                publish.send_replace(snapshot(secrets.as_ref(), &names));
            }
        });
        let service = SecretDiscoveryServiceServer::new(Service { snapshots, stopping: stop_asked.clone() });
        let signal = async move {
            shutdown.await;
            stop.send_replace(true);
        };
        // Whoever may connect is a user of this machine, so what is counted is not shown.
        let connections = ConnectionTable::new(ConnectionLimits::default(), Metrics::new().connections());
        let sweeping = connections.sweep();
        let (incoming, tasks) = listening.connections(&connections);
        let answering = Server::builder().add_service(service).serve_with_incoming_shutdown(incoming, signal);
        let mut overtime = stop_asked;
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

/// All that can be served now. A secret that isn't known yet is not in it, and whoever asks for it waits.
fn snapshot(secrets: &dyn Secrets, names: &BTreeSet<String>) -> Snapshot {
    let bound: BTreeMap<_, _> =
        names.iter().map(|name| SecretRef::Bundle(name.clone())).map(|secret| (secret.name(), secret)).collect();
    secrets.in_use(&bound.values().cloned().collect());
    Snapshot::new(bound.into_iter().filter_map(|(name, secret)| match secrets.find(&secret) {
        Found::Known(known, _) => Some((ResourceType::Secret, name, secret.resource(Some(&known.material))?)),
        Found::Pending | Found::Missing(_) => None,
    }))
}

#[derive(Debug)]
struct Service {
    snapshots: watch::Receiver<Snapshot>,
    stopping: watch::Receiver<bool>,
}

impl Service {
    fn stream<P: Protocol>(&self, request: Request<Streaming<P::Request>>) -> Response<Responses<P::Response>> {
        let guest = request.extensions().get::<Guest>();
        if let Some(guest) = guest {
            tracing::info!(peer = %guest.peer.place, protocol = P::NAME, "sds stream");
        }
        let stream = SecretStream::<P> {
            _busy: guest.map(|guest| guest.slot.busy()),
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

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

struct SecretStream<P: Protocol> {
    machine: P,
    snapshots: watch::Receiver<Snapshot>,
    stopping: watch::Receiver<bool>,
    requests: Streaming<P::Request>,
    /// Responses to be sent, the next one last.
    waiting: Vec<P::Response>,
    /// The connection is not idle meanwhile.
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
                    Ok(Some(request)) => match self.hear(request) {
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
                    Err(_) => return Some(Err(Status::unavailable("there is nothing to serve any more"))),
                },
            };
            responses.reverse();
            self.waiting = responses;
        }
    }

    fn hear(&mut self, mut request: P::Request) -> Result<Vec<P::Response>, Status> {
        bounds::apply::<P>(&mut request, self.machine.name_bytes())?;
        if let Some(refusal) = P::refusal(&request) {
            tracing::warn!(reason = %Short(&refusal.message), "NACK: a secret was refused");
        }
        let snapshot = self.snapshots.borrow_and_update().clone();
        Ok(self.machine.on_request(&request, &snapshot))
    }
}

#[tonic::async_trait]
impl SecretDiscoveryService for Service {
    type StreamSecretsStream = Responses<DiscoveryResponse>;
    type DeltaSecretsStream = Responses<DeltaDiscoveryResponse>;

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
