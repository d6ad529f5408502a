//! `control-plane bootstrap`: the configuration of a plain Envoy.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use control_plane::xds::{Bootstrap, BootstrapTls, Listen};
use xds::ProxyId;

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
}

impl BootstrapArgs {
    pub(crate) fn print(self) -> String {
        let certificate = self.tls_cert.zip(self.tls_key);
        let tls = self.tls_ca.map(|ca| BootstrapTls { ca, server_name: self.tls_server_name, certificate });
        let Self { xds, node, admin, sds_socket, delta, .. } = self;
        let bootstrap = Bootstrap { xds, node, admin, tls, sds_socket, delta };
        format!("{:#}", bootstrap.to_json())
    }
}
