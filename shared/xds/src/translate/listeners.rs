//! Listeners, their filter chains, and the connection managers in them.

use std::collections::BTreeSet;

use envoy_types::pb::envoy::config::accesslog::v3::AccessLog;
use envoy_types::pb::envoy::config::common::mutation_rules::v3::{HeaderMutation as Mutation, header_mutation};
use envoy_types::pb::envoy::config::core::v3::{CidrRange, TrafficDirection, TypedExtensionConfig};
use envoy_types::pb::envoy::config::listener::v3::listener_filter_chain_match_predicate::{MatchSet, Rule};
use envoy_types::pb::envoy::config::listener::v3::{
    Filter, FilterChain, FilterChainMatch, Listener, ListenerFilter, ListenerFilterChainMatchPredicate, filter,
    listener_filter,
};
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::listener::original_dst::v3::OriginalDst;
use envoy_types::pb::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::{
    PathWithEscapedSlashesAction, RouteSpecifier, Tracing, UpgradeConfig,
};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, Rds, http_filter,
};
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy::ClusterSpecifier;
use envoy_types::pb::envoy::extensions::http::early_header_mutation::header_mutation::v3::HeaderMutation;
use envoy_types::pb::envoy::r#type::v3::Int32Range;
use envoy_types::pb::google::protobuf::{BoolValue, Duration};

use super::ClientAddress;
use super::proto::{address, ads, any, boolean, http2_with_websockets, uint};
use super::statistics::extension_metadata;
use super::tls::Served;

/// Headers by which a client could change the timeouts and retries of its requests. Only the route may set those.
const NOT_FOR_CLIENTS: [&str; 9] = [
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-hedge-on-per-try-timeout",
    "x-envoy-max-retries",
    "x-envoy-retriable-header-names",
    "x-envoy-retriable-status-codes",
    "x-envoy-retry-grpc-on",
    "x-envoy-retry-on",
    "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-upstream-rq-timeout-ms",
];

/// A listener without filter chains.
pub(super) fn listener(name: String, host: &str, port: u16, direction: TrafficDirection) -> Listener {
    let mut bound = address(host, port);
    if host == "::"
        && let Some(envoy_types::pb::envoy::config::core::v3::address::Address::SocketAddress(socket)) =
            bound.address.as_mut()
    {
        socket.ipv4_compat = true;
    }
    Listener {
        name,
        address: Some(bound),
        traffic_direction: direction.into(),
        metadata: Some(extension_metadata(&[])),
        ..Listener::default()
    }
}

/// The listener filter that restores the original destination of a redirected connection.
pub(super) fn original_dst() -> ListenerFilter {
    listener_filter("envoy.filters.listener.original_dst", any(OriginalDst::default()))
}

/// The listener filter that distinguishes TLS from plaintext and reads the server name, on every connection.
pub(super) fn tls_inspector() -> ListenerFilter {
    listener_filter("envoy.filters.listener.tls_inspector", any(TlsInspector::default()))
}

/// The same filter, for redirected connections to these ports only. The filter waits until the client sends data, and
/// in some TCP protocols the server sends first.
pub(super) fn tls_inspector_on(ports: &BTreeSet<u16>) -> ListenerFilter {
    let to = |port: &u16| {
        let start = i32::from(*port);
        predicate(Rule::DestinationPortRange(Int32Range { start, end: start + 1 }))
    };
    let mut rules: Vec<_> = ports.iter().map(to).collect();
    let among = match (rules.pop(), rules.is_empty()) {
        (Some(only), true) => only,
        (last, _) => predicate(Rule::OrMatch(MatchSet { rules: rules.into_iter().chain(last).collect() })),
    };
    ListenerFilter { filter_disabled: Some(predicate(Rule::NotMatch(Box::new(among)))), ..tls_inspector() }
}

const fn predicate(rule: Rule) -> ListenerFilterChainMatchPredicate {
    ListenerFilterChainMatchPredicate { rule: Some(rule) }
}

fn listener_filter(name: &str, config: envoy_types::pb::google::protobuf::Any) -> ListenerFilter {
    ListenerFilter {
        name: name.to_owned(),
        config_type: Some(listener_filter::ConfigType::TypedConfig(config)),
        ..ListenerFilter::default()
    }
}

/// Matches connections to a port, at any address.
pub(super) fn to_port(port: u16) -> FilterChainMatch {
    FilterChainMatch { destination_port: uint(u32::from(port)), ..FilterChainMatch::default() }
}

