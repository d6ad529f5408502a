//! Listens, serves, and stops after the requests in progress.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::admission::{Admission, PolicyFileError};
use crate::auth::{ApiAuth, Guard, GuardError};
use crate::connections::{BodyBudget, BodyBudgetLimits, ConnectionTable};
use crate::events::Events;
use crate::http::{self, Api};
use crate::identity::{IdentityError, NodeTokens};
use crate::listen;
use crate::operations::OperationsListener;
use crate::quotas::Quotas;
use crate::rights::{RightsFileError, RightsGate};
use crate::settings::{Settings, SharedStore};
use crate::snapshot::SnapshotSocket;
use crate::state::Realm;
use crate::storage::{Disk, ItemLog, LogError, OpenError, SharedOpenError};
use crate::store::{LogStartError, ReplicaRole, Store};
use crate::tls::{Tls, TlsEndpoint, TlsError};
use crate::xds::{Ads, AdsLimits, ListenError, XdsSettings};

/// How long requests in progress may take at shutdown. They take milliseconds; a longer one belongs to a client that
/// does not finish sending.
const GRACE: Duration = Duration::from_secs(10);

/// How long Envoys are still served at shutdown while requests are in progress, so that they receive the last writes.
const LAST_WRITES: Duration = Duration::from_millis(500);

/// How long a stream stays open where replicas share the store: its proxy then connects to the next replica.
const STREAM_AGE: Duration = Duration::from_mins(30);

/// A listening control plane. It answers no request before [`Server::serve`].
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    addr: SocketAddr,
    tls: Option<Tls>,
    api: Arc<Api>,
    connections: Arc<ConnectionTable>,
    ads: Ads,
    operations: Option<OperationsListener>,
    snapshots: Option<SnapshotSocket>,
}

impl Server {
    /// Binds the address and opens the store of the settings.
    pub async fn bind(settings: Settings) -> Result<Self, BindError> {
        let realm = Realm::new(settings.account.clone(), settings.region.clone());
        let quotas = settings.quotas.clone();
        let store = match (&settings.store, &settings.data) {
            // Boxed, since the calls of the SDK take kilobytes, and most servers make none.
            (Some(shared), _) => Box::pin(open_shared(shared, &realm, settings.role, quotas)).await?,
            (None, None) => Store::new(quotas),
            (None, Some(data)) => {
                let (disk, records) = Disk::open(data, &realm)?;
                Store::with_storage(Box::new(disk), &records, quotas).map_err(BindError::Thread)?
            }
        };
        Self::bind_with_store(settings, store).await
    }

