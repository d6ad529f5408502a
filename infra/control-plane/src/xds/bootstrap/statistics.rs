//! The destination of an Envoy's statistics, and their tags.
//!
//! The name of a statistic in Envoy contains the cluster:
//! `cluster.cds_egress_shop_catalog-v2_http_8080/catalog.shop.local/.upstream_rq_5xx`. Tag extraction splits the
//! name, so that Envoy emits `cluster.upstream_rq_5xx` with the tags of the caller (`mesh`, `virtual_node` or
//! `virtual_gateway`) and of the callee (`target_virtual_node`, `target_virtual_service`).

use std::net::SocketAddr;
use std::time::Duration;

use regex_lite::escape;
use serde_json::{Value, json};
use xds::{Proxy, ProxyId};

/// The destination of an Envoy's statistics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statistics {
    /// The UDP address of a DogStatsD server, such as the CloudWatch agent.
    pub statsd: Option<SocketAddr>,
    /// The address that serves the statistics for Prometheus, and nothing else of Envoy's admin interface.
    pub prometheus: Option<SocketAddr>,
    /// The statistics that Envoy keeps.
    pub set: StatisticsSet,
    /// The interval between transmissions to the DogStatsD server.
    pub interval: Duration,
}

/// The sets of statistics that an Envoy can keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatisticsSet {
    /// The statistics that alarms on called nodes need, and that Envoy itself needs. CloudWatch bills each metric.
    Targets,
    /// All statistics: several hundred for each cluster.
    All,
}

/// The cluster of Envoy's admin interface.
const ADMIN: &str = "meshwarden_admin";

/// The statistics of a cluster that an alarm on its node may need: failures, requests, and durations.
const TARGET_STATISTICS: [&str; 6] = [
    "upstream_rq_5xx",
    "upstream_rq_completed",
    "upstream_rq_timeout",
    "upstream_rq_time",
    "upstream_cx_total",
    "upstream_cx_connect_fail",
];

/// The statistics that Envoy's own logic may read: with fewer, proxies never became ready. Istio's default bootstrap
/// keeps the same ones.
const ENVOY_NEEDS: [&str; 5] = ["cluster_manager.", "control_plane.", "listener_manager.", "server.", "main_thread."];

/// The default tags of Envoy that its statistics use here. They are listed one by one: with all defaults, Envoy's own
/// `envoy.cluster_name`, which ends a cluster's name at its first dot, takes precedence over the one of
/// this bootstrap.
const DEFAULT_TAGS: [&str; 14] = [
    "envoy.http_conn_manager_prefix",
    "envoy.listener_address",
    "envoy.http_user_agent",
    "envoy.rds_route_config",
    "envoy.virtual_host",
    "envoy.virtual_cluster",
    "envoy.route",
    "envoy.tcp_prefix",
    "envoy.worker_id",
    "envoy.ssl_cipher",
    "envoy.ssl_curve",
    "envoy.ssl_sigalg",
    "envoy.ssl_version",
    "envoy.xds_resource_name",
];

/// The default tags of response codes, for Prometheus only. CloudWatch's agent turns each tag into a dimension and
/// adds up the values of all others, so metrics of 5xx and of 2xx responses must have different names.
const RESPONSE_CODE_TAGS: [&str; 2] = ["envoy.response_code", "envoy.response_code_class"];

impl Statistics {
    /// Whether the statistics have a destination.
    const fn has_reader(&self) -> bool {
        self.statsd.is_some() || self.prometheus.is_some()
    }

