//! `control-plane bootstrap`: the configuration of a plain Envoy.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, ValueEnum};
use control_plane::xds::{Bootstrap, BootstrapTls, Listen, Statistics, StatisticsSet};
use xds::ProxyId;

use crate::certificate_args::interval;

/// What the printed configuration is for.
#[derive(Debug, Args)]
pub(crate) struct BootstrapArgs {
    /// Where the control plane serves Envoys, as it prints it: `127.0.0.1:18000` or `unix:/run/xds.sock`.
    #[arg(long, value_name = "ADDR")]
    xds: Listen,
    /// What the Envoy is: `mesh/<mesh>/virtualNode/<name>`, `mesh/<mesh>/virtualGateway/<name>`, or the ARN.
    #[arg(long, value_name = "ID")]
    node: ProxyId,
    /// Where the Envoy's own administration listens. Whoever reaches it can read and stop the Envoy. Port 0 takes a
    /// free one, which Envoy writes to the file of its `--admin-address-path`.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9901")]
    admin: SocketAddr,
    /// Use TLS, and check the control plane's certificate against those in this file.
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// The name or address that the control plane's certificate has to be for.
    #[arg(long, value_name = "NAME", requires = "tls_ca")]
    tls_server_name: Option<String>,
    /// The Envoy's own certificate, where the control plane asks for one (`mtls`).
    #[arg(long, value_name = "FILE", requires_all = ["tls_ca", "tls_key"])]
    tls_cert: Option<PathBuf>,
    /// The key of that certificate.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The socket beside the Envoy that serves secrets which the mesh calls by name (`sds`).
    #[arg(long, value_name = "PATH")]
    sds_socket: Option<PathBuf>,
    /// Speak the delta protocol. When such an Envoy comes back it says what it has, so that it loses nothing that it
    /// still uses, also where the control plane was killed in the middle of a change.
    #[arg(long)]
    delta: bool,
    /// Send statistics there over UDP as DogStatsD lines with tags, such as to the CloudWatch agent:
    /// `127.0.0.1:8125`. A name is looked up when the bootstrap is printed.
    #[arg(long, value_name = "HOST:PORT", value_parser = datagram_address)]
    statsd: Option<SocketAddr>,
    /// How often statistics are sent to `--statsd`.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = interval, requires = "statsd")]
    statsd_interval: Duration,
    /// Serve the statistics at `/stats/prometheus` on this address, and nothing else of the administration.
    #[arg(long, value_name = "ADDR")]
    prometheus: Option<SocketAddr>,
    /// Which statistics the Envoy keeps: `targets`, those that alarms on the virtual nodes it calls need; `all`.
    /// Without it, `targets` with `--statsd`, since CloudWatch bills each metric, and `all` otherwise.
    #[arg(long, value_name = "SET")]
    stats: Option<Set>,
}

/// Which statistics an Envoy keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Set {
    Targets,
    All,
}

/// An address for datagrams. Envoy accepts no name there.
fn datagram_address(text: &str) -> Result<SocketAddr, String> {
    let found: Vec<SocketAddr> = text
        .to_socket_addrs()
        .map_err(|error| format!("failed to look up {text:?}: {error}; give HOST:PORT, such as 127.0.0.1:8125"))?
        .collect();
    // `localhost` is often both, and agents listen on IPv4.
    let preferred = found.iter().find(|address| address.is_ipv4()).or_else(|| found.first());
    preferred.copied().ok_or_else(|| format!("{text:?} has no address"))
}

impl BootstrapArgs {
    /// The configuration, or what is wrong with the arguments.
    pub(crate) fn print(self) -> Result<String, clap::Error> {
        if self.prometheus.is_some() && self.admin.port() == 0 {
            let message = "--prometheus needs a fixed port of the administration; give --admin ADDR with one\n";
            return Err(clap::Error::raw(ErrorKind::ArgumentConflict, message));
        }
        let set = match self.stats {
            Some(Set::Targets) => StatisticsSet::Targets,
            None if self.statsd.is_some() => StatisticsSet::Targets,
            Some(Set::All) | None => StatisticsSet::All,
        };
        let statistics =
            Statistics { statsd: self.statsd, prometheus: self.prometheus, set, interval: self.statsd_interval };
        let certificate = self.tls_cert.zip(self.tls_key);
        let tls = self.tls_ca.map(|ca| BootstrapTls { ca, server_name: self.tls_server_name, certificate });
        let Self { xds, node, admin, sds_socket, delta, .. } = self;
        let bootstrap = Bootstrap { xds, node, admin, tls, sds_socket, delta, statistics };
        Ok(format!("{:#}", bootstrap.to_json()))
    }
}
