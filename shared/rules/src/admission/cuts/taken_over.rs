//! Calls that a written route takes over from another one, leaves to another one that now comes first, or sends to one
//! more target, where their handshake fails.
//!
//! The calls between two ends may fail through one route and be of no interest to anyone, while another route takes the
//! calls that work. A route that takes those over, and leads them to the same ends, cuts them.

use std::borrow::Cow;

use super::cut::Cut;
use super::moved::{Moved, Target, arriving, broken, is_of_handshake};
use super::receiving::takes_something;
use mesh::graph::{Gateway, Mesh, Router};
use mesh::name::{
    GatewayRouteName, ResourcePath, RouteId, RouteName, VirtualGatewayName, VirtualNodeName, VirtualServiceName,
};
use mesh::spec::{
    GatewayRouteRule, GatewayRouteSpec, HostnameMatch, HttpPathMatch, Port, RouteRule, RouteSpec, VirtualNodeSpec,
    VirtualServiceProvider,
};
use mesh::traffic::{Landing, flows_of};
use policy::edges::{Broken, Edge};

/// The cuts by a written route or gateway route; a deleted one takes nothing over.
pub(super) fn cuts(moved: &Moved<'_>, written: &ResourcePath) -> Vec<Cut> {
    match written {
        ResourcePath::Route(id) => [by_route(moved, id), by_lost_precedence(moved, id)].concat(),
        ResourcePath::GatewayRoute(_, gateway, name) => by_gateway_route(moved, gateway, name),
        ResourcePath::VirtualService(_, service) => by_service(moved, service),
        ResourcePath::Mesh(_)
        | ResourcePath::VirtualNode(..)
        | ResourcePath::VirtualRouter(..)
        | ResourcePath::VirtualGateway(..) => Vec::new(),
    }
}

fn cut(resource: &ResourcePath, edge: &Edge, fault: &Broken) -> Cut {
    let message = format!("calls from {} would move there and fail: {fault}", edge.name());
    Cut { rule: "edge-broken", resource: resource.clone(), message }
}

fn by_route(moved: &Moved<'_>, id: &RouteId) -> Vec<Cut> {
    let Moved { was, will, before, after } = *moved;
    let Some(route) = after.route(id).filter(|route| takes_something(after, id, route) != Some(false)) else {
        return Vec::new();
    };
    let resource = ResourcePath::Route(id.clone());
    let own = targets(after, route);
    let through = |edge: &&Edge, mesh: &Mesh| {
        let provider = mesh.services.get(&edge.service).and_then(|service| service.provider.as_ref());
        provider.and_then(VirtualServiceProvider::router) == Some(&id.router)
    };
    let mut found = Vec::new();
    for edge in will.iter().filter(|edge| through(edge, after) && reaches(&own, edge)) {
        let Some(fault) = broken(edge).filter(|fault| is_of_handshake(fault)) else { continue };
        // The first call of an end is judged for all routes together.
        let name = edge.name();
        if !was.iter().any(|old| old.carries_traffic && old.name() == name && broken(old).is_some()) {
            continue;
        }
        let calls: Vec<&Edge> = was
            .iter()
            .filter(|old| old.from == edge.from && old.service == edge.service && through(old, before))
            .collect();
        let works = |route: &RouteSpec| {
            let targets = targets(before, route);
            calls.iter().any(|old| reaches(&targets, old) && broken(old).is_none())
        };
        let former = before.route(id);
        let failed_here = former.is_some_and(|former| {
            let targets = targets(before, former);
            reaches(&targets, edge)
                && calls.iter().any(|old| old.to == edge.to && old.port == edge.port && broken(old).is_some())
        });
        let gets_one_more = former.is_some_and(|former| works(former) && overlap(former, route)) && !failed_here;
        let others = before.routers.get(&id.router).into_iter().flat_map(|router| &router.routes);
        let mut others = others.filter(|(name, _)| **name != id.route);
        let takes_over = others.any(|(name, other)| {
            let comes_first = |mesh: &Mesh, own: &RouteSpec| comes_first(mesh, id, name) && overlap(own, other);
            let took = former.is_some_and(|former| {
                comes_first(before, former) && paths(&route.rule).are_within(&paths(&former.rule))
            });
            works(other) && comes_first(after, route) && !took
        });
        if gets_one_more || takes_over {
            found.push(cut(&resource, edge, fault));
        }
    }
    found
}

