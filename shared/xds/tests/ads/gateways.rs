//! The two sides of a virtual gateway are updated one after the other. At every moment, each target that its ingress side
//! names has routes on its egress side, also for requests that an earlier ingress side has sent on their way.

use std::collections::{BTreeMap, BTreeSet};

use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::{ClusterSpecifier, HostRewriteSpecifier};
use envoy_types::pb::envoy::config::route::v3::{HeaderMatcher, Route, RouteAction, RouteConfiguration, VirtualHost};
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use mesh::graph::Mesh;
use mesh::name::ResourcePath;
use mesh::spec::Spec;
use proptest::prelude::*;
use prost::Message as _;
use serde_json::{Value, json};
use xds::{ClientAddress, Listeners, Proxy, ResourceType, SdsSource, Snapshot, StatNames, Surroundings, translate};

use crate::client::{Client, Delta, Sotw};
use crate::world::{Held, routes_of, wanted};

/// The header by which a request that keeps its host names its target.
const TARGET: &str = "x-app-mesh-virtual-service";
/// The host that clients call.
const HOST: &str = "web.example";

/// A gateway route: the service and the port that it leads to, and whether a request keeps its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct To {
    service: u8,
    port: Option<u16>,
    keeps_host: bool,
}

/// A gateway, and the mesh behind it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Gateway {
    routes: BTreeMap<u8, To>,
    has_second_listener: bool,
    /// The services whose routes differ from before.
    changed: BTreeSet<u8>,
}

impl Gateway {
    fn with(routes: &[To]) -> Self {
        Self { routes: (0..).zip(routes.iter().copied()).collect(), ..Self::default() }
    }

    fn snapshot(&self) -> Snapshot {
        let mut mesh = Mesh::new("shop".parse().unwrap());
        let mut insert = |path: String, spec: Value| {
            let path = ResourcePath::parse(&format!("mesh/shop/{path}")).unwrap();
            let spec = Spec::read(path.kind(), &spec).unwrap();
            mesh.insert(path, spec).unwrap();
        };
        let listener = |port: u16| json!({"portMapping": {"port": port, "protocol": "http"}});
        for service in 0..4_u8 {
            // Only these requests are needed from discovery: a name that is resolved, and one that is looked up.
            let discovery = match service % 2 {
                0 => json!({"dns": {"hostname": "node.local"}}),
                _ => json!({"awsCloudMap": {"namespaceName": "shop", "serviceName": format!("s{service}")}}),
            };
            let timeout = if self.changed.contains(&service) { 20 } else { 10 };
            let mut listeners = vec![listener(8080)];
            if service == 3 {
                listeners.push(listener(8081));
            }
            insert(format!("virtualNode/n{service}"), json!({"listeners": listeners, "serviceDiscovery": discovery}));
            insert(format!("virtualRouter/r{service}"), json!({ "listeners": listeners }));
            let target = json!({"virtualNode": format!("n{service}"), "weight": 1, "port": 8080});
            insert(
                format!("virtualRouter/r{service}/route/all"),
                json!({"httpRoute": {
                    "match": {"prefix": "/"}, "action": {"weightedTargets": [target]},
                    "timeout": {"perRequest": {"unit": "s", "value": timeout}},
                }}),
            );
            let provider = json!({"virtualRouter": {"virtualRouterName": format!("r{service}")}});
            insert(format!("virtualService/s{service}"), json!({ "provider": provider }));
        }
        let mut listeners = vec![listener(80)];
        listeners.extend(self.has_second_listener.then(|| listener(81)));
        insert("virtualGateway/web".to_owned(), json!({ "listeners": listeners }));
        for (number, to) in &self.routes {
            let mut target = json!({"virtualService": {"virtualServiceName": format!("s{}", to.service)}});
            if let Some(port) = to.port {
                target["port"] = json!(port);
            }
            let mut action = json!({ "target": target });
            if to.keeps_host {
                action["rewrite"] = json!({"hostname": {"defaultTargetHostname": "DISABLED"}});
            }
            insert(
                format!("virtualGateway/web/gatewayRoute/g{number}"),
                json!({"httpRoute": {"match": {"prefix": format!("/{number}/")}, "action": action}}),
            );
        }
        let surroundings = Surroundings {
            listeners: Listeners::Interception,
            sds: SdsSource::Socket,
            stat_names: StatNames::Service,
            client_address: ClientAddress::default(),
            instances: &BTreeMap::new(),
        };
        Snapshot::new(translate(&mesh, &Proxy::Gateway("web".parse().unwrap()), surroundings).encode())
    }
}

