//! `control-plane bootstrap`: the configuration of a plain Envoy.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, ValueEnum};
use control_plane::xds::{Bootstrap, BootstrapTls, Statistics, StatisticsSet, TokenFile, XdsServers};
use uuid::Uuid;
use xds::ProxyId;

use crate::certificate_args::interval;

/// The options of the printed configuration.
#[derive(Debug, Args)]
pub(crate) struct BootstrapArgs {
    /// The address at which the control plane serves xDS, as it prints it: `127.0.0.1:18000` or `unix:/run/xds.sock`. With
    /// several replicas, their names or addresses: `a.local:18000,b.local:18000`. Envoy resolves names again every 5 s.
    #[arg(long, value_name = "ADDR[,ADDR]")]
    xds: XdsServers,
    /// The resource that the Envoy serves: `mesh/<mesh>/virtualNode/<name>`, `mesh/<mesh>/virtualGateway/<name>`, or
    /// the ARN.
    #[arg(long, value_name = "ID")]
    node: ProxyId,
    /// The address of Envoy's admin interface. Any client that reaches it can read and stop the Envoy. Port 0 selects
    /// a free port, which Envoy writes to the file of its `--admin-address-path`.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9901")]
    admin: SocketAddr,
    /// Use TLS, and verify the control plane's certificate with the CA certificates in this file.
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// The name or address that the control plane's certificate has to contain.
    #[arg(long, value_name = "NAME", requires = "tls_ca")]
    tls_server_name: Option<String>,
    /// The Envoy's own certificate, if the control plane requires one (`mtls`).
    #[arg(long, value_name = "FILE", requires_all = ["tls_ca", "tls_key"])]
    tls_cert: Option<PathBuf>,
    /// The private key of `--tls-cert`.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The proof of the Envoy's identity: `token` sends the node token in `--token-file` with each stream.
    #[arg(long, value_name = "HOW", requires_all = ["tls_ca", "token_file"], conflicts_with = "tls_cert")]
    xds_auth: Option<BootstrapAuthArg>,
    /// The file with the node token, as `meshwarden agent` writes it. Envoy reads it again when a file is renamed in its
    /// folder.
    #[arg(long, value_name = "PATH", requires = "xds_auth")]
    token_file: Option<PathBuf>,
    /// The file that names the token file for Envoy (an SDS resource), which this command writes. Default: the token file's name
    /// with `.sds.json`.
    #[arg(long, value_name = "FILE", requires = "token_file")]
    token_sds: Option<PathBuf>,
    /// The local socket that serves secrets which the mesh refers to by name (`sds`).
    #[arg(long, value_name = "PATH")]
    sds_socket: Option<PathBuf>,
    /// Use the delta protocol. A reconnecting Envoy then reports the resources that it has, so that it loses none
    /// that it still uses, even if the control plane was killed in the middle of a change.
    #[arg(long)]
    delta: bool,
    /// Send statistics to this address over UDP as DogStatsD lines with tags, for example to the CloudWatch agent:
    /// `127.0.0.1:8125`. A name is resolved when the bootstrap is printed.
    #[arg(long, value_name = "HOST:PORT", value_parser = datagram_address)]
    statsd: Option<SocketAddr>,
    /// How often statistics are sent to `--statsd`.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = interval, requires = "statsd")]
    statsd_interval: Duration,
    /// Serve the statistics at `/stats/prometheus` on this address, and nothing else of the admin interface.
    #[arg(long, value_name = "ADDR")]
    prometheus: Option<SocketAddr>,
    /// The statistics that the Envoy keeps: `targets` for the statistics that alarms on the called virtual nodes need, or `all`.
    /// Default: `targets` with `--statsd`, since CloudWatch bills each metric, and `all` otherwise.
    #[arg(long, value_name = "SET")]
    stats: Option<StatisticsSetArg>,
    /// Write the configuration to this file instead of standard output: an init container of an image without a shell
    /// cannot redirect its output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// The sets of statistics that an Envoy can keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StatisticsSetArg {
    Targets,
    All,
}

/// The proofs of an Envoy's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BootstrapAuthArg {
    Token,
}

/// Resolves an address for datagrams, because Envoy accepts no name there.
fn datagram_address(text: &str) -> Result<SocketAddr, String> {
    let found: Vec<SocketAddr> = text
        .to_socket_addrs()
        .map_err(|error| format!("failed to resolve {text:?}: {error}; give HOST:PORT, such as 127.0.0.1:8125"))?
        .collect();
    // `localhost` often resolves to both, and agents listen on IPv4.
    let preferred = found.iter().find(|address| address.is_ipv4()).or_else(|| found.first());
    preferred.copied().ok_or_else(|| format!("{text:?} resolves to no address"))
}

impl BootstrapArgs {
    /// The file that the configuration is written to, instead of standard output.
    pub(crate) fn output(&self) -> Option<PathBuf> {
        self.output.clone()
    }

    /// The configuration as JSON, or the conflict between the options.
    pub(crate) fn print(self) -> Result<String, clap::Error> {
        if self.prometheus.is_some() && self.admin.port() == 0 {
            let message = "--prometheus needs a fixed port of the admin interface; give --admin ADDR with one\n";
            return Err(clap::Error::raw(ErrorKind::ArgumentConflict, message));
        }
        let set = match self.stats {
            Some(StatisticsSetArg::Targets) => StatisticsSet::Targets,
            None if self.statsd.is_some() => StatisticsSet::Targets,
            Some(StatisticsSetArg::All) | None => StatisticsSet::All,
        };
        let statistics =
            Statistics { statsd: self.statsd, prometheus: self.prometheus, set, interval: self.statsd_interval };
        let certificate = self.tls_cert.zip(self.tls_key);
        let tls = self.tls_ca.map(|ca| BootstrapTls { ca, server_name: self.tls_server_name, certificate });
        let token = self.token_file.map(|path| {
            let file = TokenFile::new(path);
            TokenFile { sds: self.token_sds.unwrap_or_else(|| file.sds.clone()), ..file }
        });
        if let Some(token) = &token {
            std::fs::write(&token.sds, format!("{:#}\n", token.sds_resource())).map_err(|error| {
                let message = format!("failed to write {}: {error}; pass --token-sds FILE\n", token.sds.display());
                clap::Error::raw(ErrorKind::Io, message)
            })?;
        }
        let Self { xds, node, admin, sds_socket, delta, .. } = self;
        let instance = Some(Uuid::new_v4().to_string());
        let bootstrap = Bootstrap { xds, node, instance, admin, tls, token, sds_socket, delta, statistics };
        Ok(format!("{:#}", bootstrap.to_json()))
    }
}
