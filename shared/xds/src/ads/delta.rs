//! The delta protocol: each response carries the changed resources and the names of removed ones. A client that needs a
//! resource again subscribes to it again, and then gets a response.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource as Sent};
use envoy_types::pb::google::protobuf::Any;

use super::former::{FormerResources, has_inner_routes};
use super::route_steps::{RouteSteps, Step};
use super::status::{Nack, Status, version_of};
use super::{goes_last, leads};
use crate::resource::{Resource, ResourceType, Version};
use crate::snapshot::Snapshot;

/// The state of one client's delta stream.
#[derive(Debug, Default)]
pub struct DeltaStream {
    status: Status,
    types: BTreeMap<ResourceType, Asked>,
    nonces: u64,
    /// Whether the client reported resource versions from an earlier stream.
    returning: bool,
    /// The snapshot of the last sent clusters, until the client acknowledges or refuses them. The clusters need its
    /// endpoints and secrets to become warm, even if a later snapshot no longer has those.
    warming: Option<Snapshot>,
    /// The resources that the client may have from earlier streams.
    former: Vec<FormerResources>,
    /// The contents of the route configurations that the client holds, as far as they are known.
    routes: BTreeMap<String, Resource>,
    /// Whether the route configurations sent last include targets that only former ones of the client name.
    keeps_former_routes: bool,
}

/// The subscription of a client to one resource type, and the resources that the client has.
#[derive(Debug, Default)]
struct Asked {
    all: bool,
    names: BTreeSet<String>,
    /// The acknowledged resources with their versions.
    held: BTreeMap<String, Version>,
    /// The refused resources with their versions. A refused version is not sent again.
    refused: BTreeMap<String, Version>,
    nonce: Option<String>,
    /// The last response, until the client acknowledges or refuses it.
    outstanding: Option<Given>,
    /// The names that the client subscribed to and waits for, whether or not their resources changed.
    due: BTreeSet<String>,
    /// Whether the client waits for a response even if that response is empty.
    waits: bool,
}

#[derive(Debug, Default)]
struct Given {
    version: Option<Version>,
    changed: BTreeMap<String, Version>,
    gone: BTreeSet<String>,
    /// The contents of changed route configurations.
    routes: BTreeMap<String, Resource>,
}

impl Asked {
    fn includes(&self, name: &str) -> bool {
        self.all || self.names.contains(name)
    }
}

impl DeltaStream {
    /// Creates a stream without subscriptions. A returning client may have resources of the `former` sets.
    #[must_use]
    pub fn new(former: Vec<FormerResources>) -> Self {
        Self { former, ..Self::default() }
    }

    /// The versions that were sent, acknowledged and refused, by type.
    #[must_use]
    pub const fn status(&self) -> &Status {
        &self.status
    }

    /// The total length of the names that the client has subscribed to, in bytes.
    #[must_use]
    pub fn name_bytes(&self) -> usize {
        self.types.values().flat_map(|asked| &asked.names).map(String::len).sum()
    }

    /// The resources that the client may have if the stream breaks now, and that the next stream has to know: the route
    /// configurations of a gateway. They are the acknowledged ones, and those of an outstanding response.
    pub fn former(&self) -> impl Iterator<Item = FormerResources> {
        let asked = self.types.get(&ResourceType::Route);
        let sent = asked.and_then(|asked| asked.outstanding.as_ref()).map(|given| &given.routes);
        let sets = [Some(&self.routes), sent].into_iter().flatten().filter(|set| has_inner_routes(set));
        sets.map(|set| FormerResources {
            kind: ResourceType::Route,
            version: version_of(set.iter().map(|(name, resource)| (name, resource.version()))),
            resources: Arc::new(set.clone()),
        })
    }

    /// Whether the client lacks nothing of the snapshot, but still has targets of its former gateway routes. The caller
    /// calls [`Self::release`] once no request can be on its way to them.
    #[must_use]
    pub fn lingers(&self, snapshot: &Snapshot) -> bool {
        let asked = self.types.get(&ResourceType::Route);
        asked.is_some_and(|asked| asked.outstanding.is_none() && asked.refused.is_empty())
            && self.route_step(snapshot).lingers
    }

    /// Removes targets of former gateway routes if nothing else is left to do; returns the responses to send.
    pub fn release(&mut self, snapshot: &Snapshot) -> Vec<DeltaDiscoveryResponse> {
        if self.lingers(snapshot) {
            self.keeps_former_routes = false;
        }
        self.advance(snapshot)
    }

    fn route_step(&self, snapshot: &Snapshot) -> Step {
        let Some(asked) = self.types.get(&ResourceType::Route) else { return Step::whole(snapshot) };
        let steps = RouteSteps { held: &self.routes, keeps_former: self.keeps_former_routes };
        steps.next(snapshot, |name| asked.includes(name))
    }

    /// Whether the client has acknowledged all resources of a snapshot that it subscribes to.
    #[must_use]
    pub fn has(&self, snapshot: &Snapshot) -> bool {
        self.types.iter().all(|(kind, asked)| {
            let given = Self::difference(*kind, asked, snapshot, true);
            asked.outstanding.is_none() && asked.refused.is_empty() && given.changed.is_empty() && given.gone.is_empty()
        })
    }

