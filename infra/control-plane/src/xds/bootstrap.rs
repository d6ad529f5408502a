//! The configuration that a plain Envoy starts with, to get everything else from the control plane.

mod servers;
mod statistics;
mod token;

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::{Map, Value, json};
use xds::{LARGEST_EXPRESSION, ProxyId};

pub use servers::{XdsServers, XdsServersError};
pub use statistics::{Statistics, StatisticsSet};
pub use token::TokenFile;

/// The settings of the configuration.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    /// The ADS servers: an address, a socket, or the replicas by name.
    pub xds: XdsServers,
    /// The resource that the Envoy serves.
    pub node: ProxyId,
    /// What distinguishes the Envoy from others of the same resource, drawn for each configuration. Envoys that share a
    /// configuration are counted instead.
    pub instance: Option<String>,
    /// The address of Envoy's admin interface.
    pub admin: SocketAddr,
    /// TLS to the ADS server.
    pub tls: Option<BootstrapTls>,
    /// The file with the node token, which each stream carries.
    pub token: Option<TokenFile>,
    /// The local socket that serves secrets which the mesh refers to by name.
    pub sds_socket: Option<PathBuf>,
    /// Whether the Envoy uses the delta protocol. It then reports its resources when it reconnects, and receives
    /// only changes.
    pub delta: bool,
    /// The destination of its statistics.
    pub statistics: Statistics,
}

/// TLS to the ADS server.
#[derive(Debug, Clone)]
pub struct BootstrapTls {
    /// The CA certificates that verify the server.
    pub ca: PathBuf,
    /// The name that the server's certificate has to contain.
    pub server_name: Option<String>,
    /// The Envoy's own certificate and key, if the server requires one.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

impl Bootstrap {
    /// The configuration as JSON, which Envoy reads from a `.json` and from a `.yaml` file.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let id = self.node.to_string();
        let ads = json!({"ads": {}, "resource_api_version": "V3"});
        let mut clusters = vec![self.control_plane()];
        clusters.extend(
            self.sds_socket
                .as_ref()
                .map(|path| cluster("static_cluster_sds_unix_socket", "STATIC", vec![json!({"pipe": {"path": path}})])),
        );
        clusters.extend(self.statistics.cluster(self.admin));
        let mut bootstrap = json!({
            "node": {"id": id, "cluster": id},
            "admin": {"address": address(self.admin)},
            "dynamic_resources": {
                "ads_config": {
                    "api_type": if self.delta { "DELTA_GRPC" } else { "GRPC" },
                    "transport_api_version": "V3",
                    "set_node_on_first_message_only": true,
                    "grpc_services": [{"envoy_grpc": {"cluster_name": CONTROL_PLANE}}],
                },
                "cds_config": ads,
                "lds_config": ads,
            },
            "static_resources": {"clusters": clusters},
            // Envoy's own limit would refuse expressions that App Mesh's images accept.
            "layered_runtime": {"layers": [{
                "name": "meshwarden",
                "static_layer": {"re2.max_program_size.error_level": LARGEST_EXPRESSION},
            }]},
        });
        if let (Some(instance), Some(node)) = (&self.instance, bootstrap.get_mut("node").and_then(Value::as_object_mut))
        {
            node.insert("metadata".to_owned(), json!({"meshwarden-instance": instance}));
        }
        if let Some(members) = bootstrap.as_object_mut() {
            self.add_statistics(members);
        }
        bootstrap
    }

    fn add_statistics(&self, members: &mut Map<String, Value>) {
        let sinks = self.statistics.sinks();
        if !sinks.is_empty() {
            members.insert("stats_sinks".to_owned(), sinks.into());
            members.insert("stats_flush_interval".to_owned(), self.statistics.interval().into());
        }
        if let Some(config) = self.statistics.config(&self.node) {
            members.insert("stats_config".to_owned(), config);
        }
        let resources = members.get_mut("static_resources").and_then(Value::as_object_mut);
        if let (Some(listener), Some(resources)) = (self.statistics.listener(), resources) {
            resources.insert("listeners".to_owned(), json!([listener]));
        }
    }

    fn control_plane(&self) -> Value {
        let mut cluster = cluster(CONTROL_PLANE, self.xds.cluster_type(), self.xds.addresses());
        if self.xds.has_names()
            && let Some(members) = cluster.as_object_mut()
        {
            // A replica that was replaced has another address. A failing DNS server removes no address.
            members.insert("dns_refresh_rate".to_owned(), "5s".into());
            members.insert("dns_lookup_family".to_owned(), "V4_PREFERRED".into());
        }
        if let (Some(token), Some(options)) = (&self.token, cluster.pointer_mut(PROTOCOL_OPTIONS))
            && let Some(options) = options.as_object_mut()
        {
            options.insert("http_filters".to_owned(), token.http_filters());
        }
        if let (Some(tls), Some(members)) = (&self.tls, cluster.as_object_mut()) {
            members.insert("transport_socket".to_owned(), tls.to_json());
        }
        cluster
    }
}

/// The protocol options of a cluster.
const PROTOCOL_OPTIONS: &str =
    "/typed_extension_protocol_options/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

const CONTROL_PLANE: &str = "meshwarden_control_plane";

/// An HTTP/2 cluster. A peer that stands still is left after 8 seconds.
fn cluster(name: &str, kind: &str, addresses: Vec<Value>) -> Value {
    let endpoints: Vec<Value> =
        addresses.into_iter().map(|address| json!({"endpoint": {"address": address}})).collect();
    json!({
        "name": name,
        "type": kind,
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": endpoints}],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {
                    "http2_protocol_options": {"connection_keepalive": {"interval": "5s", "timeout": "3s"}},
                },
            },
        },
    })
}

fn address(addr: SocketAddr) -> Value {
    json!({"socket_address": {"address": addr.ip().to_string(), "port_value": addr.port()}})
}

impl BootstrapTls {
    fn to_json(&self) -> Value {
        let mut validation = json!({"trusted_ca": {"filename": self.ca}});
        if let (Some(name), Some(members)) = (&self.server_name, validation.as_object_mut()) {
            // A name that is an IP address is in the certificate as one.
            let kind = if name.parse::<std::net::IpAddr>().is_ok() { "IP_ADDRESS" } else { "DNS" };
            let names = json!([{"san_type": kind, "matcher": {"exact": name}}]);
            members.insert("match_typed_subject_alt_names".to_owned(), names);
        }
        let mut context = json!({"alpn_protocols": ["h2"], "validation_context": validation});
        if let (Some((chain, key)), Some(members)) = (&self.certificate, context.as_object_mut()) {
            let certificate = json!([{"certificate_chain": {"filename": chain}, "private_key": {"filename": key}}]);
            members.insert("tls_certificates".to_owned(), certificate);
        }
        let mut tls = json!({
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "common_tls_context": context,
        });
        if let (Some(name), Some(members)) = (&self.server_name, tls.as_object_mut())
            && name.parse::<std::net::IpAddr>().is_err()
        {
            members.insert("sni".to_owned(), name.as_str().into());
        }
        json!({"name": "envoy.transport_sockets.tls", "typed_config": tls})
    }
}