/// The calls that another route takes, because the written one no longer comes before it. A written route that no longer
/// matches calls gives them up on purpose.
fn by_lost_precedence(moved: &Moved<'_>, id: &RouteId) -> Vec<Cut> {
    let Moved { was, will, before, after } = *moved;
    let (Some(former), Some(route)) = (before.route(id), after.route(id)) else { return Vec::new() };
    let resource = ResourcePath::Route(id.clone());
    let through = |edge: &&Edge, mesh: &Mesh| {
        let provider = mesh.services.get(&edge.service).and_then(|service| service.provider.as_ref());
        provider.and_then(VirtualServiceProvider::router) == Some(&id.router)
    };
    let of_former = targets(before, former);
    let mut found = Vec::new();
    let others = after.routers.get(&id.router).into_iter().flat_map(|router| &router.routes);
    for (name, other) in others.filter(|(name, _)| **name != id.route) {
        let is_overtaken = comes_first(before, id, name) && !comes_first(after, id, name);
        let takes = takes_something(after, &after.route_id(&id.router, name), other) != Some(false);
        if !is_overtaken || !takes || !overlap(former, other) || !overlap(route, other) {
            continue;
        }
        let ends = targets(after, other);
        for edge in will.iter().filter(|edge| through(edge, after) && reaches(&ends, edge)) {
            let Some(fault) = broken(edge).filter(|fault| is_of_handshake(fault)) else { continue };
            let own = |old: &&Edge| {
                old.from == edge.from && old.service == edge.service && through(old, before) && reaches(&of_former, old)
            };
            let worked = was.iter().filter(own).any(|old| broken(old).is_none());
            let failed = was.iter().filter(own).any(|old| old.name() == edge.name() && broken(old).is_some());
            if worked && !failed {
                found.push(cut(&resource, edge, fault));
            }
        }
    }
    found
}

/// The calls of a service that another provider sends elsewhere.
fn by_service(moved: &Moved<'_>, service: &VirtualServiceName) -> Vec<Cut> {
    let Moved { was, will, before, after } = *moved;
    let provider = |mesh: &Mesh| mesh.services.get(service).and_then(|spec| spec.provider.clone());
    if provider(before) == provider(after) {
        return Vec::new();
    }
    let resource = ResourcePath::VirtualService(after.name.clone(), service.clone());
    let (former, present) = (ways(before, service), ways(after, service));
    let of_service = |edge: &&Edge| edge.service == *service && edge.carries_traffic;
    let fails_already = |edge: &Edge| {
        let name = edge.name();
        was.iter().filter(of_service).any(|old| old.name() == name && broken(old).is_some())
    };
    let mut found = Vec::new();
    for edge in will.iter().filter(of_service).filter(|edge| fails_already(edge)) {
        let Some(fault) = broken(edge).filter(|fault| is_of_handshake(fault)) else { continue };
        let works = |way: &&Way<'_>| {
            let mut own =
                was.iter().filter(of_service).filter(|old| old.from == edge.from && reaches(&way.targets, old));
            own.any(|old| broken(old).is_none())
        };
        let taken = former.iter().filter(works).any(|way| {
            // Those after one that takes all of its calls get none.
            let last = present.iter().find(|taker| taker.has_all_of(way)).map(|taker| taker.place);
            let mut takers = present.iter().filter(|taker| taker.overlaps(way));
            takers.any(|taker| last.is_none_or(|last| taker.place <= last) && reaches(&taker.targets, edge))
        });
        if taken {
            found.push(cut(&resource, edge, fault));
        }
    }
    found
}

/// One way by which calls of a service go: a route, or the node that provides the service.
struct Way<'m> {
    place: usize,
    rule: Option<&'m RouteRule>,
    targets: Vec<(VirtualNodeName, Port)>,
}

impl Way<'_> {
    fn paths(&self) -> Paths<'_> {
        self.rule.map_or_else(|| Paths::Below("".into()), paths)
    }

    fn port(&self) -> Option<Port> {
        self.rule.and_then(RouteRule::match_port)
    }

    fn overlaps(&self, other: &Self) -> bool {
        same_port(self.port(), other.port()) && self.paths().overlap(&other.paths())
    }

    fn has_all_of(&self, other: &Self) -> bool {
        (self.port().is_none() || self.port() == other.port()) && other.paths().are_within(&self.paths())
    }
}

