//! Route configurations that a client holds although no listener of it names them any more.
//!
//! ```text
//!   listener   names r (HTTP)   names none (TCP)          names r again (HTTP)
//!   client     r: old           r: old, still subscribed  r: old until the new content arrives
//! ```
//!
//! Envoy keeps the subscription to the route configuration of a replaced or removed listener while that listener drains,
//! for ten minutes by default. A new listener that names the same route configuration is active at once with the content
//! that the client holds, instead of waiting for its first content. Requests would be answered by routes of the past. So
//! route configurations are sent before the listeners while a client subscribes to one that its listeners do not name.

use std::collections::BTreeSet;

use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType;
use envoy_types::pb::envoy::config::listener::v3::{Filter, Listener};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use prost::Message as _;

use crate::proto::unpacked;
use crate::resource::{Resource, ResourceType};
use crate::snapshot::Snapshot;

/// The order of types while a client holds an idle route configuration.
const ROUTES_BEFORE_LISTENERS: [ResourceType; 5] =
    [ResourceType::Cluster, ResourceType::Endpoint, ResourceType::Secret, ResourceType::Route, ResourceType::Listener];

/// The order in which the types of a snapshot are sent to a client with these acknowledged listeners, that subscribes to
/// the route configurations that `includes` accepts.
pub(super) fn order<'a>(
    snapshot: &Snapshot,
    listeners: impl IntoIterator<Item = &'a Resource>,
    includes: impl Fn(&str) -> bool,
) -> [ResourceType; 5] {
    let mut subscribed =
        snapshot.of(ResourceType::Route).map(|(name, _)| name).filter(|name| includes(name)).peekable();
    if subscribed.peek().is_none() {
        return ResourceType::ALL;
    }
    let named: BTreeSet<String> = listeners.into_iter().flat_map(route_configurations).collect();
    if subscribed.all(|name| named.contains(name)) { ResourceType::ALL } else { ROUTES_BEFORE_LISTENERS }
}

/// The names of the route configurations of a listener.
fn route_configurations(listener: &Resource) -> Vec<String> {
    let Ok(listener) = Listener::decode(listener.body()) else { return Vec::new() };
    let filters = listener.filter_chains.iter().chain(&listener.default_filter_chain).flat_map(|chain| &chain.filters);
    filters.filter_map(route_configuration).collect()
}

fn route_configuration(filter: &Filter) -> Option<String> {
    let Some(ConfigType::TypedConfig(config)) = &filter.config_type else { return None };
    match unpacked::<HttpConnectionManager>(config)?.route_specifier? {
        RouteSpecifier::Rds(routes) => Some(routes.route_config_name),
        RouteSpecifier::RouteConfig(_) | RouteSpecifier::ScopedRoutes(_) => None,
    }
}