    /// Whether the response with this nonce was sent, and is neither acknowledged nor refused yet.
    #[must_use]
    pub fn awaits(&self, kind: ResourceType, nonce: &str) -> bool {
        let asked = self.types.get(&kind);
        asked.is_some_and(|asked| asked.outstanding.is_some() && asked.nonce.as_deref() == Some(nonce))
    }

    /// Applies a request; returns the responses to send.
    pub fn on_request(&mut self, request: &DeltaDiscoveryRequest, snapshot: &Snapshot) -> Vec<DeltaDiscoveryResponse> {
        let Some(kind) = ResourceType::of_url(&request.type_url) else { return Vec::new() };
        let is_new = !self.types.contains_key(&kind);
        let asked = self.types.entry(kind).or_default();
        self.returning |= is_new && !request.initial_resource_versions.is_empty();
        if is_new {
            asked.held.extend(
                request
                    .initial_resource_versions
                    .iter()
                    // A version that this server does not know differs from every version that it sends.
                    .map(|(name, version)| (name.clone(), Version::told(version))),
            );
            asked.all = request.resource_names_subscribe.is_empty() && kind.is_wildcard();
            let former = self.former.iter().filter(|former| former.kind == ResourceType::Route && former.kind == kind);
            for (name, resource) in former.flat_map(|former| &*former.resources) {
                if asked.held.get(name) == Some(resource.version()) {
                    self.routes.insert(name.clone(), resource.clone());
                }
            }
        }
        for name in &request.resource_names_subscribe {
            if name == "*" {
                asked.all = true;
            } else {
                asked.names.insert(name.clone());
                // A returning client reports its version of the resource in the same request, and waits for no
                // response.
                if !(is_new && request.initial_resource_versions.contains_key(name)) {
                    asked.due.insert(name.clone());
                }
            }
        }
        for name in &request.resource_names_unsubscribe {
            if name == "*" {
                asked.all = false;
            } else {
                asked.names.remove(name);
                asked.due.remove(name);
            }
        }
        let Asked { all, names, held, refused, .. } = asked;
        held.retain(|name, _| *all || names.contains(name));
        refused.retain(|name, _| *all || names.contains(name));
        if kind == ResourceType::Route {
            self.routes.retain(|name, _| *all || names.contains(name));
        }
        if is_new && !held.is_empty() {
            // An earlier stream, perhaps of another process, got the ACK for these: versions follow from the content.
            let version = version_of(&*held);
            let status = self.status.of(kind);
            status.sent = Some(version.clone());
            status.acknowledged = Some(version);
            status.resources = held.clone();
        }
        if !request.response_nonce.is_empty() && asked.nonce.as_deref() == Some(request.response_nonce.as_str()) {
            self.settle(kind, request);
        }
        if let Some(asked) = self.types.get_mut(&kind) {
            // A client without any resource gets an empty response: it waits for one before it continues.
            asked.waits |= is_new && kind.is_wildcard() && request.initial_resource_versions.is_empty();
        }
        self.advance(snapshot)
    }

    /// Applies a new snapshot; returns the responses to send.
    pub fn on_snapshot(&mut self, snapshot: &Snapshot) -> Vec<DeltaDiscoveryResponse> {
        self.advance(snapshot)
    }

    /// Applies an ACK or a NACK.
    fn settle(&mut self, kind: ResourceType, request: &DeltaDiscoveryRequest) {
        let Some(asked) = self.types.get_mut(&kind) else { return };
        let Some(given) = asked.outstanding.take() else { return };
        if kind == ResourceType::Cluster {
            self.warming = None;
        }
        let status = self.status.of(kind);
        if let Some(error) = &request.error_detail {
            asked.refused.extend(given.changed);
            status.nack = given.version.map(|version| Nack { version, message: error.message.clone() });
            return;
        }
        for name in given.changed.keys().chain(&given.gone) {
            asked.refused.remove(name);
        }
        asked.held.retain(|name, _| !given.gone.contains(name));
        asked.held.extend(given.changed);
        if kind == ResourceType::Route {
            self.routes.extend(given.routes);
            self.routes.retain(|name, resource| asked.held.get(name) == Some(resource.version()));
        }
        let Asked { all, names, held, refused, .. } = asked;
        held.retain(|name, _| *all || names.contains(name));
        if refused.is_empty() {
            status.nack = None;
        }
        status.acknowledged = given.version;
        status.resources = held.clone();
    }

