//! The names that App Mesh gave Envoy's resources, which dashboards and metric filters know.

use mesh::name::{MeshName, VirtualGatewayName, VirtualNodeName};
use mesh::spec::{Port, Protocol};
use mesh::validate::envoy::PROXY_EGRESS_PORT;

/// The port that outbound traffic of a node's application is redirected to.
pub(super) const EGRESS_PORT: u16 = PROXY_EGRESS_PORT;
/// Where redirected traffic for a node's application comes in.
pub(super) const INGRESS_PORT: u16 = 15000;
/// The cluster of a bootstrap that leads to the socket with secrets beside the proxy.
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

/// The application's own cluster.
pub(super) fn local_cluster(mesh: &MeshName, node: &VirtualNodeName, protocol: &Protocol, port: Port) -> String {
    format!("cds_ingress_{mesh}_{node}_{protocol}_{port}")
}

/// The cluster of a node that is called.
pub(super) fn egress_cluster(mesh: &MeshName, node: &VirtualNodeName, protocol: &Protocol, port: Port) -> String {
    format!("cds_egress_{mesh}_{node}_{protocol}_{port}")
}

/// A pass-through cluster: `amazonaws` or `mesh-allow-all`.
pub(super) fn pass_through(mesh: &MeshName, what: &str) -> String {
    format!("cds_egress_{mesh}_{what}")
}

/// The cluster by which a gateway's ingress side reaches its egress side.
pub(super) fn self_redirect(
    mesh: &MeshName,
    gateway: &VirtualGatewayName,
    ingress: Option<Port>,
    protocol: &str,
    port: u16,
) -> String {
    match ingress {
        // Several listeners need one each, since their connection pools differ.
        Some(ingress) => format!("cds_ingress_{mesh}_{gateway}_self_redirect_{ingress}_{protocol}_{port}"),
        None => format!("cds_ingress_{mesh}_{gateway}_self_redirect_{protocol}_{port}"),
    }
}
