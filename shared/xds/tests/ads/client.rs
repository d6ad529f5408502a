//! A model of a client, and snapshots that name each other.
//!
//! A route `r` of the synthetic snapshots holds, as its timeout-free body, the names of the clusters that it leads to.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::endpoint::v3::{ClusterLoadAssignment, LocalityLbEndpoints};
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::google::rpc::Status as RpcStatus;
use prost::Message as _;
use xds::ads::{DeltaStream, FormerClusters, SotwStream};
use xds::{Resource, ResourceType, Snapshot};

/// What a synthetic mesh has: clusters with a generation each, and listeners that each have a route to clusters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct World {
    /// Cluster by name, with what changes about it.
    pub(crate) clusters: BTreeMap<String, u32>,
    /// The clusters that each listener's route leads to, and what changes about the listener.
    pub(crate) routes: BTreeMap<String, (u32, BTreeSet<String>)>,
}

impl World {
    /// The snapshot; routes name only clusters that exist.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut resources = Vec::new();
        for (name, generation) in &self.clusters {
            let cluster = Cluster { name: name.clone(), alt_stat_name: generation.to_string(), ..Cluster::default() };
            resources.push((ResourceType::Cluster, name.clone(), Resource::encode(&cluster)));
            let locality = LocalityLbEndpoints { priority: *generation, ..LocalityLbEndpoints::default() };
            let endpoints = ClusterLoadAssignment {
                cluster_name: name.clone(),
                endpoints: vec![locality],
                ..ClusterLoadAssignment::default()
            };
            resources.push((ResourceType::Endpoint, name.clone(), Resource::encode(&endpoints)));
        }
        for (name, (generation, clusters)) in &self.routes {
            let listener = Listener { name: name.clone(), stat_prefix: generation.to_string(), ..Listener::default() };
            resources.push((ResourceType::Listener, name.clone(), Resource::encode(&listener)));
            let route = RouteConfiguration {
                name: name.clone(),
                internal_only_headers: clusters
                    .iter()
                    .filter(|name| self.clusters.contains_key(*name))
                    .cloned()
                    .collect(),
                ..RouteConfiguration::default()
            };
            resources.push((ResourceType::Route, name.clone(), Resource::encode(&route)));
        }
        Snapshot::new(resources)
    }
}

/// What a client holds, by type and name.
pub(crate) type Held = BTreeMap<ResourceType, BTreeMap<String, Vec<u8>>>;

/// The clusters that the routes held lead to, and that are not held, or without their endpoints: a cluster does nothing
/// before it has them.
pub(crate) fn dangling(held: &Held) -> Vec<String> {
    let of = |kind| held.get(&kind).cloned().unwrap_or_default();
    let (clusters, listeners) = (of(ResourceType::Cluster), of(ResourceType::Listener));
    let endpoints = of(ResourceType::Endpoint);
    let mut missing = Vec::new();
    // A route that no listener names any more is not used.
    for (_, body) in of(ResourceType::Route).into_iter().filter(|(name, _)| listeners.contains_key(name)) {
        let route = RouteConfiguration::decode(body.as_slice()).unwrap();
        let works = |name: &String| clusters.contains_key(name) && endpoints.contains_key(name);
        missing.extend(route.internal_only_headers.into_iter().filter(|name| !works(name)));
    }
    missing
}

/// What a client that is at rest should hold of a snapshot.
pub(crate) fn wanted(snapshot: &Snapshot) -> Held {
    let mut held = Held::new();
    for kind in [ResourceType::Cluster, ResourceType::Endpoint, ResourceType::Listener, ResourceType::Route] {
        let of: BTreeMap<_, _> =
            snapshot.of(kind).map(|(name, resource)| (name.clone(), resource.body().to_vec())).collect();
        held.insert(kind, of);
    }
    held
}

/// A client as Envoy is: all clusters and listeners, the endpoints of its clusters, the routes of its listeners.
pub(crate) trait Client {
    /// Handles the oldest message on its way to the client; refuses it if told to. False if there is none.
    fn receive(&mut self, refuse: bool) -> bool;
    /// Handles the oldest message on its way to the server. False if there is none.
    fn deliver(&mut self, snapshot: &Snapshot) -> bool;
    /// Tells the server of a new snapshot.
    fn update(&mut self, snapshot: &Snapshot);
    /// The stream breaks, and the client comes back with what it has.
    fn reconnect(&mut self);
    fn held(&self) -> &Held;
    /// Whether the server says that the client has all of a snapshot.
    fn has(&self, snapshot: &Snapshot) -> bool;
    /// What the server has sent and not been told about.
    fn under_way(&self) -> usize;

