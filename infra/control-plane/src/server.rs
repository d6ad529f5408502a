//! Listening, serving, and stopping without cutting anybody off.

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
use crate::listen;
use crate::settings::Settings;
use crate::state::Realm;
use crate::storage::{Disk, OpenError};
use crate::store::Store;
use crate::tls::{Speaker, Tls, TlsError};
use crate::xds::{Ads, Gate, ListenError};

/// How long requests that are under way at the end may take. They take milliseconds; what is left after this is a
/// client that does not finish sending.
const GRACE: Duration = Duration::from_secs(10);

/// How long Envoys go on being served at the end while requests are under way, which they may have to be told of.
const LAST_WRITES: Duration = Duration::from_millis(500);

/// A control plane that listens. Nothing is answered before [`Server::serve`].
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    addr: SocketAddr,
    tls: Option<Tls>,
    api: Arc<Api>,
    connections: Arc<ConnectionTable>,
    ads: Ads,
}

impl Server {
    /// Takes the address and the data folder in the settings.
    pub async fn bind(settings: Settings) -> Result<Self, BindError> {
        let realm = Realm::new(settings.account.clone(), settings.region.clone());
        let store = match &settings.data {
            None => Store::new(settings.quotas.clone()),
            Some(data) => {
                let (disk, records) = Disk::open(data, &realm)?;
                Store::over(Box::new(disk), &records, settings.quotas.clone()).map_err(BindError::Thread)?
            }
        };
        Self::bind_over(settings, store).await
    }

    /// Takes the address in the settings, to serve a store that is open already.
    pub async fn bind_over(settings: Settings, store: Store) -> Result<Self, BindError> {
        let asked = settings.api;
        if !asked.ip().is_loopback() {
            match (&settings.api_auth, &settings.api_tls) {
                (ApiAuth::Loopback, _) => return Err(BindError::NotLoopback { addr: asked }),
                (ApiAuth::Sts(_), None) => return Err(BindError::BearerWithoutTls { addr: asked }),
                (ApiAuth::Keys(_), None) => tracing::warn!(
                    addr = %asked,
                    "the API is served beyond this machine without TLS: requests are signed, but can be read on the way"
                ),
                (ApiAuth::Keys(_) | ApiAuth::Sts(_), Some(_)) => {}
            }
        }
        let tls = settings.api_tls.map(|files| Tls::open(Speaker::Api, files, None)).transpose()?;
        let taken = |source| BindError::Address { addr: asked, source };
        let listener = TcpListener::bind(asked).await.map_err(taken)?;
        let addr = listener.local_addr().map_err(taken)?;
        let store = Arc::new(store);
        let counts = store.metrics().connections();
        let guard = Guard::new(&settings.api_auth, addr, settings.region.clone(), counts.clone())?;
        let admission = Admission::open(settings.admission)?;
        let realm = Realm::new(settings.account, settings.region);
        let connections = ConnectionTable::new(settings.connections, counts.clone());
        let bodies = BodyBudget::new(BodyBudgetLimits::default(), counts);
        let gate = Gate { connections: Arc::clone(&connections), bodies: Arc::clone(&bodies) };
        let ads = Ads::bind(settings.xds, realm.account().clone(), &store, gate).await?;
        let events = Events::start(settings.events, store.metrics());
        let api = Api { guard, admission, events, realm, store, bodies, proxies: Arc::clone(&ads.shared) };
        Ok(Self { listener, addr, tls, api: Arc::new(api), connections, ads })
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The endpoint to give to a client: `http://127.0.0.1:41234`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.addr)
    }

    /// Where Envoys are served: each as the command line has it, `127.0.0.1:41235` or `unix:/run/xds.sock`.
    #[must_use]
    pub fn xds(&self) -> Vec<String> {
        self.ads.places()
    }

    /// The state that it serves, for reading it or following its changes in this process.
    #[must_use]
    pub fn store(&self) -> Arc<Store> {
        Arc::clone(&self.api.store)
    }

    /// Answers until the future given is ready, then lets the requests that are under way finish.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        let (stop, mut stopping) = watch::channel(false);
        let (answered, mut all_answered) = watch::channel(false);
        let mut ads_stopping = stopping.clone();
        let ads_stopped = async move {
            let _ = ads_stopping.wait_for(|stopping| *stopping).await;
            // Envoys are still told of writes that are under way.
            let _ = timeout(LAST_WRITES, all_answered.wait_for(|answered| *answered)).await;
        };
        let ads = self.ads.serve(ads_stopped).boxed();
        let signal = async move {
            shutdown.await;
            stop.send_replace(true);
        };
        let served = Arc::clone(&self.api);
        let sweeping = self.connections.sweep();
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
            // An error means that `signal` is gone, and then `serving` is about to end by itself.
            if stopping.wait_for(|stopping| *stopping).await.is_err() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(GRACE).await;
        };
        let ended = tokio::select! {
            served = serving => served,
            () = overtime => {
                tracing::warn!(?GRACE, "stopped with requests still under way");
                Ok(())
            }
        };
        sweeping.abort();
        served.events.drain().await;
        ended
    }
}

/// Why the control plane can't listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Whoever reached it could change every mesh.
    #[error(
        "{addr} is not a loopback address: requests are not authenticated, so only this machine may send any; use 127.0.0.1 or [::1], or --api-auth keys or sts"
    )]
    NotLoopback {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// Whoever listened on the way could show the same identity.
    #[error(
        "{addr} is not a loopback address, and with --api-auth sts whoever listens on the way could read as the caller: give --api-tls-cert and --api-tls-key"
    )]
    BearerWithoutTls {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// Nobody could prove who they are.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// Writes can't be judged.
    #[error(transparent)]
    Policy(#[from] PolicyFileError),
    /// The API's certificate can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No Envoy can be served.
    #[error(transparent)]
    Xds(#[from] ListenError),
    /// The state can't be read, or may not be used.
    #[error(transparent)]
    Data(#[from] OpenError),
    /// The system has no thread to store writes with.
    #[error("start the thread that stores what is written")]
    Thread(#[source] io::Error),
    /// The system refuses the address.
    #[error("listen on {addr}")]
    Address {
        /// The address asked for.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
}
