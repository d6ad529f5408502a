//! The command line.

mod admission;
mod api;
mod events;

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::bootstrap::BootstrapArgs;
use crate::certificate_args::{CertificateArgs, SdsArgs};
use crate::told;
use admission::AdmissionArgs;
use api::ApiArgs;
use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};
use control_plane::instances::InstanceFile;
use control_plane::state::Region;
use control_plane::xds::{Listen, ListenerMode, TlsFiles, XdsAuth, XdsSettings};
use control_plane::{QuotaSetting, Quotas, Settings};
use events::EventArgs;
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
    /// A service quota other than the AWS default, such as `meshes-per-account=50`. Can be repeated.
    #[arg(long = "quota", value_name = "NAME=N")]
    quotas: Vec<QuotaSetting>,
    /// Where Envoys are served: an address, port 0 for a free one, or `unix:PATH`. Can be repeated.
    #[arg(long, value_name = "ADDR")]
    xds: Vec<Listen>,
    /// The certificate, with its chain, that is shown to Envoys on addresses. Read again when it changes.
    #[arg(long, value_name = "FILE", requires = "xds_tls_key")]
    xds_tls_cert: Option<PathBuf>,
    /// The key of that certificate.
    #[arg(long, value_name = "FILE", requires = "xds_tls_cert")]
    xds_tls_key: Option<PathBuf>,
    /// Which Envoys are served: `none`, any on this machine; `mtls`, those whose certificate names the node that they
    /// are; `unix`, those of certain users, through a socket.
    #[arg(long, value_name = "HOW", default_value = "none")]
    xds_auth: Auth,
    /// With `mtls`: the certificates that vouch for those of Envoys.
    #[arg(long, value_name = "FILE", required_if_eq("xds_auth", "mtls"))]
    xds_client_ca: Option<PathBuf>,
    /// With `unix`: a user whose Envoys are served; the user that this runs as, when none is given. Can be repeated.
    #[arg(long = "xds-unix-uid", value_name = "UID")]
    xds_unix_uids: Vec<u32>,
    /// How traffic reaches the proxies: `interception`, as App Mesh's images expect it, or `explicit:FIRST-LAST`, a
    /// loopback port of that range for each use.
    #[arg(long, value_name = "MODE", default_value = "interception")]
    listeners: ListenerMode,
    /// The folder in which the state is kept, made where there is none. Without it the state ends with the process.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// A JSON file of Cloud Map instances, for nodes that are found by them. Read again when it changes.
    #[arg(long, value_name = "FILE")]
    instances: Option<PathBuf>,
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
    Bootstrap(BootstrapArgs),
    /// Serves bound secrets on a socket, beside proxies that take them from there.
    Sds(SdsArgs),
}

/// How Envoys are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Auth {
    None,
    Mtls,
    Unix,
}

impl Args {
    /// The settings, unless they ask for a protection that they don't switch on.
    pub(crate) async fn settings(self) -> Result<Settings, clap::Error> {
        let refused = |text: &str| Err(Self::command().error(ErrorKind::ArgumentConflict, text));
        if self.xds_client_ca.is_some() && self.xds_auth != Auth::Mtls {
            return refused("--xds-client-ca checks nobody without --xds-auth mtls");
        }
        if !self.xds_unix_uids.is_empty() && self.xds_auth != Auth::Unix {
            return refused("--xds-unix-uid checks nobody without --xds-auth unix");
        }
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
        let quotas = self.quotas.into_iter().fold(Quotas::default(), Quotas::with);
        let tls = self.xds_tls_cert.zip(self.xds_tls_key).map(|(certificate, key)| TlsFiles { certificate, key });
        let auth = match self.xds_auth {
            // The parser lets no `mtls` pass without its CA; were there none, no client could be served.
            Auth::Mtls => XdsAuth::Mtls { client_ca: self.xds_client_ca.unwrap_or_default() },
            Auth::Unix => XdsAuth::Unix { uids: self.xds_unix_uids },
            Auth::None => XdsAuth::None,
        };
        let xds = XdsSettings { listen: self.xds, tls, auth, listeners: self.listeners, ..XdsSettings::default() };
        let mut xds = self.certificates.apply(xds).await;
        if let Some(file) = self.instances {
            let opened = InstanceFile::open(file);
            xds.instances = opened.map_err(|error| Self::command().error(ErrorKind::ValueValidation, told(&error)))?;
        }
        Ok(Settings {
            api: self.api,
            api_auth,
            api_tls,
            admission,
            quotas,
            data: self.data,
            events: self.events.receivers().await,
            xds,
            ..Settings::new(self.account, self.region)
        })
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
