//! The ADS server: it sends each connected Envoy its part of the mesh, and every change of it.
//!
//! ```text
//!   store ──▶ follow ──▶ models: meshes, ports ──▶ proxy snapshots ──────▶ ADS streams ──▶ Envoys
//!             (changes)  (affected proxies)        (resources, findings)
//! ```
//!
//! - `follow` reads changes of the store, `models` holds the meshes and translates them, `cache` schedules the rebuilds.
//! - `build` builds the `proxy_snapshot` of one proxy. `find_secret` looks up its secrets, `withhold` leaves out resources
//!   with secrets that are not available, `endpoints` handles unknown endpoints.
//! - `ads_stream` serves one stream; the state machine in the crate `xds` decides its responses.
//! - `stream_token` verifies the node token of a stream, `revocations` follows revoked ones.
//! - `listen` opens sockets and identifies peers; `peer` decides which proxy a peer may be.
//! - `sds` serves only secrets, on a socket on the proxy's machine.
//! - `registry` has the open streams, `ended_streams` the resources of clients that may reconnect. `report` reports on
//!   streams, `certificate_report` on acknowledged certificates.
//! - `evidence_of_streams` reports the streams to the other replicas of a shared store, `merged_report` answers for all of
//!   them, and `other_proxies` keeps the snapshots that this judges their proxies by.
//! - `stale` decides what a replica that cannot read its store serves.

mod ads_state;
mod ads_stream;
mod affected;
mod allowed;
mod bootstrap;
mod bounds;
mod build;
mod build_inputs;
mod cache;
mod certificate_report;
mod ended_streams;
mod endpoints;
mod evidence_of_streams;
mod find_secret;
mod follow;
mod listen;
mod machine;
mod merged_report;
mod metered;
mod models;
mod other_proxies;
mod peer;
mod ports;
mod protocol;
mod proxy_snapshot;
mod registry;
mod report;
mod revocations;
mod sds;
mod service;
mod settings;
mod sources;
mod stale;
mod stream_token;
mod withhold;

use std::sync::Arc;

use mesh::name::AccountId;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::log::LogThrottle;
use crate::store::Store;
use cache::SnapshotCache;
use follow::Follower;
use listen::ListeningSockets;
use models::MeshModels;
use other_proxies::OtherProxies;
use ports::PortAssigner;
use registry::StreamRegistry;
use sources::SnapshotSources;
use stream_token::StreamTokens;

pub use crate::secrets::{
    KnownSecret, NoSecrets, SecretLookup, SecretProblem, SecretReport, Secrets, ServedCertificate, problem,
};
pub use crate::tls::{TlsError, TlsFiles};
pub(crate) use ads_state::{AdsLimits, AdsState};
pub use allowed::{CertificateRule, CertificateRuleError};
pub use bootstrap::{Bootstrap, BootstrapTls, Statistics, StatisticsSet, TokenFile, XdsServers, XdsServersError};
pub use listen::ListenError;
pub(crate) use merged_report::ProxiesReport;
pub use ports::{ListenerMode, ListenerModeError};
pub use sds::SdsServer;
pub use settings::{ListenAddress, ListenAddressError, XdsAuth, XdsListener, XdsSettings};

/// The bound ADS server, not answering yet.
#[derive(Debug)]
pub(crate) struct Ads {
    pub(crate) shared: Arc<AdsState>,
    sockets: ListeningSockets,
    limits: AdsLimits,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    /// Follows the freshness of the store, and reports the streams to the other replicas.
    reporting: Option<JoinHandle<()>>,
}

impl Ads {
    /// Binds the addresses and sockets of the settings, and starts to follow the store.
    pub(crate) async fn bind(
        settings: XdsSettings,
        account: AccountId,
        store: &Arc<Store>,
        limits: AdsLimits,
    ) -> Result<Self, ListenError> {
        let sockets = ListeningSockets::bind(&settings).await?;
        let ports = match settings.listeners {
            ListenerMode::Interception => None,
            ListenerMode::Explicit(range) => {
                Some(PortAssigner::new(range, store.inspect(|state| state.ports().clone())))
            }
        };
        let secrets = settings.secrets;
        let instances = settings.instances;
        let sources = SnapshotSources { secrets: Arc::clone(&secrets), instances: Arc::clone(&instances) };
        let models = MeshModels::new(&sources, settings.bound, ports)
            .with_stat_names(settings.stat_names)
            .with_client_address(settings.client_address)
            .with_certificate_rules(settings.certificate_rules);
        let (stop, stopping) = watch::channel(false);
        let (cache, task) = SnapshotCache::start(Follower::new(Arc::clone(store)), models, sources, stopping.clone());
        let (fresh, freshness) = watch::channel(store.freshness());
        let shared = Arc::new(AdsState {
            account,
            streams_per_proxy: settings.streams_per_proxy,
            cache,
            secrets,
            instances,
            files: settings.certificate_files,
            registry: Arc::new(StreamRegistry::new(Arc::clone(store))),
            others: OtherProxies::default(),
            freshness,
            stream_age: settings.stream_age,
            tokens: settings.tokens.map(|tokens| StreamTokens {
                tokens,
                revocations: revocations::follow(store, stopping.clone()),
                refusals: LogThrottle::default(),
            }),
            stop: stopping,
        });
        let reporting = store.is_shared().then(|| {
            let state = Arc::clone(&shared);
            tokio::spawn(async move {
                futures::join!(stale::follow(&state, fresh), state.report_streams());
            })
        });
        Ok(Self { shared, sockets, limits, stop, task, reporting })
    }

    /// The addresses in the format of the settings.
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.sockets.addresses()
    }

    /// Serves until the future is ready, then ends every stream.
    pub(crate) async fn serve(
        self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), tonic::transport::Error> {
        let state = Arc::clone(&self.shared);
        let served = if self.sockets.addresses().is_empty() {
            // No Envoy can connect, but reports on proxies are still available.
            shutdown.await;
            drop(self.stop);
            Ok(())
        } else {
            service::serve(self.shared, self.sockets, self.limits, self.stop, shutdown).await
        };
        // The task holds the store, and the next process may need its data.
        let _ = self.task.await;
        if let Some(reporting) = self.reporting {
            let _ = reporting.await;
            // The streams have ended, and the others wait for their proxies.
            state.publish_streams().await;
        }
        served
    }
}