    /// Sends the first type with a difference or a waiting client, unless an earlier type must be acknowledged first.
    fn advance(&mut self, snapshot: &Snapshot) -> Vec<DeltaDiscoveryResponse> {
        let snapshot =
            &self.warming.as_ref().map_or_else(|| snapshot.clone(), |former| snapshot.with_support_of(former));
        let routes = self.route_step(snapshot);
        let mut clusters_settle = false;
        for kind in ResourceType::ALL {
            let Some(asked) = self.types.get(&kind) else { continue };
            if leads(kind) && (clusters_settle || self.endpoints_are_missing(snapshot)) {
                break;
            }
            if asked.outstanding.is_some() {
                if kind == ResourceType::Cluster {
                    clusters_settle = true;
                    continue;
                }
                break;
            }
            let may_go = !goes_last(kind) || self.nothing_names_them(snapshot);
            let is_route = kind == ResourceType::Route;
            let next = if is_route { &routes.snapshot } else { snapshot };
            let given = Self::difference(kind, asked, next, may_go);
            if given.changed.is_empty() && given.gone.is_empty() && !asked.waits {
                continue;
            }
            if is_route {
                self.keeps_former_routes = routes.keeps_former;
            }
            return self.send(kind, next, given).into_iter().collect();
        }
        Vec::new()
    }

    /// Whether the client has acknowledged clusters and not yet subscribed to their endpoints. Envoy subscribes to them
    /// at once, even if it had no subscription to endpoints before.
    fn endpoints_are_missing(&self, snapshot: &Snapshot) -> bool {
        let Some(clusters) = self.types.get(&ResourceType::Cluster) else { return false };
        let asked_for =
            |name: &str| self.types.get(&ResourceType::Endpoint).is_some_and(|endpoints| endpoints.includes(name));
        snapshot.of(ResourceType::Endpoint).any(|(name, _)| clusters.held.contains_key(name) && !asked_for(name))
    }

    /// The resources of a type to send. Resources that the client has and the snapshot lacks are removed only if
    /// `may_go`.
    fn difference(kind: ResourceType, asked: &Asked, snapshot: &Snapshot, may_go: bool) -> Given {
        let differs = |name: &String, version: &Version| {
            asked.held.get(name) != Some(version) && asked.refused.get(name) != Some(version)
        };
        let changed = snapshot
            .of(kind)
            .map(|(name, resource)| (name, resource.version()))
            .filter(|(name, version)| asked.includes(name) && (differs(name, version) || asked.due.contains(*name)));
        // A cluster that exists keeps the endpoints that the client has, even if the snapshot has none for it.
        let stays = |name: &str| kind == ResourceType::Endpoint && snapshot.find(ResourceType::Cluster, name).is_some();
        let held = asked.held.keys().chain(asked.refused.keys());
        let gone = held.filter(|name| may_go && snapshot.find(kind, name).is_none() && !stays(name));
        let missing = asked.due.iter().filter(|name| snapshot.find(kind, name).is_none());
        Given {
            version: None,
            routes: BTreeMap::new(),
            changed: changed.map(|(name, version)| (name.clone(), version.clone())).collect(),
            gone: gone.chain(missing).cloned().collect(),
        }
    }

    /// Whether the client has acknowledged the listeners and routes of the snapshot: only those name clusters.
    fn nothing_names_them(&self, snapshot: &Snapshot) -> bool {
        [ResourceType::Listener, ResourceType::Route].into_iter().all(|kind| {
            let Some(asked) = self.types.get(&kind) else {
                // A returning client has its earlier resources and subscribes soon, to routes only if a listener names
                // them.
                let has_none = kind == ResourceType::Route && snapshot.of(kind).next().is_none();
                return !self.returning || has_none;
            };
            let given = Self::difference(kind, asked, snapshot, true);
            asked.outstanding.is_none() && asked.refused.is_empty() && given.changed.is_empty() && given.gone.is_empty()
        })
    }

    fn send(&mut self, kind: ResourceType, snapshot: &Snapshot, mut given: Given) -> Option<DeltaDiscoveryResponse> {
        let asked = self.types.get_mut(&kind)?;
        asked.due.clear();
        asked.waits = false;
        self.nonces += 1;
        let nonce = self.nonces.to_string();
        let resources = given.changed.iter().filter_map(|(name, version)| {
            let body = snapshot.find(kind, name)?.body().to_vec();
            Some(Sent {
                name: name.clone(),
                version: version.to_string(),
                resource: Some(Any { type_url: kind.url().to_owned(), value: body }),
                ..Sent::default()
            })
        });
        let mut after = asked.held.clone();
        after.retain(|name, _| !given.gone.contains(name));
        after.extend(given.changed.clone());
        let version = version_of(&after);
        let response = DeltaDiscoveryResponse {
            system_version_info: version.to_string(),
            resources: resources.collect(),
            removed_resources: given.gone.iter().cloned().collect(),
            type_url: kind.url().to_owned(),
            nonce: nonce.clone(),
            ..DeltaDiscoveryResponse::default()
        };
        given.version = Some(version.clone());
        if kind == ResourceType::Route {
            let content = |name: &String| Some((name.clone(), snapshot.find(kind, name)?.clone()));
            given.routes = given.changed.keys().filter_map(content).collect();
        }
        asked.nonce = Some(nonce);
        asked.outstanding = Some(given);
        self.status.of(kind).sent = Some(version);
        if kind == ResourceType::Cluster {
            self.warming = Some(snapshot.clone());
        }
        Some(response)
    }
}
