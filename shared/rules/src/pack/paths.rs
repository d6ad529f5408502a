//! Call paths: the number of attempts that one request causes on its way through the mesh.
//!
//! ```text
//!   node or gateway ──▶ virtual service ──▶ router ──▶ node, with the tries of the route
//!                              └──────────────────────▶ node, with the service's own tries
//! ```
//!
//! Services and routers are separate vertices, so the number of steps grows with the references, and not with the
//! product of callers and targets.

use std::collections::{BTreeMap, HashMap};

use mesh::graph::{Links, Provider};
use mesh::name::{RouteName, VirtualNodeName, VirtualRouterName};
use mesh::spec::RouteRule;

/// The attempts of a request without a retry policy: the first one and two retries.
pub(super) const DEFAULT_ATTEMPTS: u64 = 3;

/// The call paths of a mesh.
pub(super) struct CallPaths<'m> {
    vertices: Vec<Vertex<'m>>,
    steps: Vec<Vec<PathStep<'m>>>,
    /// The component of each vertex: vertices that reach each other share one. A called vertex has a smaller number.
    component: Vec<usize>,
    /// The most attempts that one request causes on its way to each vertex, and the previous vertex on that way.
    tries: Vec<(u64, Option<usize>)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Vertex<'m> {
    Gateway,
    Node(&'m VirtualNodeName),
    Service,
    Router(&'m VirtualRouterName),
}

/// A step from one vertex to another.
#[derive(Clone, Copy)]
struct PathStep<'m> {
    to: usize,
    tries: u64,
    route: Option<&'m RouteName>,
}

/// A step at which a request causes more attempts than allowed.
pub(super) struct Amplified<'m> {
    pub(super) router: Option<&'m VirtualRouterName>,
    pub(super) route: Option<&'m RouteName>,
    pub(super) node: &'m VirtualNodeName,
    pub(super) tries: u64,
    /// The nodes on the way, the first caller first, each with the accumulated attempts.
    pub(super) path: Vec<(&'m VirtualNodeName, u64)>,
}

impl<'m> CallPaths<'m> {
    pub(super) fn from_links(links: &Links<'m>) -> Self {
        let mut paths = PathsBuilder::default().read(links);
        paths.component = components(&paths.steps);
        paths.tries = paths.most_attempts();
        paths
    }

