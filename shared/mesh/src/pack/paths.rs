//! Call paths: what becomes of one request on its way through the mesh.
//!
//! ```text
//!   node or gateway ──▶ virtual service ──▶ router ──▶ node, with the tries of the route
//!                              └──────────────────────▶ node, with the service's own tries
//! ```
//!
//! Services and routers are steps of their own, so the number of steps grows with the references, and not with who
//! calls times who answers.

use std::collections::{BTreeMap, HashMap};

use crate::graph::Mesh;
use crate::name::{RouteName, VirtualNodeName, VirtualRouterName};
use crate::spec::{RouteRule, VirtualServiceProvider};

/// How often the service tries on its own, where no retry policy says otherwise: once, and two retries.
pub(super) const OWN_TRIES: u64 = 3;

/// The call paths of a mesh.
pub(super) struct Paths<'m> {
    vertices: Vec<Vertex<'m>>,
    steps: Vec<Vec<Step<'m>>>,
    /// The component of each vertex: vertices that reach each other share one. Whatever is called has a smaller number.
    component: Vec<usize>,
    /// The most tries that one request can become on its way to each vertex, and the vertex before it on that way.
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
struct Step<'m> {
    to: usize,
    tries: u64,
    route: Option<&'m RouteName>,
}

/// Where a request becomes more tries than are allowed.
pub(super) struct Amplified<'m> {
    pub(super) router: Option<&'m VirtualRouterName>,
    pub(super) route: Option<&'m RouteName>,
    pub(super) node: &'m VirtualNodeName,
    pub(super) tries: u64,
    /// The nodes on the way, the first caller first, with the tries that have come together at each.
    pub(super) path: Vec<(&'m VirtualNodeName, u64)>,
}

impl<'m> Paths<'m> {
    pub(super) fn of(mesh: &'m Mesh) -> Self {
        let mut paths = Draft::default().read(mesh);
        paths.component = components(&paths.steps);
        paths.tries = paths.most_tries();
        paths
    }

