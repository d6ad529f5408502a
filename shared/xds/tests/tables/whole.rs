//! Nothing that is sent names what is not.

use std::collections::BTreeSet;

use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::{TcpProxy, tcp_proxy};
use proptest::prelude::*;
use proptest::sample::Index;
use prost::Message as _;
use serde_json::{Map, Value, json};
use xds::Translation;

use crate::shop::{explicit, intercepted, mesh};

/// What a translation names and doesn't have, and what would be there twice.
pub(crate) fn faults(translation: &Translation) -> Vec<String> {
    let mut faults = Vec::new();
    let mut cluster = |name: &str, by: &str| {
        if !translation.clusters.contains_key(name) {
            faults.push(format!("{by} leads to cluster {name}"));
        }
    };
    for (name, configuration) in &translation.routes {
        for route in configuration.virtual_hosts.iter().flat_map(|host| &host.routes) {
            if let Some(Action::Route(action)) = &route.action {
                match action.cluster_specifier.as_ref().unwrap() {
                    ClusterSpecifier::Cluster(to) => cluster(to, name),
                    ClusterSpecifier::WeightedClusters(weighted) => {
                        weighted.clusters.iter().for_each(|to| cluster(&to.name, name));
                        assert!(
                            weighted.clusters.iter().any(|to| to.weight.unwrap().value > 0),
                            "{name} has no weight"
                        );
                    }
                    _ => panic!("{name}"),
                }
            }
        }
    }
    let mut routes = BTreeSet::new();
    for (name, listener) in &translation.listeners {
        assert!(!listener.filter_chains.is_empty(), "{name} has no chain");
        let mut matches = Vec::new();
        for chain in &listener.filter_chains {
            assert!(!matches.contains(&&chain.filter_chain_match), "{name} has a match twice");
            matches.push(&chain.filter_chain_match);
            // Without a filter a connection is closed: nobody is there for it.
            let Some(filter) = chain.filters.first() else { continue };
            let Some(ConfigType::TypedConfig(config)) = &filter.config_type else { panic!("{name}") };
            if let Ok(proxy) = TcpProxy::decode(config.value.as_slice())
                && config.type_url.ends_with("TcpProxy")
            {
                match proxy.cluster_specifier.unwrap() {
                    tcp_proxy::ClusterSpecifier::Cluster(to) => cluster(&to, name),
                    tcp_proxy::ClusterSpecifier::WeightedClusters(weighted) => {
                        weighted.clusters.iter().for_each(|to| cluster(&to.name, name));
                        assert!(weighted.clusters.iter().all(|to| to.weight > 0), "{name} has a weight of 0");
                    }
                }
            } else {
                let manager = HttpConnectionManager::decode(config.value.as_slice()).unwrap();
                let Some(RouteSpecifier::Rds(rds)) = manager.route_specifier else { panic!("{name}") };
                routes.insert(rds.route_config_name);
            }
        }
    }
    for (name, configuration) in &translation.routes {
        let mut domains = BTreeSet::new();
        for host in &configuration.virtual_hosts {
            for domain in &host.domains {
                assert!(domains.insert(domain.to_ascii_lowercase()), "{name} has domain {domain} twice");
            }
        }
    }
    for missing in routes.iter().filter(|name| !translation.routes.contains_key(*name)) {
        faults.push(format!("a listener takes routes {missing}"));
    }
    for unused in translation.routes.keys().filter(|name| !routes.contains(*name)) {
        faults.push(format!("no listener takes routes {unused}"));
    }
    for (name, cluster) in &translation.clusters {
        let over_ads = cluster.eds_cluster_config.as_ref().and_then(|eds| eds.eds_config.as_ref());
        let is_ads = over_ads
            .is_some_and(|source| matches!(source.config_source_specifier, Some(ConfigSourceSpecifier::Ads(_))));
        if is_ads != translation.endpoints.contains_key(name) {
            faults.push(format!("endpoints of cluster {name}"));
        }
    }
    faults
}

/// Everything that could be a proxy.
fn proxies(resources: &Map<String, Value>) -> Vec<String> {
    let is_proxy = |path: &&String| {
        let parts: Vec<&str> = path.split('/').collect();
        parts.len() == 2 && matches!(parts[0], "virtualNode" | "virtualGateway")
    };
    resources.keys().filter(is_proxy).cloned().collect()
}

fn check(resources: &Map<String, Value>) {
    let mesh = mesh(resources);
    for proxy in proxies(resources) {
        for translation in [intercepted(&mesh, &proxy), explicit(&mesh, &proxy)] {
            assert_eq!(faults(&translation), Vec::<String>::new(), "{proxy}");
            // Equal meshes have equal encodings: a version that changes by itself would push for nothing.
            assert_eq!(translation.encode(), translation.encode());
        }
    }
}