    /// The stats sinks.
    pub(super) fn sinks(&self) -> Vec<Value> {
        let sink = |address: SocketAddr| {
            json!({
                "name": "envoy.stat_sinks.dog_statsd",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.config.metrics.v3.DogStatsdSink",
                    "address": {"socket_address": {
                        "protocol": "UDP", "address": address.ip().to_string(), "port_value": address.port(),
                    }},
                    // Below the payload of an Ethernet frame: a truncated datagram loses all its lines.
                    "max_bytes_per_datagram": 1432,
                },
            })
        };
        self.statsd.map(sink).into_iter().collect()
    }

    /// The flush interval in Envoy's format.
    pub(super) fn interval(&self) -> String {
        format!("{}.{:03}s", self.interval.as_secs(), self.interval.subsec_millis())
    }

    /// The tag extraction and the set of statistics; `None` without a destination.
    pub(super) fn config(&self, node: &ProxyId) -> Option<Value> {
        self.has_reader().then(|| {
            let mut config = json!({"use_all_default_tags": false, "stats_tags": self.tags(node)});
            if let (StatisticsSet::Targets, Some(members)) = (self.set, config.as_object_mut()) {
                members.insert("stats_matcher".to_owned(), matcher(node));
            }
            config
        })
    }

    fn tags(&self, node: &ProxyId) -> Vec<Value> {
        let (caller, caller_dimension, name) = match &node.proxy {
            Proxy::Node(name) => ("virtual_node", "VirtualNode", name.as_str()),
            Proxy::Gateway(name) => ("virtual_gateway", "VirtualGateway", name.as_str()),
        };
        let fixed = |tag: &str, value: &str| json!({"tag_name": tag, "fixed_value": value});
        let extracted = |tag: &str, regex: &str| json!({"tag_name": tag, "regex": regex});
        let names = ClusterNames::new(node);
        let mesh = node.mesh.as_str();
        let mut tags = vec![
            fixed("mesh", mesh),
            fixed(caller, name),
            extracted("target_virtual_node", &names.target_node()),
            extracted("target_virtual_service", &names.target_service()),
            extracted("envoy.cluster_name", &names.cluster()),
        ];
        if self.statsd.is_some() {
            // The agent turns each tag into a dimension of the same name. These are the dimensions of App Mesh's
            // metrics, which existing alarms and dashboards use.
            tags.extend([
                fixed("Mesh", mesh),
                fixed(caller_dimension, name),
                extracted("TargetVirtualNode", &names.target_node()),
                extracted("TargetVirtualService", &names.target_service()),
            ]);
        } else {
            tags.extend(RESPONSE_CODE_TAGS.map(|tag| json!({ "tag_name": tag })));
        }
        tags.extend(DEFAULT_TAGS.map(|tag| json!({ "tag_name": tag })));
        tags
    }

    /// A listener that forwards requests for the statistics, and no other request, to the admin interface.
    pub(super) fn listener(&self) -> Option<Value> {
        self.prometheus.map(|address| {
            json!({
                "name": "meshwarden_prometheus",
                "address": super::address(address),
                "filter_chains": [{"filters": [{
                    "name": "envoy.filters.network.http_connection_manager",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                        "stat_prefix": "prometheus",
                        "http_filters": [{
                            "name": "envoy.filters.http.router",
                            "typed_config": {
                                "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
                            },
                        }],
                        "route_config": {"virtual_hosts": [{
                            "name": "prometheus",
                            "domains": ["*"],
                            "routes": [{
                                // An exact match: a path with dots or escapes is another path and gets a 404.
                                "match": {
                                    "path": "/stats/prometheus",
                                    "headers": [{"name": ":method", "string_match": {"exact": "GET"}}],
                                },
                                "route": {"cluster": ADMIN},
                            }],
                        }]},
                    },
                }]}],
            })
        })
    }

    /// The cluster of that listener.
    pub(super) fn cluster(&self, admin: SocketAddr) -> Option<Value> {
        self.prometheus.map(|_| {
            json!({
                "name": ADMIN,
                "type": "STATIC",
                "connect_timeout": "1s",
                "load_assignment": {
                    "cluster_name": ADMIN,
                    "endpoints": [{"lb_endpoints": [{"endpoint": {"address": super::address(admin)}}]}],
                },
            })
        })
    }
}

/// A matcher that keeps only the needed statistics.
fn matcher(node: &ProxyId) -> Value {
    let names = ClusterNames::new(node);
    let targets = format!(r"^cluster\.{}/.+/\.(?:{})$", names.egress, TARGET_STATISTICS.join("|"));
    let mut patterns: Vec<Value> = ENVOY_NEEDS.iter().map(|prefix| json!({ "prefix": prefix })).collect();
    patterns.push(json!({"suffix": "warming_clusters"}));
    patterns.push(json!({"safe_regex": {"regex": targets}}));
    json!({"inclusion_list": {"patterns": patterns}})
}

/// Expressions for the names of cluster statistics. They apply to one mesh, because a cluster's name does not show
/// where the mesh's name ends: `a_b` + `c` and `a` + `b_c` have the same cluster name.
struct ClusterNames {
    /// App Mesh's name of the cluster of a called node.
    egress: String,
    /// Any cluster with a name in App Mesh's format.
    any: String,
}

impl ClusterNames {
    fn new(node: &ProxyId) -> Self {
        let mesh = escape(node.mesh.as_str()).replace(':', "_");
        let rest = r"_(?:http2?|grpc|tcp)_\d+";
        let any = format!("cds_(?:egress|ingress)_{mesh}_(?:[^/]+{rest}|amazonaws|mesh-allow-all)");
        Self { egress: format!("cds_egress_{mesh}_[^/]+{rest}"), any }
    }

    /// The node. Greedy: a node's name may itself end like a protocol and a port.
    fn target_node(&self) -> String {
        let named = self.egress.replacen("[^/]+", "([^/]+)", 1);
        format!(r"^cluster\.({named}/.+/\.)")
    }