    /// Lets all messages arrive.
    fn settle(&mut self, snapshot: &Snapshot) {
        for _ in 0..10_000 {
            let moved = self.deliver(snapshot) | self.receive(false);
            if !moved {
                return;
            }
        }
        panic!("never at rest");
    }
}

/// By state of the world.
#[derive(Default)]
pub(crate) struct Sotw {
    stream: SotwStream,
    former: Vec<FormerClusters>,
    to_server: VecDeque<DiscoveryRequest>,
    to_client: VecDeque<DiscoveryResponse>,
    held: Held,
    versions: BTreeMap<ResourceType, String>,
    nonces: BTreeMap<ResourceType, String>,
    names: BTreeMap<ResourceType, BTreeSet<String>>,
    pub(crate) sent: Vec<ResourceType>,
}

impl Sotw {
    pub(crate) fn connected() -> Self {
        let mut client = Self::default();
        client.reconnect();
        client
    }

    /// The stream breaks, and the next server has never heard of the client.
    pub(crate) fn reconnect_elsewhere(&mut self) {
        self.stream = SotwStream::default();
        self.former.clear();
        self.reconnect();
    }

    fn ask(&mut self, kind: ResourceType, error: Option<&str>) {
        self.to_server.push_back(DiscoveryRequest {
            type_url: kind.url().to_owned(),
            version_info: self.versions.get(&kind).cloned().unwrap_or_default(),
            response_nonce: self.nonces.get(&kind).cloned().unwrap_or_default(),
            resource_names: self.names.get(&kind).into_iter().flatten().cloned().collect(),
            error_detail: error.map(|message| RpcStatus {
                code: 3,
                message: message.to_owned(),
                ..RpcStatus::default()
            }),
            ..DiscoveryRequest::default()
        });
    }

    /// Subscribes to what a change of clusters or listeners makes necessary.
    fn follow(&mut self, of: ResourceType, kind: ResourceType) {
        let names: BTreeSet<String> = self.held[&of].keys().cloned().collect();
        if self.names.get(&kind) != Some(&names) {
            if let Some(held) = self.held.get_mut(&kind) {
                held.retain(|name, _| names.contains(name));
            }
            self.names.insert(kind, names);
            self.ask(kind, None);
        }
    }
}

fn follower(kind: ResourceType) -> Option<ResourceType> {
    match kind {
        ResourceType::Cluster => Some(ResourceType::Endpoint),
        ResourceType::Listener => Some(ResourceType::Route),
        ResourceType::Endpoint | ResourceType::Secret | ResourceType::Route => None,
    }
}

impl Client for Sotw {
    fn receive(&mut self, refuse: bool) -> bool {
        let Some(response) = self.to_client.pop_front() else { return false };
        let kind = ResourceType::of_url(&response.type_url).unwrap();
        self.sent.push(kind);
        self.nonces.insert(kind, response.nonce.clone());
        if refuse {
            self.ask(kind, Some("no"));
            return true;
        }
        let held = self.held.entry(kind).or_default();
        if kind.is_wildcard() {
            held.clear();
        }
        let names = self.names.get(&kind);
        for resource in response.resources {
            let name = name_of(kind, &resource.value);
            if kind.is_wildcard() || names.is_some_and(|names| names.contains(&name)) {
                held.insert(name, resource.value);
            }
        }
        self.versions.insert(kind, response.version_info);
        self.ask(kind, None);
        if let Some(follower) = follower(kind) {
            self.follow(kind, follower);
        }
        true
    }

    fn deliver(&mut self, snapshot: &Snapshot) -> bool {
        let Some(request) = self.to_server.pop_front() else { return false };
        self.to_client.extend(self.stream.on_request(&request, snapshot));
        true
    }

    fn update(&mut self, snapshot: &Snapshot) {
        self.to_client.extend(self.stream.on_snapshot(snapshot));
    }

    fn reconnect(&mut self) {
        self.former.extend(self.stream.clusters());
        self.stream = SotwStream::new(self.former.clone());
        self.to_server.clear();
        self.to_client.clear();
        self.nonces.clear();
        for kind in [ResourceType::Cluster, ResourceType::Listener] {
            self.ask(kind, None);
        }
        for kind in [ResourceType::Endpoint, ResourceType::Route] {
            if self.names.contains_key(&kind) {
                self.ask(kind, None);
            }
        }
    }

    fn held(&self) -> &Held {
        &self.held
    }

    fn has(&self, snapshot: &Snapshot) -> bool {
        self.stream.has(snapshot)
    }

    fn under_way(&self) -> usize {
        self.to_client.len()
    }
}