    /// Binds the address of the settings, to serve a store that is open already.
    pub async fn bind_with_store(settings: Settings, store: Store) -> Result<Self, BindError> {
        let requested = settings.api;
        if settings.rights.is_none() && matches!(settings.api_auth, ApiAuth::Sts(_)) {
            return Err(BindError::StsWithoutRights);
        }
        if !requested.ip().is_loopback() {
            match (&settings.api_auth, &settings.api_tls) {
                (ApiAuth::Loopback, _) => return Err(BindError::NotLoopback { addr: requested }),
                (ApiAuth::Sts(_), None) => return Err(BindError::BearerWithoutTls { addr: requested }),
                (ApiAuth::Keys(_), None) if settings.role == ReplicaRole::Replica => {
                    return Err(BindError::KeysWithoutTls { addr: requested });
                }
                (ApiAuth::Keys(_), None) => tracing::warn!(
                    addr = %requested,
                    "the API listens beyond this machine without TLS: requests are signed, but not encrypted"
                ),
                (ApiAuth::Keys(_) | ApiAuth::Sts(_), Some(_)) => {}
            }
        }
        if let Some(identity) = &settings.identity {
            if !requested.ip().is_loopback() && settings.api_tls.is_none() {
                return Err(BindError::TokensWithoutTls { addr: requested });
            }
            if identity.cluster.is_some() && settings.rights.is_none() {
                return Err(BindError::ClusterWithoutRights);
            }
        }
        let tls = settings.api_tls.map(|files| Tls::open(TlsEndpoint::Api, files, None)).transpose()?;
        let failed = |source| BindError::Address { addr: requested, source };
        let listener = TcpListener::bind(requested).await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        store.set_serve_stale(settings.serve_stale);
        let operations = match settings.metrics {
            Some(addr) => {
                let failed = |source| BindError::Address { addr, source };
                Some(OperationsListener::bind(addr).await.map_err(failed)?)
            }
            None => None,
        };
        let snapshots = settings.data.as_deref().filter(|_| settings.store.is_none()).and_then(SnapshotSocket::bind);
        let store = Arc::new(store);
        let counts = store.metrics().connections();
        let guard = Guard::new(&settings.api_auth, addr, settings.region.clone(), counts.clone())?;
        let rights = RightsGate::open(settings.rights.as_deref(), settings.write_limit, store.metrics().rights())?;
        let rights = Arc::new(rights);
        let tokens = settings.identity.as_ref().map(|identity| NodeTokens::open(identity, settings.account.clone()));
        let tokens = tokens.transpose()?.map(|tokens| Arc::new(tokens.with_rights(Arc::clone(&rights))));
        if let Some(cluster) = tokens.as_ref().and_then(|tokens| tokens.cluster()) {
            cluster.prepare_first().await;
        }
        let admission = Admission::open(settings.admission)?;
        let realm = Realm::new(settings.account, settings.region);
        let connections = ConnectionTable::new(settings.connections, counts.clone());
        let bodies = BodyBudget::new(BodyBudgetLimits::default(), counts);
        let limits = AdsLimits { connections: Arc::clone(&connections), bodies: Arc::clone(&bodies) };
        let stream_age = settings.xds.stream_age.or(store.is_shared().then_some(STREAM_AGE));
        let xds = XdsSettings { stream_age, tokens: tokens.clone(), ..settings.xds };
        let ads = Ads::bind(xds, realm.account().clone(), &store, limits).await?;
        let events = Events::start(settings.events, store.metrics(), &store, &realm).await;
        let events = events.map_err(BindError::Events)?;
        let api =
            Api { guard, rights, tokens, admission, events, realm, store, bodies, proxies: Arc::clone(&ads.shared) };
        Ok(Self { listener, addr, tls, api: Arc::new(api), connections, ads, operations, snapshots })
    }

    /// The address that it listens on.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The endpoint for clients, such as `http://127.0.0.1:41234`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.addr)
    }

    /// The address of the metrics, if they have one of their own.
    #[must_use]
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.operations.as_ref().map(OperationsListener::addr)
    }

    /// The xDS listeners in the format of the command line: `127.0.0.1:41235` or `unix:/run/xds.sock`.
    #[must_use]
    pub fn xds(&self) -> Vec<String> {
        self.ads.addresses()
    }

    /// The served state, for reading it or following its changes in this process.
    #[must_use]
    pub fn store(&self) -> Arc<Store> {
        Arc::clone(&self.api.store)
    }

    /// Serves until the future is ready, then completes the requests in progress.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        let (stop, mut stopping) = watch::channel(false);
        let (answered, mut all_answered) = watch::channel(false);
        let mut ads_stopping = stopping.clone();
        let ads_stopped = async move {
            let _ = ads_stopping.wait_for(|stopping| *stopping).await;
            // Envoys still receive the writes in progress.
            let _ = timeout(LAST_WRITES, all_answered.wait_for(|answered| *answered)).await;
        };
        let ads = self.ads.serve(ads_stopped).boxed();
        let signal = async move {
            shutdown.await;
            stop.send_replace(true);
        };
        let served = Arc::clone(&self.api);
        let sweeping = self.connections.sweep();
        let operations = self
            .operations
            .map(|listener| tokio::spawn(listener.serve(http::operations(Arc::clone(&self.api)), stopping.clone())));
        let snapshots = self
            .snapshots
            .map(|socket| tokio::spawn(socket.serve(Arc::clone(&self.api.store), self.api.realm.clone())));
        let router = http::router(self.api);
        let api = listen::serve(self.listener, self.tls, router, self.connections, stopping.clone());
        let api = api.inspect(|()| {
            answered.send_replace(true);
        });
        let serving = async {
            let ((), (), ads) = tokio::join!(signal, api, ads);
            ads.map_err(io::Error::other)
        };
        let overtime = async move {
            // An error means that `signal` was dropped, and then `serving` is about to end.
            if stopping.wait_for(|stopping| *stopping).await.is_err() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(GRACE).await;
        };
        let ended = tokio::select! {
            served = serving => served,
            () = overtime => {
                tracing::warn!(?GRACE, "stopped with requests in progress");
                Ok(())
            }
        };
        sweeping.abort();
        for task in [operations, snapshots].into_iter().flatten() {
            task.abort();
            // The task holds the store until it is dropped, and the next process may need its data.
            let _ = task.await;
        }
        served.events.drain().await;
        ended
    }
}