/// The ways of a service, in the order in which they are tried.
fn ways<'m>(mesh: &'m Mesh, service: &VirtualServiceName) -> Vec<Way<'m>> {
    match mesh.services.get(service).and_then(|spec| spec.provider.as_ref()) {
        Some(VirtualServiceProvider::VirtualRouter(provider)) => {
            let routes =
                mesh.routers.get(&provider.virtual_router_name).map(Router::routes_in_order).unwrap_or_default();
            let way = |(place, (_, route)): (usize, (_, &'m RouteSpec))| Way {
                place,
                rule: Some(&route.rule),
                targets: targets(mesh, route),
            };
            routes.into_iter().enumerate().map(way).collect()
        }
        Some(VirtualServiceProvider::VirtualNode(provider)) => {
            let node = &provider.virtual_node_name;
            let listeners = mesh.nodes.get(node).map(VirtualNodeSpec::listeners).unwrap_or_default();
            let targets = listeners.iter().map(|listener| (node.clone(), listener.port_mapping.port)).collect();
            vec![Way { place: 0, rule: None, targets }]
        }
        Some(VirtualServiceProvider::Unrecognised(_)) | None => Vec::new(),
    }
}

/// The nodes and ports to which a route sends requests.
fn targets(mesh: &Mesh, route: &RouteSpec) -> Vec<(VirtualNodeName, Port)> {
    let flows = flows_of(mesh, route).unwrap_or_default();
    let targets = flows.into_iter().filter(|flow| flow.weight > 0).filter_map(|flow| match flow.landing {
        Landing::Listener(listener) => Some((flow.virtual_node.clone(), listener.port_mapping.port)),
        Landing::NoNode | Landing::NoListener(_) | Landing::Ambiguous(_) => None,
    });
    targets.collect()
}

fn reaches(targets: &[(VirtualNodeName, Port)], edge: &Edge) -> bool {
    targets.iter().any(|(node, port)| edge.to.name() == node.as_str() && edge.port == Some(*port))
}

fn comes_first(mesh: &Mesh, id: &RouteId, other: &RouteName) -> bool {
    let order = mesh.routers.get(&id.router).map(Router::routes_in_order).unwrap_or_default();
    let place = |wanted: &RouteName| order.iter().position(|(name, _)| *name == wanted);
    matches!((place(&id.route), place(other)), (Some(own), Some(other)) if own < other)
}

fn by_gateway_route(moved: &Moved<'_>, gateway: &VirtualGatewayName, name: &GatewayRouteName) -> Vec<Cut> {
    let Moved { was, will, before, after } = *moved;
    let resource = ResourcePath::GatewayRoute(after.name.clone(), gateway.clone(), name.clone());
    let from = ResourcePath::VirtualGateway(after.name.clone(), gateway.clone());
    let Some(now) = after.gateways.get(gateway) else { return Vec::new() };
    let Some(route) = now.routes.get(name) else { return Vec::new() };
    let Some(target) = route.rule.target().and_then(|target| Target::find(after, target)) else { return Vec::new() };
    let Some(entry) = before.gateways.get(gateway) else { return Vec::new() };
    let works = |other: &GatewayRouteSpec| {
        let target = other.rule.target().and_then(|target| Target::find(before, target));
        target.is_some_and(|target| arriving(was, before, &from, target).any(|edge| broken(edge).is_none()))
    };
    let comes_first = |entry: &Gateway, own: &GatewayRouteSpec, other: &GatewayRouteName| {
        let order = entry.routes_in_order();
        let place = |wanted: &GatewayRouteName| order.iter().position(|(name, _)| *name == wanted);
        let is_first = matches!((place(name), place(other)), (Some(own), Some(other)) if own < other);
        is_first && entry.routes.get(other).is_some_and(|other| overlap_at_gateway(own, other))
    };
    let former = entry.routes.get(name);
    let mut found = Vec::new();
    if let Some(former) = former.filter(|former| works(former)) {
        for (other, spec) in now.routes.iter().filter(|(other, _)| *other != name) {
            let is_overtaken = comes_first(entry, former, other) && !comes_first(now, route, other);
            let target = spec.rule.target().and_then(|target| Target::find(after, target));
            if let Some(target) = target.filter(|_| is_overtaken && overlap_at_gateway(route, spec)) {
                found.extend(handshake_cuts(will, after, &from, target, &resource));
            }
        }
    }
    let takes_over = entry.routes.iter().filter(|(other, _)| *other != name).any(|(other, spec)| {
        let took = former.is_some_and(|former| {
            comes_first(entry, former, other) && at_gateway(&route.rule).0.are_within(&at_gateway(&former.rule).0)
        });
        works(spec) && comes_first(now, route, other) && !took
    });
    if takes_over {
        found.extend(handshake_cuts(will, after, &from, target, &resource));
    }
    found
}