/// The ingress route configurations that a client uses, by the name of their listener.
fn ingress(held: &Held) -> BTreeMap<String, RouteConfiguration> {
    routes_by_listener(held).into_iter().filter(|(name, _)| name.contains("ingress")).collect()
}

fn routes_by_listener(held: &Held) -> BTreeMap<String, RouteConfiguration> {
    let of = |kind| held.get(&kind).cloned().unwrap_or_default();
    let routes = of(ResourceType::Route);
    let named = of(ResourceType::Listener).into_values().filter_map(|body| {
        let routes = RouteConfiguration::decode(routes.get(&routes_of(&body))?.as_slice()).unwrap();
        Some((Listener::decode(body.as_slice()).unwrap().name, routes))
    });
    named.collect()
}

/// The requests of an ingress configuration, that its client cannot answer.
fn lost(ingress: &RouteConfiguration, held: &Held) -> Vec<String> {
    let all = routes_by_listener(held);
    let Some((_, egress)) = all.iter().find(|(name, _)| name.contains("egress")) else { return Vec::new() };
    let clusters = held.get(&ResourceType::Cluster).cloned().unwrap_or_default();
    let mut lost = Vec::new();
    for route in ingress.virtual_hosts.iter().flat_map(|host| &host.routes) {
        let Some(Action::Route(action)) = &route.action else { continue };
        let header = route.request_headers_to_add.first().and_then(|option| option.header.as_ref());
        let target = header.map(|header| header.value.clone());
        let host = match &action.host_rewrite_specifier {
            Some(HostRewriteSpecifier::HostRewriteLiteral(host)) => host.clone(),
            _ => HOST.to_owned(),
        };
        match answer(egress, &host, target.as_deref()) {
            Some(cluster) if clusters.contains_key(&cluster) => {}
            found => lost.push(format!("{host} {target:?}: {found:?}")),
        }
    }
    lost
}

/// The cluster to which the egress side sends a request, if it has a route for it.
fn answer(egress: &RouteConfiguration, host: &str, target: Option<&str>) -> Option<String> {
    let named = |virtual_host: &&VirtualHost, name: &str| virtual_host.domains.iter().any(|domain| domain == name);
    let hosts = || egress.virtual_hosts.iter();
    let chosen = hosts().find(|one| named(one, host)).or_else(|| hosts().find(|one| named(one, "*")))?;
    let route = chosen.routes.iter().find(|route| matches(route, target))?;
    let Some(Action::Route(action)) = &route.action else { return None };
    match action.cluster_specifier.as_ref()? {
        ClusterSpecifier::Cluster(cluster) => Some(cluster.clone()),
        ClusterSpecifier::WeightedClusters(all) => all.clusters.first().map(|cluster| cluster.name.clone()),
        other => panic!("{other:?}"),
    }
}

fn matches(route: &Route, target: Option<&str>) -> bool {
    route.r#match.iter().flat_map(|matching| &matching.headers).all(|header: &HeaderMatcher| {
        assert_eq!(header.name, TARGET);
        let Some(HeaderMatchSpecifier::StringMatch(matcher)) = &header.header_match_specifier else { return false };
        matches!(&matcher.match_pattern, Some(MatchPattern::Exact(wanted)) if Some(wanted.as_str()) == target)
    })
}

/// A client, and the ingress configurations by which requests may still be on their way to its egress side.
struct Played<C> {
    client: C,
    under_way: Vec<(String, RouteConfiguration)>,
}

