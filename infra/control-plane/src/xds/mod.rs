//! The ADS server: each Envoy that connects is sent its share of the mesh, and every change of it.
//!
//! ```text
//!   store ──▶ follow ──▶ world: meshes, ports ──▶ pictures, one a proxy ──▶ conversations ──▶ Envoys
//!             (changes)  (whom does it concern)   (snapshot, findings)     (ADS, one a stream)
//! ```
//!
//! - `follow` reads what is new, `world` keeps the meshes and translates, `cache` decides when and for whom.
//! - `conversation` is one stream; what it says is decided by the state machine in the crate `xds`.
//! - The crate's `secrets` are asked for certificates; `hold` keeps back what would hang for want of one. `endpoints` keeps back what
//!   would take a proxy's endpoints away for want of any.
//! - `listen` opens sockets and finds out who is at the other end; `peer` says who may be which proxy.
//! - `sds` serves secrets alone, on a socket beside a proxy.
//! - `roster` knows the open streams, `gone` what clients of former ones may have, `report` tells of them, `evidence` of the certificates that they have taken.

mod allowed;
mod bootstrap;
mod bounds;
mod cache;
mod concern;
mod conversation;
mod endpoints;
mod evidence;
mod follow;
mod gone;
mod hold;
mod listen;
mod machine;
mod metered;
mod peer;
mod picture;
mod ports;
mod protocol;
mod report;
mod roster;
mod sds;
mod service;
mod settings;
mod world;

use std::sync::Arc;

use mesh::name::AccountId;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::certificates::CertificateFiles;
use crate::connections::{BodyBudget, ConnectionTable};
use crate::instances::Instances;
use crate::store::Store;
use cache::{Cache, Sources};
use follow::Follower;
use listen::Listening;
use ports::PortKeeper;
use roster::Roster;
use world::World;

pub use crate::secrets::{
    Found, KnownSecret, NoSecrets, SecretProblem, SecretReport, Secrets, ServedCertificate, problem,
};
pub use crate::tls::{TlsError, TlsFiles};
pub use allowed::{CertificateRule, CertificateRuleError};
pub use bootstrap::{Bootstrap, BootstrapTls, Statistics, StatisticsSet};
pub use listen::ListenError;
pub use ports::{ListenerMode, ListenerModeError};
pub use sds::SdsServer;
pub use settings::{Listen, ListenParseError, XdsAuth, XdsListener, XdsSettings};

/// What bounds what clients can make the process hold.
#[derive(Debug)]
pub(crate) struct Gate {
    /// The connections of the process.
    pub(crate) connections: Arc<ConnectionTable>,
    /// Memory for what is received from proxies that are not known yet.
    pub(crate) bodies: Arc<BodyBudget>,
}

/// What every stream needs.
#[derive(Debug)]
pub(crate) struct Shared {
    account: AccountId,
    streams_per_proxy: usize,
    cache: Cache,
    secrets: Arc<dyn Secrets>,
    instances: Arc<dyn Instances>,
    files: Option<CertificateFiles>,
    roster: Arc<Roster>,
    stop: watch::Receiver<bool>,
}

/// The ADS server: listening, not yet answering.
#[derive(Debug)]
pub(crate) struct Ads {
    pub(crate) shared: Arc<Shared>,
    listening: Listening,
    gate: Gate,
    stop: watch::Sender<bool>,
    turning: JoinHandle<()>,
}

impl Ads {
    /// Takes the addresses and sockets of the settings, and begins to follow the store.
    pub(crate) async fn bind(
        settings: XdsSettings,
        account: AccountId,
        store: &Arc<Store>,
        gate: Gate,
    ) -> Result<Self, ListenError> {
        let listening = Listening::bind(&settings).await?;
        let ports = match settings.listeners {
            ListenerMode::Interception => None,
            ListenerMode::Explicit(range) => Some(PortKeeper::new(range, store.look(|state| state.ports().clone()))),
        };
        let secrets = settings.secrets;
        let instances = settings.instances;
        let sources = Sources { secrets: Arc::clone(&secrets), instances: Arc::clone(&instances) };
        let world = World::new(&sources, settings.bound, ports)
            .with_stat_names(settings.stat_names)
            .with_client_address(settings.client_address)
            .with_certificate_rules(settings.certificate_rules);
        let (stop, stopping) = watch::channel(false);
        let (cache, turning) = Cache::start(Follower::new(Arc::clone(store)), world, sources, stopping.clone());
        let shared = Arc::new(Shared {
            account,
            streams_per_proxy: settings.streams_per_proxy,
            cache,
            secrets,
            instances,
            files: settings.certificate_files,
            roster: Arc::new(Roster::new(Arc::clone(store))),
            stop: stopping,
        });
        Ok(Self { shared, listening, gate, stop, turning })
    }

    /// Where it listens, as the setting that would open the same.
    pub(crate) fn places(&self) -> Vec<String> {
        self.listening.places()
    }

    /// Answers until the future given is ready, then ends every stream.
    pub(crate) async fn serve(
        self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), tonic::transport::Error> {
        let served = if self.listening.places().is_empty() {
            // No Envoy can come, but what one would be sent can be asked for all the same.
            shutdown.await;
            drop(self.stop);
            Ok(())
        } else {
            service::serve(self.shared, self.listening, self.gate, self.stop, shutdown).await
        };
        // It holds the store, and whoever starts next may want the same data.
        let _ = self.turning.await;
        served
    }
}
