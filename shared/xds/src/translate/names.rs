//! The names that App Mesh gave to Envoy resources. Dashboards and metric filters depend on them.

use mesh::name::{MeshName, VirtualGatewayName, VirtualNodeName};
use mesh::spec::{Port, Protocol};
use mesh::validate::envoy::PROXY_EGRESS_PORT;

/// The port to which outbound traffic of a node's application is redirected.
pub(super) const EGRESS_PORT: u16 = PROXY_EGRESS_PORT;
/// The port to which inbound traffic for a node's application is redirected.
pub(super) const INGRESS_PORT: u16 = 15000;
/// The bootstrap cluster of the secret discovery socket next to the proxy.
pub(super) const SDS_SOCKET_CLUSTER: &str = "static_cluster_sds_unix_socket";

pub(super) fn ingress_listener(address: &str, port: u16) -> String {
    format!("lds_ingress_{address}_{port}")
}

pub(super) fn egress_listener(address: &str, port: u16) -> String {
    format!("lds_egress_{address}_{port}")
}

pub(super) fn ingress_routes(port: u16) -> String {
    format!("rds_ingress_http_{port}")
}

pub(super) fn egress_routes(port: u16) -> String {
    format!("rds_egress_http_{port}")
}

/// The name of the application's cluster.
pub(super) fn local_cluster(mesh: &MeshName, node: &VirtualNodeName, protocol: &Protocol, port: Port) -> String {
    format!("cds_ingress_{mesh}_{node}_{protocol}_{port}")
}

/// The name of the cluster of a called node.
pub(super) fn egress_cluster(mesh: &MeshName, node: &VirtualNodeName, protocol: &Protocol, port: Port) -> String {
    format!("cds_egress_{mesh}_{node}_{protocol}_{port}")
}

/// The name of a pass-through cluster; `what` is `amazonaws` or `mesh-allow-all`.
pub(super) fn pass_through(mesh: &MeshName, what: &str) -> String {
    format!("cds_egress_{mesh}_{what}")
}

/// The name of the cluster by which a gateway's ingress side reaches its egress side.
pub(super) fn self_redirect(
    mesh: &MeshName,
    gateway: &VirtualGatewayName,
    ingress: Option<Port>,
    protocol: &str,
    port: u16,
) -> String {
    match ingress {
        // Several listeners need one cluster each, because their connection pools differ.
        Some(ingress) => format!("cds_ingress_{mesh}_{gateway}_self_redirect_{ingress}_{protocol}_{port}"),
        None => format!("cds_ingress_{mesh}_{gateway}_self_redirect_{protocol}_{port}"),
    }
}