    /// The nodes that call each other in a cycle, cycle by cycle, in the order of their names.
    pub(super) fn cycles(&self) -> Vec<Vec<&'m VirtualNodeName>> {
        let mut members: BTreeMap<usize, Vec<&VirtualNodeName>> = BTreeMap::new();
        for (vertex, component) in self.vertices.iter().zip(&self.component) {
            if let Vertex::Node(name) = vertex {
                members.entry(*component).or_default().push(name);
            }
        }
        // A node alone in its component is in a cycle only if a service or router is in the component too.
        let mut sizes: HashMap<usize, usize> = HashMap::new();
        for component in &self.component {
            *sizes.entry(*component).or_default() += 1;
        }
        let size = |component: &usize| sizes.get(component).copied().unwrap_or_default();
        let is_in_cycle = members.into_iter().filter(|(component, _)| size(component) > 1);
        let mut cycles: Vec<_> = is_in_cycle.map(|(_, nodes)| nodes).collect();
        cycles.sort();
        cycles
    }

    /// Every step at which a request exceeds the allowed attempts and its caller does not exceed them yet.
    pub(super) fn amplified(&self, limit: u64) -> Vec<Amplified<'m>> {
        let mut found = Vec::new();
        for (from, steps) in self.steps.iter().enumerate() {
            let before = self.tries.get(from).map_or(1, |(tries, _)| *tries);
            let crossing = steps.iter().filter(|step| {
                step.tries > 1
                    && before <= limit
                    && before.saturating_mul(step.tries) > limit
                    && !self.is_in_cycle(from, step)
            });
            for step in crossing {
                let Some(Vertex::Node(node)) = self.vertices.get(step.to) else { continue };
                let router = match self.vertices.get(from) {
                    Some(Vertex::Router(router)) => Some(*router),
                    _ => None,
                };
                let tries = before.saturating_mul(step.tries);
                let mut path = self.way_to(from);
                path.push((*node, tries));
                found.push(Amplified { router, route: step.route, node, tries, path });
            }
        }
        found
    }

    fn is_in_cycle(&self, from: usize, step: &PathStep<'_>) -> bool {
        self.component.get(from) == self.component.get(step.to)
    }

    /// The nodes on the way with the most attempts to a vertex.
    fn way_to(&self, vertex: usize) -> Vec<(&'m VirtualNodeName, u64)> {
        let mut way = Vec::new();
        let mut at = Some(vertex);
        // Each step back leads to an earlier component, so the loop ends.
        while let Some(index) = at {
            let Some((tries, before)) = self.tries.get(index) else { break };
            if let Some(Vertex::Node(name)) = self.vertices.get(index) {
                way.push((*name, *tries));
            }
            at = *before;
        }
        way.reverse();
        way
    }

    /// The most attempts on the way to each vertex. Steps within a cycle would have no bound, so they count once.
    fn most_attempts(&self) -> Vec<(u64, Option<usize>)> {
        let mut tries = vec![(1_u64, None); self.vertices.len()];
        let mut order: Vec<usize> = (0..self.vertices.len()).collect();
        // Callers first; within a component in the order of the vertices.
        order.sort_by_key(|index| (std::cmp::Reverse(self.component.get(*index).copied()), *index));
        for from in order {
            let before = tries.get(from).map_or(1, |(tries, _)| *tries);
            for step in self.steps.get(from).into_iter().flatten().filter(|step| !self.is_in_cycle(from, step)) {
                let arrives = before.saturating_mul(step.tries);
                if let Some(most) = tries.get_mut(step.to)
                    && (arrives > most.0 || most.1.is_none())
                {
                    *most = (arrives, Some(from));
                }
            }
        }
        tries
    }
}

/// Vertices and steps while the links are read.
#[derive(Default)]
struct PathsBuilder<'m> {
    vertices: Vec<Vertex<'m>>,
    steps: Vec<Vec<PathStep<'m>>>,
}

impl<'m> PathsBuilder<'m> {
    fn add(&mut self, vertex: Vertex<'m>) -> usize {
        self.vertices.push(vertex);
        self.steps.push(Vec::new());
        self.vertices.len() - 1
    }

    fn step(&mut self, from: usize, step: PathStep<'m>) {
        if let Some(steps) = self.steps.get_mut(from) {
            steps.push(step);
        }
    }