/// Specs that meet on the same names and ports.
fn anything() -> impl Strategy<Value = Map<String, Value>> {
    let name = || prop_oneof![Just("a"), Just("b"), Just("c")];
    let port = || prop_oneof![Just(80), Just(443), Just(8080)];
    let protocol = || prop_oneof![Just("http"), Just("http2"), Just("grpc"), Just("tcp")];
    let listener = (port(), protocol(), any::<bool>()).prop_map(|(port, protocol, tls)| {
        let mut listener = json!({"portMapping": {"port": port, "protocol": protocol}});
        if tls {
            let certificate = json!({"acm": {"certificateArn": "arn:aws:acm:eu-west-1:123456789012:certificate/1"}});
            listener["tls"] = json!({"mode": "PERMISSIVE", "certificate": certificate});
        }
        listener
    });
    let discovery = prop_oneof![
        Just(json!({"dns": {"hostname": "n.local"}})),
        Just(json!({"awsCloudMap": {"namespaceName": "shop", "serviceName": "orders"}})),
    ];
    let node =
        (prop::collection::vec(listener, 0..3), prop::collection::vec(name(), 0..4), prop::option::of(discovery))
            .prop_map(|(listeners, backends, discovery)| {
                let backends: Vec<Value> =
                    backends.iter().map(|name| json!({"virtualService": {"virtualServiceName": name}})).collect();
                let mut node = json!({"listeners": listeners, "backends": backends});
                if let Some(discovery) = discovery {
                    node["serviceDiscovery"] = discovery;
                }
                node
            });
    let target = (name(), 0_u8..3, prop::option::of(port())).prop_map(|(node, weight, port)| {
        let mut target = json!({"virtualNode": node, "weight": weight});
        if let Some(port) = port {
            target["port"] = json!(port);
        }
        target
    });
    let route = (
        prop_oneof![Just("httpRoute"), Just("http2Route"), Just("grpcRoute"), Just("tcpRoute")],
        prop::collection::vec(target, 1..4),
        prop_oneof![Just("/"), Just("/x")],
    )
        .prop_map(|(kind, targets, prefix)| {
            let matching = match kind {
                "grpcRoute" => json!({"serviceName": "s"}),
                "tcpRoute" => json!({}),
                _ => json!({"prefix": prefix}),
            };
            json!({kind: {"match": matching, "action": {"weightedTargets": targets}}})
        });
    let router = prop::collection::vec((port(), protocol()), 0..3).prop_map(|listeners| {
        let listeners: Vec<Value> = listeners
            .into_iter()
            .map(|(port, protocol)| json!({"portMapping": {"port": port, "protocol": protocol}}))
            .collect();
        json!({"listeners": listeners})
    });
    let service = (name(), any::<Index>()).prop_map(|(name, kind)| match kind.index(3) {
        0 => json!({}),
        1 => json!({"provider": {"virtualNode": {"virtualNodeName": name}}}),
        _ => json!({"provider": {"virtualRouter": {"virtualRouterName": name}}}),
    });
    let gateway_route = (name(), prop_oneof![Just("/"), Just("/x"), Just("/x/")]).prop_map(|(service, prefix)| {
        let target = json!({"virtualService": {"virtualServiceName": service}});
        json!({"httpRoute": {"match": {"prefix": prefix}, "action": {"target": target}}})
    });
    let gateway = prop::collection::vec(port(), 1..3).prop_map(|ports| {
        let listeners: Vec<Value> =
            ports.into_iter().map(|port| json!({"portMapping": {"port": port, "protocol": "http"}})).collect();
        json!({"listeners": listeners})
    });
    let resource = prop_oneof![
        (name(), node).prop_map(|(name, spec)| (format!("virtualNode/{name}"), spec)),
        (name(), service).prop_map(|(name, spec)| (format!("virtualService/{name}"), spec)),
        (name(), router).prop_map(|(name, spec)| (format!("virtualRouter/{name}"), spec)),
        (name(), name(), route).prop_map(|(of, name, spec)| (format!("virtualRouter/{of}/route/{name}"), spec)),
        (name(), gateway).prop_map(|(name, spec)| (format!("virtualGateway/{name}"), spec)),
        (name(), name(), gateway_route)
            .prop_map(|(of, name, spec)| (format!("virtualGateway/{of}/gatewayRoute/{name}"), spec)),
        any::<bool>().prop_map(|all| {
            (String::new(), json!({"egressFilter": {"type": if all { "ALLOW_ALL" } else { "DROP_ALL" }}}))
        }),
    ];
    prop::collection::vec(resource, 0..30).prop_map(|resources| resources.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_mesh_is_like_what_is_sent_is_whole(resources in anything()) {
        check(&resources);
    }
}