/// Opens a store that replicas share.
async fn open_shared(
    shared: &SharedStore,
    realm: &Realm,
    role: ReplicaRole,
    quotas: Quotas,
) -> Result<Store, BindError> {
    let (log, snapshot) = match shared {
        SharedStore::DynamoDb(table) => ItemLog::open_table(aws::Aws::open().await.items(table), realm).await?,
        SharedStore::Etcd { endpoints, tls, accepts_old } => {
            ItemLog::open_etcd_with(endpoints, tls.as_ref(), *accepts_old, realm).await?
        }
    };
    let log = Arc::new(log);
    Ok(Store::with_log(Arc::<ItemLog>::clone(&log), Some(log), role, &snapshot, quotas).await?)
}

/// The control plane cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Without authentication, any client in the network could change every mesh.
    #[error(
        "{addr} is not a loopback address, and requests are not authenticated; use 127.0.0.1 or [::1], or pass --api-auth keys or sts"
    )]
    NotLoopback {
        /// The address of the settings.
        addr: SocketAddr,
    },
    /// Without TLS, an eavesdropper could replay the identity of a caller.
    #[error(
        "{addr} is not a loopback address, and with --api-auth sts an eavesdropper could read as the caller; pass --api-tls-cert and --api-tls-key"
    )]
    BearerWithoutTls {
        /// The address of the settings.
        addr: SocketAddr,
    },
    /// Each replica remembers the refused writes that it received: an eavesdropper could repeat one through another replica.
    #[error(
        "{addr} is not a loopback address, and with --role replica an eavesdropper could repeat a signed write through another replica; pass --api-tls-cert and --api-tls-key"
    )]
    KeysWithoutTls {
        /// The address of the settings.
        addr: SocketAddr,
    },
    /// Every session of an allowed role would be an administrator.
    #[error("--api-auth sts needs --rights FILE, which says what each role may do; see infra/samples/rights.json")]
    StsWithoutRights,
    /// An eavesdropper could use the tokens.
    #[error(
        "{addr} is not a loopback address, and with --token-key an eavesdropper could read node tokens; pass --api-tls-cert and --api-tls-key"
    )]
    TokensWithoutTls {
        /// The address of the settings.
        addr: SocketAddr,
    },
    /// Every service account of the cluster could request every token.
    #[error("--cluster-issuer needs --rights FILE, which says which service account may request which tokens")]
    ClusterWithoutRights,
    /// The events after the start would be lost with this process.
    #[error("failed to store the cursor of a receiver of change events")]
    Events(#[source] LogError),
    /// Node tokens cannot be set up.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The rights cannot be used.
    #[error(transparent)]
    Rights(#[from] RightsFileError),
    /// Authentication cannot be set up.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// The policy of admission cannot be used.
    #[error(transparent)]
    Policy(#[from] PolicyFileError),
    /// The API's certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The xDS listeners cannot be set up.
    #[error(transparent)]
    Xds(#[from] ListenError),
    /// The stored state cannot be read, or must not be used.
    #[error(transparent)]
    Data(#[from] OpenError),
    /// The shared store cannot be opened.
    #[error(transparent)]
    SharedStore(#[from] SharedOpenError),
    /// The log of the shared store cannot be used.
    #[error(transparent)]
    Log(#[from] LogStartError),
    /// The operating system cannot start the thread that stores writes.
    #[error("failed to start the storage thread")]
    Thread(#[source] io::Error),
    /// The operating system refuses the address.
    #[error("failed to listen on {addr}")]
    Address {
        /// The address of the settings.
        addr: SocketAddr,
        /// The I/O error.
        source: io::Error,
    },
}