    /// The service. Greedy to the last `/.`: a service's name may contain dots and slashes, the rest contains
    /// no slash.
    fn target_service(&self) -> String {
        format!(r"^cluster\.({}/(.+)/\.)", self.egress)
    }

    /// The name of the cluster without the service, with or without dots in it.
    fn cluster(&self) -> String {
        format!(r"^cluster\.(({}|[^./]+)(?:/.+/)?\.)", self.any)
    }
}

#[cfg(test)]
mod tests {
    use regex_lite::Regex;

    use super::*;

    /// The value that Envoy extracts from a name: the second group, if the expression matches.
    fn extracted(expression: &str, name: &str) -> Option<String> {
        let captures = Regex::new(expression).unwrap().captures(name)?;
        Some(captures.get(2).unwrap().as_str().to_owned())
    }

    /// The name that remains after extraction.
    fn remaining(expression: &str, name: &str) -> String {
        let removed = Regex::new(expression).unwrap().captures(name).map(|captures| captures.get(1).unwrap().range());
        removed.map_or_else(|| name.to_owned(), |removed| format!("{}{}", &name[..removed.start], &name[removed.end..]))
    }

    #[test]
    fn names_are_split_exactly() {
        let table = [
            // mesh, node, protocol and port, service
            ("shop", "catalog-v2", "http_8080", "catalog.shop.local"),
            ("shop", "catalog.v2", "http2_443", "catalog"),
            ("shop", "catalog_v2", "grpc_50051", "a/b.local"),
            ("shop", "db_tcp_3306", "tcp_3306", "db.shop.local"),
            ("shop", "x_http_80.y", "http_8080", "x_http_80/y/.z"),
            ("my.mesh", "a_b", "http_1", "s"),
            ("a_b", "c", "http_80", "s"),
            ("m+(e)s[h]", "n*", "http_80", "s{1}"),
        ];
        for (mesh, node, at, service) in table {
            let id = format!("mesh/{mesh}/virtualNode/caller").parse().unwrap();
            let names = ClusterNames::new(&id);
            let cluster = format!("cds_egress_{mesh}_{node}_{at}");
            for statistic in ["upstream_rq_5xx", "external.upstream_rq_503", "outlier_detection.ejections_active"] {
                let name = format!("cluster.{cluster}/{service}/.{statistic}");
                let called = format!("{name}: {mesh} {node} {service}");
                assert_eq!(extracted(&names.target_node(), &name).as_deref(), Some(node), "{called}");
                assert_eq!(extracted(&names.target_service(), &name).as_deref(), Some(service), "{called}");
                assert_eq!(extracted(&names.cluster(), &name).as_ref(), Some(&cluster), "{called}");
                for expression in [names.target_node(), names.target_service(), names.cluster()] {
                    assert_eq!(remaining(&expression, &name), format!("cluster.{statistic}"), "{expression}");
                }
            }
        }
    }

    #[test]
    fn a_cluster_without_a_node_has_no_target() {
        let id = "mesh/my.mesh/virtualGateway/web".parse().unwrap();
        let names = ClusterNames::new(&id);
        for (cluster, statistic) in [
            ("cds_ingress_my.mesh_web_http_8080", "upstream_rq_5xx"),
            ("cds_ingress_my.mesh_web_self_redirect_http_15001", "upstream_cx_http2_total"),
            ("cds_egress_my.mesh_mesh-allow-all", "upstream_cx_total"),
            ("cds_egress_my.mesh_amazonaws", "upstream_cx_total"),
            ("meshwarden_control_plane", "upstream_rq_pending_active"),
        ] {
            let name = format!("cluster.{cluster}.{statistic}");
            assert_eq!(extracted(&names.target_node(), &name), None, "{name}");
            assert_eq!(extracted(&names.target_service(), &name), None, "{name}");
            assert_eq!(extracted(&names.cluster(), &name).as_deref(), Some(cluster), "{name}");
            assert_eq!(remaining(&names.cluster(), &name), format!("cluster.{statistic}"));
        }
    }

    #[test]
    fn nodes_of_another_mesh_do_not_match() {
        let id = "mesh/a/virtualNode/caller".parse().unwrap();
        let name = "cluster.cds_egress_other_c_http_80/s/.upstream_rq_5xx";
        assert_eq!(extracted(&ClusterNames::new(&id).target_node(), name), None);
    }

    #[test]
    fn nothing_is_configured_without_a_destination() {
        let none =
            Statistics { statsd: None, prometheus: None, set: StatisticsSet::All, interval: Duration::from_secs(5) };
        let id = "mesh/shop/virtualNode/caller".parse().unwrap();
        assert!(none.sinks().is_empty() && none.listener().is_none() && none.config(&id).is_none());
    }
}