    /// The nodes that call each other in a circle, circle by circle, in the order of their names.
    pub(super) fn circles(&self) -> Vec<Vec<&'m VirtualNodeName>> {
        let mut members: BTreeMap<usize, Vec<&VirtualNodeName>> = BTreeMap::new();
        for (vertex, component) in self.vertices.iter().zip(&self.component) {
            if let Vertex::Node(name) = vertex {
                members.entry(*component).or_default().push(name);
            }
        }
        // A node alone in its component is in a circle only if a service or router is there with it.
        let mut sizes: HashMap<usize, usize> = HashMap::new();
        for component in &self.component {
            *sizes.entry(*component).or_default() += 1;
        }
        let size = |component: &usize| sizes.get(component).copied().unwrap_or_default();
        let circular = members.into_iter().filter(|(component, _)| size(component) > 1);
        let mut circles: Vec<_> = circular.map(|(_, nodes)| nodes).collect();
        circles.sort();
        circles
    }

    /// Every step by which a request becomes more tries than allowed, of which the caller had not yet that many.
    pub(super) fn amplified(&self, limit: u64) -> Vec<Amplified<'m>> {
        let mut found = Vec::new();
        for (from, steps) in self.steps.iter().enumerate() {
            let before = self.tries.get(from).map_or(1, |(tries, _)| *tries);
            let crossing = steps.iter().filter(|step| {
                step.tries > 1
                    && before <= limit
                    && before.saturating_mul(step.tries) > limit
                    && !self.circular(from, step)
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

    fn circular(&self, from: usize, step: &Step<'_>) -> bool {
        self.component.get(from) == self.component.get(step.to)
    }

    /// The nodes on the way with the most tries to a vertex.
    fn way_to(&self, vertex: usize) -> Vec<(&'m VirtualNodeName, u64)> {
        let mut way = Vec::new();
        let mut at = Some(vertex);
        // Each step back leads to a component that comes earlier, so this ends.
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

    /// The most tries on the way to each vertex. Within a circle they would be without bound; they count once there.
    fn most_tries(&self) -> Vec<(u64, Option<usize>)> {
        let mut tries = vec![(1_u64, None); self.vertices.len()];
        let mut order: Vec<usize> = (0..self.vertices.len()).collect();
        // Callers first; within a component in the order of the vertices.
        order.sort_by_key(|index| (std::cmp::Reverse(self.component.get(*index).copied()), *index));
        for from in order {
            let before = tries.get(from).map_or(1, |(tries, _)| *tries);
            for step in self.steps.get(from).into_iter().flatten().filter(|step| !self.circular(from, step)) {
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

/// Vertices and steps, as they are read.
#[derive(Default)]
struct Draft<'m> {
    vertices: Vec<Vertex<'m>>,
    steps: Vec<Vec<Step<'m>>>,
}

impl<'m> Draft<'m> {
    fn add(&mut self, vertex: Vertex<'m>) -> usize {
        self.vertices.push(vertex);
        self.steps.push(Vec::new());
        self.vertices.len() - 1
    }

    fn step(&mut self, from: usize, step: Step<'m>) {
        if let Some(steps) = self.steps.get_mut(from) {
            steps.push(step);
        }
    }

    fn read(mut self, mesh: &'m Mesh) -> Paths<'m> {
        let nodes: HashMap<_, _> = mesh.nodes.keys().map(|name| (name, self.add(Vertex::Node(name)))).collect();
        let services: HashMap<_, _> = mesh.services.keys().map(|name| (name, self.add(Vertex::Service))).collect();
        let routers: HashMap<_, _> = mesh.routers.keys().map(|name| (name, self.add(Vertex::Router(name)))).collect();
        let plain = |to: usize| Step { to, tries: 1, route: None };
        for (name, node) in &mesh.nodes {
            for service in node.backend_services().filter_map(|service| services.get(service)) {
                if let Some(from) = nodes.get(name) {
                    self.step(*from, plain(*service));
                }
            }
        }
        for gateway in mesh.gateways.values() {
            let from = self.add(Vertex::Gateway);
            for target in gateway.routes.values().filter_map(|route| route.rule.target()) {
                let service = services.get(&target.virtual_service.virtual_service_name);
                if let Some(to) = service {
                    self.step(from, plain(*to));
                }
            }
        }
        for (name, spec) in &mesh.services {
            let Some(from) = services.get(name) else { continue };
            let step = match &spec.provider {
                Some(VirtualServiceProvider::VirtualRouter(provider)) => {
                    routers.get(&provider.virtual_router_name).map(|to| plain(*to))
                }
                Some(VirtualServiceProvider::VirtualNode(provider)) => {
                    let tries = mesh.nodes.get(&provider.virtual_node_name).map_or(1, own_tries_towards);
                    nodes.get(&provider.virtual_node_name).map(|to| Step { to: *to, tries, route: None })
                }
                Some(VirtualServiceProvider::Unrecognised(_)) | None => None,
            };
            if let Some(step) = step {
                self.step(*from, step);
            }
        }
        for (name, router) in &mesh.routers {
            let Some(from) = routers.get(name) else { continue };
            for (route, spec) in &router.routes {
                let tries = tries(&spec.rule);
                let targets = spec.rule.action().into_iter().flat_map(|action| action.weighted_targets.iter());
                let used = targets.filter(|target| target.weight.get() > 0);
                for to in used.filter_map(|target| nodes.get(&target.virtual_node)) {
                    self.step(*from, Step { to: *to, tries, route: Some(route) });
                }
            }
        }
        Paths { vertices: self.vertices, steps: self.steps, component: Vec::new(), tries: Vec::new() }
    }
}

/// How often a route tries a request at the most.
pub(super) fn tries(rule: &RouteRule) -> u64 {
    let given = match rule {
        RouteRule::Http(route) | RouteRule::Http2(route) => {
            route.retry_policy.as_ref().map(|policy| policy.max_retries)
        }
        RouteRule::Grpc(route) => route.retry_policy.as_ref().map(|policy| policy.max_retries),
        RouteRule::Tcp(_) | RouteRule::Unrecognised(_) => return 1,
    };
    given.map_or(OWN_TRIES, |retries| u64::try_from(retries.get()).unwrap_or(0).saturating_add(1))
}

fn own_tries_towards(node: &crate::spec::VirtualNodeSpec) -> u64 {
    let tcp = |listener: &crate::spec::Listener| listener.port_mapping.protocol == crate::spec::Protocol::Tcp;
    if node.listeners().iter().all(tcp) { 1 } else { OWN_TRIES }
}

/// The strongly connected components by Tarjan's algorithm, without recursion: deep call paths must not end the stack.
fn components(steps: &[Vec<Step<'_>>]) -> Vec<usize> {
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
