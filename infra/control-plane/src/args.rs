//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::bootstrap::BootstrapArgs;
use clap::{Parser, Subcommand, ValueEnum};
use control_plane::state::Region;
use control_plane::xds::{Listen, ListenerMode, XdsSettings};
use control_plane::{ApiAuth, QuotaSetting, Quotas, Settings};
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
    /// Where the API listens: a loopback address, port 0 for a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0", value_parser = address)]
    api: SocketAddr,
    /// Who may call the API: `none` asks nobody and stays on loopback, `keys` asks for an AWS signature by a key of
    /// `--api-keys`.
    #[arg(long, value_name = "HOW", default_value = "none", requires_if("keys", "api_keys"))]
    api_auth: Auth,
    /// The keys that may call the API, `{"keys": [{"id", "secret", "name", "readOnly"}]}`; only its owner may be able to
    /// read the file.
    #[arg(long, value_name = "FILE")]
    api_keys: Option<PathBuf>,
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
    /// How traffic reaches the proxies: `interception`, as App Mesh's images expect it, or `explicit:FIRST-LAST`, a
    /// loopback port of that range for each use.
    #[arg(long, value_name = "MODE", default_value = "interception")]
    listeners: ListenerMode,
    /// The folder in which the state is kept, made where there is none. Without it the state ends with the process.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// The ways to prove who is calling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Auth {
    None,
    Keys,
}

/// What can be done instead of serving.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Prints the configuration of a plain Envoy that gets everything else from here.
    Bootstrap(BootstrapArgs),
}

impl Args {
    pub(crate) fn settings(self) -> Settings {
        let quotas = self.quotas.into_iter().fold(Quotas::default(), Quotas::with);
        let xds = XdsSettings { listen: self.xds, listeners: self.listeners, ..XdsSettings::default() };
        let api_auth = match (self.api_auth, self.api_keys) {
            (Auth::Keys, Some(keys)) => ApiAuth::Keys(keys),
            (Auth::None | Auth::Keys, _) => ApiAuth::Loopback,
        };
        Settings { api: self.api, api_auth, quotas, data: self.data, xds, ..Settings::new(self.account, self.region) }
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