impl<C: Client> Played<C> {
    /// The requests that are not answered now.
    fn lost(&mut self) -> Vec<String> {
        let now = ingress(self.client.held());
        self.under_way.retain(|(listener, _)| now.contains_key(listener));
        for entry in now {
            if !self.under_way.contains(&entry) {
                self.under_way.push(entry);
            }
        }
        self.under_way.iter().flat_map(|(_, routes)| lost(routes, self.client.held())).collect()
    }

    /// Lets the time pass after which no request is on its way.
    fn wait(&mut self, snapshot: &Snapshot) {
        self.under_way.clear();
        self.client.release(snapshot);
    }

    fn settle(&mut self, snapshot: &Snapshot) {
        for _ in 0..3 {
            self.client.settle(snapshot);
            self.wait(snapshot);
        }
        self.client.settle(snapshot);
    }
}

const fn to(service: u8) -> To {
    To { service, port: None, keeps_host: false }
}

/// The actions of the routes on one side.
fn actions<'a>(all: &'a BTreeMap<String, RouteConfiguration>, side: &'a str) -> impl Iterator<Item = &'a RouteAction> {
    let hosts = all.iter().filter(move |(name, _)| name.contains(side)).flat_map(|(_, routes)| &routes.virtual_hosts);
    hosts.flat_map(|host| &host.routes).filter_map(|route| match route.action.as_ref()? {
        Action::Route(action) => Some(action),
        _ => None,
    })
}

/// The ingress and egress targets after each response for routes, while a gateway changes.
fn steps(client: impl Client, before: &Gateway, after: &Gateway) -> Vec<(BTreeSet<String>, BTreeSet<String>)> {
    let mut played = Played { client, under_way: Vec::new() };
    played.settle(&before.snapshot());
    let after = after.snapshot();
    played.client.update(&after);
    let mut steps = Vec::new();
    loop {
        let moved = played.client.deliver(&after) | played.client.receive(false);
        assert_eq!(played.lost(), Vec::<String>::new(), "{steps:?}");
        let all = routes_by_listener(played.client.held());
        let named = actions(&all, "ingress").filter_map(|action| match action.host_rewrite_specifier.as_ref()? {
            HostRewriteSpecifier::HostRewriteLiteral(host) => Some(host.clone()),
            _ => None,
        });
        let served = actions(&all, "egress").filter_map(|action| match action.cluster_specifier.as_ref()? {
            ClusterSpecifier::WeightedClusters(all) => Some(all.clusters[0].name.replace("cds_egress_shop_", "")),
            _ => None,
        });
        steps.push((named.collect(), served.map(|name| name.replace("_http_8080", "")).collect()));
        steps.dedup();
        if !moved {
            if !played.client.has(&after) {
                played.wait(&after);
                if played.client.under_way() > 0 {
                    continue;
                }
            }
            assert!(played.client.has(&after));
            return steps;
        }
    }
}

fn shown(steps: Vec<(BTreeSet<String>, BTreeSet<String>)>) -> Vec<String> {
    let joined = |names: BTreeSet<String>| names.into_iter().collect::<Vec<_>>().join("+");
    steps.into_iter().map(|(ingress, egress)| format!("{} {}", joined(ingress), joined(egress))).collect()
}

#[test]
fn a_new_target_of_a_gateway_route_comes_before_the_route_and_the_former_one_goes_after() {
    let (before, after) = (Gateway::with(&[to(0)]), Gateway::with(&[to(2)]));
    let expected = ["s0 n0", "s0 n0+n2", "s2 n0+n2", "s2 n2"];
    assert_eq!(shown(steps(Sotw::connected(), &before, &after)), expected);
    assert_eq!(shown(steps(Delta::connected(), &before, &after)), expected);
}

#[test]
fn a_target_that_is_already_there_needs_no_step_before() {
    let (before, after) = (Gateway::with(&[to(0), to(2)]), Gateway::with(&[to(2), to(2)]));
    let expected = ["s0+s2 n0+n2", "s2 n0+n2", "s2 n2"];
    assert_eq!(shown(steps(Sotw::connected(), &before, &after)), expected);
    assert_eq!(shown(steps(Delta::connected(), &before, &after)), expected);
}

