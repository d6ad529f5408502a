//! The command line.

mod admission;
mod api;
mod connections;
mod events;
mod instances;
mod xds;

use std::net::SocketAddr;
use std::path::PathBuf;

use self::xds::XdsArgs;
use crate::bootstrap::BootstrapArgs;
use crate::certificate_args::{CertificateArgs, SdsArgs};
use crate::told;
use admission::AdmissionArgs;
use api::ApiArgs;
use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};
use connections::ConnectionArgs;
use control_plane::state::Region;
use control_plane::{QuotaPreset, QuotaSetting, Quotas, Settings};
use events::EventArgs;
use instances::InstanceArgs;
use mesh::name::AccountId;

/// The App Mesh API on one machine, and the ADS server for its Envoys.
///
/// Prints `api http://HOST:PORT` and a line `xds ADDR` for each place where Envoys are served once it listens, logs to
/// standard error (`MESHWARDEN_LOG` sets the filter), and ends on SIGTERM or SIGINT when the requests under way are
/// answered.
#[derive(Debug, Parser)]
#[command(version)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// Where the API listens, port 0 for a free one: a loopback address, or any with `--api-auth keys` or `sts`.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0", value_parser = address)]
    api: SocketAddr,
    #[command(flatten)]
    who: ApiArgs,
    /// The account that owns every mesh.
    #[arg(long, value_name = "ID", default_value = "123456789012", value_parser = AccountId::parse)]
    account: AccountId,
    /// The region in ARNs.
    #[arg(long, default_value = "us-east-1", value_parser = Region::parse)]
    region: Region,
    /// The quotas that hold where `--quota` sets none: none at all, or the defaults that App Mesh had as a service.
    #[arg(long = "quotas", value_name = "PRESET", value_enum, default_value_t = Preset::None)]
    quota_preset: Preset,
    /// A single quota, such as `meshes-per-account=50`. Can be repeated.
    #[arg(long = "quota", value_name = "NAME=N")]
    quotas: Vec<QuotaSetting>,
    #[command(flatten)]
    connections: ConnectionArgs,
    #[command(flatten)]
    xds: XdsArgs,
    /// The folder in which the state is kept, made where there is none. Without it the state ends with the process.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    instances: InstanceArgs,
    #[command(flatten)]
    admission: AdmissionArgs,
    #[command(flatten)]
    events: EventArgs,
    #[command(flatten)]
    certificates: CertificateArgs,
}

/// What can be done instead of serving.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Prints the configuration of a plain Envoy that gets everything else from here.
    Bootstrap(Box<BootstrapArgs>),
    /// Serves bound secrets on a socket, beside proxies that take them from there.
    Sds(SdsArgs),
}

impl Args {
    /// The settings, unless they ask for a protection that they don't switch on.
    pub(crate) async fn settings(self) -> Result<Settings, clap::Error> {
        let refused = |text: &str| Err(Self::command().error(ErrorKind::ArgumentConflict, text));
        let (api_auth, api_tls) = match self.who.settings() {
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
            Err(error) => return Err(Self::command().error(ErrorKind::ValueValidation, told(&error))),
        };
        Ok(Settings {
            api: self.api,
            api_auth,
            api_tls,
            connections: self.connections.limits(),
            admission,
            quotas,
            data: self.data,
            events: self.events.receivers().await,
            xds,
            ..Settings::new(self.account, self.region)
        })
    }
}

/// Which quotas hold where none is set, on the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Preset {
    /// No quotas.
    None,
    /// The defaults that AWS documented for App Mesh.
    Aws,
}

impl From<Preset> for QuotaPreset {
    fn from(preset: Preset) -> Self {
        match preset {
            Preset::None => Self::None,
            Preset::Aws => Self::Aws,
        }
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let numeric = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    numeric
        .as_deref()
        .unwrap_or(text)
        .parse()
        .map_err(|_| format!("{text:?} is not an address with a port, such as 127.0.0.1:9080"))
}
