//! The command line.

mod address;
mod admission;
mod api;
mod connections;
mod etcd;
mod events;
mod identity;
mod instances;
pub(crate) mod kubernetes;
mod node_token;
pub(crate) mod operations;
pub(crate) mod snapshot;
pub(crate) mod sources;
mod store;
pub(crate) mod upgrade;
mod xds;

use std::net::SocketAddr;
use std::path::PathBuf;

use self::xds::XdsArgs;
use crate::bootstrap::BootstrapArgs;
use crate::certificate_args::{CertificateArgs, SdsArgs};
use crate::error_chain;
use address::address;
use admission::AdmissionArgs;
use api::ApiArgs;
use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};
use connections::ConnectionArgs;
use control_plane::state::Region;
use control_plane::{QuotaPreset, QuotaSetting, Quotas, Settings};
use events::EventArgs;
use identity::IdentityArgs;
use instances::InstanceArgs;
use kubernetes::KubernetesArgs;
use mesh::name::AccountId;
use node_token::NodeTokenArgs;
use operations::OperationsArgs;
use snapshot::{RestoreArgs, SnapshotArgs};
use store::StoreArgs;
use upgrade::StoreCommand;

/// Serves the App Mesh API, and xDS to Envoy proxies.
///
/// Prints `api http://HOST:PORT` and one line `xds ADDR` for each xDS listener once it listens. Logs to standard
/// error (`MESHWARDEN_LOG` sets the filter). Stops on SIGTERM or SIGINT after answering the requests in progress.
#[derive(Debug, Parser)]
#[command(version)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// The address of the API; port 0 selects a free port. A loopback address, or any address with `--api-auth keys`
    /// or `sts`.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0", value_parser = address)]
    api: SocketAddr,
    #[command(flatten)]
    who: ApiArgs,
    /// The account that owns every mesh. Required with `--data` and with a shared store; 123456789012 in memory.
    #[arg(long, value_name = "ID", value_parser = AccountId::parse)]
    account: Option<AccountId>,
    /// The region in ARNs.
    #[arg(long, default_value = "us-east-1", value_parser = Region::parse)]
    region: Region,
    /// The quotas that apply where `--quota` sets none: no quotas, or the defaults of the App Mesh service.
    #[arg(long = "quotas", value_name = "PRESET", value_enum, default_value_t = QuotaPresetArg::None)]
    quota_preset: QuotaPresetArg,
    /// One quota, such as `meshes-per-account=50`. Can be repeated.
    #[arg(long = "quota", value_name = "NAME=N")]
    quotas: Vec<QuotaSetting>,
    #[command(flatten)]
    identity: IdentityArgs,
    #[command(flatten)]
    connections: ConnectionArgs,
    #[command(flatten)]
    xds: XdsArgs,
    /// The folder that stores the state; created if it does not exist. Without it, the state is lost when the
    /// process ends.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    instances: InstanceArgs,
    #[command(flatten)]
    admission: AdmissionArgs,
    #[command(flatten)]
    events: EventArgs,
    #[command(flatten)]
    certificates: CertificateArgs,
    #[command(flatten)]
    pub(crate) operations: OperationsArgs,
}

/// Commands other than serving.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Prints the configuration of a plain Envoy, which gets everything else from the control plane.
    Bootstrap(Box<BootstrapArgs>),
    /// Serves bound secrets on a socket, to the proxies of this machine.
    Sds(SdsArgs),
    /// Writes the state of a store to a file, also while it is in use.
    Snapshot(SnapshotArgs),
    /// Fills an empty store from a snapshot.
    Restore(RestoreArgs),
    /// Keeps the resources of an App Mesh API equal to the App Mesh objects of a Kubernetes cluster, and serves admission
    /// webhooks.
    Kubernetes(Box<KubernetesArgs>),
    /// Writes a node token for the Envoy of a pod to a file, and renews it, by the token of the pod's service account.
    NodeToken(NodeTokenArgs),
    /// Commands for a shared store.
    #[command(subcommand)]
    Store(StoreCommand),
}

/// The account of a state that ends with the process.
const MEMORY_ACCOUNT: &str = "123456789012";

impl Args {
    /// The account. Fails without one where the state lasts: its ARNs cannot be changed later.
    fn account(&self) -> Result<AccountId, String> {
        match &self.account {
            Some(account) => Ok(account.clone()),
            None if self.data.is_some() || self.store.is_shared() => {
                Err("--account is required with --data or a shared --store: the stored ARNs contain it".to_owned())
            }
            None => AccountId::parse(MEMORY_ACCOUNT).map_err(|error| error.to_string()),
        }
    }

    /// The settings. Fails on an option that has no effect without another one.
    pub(crate) async fn settings(self) -> Result<Settings, clap::Error> {
        let refused = |text: &str| Err(Self::command().error(ErrorKind::ArgumentConflict, text));
        let account = match self.account() {
            Ok(account) => account,
            Err(text) => return Err(Self::command().error(ErrorKind::MissingRequiredArgument, text)),
        };
        let api = match self.who.settings() {
            Ok(settings) => settings,
            Err(text) => return refused(text),
        };
        if let Some(conflict) = self.certificates.conflict() {
            return refused(conflict);
        }
        let admission = match self.admission.settings() {
            Ok(settings) => settings,
            Err(text) => return refused(text),
        };
        let quotas = self.quotas.into_iter().fold(Quotas::new(self.quota_preset.into()), Quotas::with);
        let xds = match self.xds.settings() {
            Ok(settings) => settings,
            Err(text) => return refused(&text),
        };
        let xds = self.certificates.apply(xds).await;
        let xds = match self.instances.apply(xds).await {
            Ok(xds) => xds,
            Err(error) => return Err(Self::command().error(ErrorKind::ValueValidation, error_chain(&error))),
        };
        let identity = match self.identity.settings() {
            Ok(identity) => identity,
            Err(text) => return refused(text),
        };
        let serve_stale = self.store.serve_stale();
        let (store, role) = match self.store.settings(self.data.as_deref()) {
            Ok(settings) => settings,
            Err(text) => return refused(text),
        };
        Ok(Settings {
            store,
            role,
            serve_stale,
            api: self.api,
            api_auth: api.auth,
            api_tls: api.tls,
            rights: api.rights,
            write_limit: api.write_limit,
            identity,
            connections: self.connections.limits(),
            admission,
            quotas,
            data: self.data,
            events: self.events.receivers().await,
            xds,
            metrics: self.operations.metrics,
            ..Settings::new(account, self.region)
        })
    }
}

/// The presets of `--quotas`.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum QuotaPresetArg {
    /// No quotas.
    None,
    /// The defaults that AWS documented for App Mesh.
    Aws,
}

impl From<QuotaPresetArg> for QuotaPreset {
    fn from(preset: QuotaPresetArg) -> Self {
        match preset {
            QuotaPresetArg::None => Self::None,
            QuotaPresetArg::Aws => Self::Aws,
        }
    }
}