#[test]
fn a_change_behind_the_targets_is_one_step() {
    let before = Gateway::with(&[to(0)]);
    let after = Gateway { changed: BTreeSet::from([0]), ..before.clone() };
    for after in [after, Gateway::with(&[to(0)])] {
        let mut client = Sotw::connected();
        client.settle(&before.snapshot());
        client.sent.clear();
        client.update(&after.snapshot());
        client.settle(&after.snapshot());
        assert!(client.has(&after.snapshot()));
        assert!(client.sent.len() <= 2, "{:?}", client.sent);
    }
}

#[test]
fn a_refused_step_keeps_what_works_until_the_next_change() {
    fn play(mut played: Played<impl Client>) {
        let (before, after) = (Gateway::with(&[to(0)]).snapshot(), Gateway::with(&[to(2)]).snapshot());
        played.settle(&before);
        played.client.update(&after);
        for _ in 0..20 {
            played.client.deliver(&after);
            let refuses = played.client.under_way() > 0 && played.client.warming().is_empty();
            played.client.receive(refuses);
            assert_eq!(played.lost(), Vec::<String>::new());
        }
        assert!(!played.client.has(&after));
        let third = Gateway { has_second_listener: true, ..Gateway::with(&[to(1)]) }.snapshot();
        played.client.update(&third);
        played.settle(&third);
        assert!(played.client.has(&third));
    }
    play(Played { client: Sotw::connected(), under_way: Vec::new() });
    play(Played { client: Delta::connected(), under_way: Vec::new() });
}

#[derive(Clone, Debug)]
enum Event {
    Route(u8, Option<To>),
    SecondListener(bool),
    Change(u8),
    Deliver,
    Receive,
    Wait,
    Reconnect,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let target = (0_u8..4, any::<bool>(), any::<bool>()).prop_map(|(service, second, keeps_host)| To {
        service,
        port: (service == 3).then_some(if second { 8081 } else { 8080 }),
        keeps_host,
    });
    let one = prop_oneof![
        3 => (0_u8..3, prop::option::weighted(0.9, target)).prop_map(|(number, to)| Event::Route(number, to)),
        1 => any::<bool>().prop_map(Event::SecondListener),
        1 => (0_u8..4).prop_map(Event::Change),
        6 => Just(Event::Deliver),
        6 => Just(Event::Receive),
        2 => Just(Event::Wait),
        1 => Just(Event::Reconnect),
    ];
    prop::collection::vec(one, 1..60)
}

fn play(client: impl Client, events: &[Event]) -> Result<(), TestCaseError> {
    let mut gateway = Gateway::with(&[to(0)]);
    let mut snapshot = gateway.snapshot();
    let mut played = Played { client, under_way: Vec::new() };
    played.settle(&snapshot);
    for event in events {
        let before = gateway.clone();
        match event {
            Event::Route(number, Some(to)) => drop(gateway.routes.insert(*number, *to)),
            Event::Route(number, None) => drop(gateway.routes.remove(number)),
            Event::SecondListener(there) => gateway.has_second_listener = *there,
            Event::Change(service) => {
                if !gateway.changed.remove(service) {
                    gateway.changed.insert(*service);
                }
            }
            Event::Deliver => drop(played.client.deliver(&snapshot)),
            Event::Receive => drop(played.client.receive(false)),
            Event::Wait => played.wait(&snapshot),
            Event::Reconnect => {
                played.under_way.clear();
                played.client.reconnect();
            }
        }
        if gateway != before {
            snapshot = gateway.snapshot();
            played.client.update(&snapshot);
        }
        let lost = played.lost();
        prop_assert!(lost.is_empty(), "{:?}", lost);
    }
    played.settle(&snapshot);
    prop_assert!(played.client.has(&snapshot));
    for (kind, resources) in wanted(&snapshot) {
        let held = played.client.held().get(&kind).cloned().unwrap_or_default();
        prop_assert_eq!(held, resources, "{:?}", kind);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn a_sotw_gateway_never_names_a_target_without_routes(events in events()) {
        play(Sotw::connected(), &events)?;
    }

    #[test]
    fn a_delta_gateway_never_names_a_target_without_routes(events in events()) {
        play(Delta::connected(), &events)?;
    }
}