/// The cuts of calls to a target, where their handshakes fail.
fn handshake_cuts(
    edges: &[Edge],
    mesh: &Mesh,
    from: &ResourcePath,
    target: Target<'_>,
    resource: &ResourcePath,
) -> Vec<Cut> {
    let faults = arriving(edges, mesh, from, target)
        .filter_map(|edge| Some((edge, broken(edge).filter(|fault| is_of_handshake(fault))?)));
    faults.map(|(edge, fault)| cut(resource, edge, fault)).collect()
}

/// The paths of a match, as far as they can be compared.
enum Paths<'a> {
    Below(Cow<'a, str>),
    Exactly(&'a str),
    Some,
}

impl Paths<'_> {
    /// Whether the others include all of these; `true` if that is undecidable.
    fn are_within(&self, others: &Self) -> bool {
        match (self, others) {
            (Self::Below(own), Self::Below(other)) => own.starts_with(&**other),
            (Self::Exactly(own), Self::Below(other)) => own.starts_with(&**other),
            (Self::Exactly(own), Self::Exactly(other)) => own == other,
            (Self::Below(_), Self::Exactly(_)) | (Self::Some, Self::Below(_) | Self::Exactly(_)) => false,
            (_, Self::Some) => true,
        }
    }

    fn overlap(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Below(one), Self::Below(other)) => one.starts_with(&**other) || other.starts_with(&**one),
            (Self::Below(prefix), Self::Exactly(path)) | (Self::Exactly(path), Self::Below(prefix)) => {
                path.starts_with(&**prefix)
            }
            (Self::Exactly(one), Self::Exactly(other)) => one == other,
            (Self::Some, _) | (_, Self::Some) => true,
        }
    }
}

fn of_http<'a>(prefix: Option<&'a str>, path: Option<&'a HttpPathMatch>) -> Paths<'a> {
    match (prefix, path) {
        (Some(prefix), _) => Paths::Below(prefix.into()),
        (None, Some(HttpPathMatch::Exact(path))) => Paths::Exactly(path.as_str()),
        (None, Some(HttpPathMatch::Regex(_) | HttpPathMatch::Unrecognised(_)) | None) => Paths::Some,
    }
}

/// The path of a gRPC request begins with its service.
fn of_grpc(service: Option<&str>) -> Paths<'_> {
    service.map_or(Paths::Some, |service| Paths::Below(format!("/{service}/").into()))
}

fn paths(rule: &RouteRule) -> Paths<'_> {
    match rule {
        RouteRule::Http(route) | RouteRule::Http2(route) => {
            of_http(route.matches.prefix.as_deref(), route.matches.path.as_ref())
        }
        RouteRule::Grpc(route) => of_grpc(route.matches.service_name.as_deref()),
        RouteRule::Tcp(_) | RouteRule::Unrecognised(_) => Paths::Some,
    }
}

/// Whether two routes may match one request; `true` if that is undecidable.
fn overlap(one: &RouteSpec, other: &RouteSpec) -> bool {
    let is_tcp = |route: &RouteSpec| matches!(route.rule, RouteRule::Tcp(_));
    is_tcp(one) == is_tcp(other)
        && same_port(one.rule.match_port(), other.rule.match_port())
        && paths(&one.rule).overlap(&paths(&other.rule))
}

/// The paths and hosts of a gateway route.
fn at_gateway(rule: &GatewayRouteRule) -> (Paths<'_>, Option<&HostnameMatch>) {
    match rule {
        GatewayRouteRule::Http(route) | GatewayRouteRule::Http2(route) => {
            let matches = &route.matches;
            (of_http(matches.prefix.as_deref(), matches.path.as_ref()), matches.hostname.as_ref())
        }
        GatewayRouteRule::Grpc(route) => {
            (of_grpc(route.matches.service_name.as_deref()), route.matches.hostname.as_ref())
        }
        GatewayRouteRule::Unrecognised(_) => (Paths::Some, None),
    }
}

/// The same for gateway routes.
fn overlap_at_gateway(one: &GatewayRouteSpec, other: &GatewayRouteSpec) -> bool {
    let ((paths, host), (other_paths, other_host)) = (at_gateway(&one.rule), at_gateway(&other.rule));
    let hosts_differ = match (host, other_host) {
        (Some(HostnameMatch::Exact(one)), Some(HostnameMatch::Exact(other))) => one != other,
        (Some(HostnameMatch::Exact(_) | HostnameMatch::Suffix(_) | HostnameMatch::Unrecognised(_)) | None, _) => false,
    };
    !hosts_differ && same_port(one.rule.match_port(), other.rule.match_port()) && paths.overlap(&other_paths)
}

fn same_port(one: Option<Port>, other: Option<Port>) -> bool {
    one.is_none() || other.is_none() || one == other
}