/// Matches connections to any address of the families that a listener's own address covers.
pub(super) fn to_anywhere(host: &str, port: Option<u16>) -> FilterChainMatch {
    let all_of = |family: &str| CidrRange { address_prefix: family.to_owned(), prefix_len: uint(0) };
    let families: &[&str] = if host == "::" { &["0.0.0.0", "::"] } else { &["0.0.0.0"] };
    FilterChainMatch {
        destination_port: port.and_then(|port| uint(u32::from(port))),
        prefix_ranges: families.iter().map(|family| all_of(family)).collect(),
        ..FilterChainMatch::default()
    }
}

/// A filter chain that closes its connections.
pub(super) fn closing(matches: FilterChainMatch) -> FilterChain {
    FilterChain { filter_chain_match: Some(matches), ..FilterChain::default() }
}

/// The filter chains of one filter: one with or without TLS, or one of each.
pub(super) fn chains(matches: &FilterChainMatch, filter: &Filter, served: Served) -> Vec<FilterChain> {
    let chain = |matches: FilterChainMatch, transport_socket| FilterChain {
        filter_chain_match: (matches != FilterChainMatch::default()).then_some(matches),
        filters: vec![filter.clone()],
        transport_socket,
        ..FilterChain::default()
    };
    let only = |protocol: &str| FilterChainMatch { transport_protocol: protocol.to_owned(), ..matches.clone() };
    match served {
        Served::Plaintext => vec![chain(matches.clone(), None)],
        Served::Tls(socket) => vec![chain(matches.clone(), Some(*socket))],
        Served::Both(socket) => vec![chain(only("tls"), Some(*socket)), chain(only("raw_buffer"), None)],
    }
}

/// A connection manager that receives its routes over ADS.
pub(super) fn http_manager(stat_prefix: String, routes: String, logs: Vec<AccessLog>) -> Filter {
    http_manager_at_edge(stat_prefix, routes, logs, ClientAddress::default())
}

/// The same connection manager, for clients from outside the mesh.
pub(super) fn http_manager_at_edge(
    stat_prefix: String,
    routes: String,
    logs: Vec<AccessLog>,
    clients: ClientAddress,
) -> Filter {
    let manager = HttpConnectionManager {
        use_remote_address: clients.use_remote_address.then_some(BoolValue { value: true }),
        xff_num_trusted_hops: clients.trusted_hops,
        stat_prefix,
        route_specifier: Some(RouteSpecifier::Rds(Rds { config_source: Some(ads()), route_config_name: routes })),
        http_filters: vec![HttpFilter {
            name: "envoy.filters.http.router".to_owned(),
            config_type: Some(http_filter::ConfigType::TypedConfig(any(Router::default()))),
            ..HttpFilter::default()
        }],
        // The bootstrap defines the destination of traces, if there is one.
        tracing: Some(Tracing::default()),
        early_header_mutation_extensions: vec![without_client_overrides()],
        http2_protocol_options: Some(http2_with_websockets()),
        upgrade_configs: vec![UpgradeConfig { upgrade_type: "websocket".to_owned(), ..UpgradeConfig::default() }],
        access_log: logs,
        normalize_path: boolean(true),
        merge_slashes: true,
        path_with_escaped_slashes_action: PathWithEscapedSlashesAction::KeepUnchanged.into(),
        ..HttpConnectionManager::default()
    };
    network_filter("envoy.filters.network.http_connection_manager", any(manager))
}

fn without_client_overrides() -> TypedExtensionConfig {
    let remove = |name: &str| Mutation { action: Some(header_mutation::Action::Remove(name.to_owned())) };
    TypedExtensionConfig {
        name: "envoy.http.early_header_mutation.header_mutation".to_owned(),
        typed_config: Some(any(HeaderMutation { mutations: NOT_FOR_CLIENTS.into_iter().map(remove).collect() })),
    }
}

/// A TCP proxy filter.
pub(super) fn tcp_proxy(
    stat_prefix: String,
    to: ClusterSpecifier,
    idle_timeout: Option<Duration>,
    logs: Vec<AccessLog>,
) -> Filter {
    let proxy =
        TcpProxy { stat_prefix, cluster_specifier: Some(to), idle_timeout, access_log: logs, ..TcpProxy::default() };
    network_filter("envoy.filters.network.tcp_proxy", any(proxy))
}

fn network_filter(name: &str, config: envoy_types::pb::google::protobuf::Any) -> Filter {
    Filter { name: name.to_owned(), config_type: Some(filter::ConfigType::TypedConfig(config)) }
}