    fn read(mut self, links: &Links<'m>) -> CallPaths<'m> {
        // Nodes, services and routers keep the order of the links. The index of each is offset by the vertices before
        // it.
        let nodes: Vec<usize> = links.nodes.iter().map(|(name, _)| self.add(Vertex::Node(name))).collect();
        let services: Vec<usize> = links.services.iter().map(|_| self.add(Vertex::Service)).collect();
        let routers: Vec<usize> = links.routers.iter().map(|(name, _)| self.add(Vertex::Router(name))).collect();
        let gateways: Vec<usize> = links.gateways.iter().map(|_| self.add(Vertex::Gateway)).collect();
        let vertex = |vertices: &[usize], number: usize| vertices.get(number).copied().unwrap_or_default();
        let plain = |to: usize| PathStep { to, tries: 1, route: None };
        for (number, from) in nodes.iter().enumerate() {
            for service in links.backends(number) {
                self.step(*from, plain(vertex(&services, *service)));
            }
        }
        for route in &links.gateway_routes {
            if let Some(service) = route.service {
                self.step(vertex(&gateways, route.gateway), plain(vertex(&services, service)));
            }
        }
        for (number, from) in services.iter().enumerate() {
            let step = match links.provider(number) {
                Some(Provider::Router(router)) => plain(vertex(&routers, router)),
                Some(Provider::Node(node)) => {
                    let tries = links.nodes.get(node).map_or(1, default_attempts_towards);
                    PathStep { to: vertex(&nodes, node), tries, route: None }
                }
                None => continue,
            };
            self.step(*from, step);
        }
        for route in &links.routes {
            let tries = tries(&route.spec.rule);
            let weights = route.spec.rule.action().into_iter().flat_map(|action| action.weighted_targets.iter());
            let used = route.targets.iter().zip(weights).filter(|(_, target)| target.weight.get() > 0);
            for (node, _) in used.filter(|(node, _)| links.nodes.get(**node).is_some()) {
                let step = PathStep { to: vertex(&nodes, *node), tries, route: Some(route.name) };
                self.step(vertex(&routers, route.router), step);
            }
        }
        CallPaths { vertices: self.vertices, steps: self.steps, component: Vec::new(), tries: Vec::new() }
    }
}

/// The most attempts of a route for one request.
pub(super) fn tries(rule: &RouteRule) -> u64 {
    let given = match rule {
        RouteRule::Http(route) | RouteRule::Http2(route) => {
            route.retry_policy.as_ref().map(|policy| policy.max_retries)
        }
        RouteRule::Grpc(route) => route.retry_policy.as_ref().map(|policy| policy.max_retries),
        RouteRule::Tcp(_) | RouteRule::Unrecognised(_) => return 1,
    };
    given.map_or(DEFAULT_ATTEMPTS, |retries| u64::try_from(retries.get()).unwrap_or(0).saturating_add(1))
}

fn default_attempts_towards(node: &mesh::spec::VirtualNodeSpec) -> u64 {
    let tcp = |listener: &mesh::spec::Listener| listener.port_mapping.protocol == mesh::spec::Protocol::Tcp;
    if node.listeners().iter().all(tcp) { 1 } else { DEFAULT_ATTEMPTS }
}

/// The strongly connected components by Tarjan's algorithm, without recursion: a deep call path must not
/// overflow the stack.
fn components(steps: &[Vec<PathStep<'_>>]) -> Vec<usize> {
    const UNSEEN: usize = usize::MAX;
    let count = steps.len();
    let (mut index, mut low) = (vec![UNSEEN; count], vec![0; count]);
    let mut component = vec![UNSEEN; count];
    let (mut stack, mut next, mut found) = (Vec::new(), 0, 0);
    let read = |list: &[usize], at: usize| list.get(at).copied().unwrap_or(UNSEEN);
    let write = |list: &mut [usize], at: usize, value: usize| {
        if let Some(place) = list.get_mut(at) {
            *place = value;
        }
    };
    for root in 0..count {
        if read(&index, root) != UNSEEN {
            continue;
        }
        let mut calls = vec![(root, 0_usize)];
        while let Some((vertex, position)) = calls.pop() {
            if position == 0 {
                write(&mut index, vertex, next);
                write(&mut low, vertex, next);
                next += 1;
                stack.push(vertex);
            }
            if let Some(step) = steps.get(vertex).and_then(|steps| steps.get(position)) {
                calls.push((vertex, position + 1));
                if read(&index, step.to) == UNSEEN {
                    calls.push((step.to, 0));
                } else if read(&component, step.to) == UNSEEN {
                    let lowest = read(&low, vertex).min(read(&index, step.to));
                    write(&mut low, vertex, lowest);
                }
                continue;
            }
            if read(&low, vertex) == read(&index, vertex) {
                while let Some(member) = stack.pop() {
                    write(&mut component, member, found);
                    if member == vertex {
                        break;
                    }
                }
                found += 1;
            }
            if let Some((caller, _)) = calls.last() {
                let lowest = read(&low, *caller).min(read(&low, vertex));
                write(&mut low, *caller, lowest);
            }
        }
    }
    component
}