pub(crate) fn name_of(kind: ResourceType, body: &[u8]) -> String {
    match kind {
        ResourceType::Cluster => Cluster::decode(body).unwrap().name,
        ResourceType::Endpoint => ClusterLoadAssignment::decode(body).unwrap().cluster_name,
        ResourceType::Listener => Listener::decode(body).unwrap().name,
        ResourceType::Route => RouteConfiguration::decode(body).unwrap().name,
        ResourceType::Secret => panic!("there are none here"),
    }
}

/// By delta.
#[derive(Default)]
pub(crate) struct Delta {
    stream: DeltaStream,
    to_server: VecDeque<DeltaDiscoveryRequest>,
    to_client: VecDeque<DeltaDiscoveryResponse>,
    held: Held,
    versions: BTreeMap<ResourceType, BTreeMap<String, String>>,
    names: BTreeMap<ResourceType, BTreeSet<String>>,
    pub(crate) sent: Vec<ResourceType>,
}

impl Delta {
    pub(crate) fn connected() -> Self {
        let mut client = Self::default();
        client.reconnect();
        client
    }

    fn follow(&mut self, of: ResourceType, kind: ResourceType) {
        let names: BTreeSet<String> = self.held[&of].keys().cloned().collect();
        let before = self.names.insert(kind, names.clone()).unwrap_or_default();
        let subscribe: Vec<String> = names.difference(&before).cloned().collect();
        let unsubscribe: Vec<String> = before.difference(&names).cloned().collect();
        for name in &unsubscribe {
            self.held.entry(kind).or_default().remove(name);
            self.versions.entry(kind).or_default().remove(name);
        }
        if !subscribe.is_empty() || !unsubscribe.is_empty() {
            self.to_server.push_back(DeltaDiscoveryRequest {
                type_url: kind.url().to_owned(),
                resource_names_subscribe: subscribe,
                resource_names_unsubscribe: unsubscribe,
                ..DeltaDiscoveryRequest::default()
            });
        }
    }
}

impl Client for Delta {
    fn receive(&mut self, refuse: bool) -> bool {
        let Some(response) = self.to_client.pop_front() else { return false };
        let kind = ResourceType::of_url(&response.type_url).unwrap();
        self.sent.push(kind);
        let reply = DeltaDiscoveryRequest {
            type_url: kind.url().to_owned(),
            response_nonce: response.nonce,
            error_detail: refuse.then(|| RpcStatus { code: 3, message: "no".to_owned(), ..RpcStatus::default() }),
            ..DeltaDiscoveryRequest::default()
        };
        self.to_server.push_back(reply);
        if refuse {
            return true;
        }
        let names = self.names.get(&kind).cloned().unwrap_or_default();
        let (held, versions) = (self.held.entry(kind).or_default(), self.versions.entry(kind).or_default());
        for resource in response.resources {
            if kind.is_wildcard() || names.contains(&resource.name) {
                versions.insert(resource.name.clone(), resource.version);
                held.insert(resource.name, resource.resource.unwrap().value);
            }
        }
        for name in response.removed_resources {
            held.remove(&name);
            versions.remove(&name);
        }
        if let Some(follower) = follower(kind) {
            self.follow(kind, follower);
        }
        true
    }

    fn deliver(&mut self, snapshot: &Snapshot) -> bool {
        let Some(request) = self.to_server.pop_front() else { return false };
        self.to_client.extend(self.stream.on_request(&request, snapshot));
        true
    }

    fn update(&mut self, snapshot: &Snapshot) {
        self.to_client.extend(self.stream.on_snapshot(snapshot));
    }

    fn reconnect(&mut self) {
        self.stream = DeltaStream::new();
        self.to_server.clear();
        self.to_client.clear();
        for kind in [ResourceType::Cluster, ResourceType::Endpoint, ResourceType::Listener, ResourceType::Route] {
            let names = self.names.get(&kind);
            if kind.is_wildcard() || names.is_some() {
                self.to_server.push_back(DeltaDiscoveryRequest {
                    type_url: kind.url().to_owned(),
                    resource_names_subscribe: names.into_iter().flatten().cloned().collect(),
                    initial_resource_versions: self
                        .versions
                        .get(&kind)
                        .into_iter()
                        .flatten()
                        .map(|(n, v)| (n.clone(), v.clone()))
                        .collect(),
                    ..DeltaDiscoveryRequest::default()
                });
            }
        }
    }

    fn held(&self) -> &Held {
        &self.held
    }

    fn has(&self, snapshot: &Snapshot) -> bool {
        self.stream.has(snapshot)
    }

    fn under_way(&self) -> usize {
        self.to_client.len()
    }
}
