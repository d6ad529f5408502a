//! The delta protocol: each response carries the changed resources and the names of removed ones. A client that needs a
//! resource again subscribes to it again, and then gets a response.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource as DeltaResource,
};
use envoy_types::pb::google::protobuf::Any;

use super::idle_routes;
use super::previous::{PreviousResources, has_inner_routes};
use super::route_steps::{RouteSteps, Step};
use super::status::{Nack, Status, combined_version};
use super::{is_removed_last, uses_clusters};
use crate::resource::{Resource, ResourceType, Version};
use crate::snapshot::Snapshot;

/// The state of one client's delta stream.
#[derive(Debug, Default)]
pub struct DeltaStream {
    status: Status,
    types: BTreeMap<ResourceType, DeltaSubscription>,
    nonces: u64,
    /// Whether the client reported resource versions from an earlier stream.
    returning: bool,
    /// The snapshot of the last sent clusters, until the client acknowledges or refuses them. The clusters need its
    /// endpoints and secrets to become warm, even if a later snapshot no longer has those.
    warming: Option<Snapshot>,
    /// The resources that the client may have from earlier streams.
    previous: Vec<PreviousResources>,
    /// The contents of the route configurations that the client holds, as far as they are known. It keeps a removed one
    /// while it subscribes to the name.
    routes: BTreeMap<String, Resource>,
    /// The contents of the listeners that the client holds, as far as they are known.
    listeners: BTreeMap<String, Resource>,
    /// Whether the route configurations sent last include targets that only previous ones of the client name.
    keeps_previous_routes: bool,
    /// Whether no request or connection can be on its way to a cluster that the client has and the snapshot lacks.
    may_drop_clusters: bool,
}

/// The subscription of a client to one resource type, and the resources that the client has.
#[derive(Debug, Default)]
struct DeltaSubscription {
    all: bool,
    names: BTreeSet<String>,
    /// The acknowledged resources with their versions.
    acknowledged: BTreeMap<String, Version>,
    /// The refused resources with their versions. A refused version is not sent again.
    refused: BTreeMap<String, Version>,
    nonce: Option<String>,
    /// The last response, until the client acknowledges or refuses it.
    outstanding: Option<DeltaChanges>,
    /// The names that the client subscribed to and waits for, whether or not their resources changed.
    due: BTreeSet<String>,
    /// Whether the client waits for a response even if that response is empty.
    waits: bool,
}

#[derive(Debug, Default)]
struct DeltaChanges {
    version: Option<Version>,
    changed: BTreeMap<String, Version>,
    removed: BTreeSet<String>,
    /// The contents of changed route configurations or listeners.
    contents: BTreeMap<String, Resource>,
}

impl DeltaSubscription {
    fn includes(&self, name: &str) -> bool {
        self.all || self.names.contains(name)
    }
}

impl DeltaStream {
    /// Creates a stream without subscriptions. A returning client may have resources of the `previous` sets.
    #[must_use]
    pub fn new(previous: Vec<PreviousResources>) -> Self {
        Self { previous, ..Self::default() }
    }

    /// The versions that were sent, acknowledged and refused, by type.
    #[must_use]
    pub const fn status(&self) -> &Status {
        &self.status
    }

    /// The total length of the names that the client has subscribed to, in bytes.
    #[must_use]
    pub fn name_bytes(&self) -> usize {
        self.types.values().flat_map(|subscription| &subscription.names).map(String::len).sum()
    }

    /// The resources that the client may have if the stream breaks now, and that the next stream has to know: the route
    /// configurations of a gateway. They are the acknowledged ones, and those of an outstanding response.
    pub fn resources_for_next_stream(&self) -> impl Iterator<Item = PreviousResources> {
        let subscription = self.types.get(&ResourceType::Route);
        let outstanding = subscription.and_then(|subscription| subscription.outstanding.as_ref());
        let sent = outstanding.map(|changes| &changes.contents);
        let sets = [Some(&self.routes), sent].into_iter().flatten().filter(|set| has_inner_routes(set));
        sets.map(|set| PreviousResources {
            kind: ResourceType::Route,
            version: combined_version(set.iter().map(|(name, resource)| (name, resource.version()))),
            resources: Arc::new(set.clone()),
        })
    }

    /// Whether the client lacks nothing of the snapshot, but still has previous clusters, or targets of its previous
    /// gateway routes. The caller calls [`Self::release`] once no request can be on its way to them.
    #[must_use]
    pub fn lingers(&self, snapshot: &Snapshot) -> bool {
        self.routes_linger(snapshot) || self.clusters_linger(snapshot)
    }

    fn routes_linger(&self, snapshot: &Snapshot) -> bool {
        let subscription = self.types.get(&ResourceType::Route);
        subscription.is_some_and(|subscription| subscription.outstanding.is_none() && subscription.refused.is_empty())
            && self.route_step(snapshot).lingers
    }

    fn clusters_linger(&self, snapshot: &Snapshot) -> bool {
        let has_more = |kind: &ResourceType| {
            self.types.get(kind).is_some_and(|subscription| {
                let changes = Self::difference(*kind, subscription, snapshot, true);
                subscription.outstanding.is_none() && !changes.removed.is_empty()
            })
        };
        !self.may_drop_clusters
            && ResourceType::ALL.iter().filter(|kind| is_removed_last(**kind)).any(has_more)
            && self.references_are_acknowledged(snapshot)
    }

    /// Removes previous clusters, and targets of previous gateway routes, if nothing else is left to do; returns the
    /// responses to send.
    pub fn release(&mut self, snapshot: &Snapshot) -> Vec<DeltaDiscoveryResponse> {
        if self.routes_linger(snapshot) {
            self.keeps_previous_routes = false;
        }
        self.may_drop_clusters |= self.clusters_linger(snapshot);
        self.advance(snapshot)
    }

    fn route_step(&self, snapshot: &Snapshot) -> Step {
        let Some(subscription) = self.types.get(&ResourceType::Route) else { return Step::whole(snapshot) };
        let steps = RouteSteps { acknowledged: &self.routes, keeps_previous: self.keeps_previous_routes };
        steps.next(snapshot, |name| subscription.includes(name))
    }

    /// Whether the client has acknowledged all resources of a snapshot that it subscribes to.
    #[must_use]
    pub fn has(&self, snapshot: &Snapshot) -> bool {
        self.types.iter().all(|(kind, subscription)| {
            let changes = Self::difference(*kind, subscription, snapshot, true);
            subscription.outstanding.is_none()
                && subscription.refused.is_empty()
                && changes.changed.is_empty()
                && changes.removed.is_empty()
        })
    }

    /// Whether the response with this nonce was sent, and is neither acknowledged nor refused yet.
    #[must_use]
    pub fn awaits(&self, kind: ResourceType, nonce: &str) -> bool {
        let subscription = self.types.get(&kind);
        subscription.is_some_and(|subscription| {
            subscription.outstanding.is_some() && subscription.nonce.as_deref() == Some(nonce)
        })
    }

    /// Applies a request; returns the responses to send.
    pub fn on_request(&mut self, request: &DeltaDiscoveryRequest, snapshot: &Snapshot) -> Vec<DeltaDiscoveryResponse> {
        let Some(kind) = ResourceType::of_url(&request.type_url) else { return Vec::new() };
        let is_new = !self.types.contains_key(&kind);
        let subscription = self.types.entry(kind).or_default();
        self.returning |= is_new && !request.initial_resource_versions.is_empty();
        if is_new {
            subscription.acknowledged.extend(
                request
                    .initial_resource_versions
                    .iter()
                    // A version that this server does not know differs from every version that it sends.
                    .map(|(name, version)| (name.clone(), Version::from_client(version))),
            );
            subscription.all = request.resource_names_subscribe.is_empty() && kind.is_wildcard();
            let previous = self.previous.iter().filter(|set| set.kind == ResourceType::Route && set.kind == kind);
            for (name, resource) in previous.flat_map(|set| &*set.resources) {
                if subscription.acknowledged.get(name) == Some(resource.version()) {
                    self.routes.insert(name.clone(), resource.clone());
                }
            }
        }
        for name in &request.resource_names_subscribe {
            if name == "*" {
                subscription.all = true;
            } else {
                subscription.names.insert(name.clone());
                // A returning client reports its version of the resource in the same request, and waits for no
                // response.
                if !(is_new && request.initial_resource_versions.contains_key(name)) {
                    subscription.due.insert(name.clone());
                }
            }
        }
        for name in &request.resource_names_unsubscribe {
            if name == "*" {
                subscription.all = false;
            } else {
                subscription.names.remove(name);
                subscription.due.remove(name);
            }
        }
        let DeltaSubscription { all, names, acknowledged, refused, .. } = subscription;
        acknowledged.retain(|name, _| *all || names.contains(name));
        refused.retain(|name, _| *all || names.contains(name));
        if kind == ResourceType::Route {
            self.routes.retain(|name, _| *all || names.contains(name));
        }
        if is_new && !acknowledged.is_empty() {
            // An earlier stream, perhaps of another process, got the ACK for these: versions follow from the content.
            let version = combined_version(&*acknowledged);
            let status = self.status.of(kind);
            status.sent = Some(version.clone());
            status.acknowledged = Some(version);
            status.resources = acknowledged.clone();
        }
        if !request.response_nonce.is_empty() && subscription.nonce.as_deref() == Some(request.response_nonce.as_str())
        {
            self.apply_reply(kind, request);
        }
        if let Some(subscription) = self.types.get_mut(&kind) {
            // A client without any resource gets an empty response: it waits for one before it continues.
            subscription.waits |= is_new && kind.is_wildcard() && request.initial_resource_versions.is_empty();
        }
        self.advance(snapshot)
    }

    /// Applies a new snapshot; returns the responses to send.
    pub fn on_snapshot(&mut self, snapshot: &Snapshot) -> Vec<DeltaDiscoveryResponse> {
        self.advance(snapshot)
    }

    /// Applies an ACK or a NACK.
    fn apply_reply(&mut self, kind: ResourceType, request: &DeltaDiscoveryRequest) {
        let Some(subscription) = self.types.get_mut(&kind) else { return };
        let Some(changes) = subscription.outstanding.take() else { return };
        if kind == ResourceType::Cluster {
            self.warming = None;
        }
        let status = self.status.of(kind);
        if let Some(error) = &request.error_detail {
            subscription.refused.extend(changes.changed);
            status.nack = changes.version.map(|version| Nack { version, message: error.message.clone() });
            return;
        }
        for name in changes.changed.keys().chain(&changes.removed) {
            subscription.refused.remove(name);
        }
        subscription.acknowledged.retain(|name, _| !changes.removed.contains(name));
        subscription.acknowledged.extend(changes.changed);
        let is_held = |name: &String, resource: &Resource, acknowledged: &BTreeMap<String, Version>| {
            acknowledged.get(name) == Some(resource.version())
        };
        if kind == ResourceType::Route {
            self.routes.extend(changes.contents);
            let acknowledged = &subscription.acknowledged;
            self.routes
                .retain(|name, resource| !acknowledged.contains_key(name) || is_held(name, resource, acknowledged));
        } else if kind == ResourceType::Listener {
            self.listeners.extend(changes.contents);
            self.listeners.retain(|name, resource| is_held(name, resource, &subscription.acknowledged));
        }
        let DeltaSubscription { all, names, acknowledged, refused, .. } = subscription;
        acknowledged.retain(|name, _| *all || names.contains(name));
        if refused.is_empty() {
            status.nack = None;
        }
        status.acknowledged = changes.version;
        status.resources = acknowledged.clone();
    }

    /// Sends the first type with a difference or a waiting client, unless an earlier type must be acknowledged first.
    fn advance(&mut self, snapshot: &Snapshot) -> Vec<DeltaDiscoveryResponse> {
        let snapshot =
            &self.warming.as_ref().map_or_else(|| snapshot.clone(), |previous| snapshot.with_support_of(previous));
        let routes = self.route_step(snapshot);
        let mut clusters_are_outstanding = false;
        for kind in self.order(snapshot) {
            let Some(subscription) = self.types.get(&kind) else { continue };
            if uses_clusters(kind) && (clusters_are_outstanding || self.endpoints_are_missing(snapshot)) {
                break;
            }
            if subscription.outstanding.is_some() {
                if kind == ResourceType::Cluster {
                    clusters_are_outstanding = true;
                    continue;
                }
                break;
            }
            let may_remove =
                !is_removed_last(kind) || (self.may_drop_clusters && self.references_are_acknowledged(snapshot));
            let is_route = kind == ResourceType::Route;
            let next = if is_route { &routes.snapshot } else { snapshot };
            let changes = Self::difference(kind, subscription, next, may_remove);
            if changes.changed.is_empty() && changes.removed.is_empty() && !subscription.waits {
                continue;
            }
            if is_route {
                self.keeps_previous_routes = routes.keeps_previous;
            }
            return self.send(kind, next, changes).into_iter().collect();
        }
        Vec::new()
    }

    /// The order in which the types are sent.
    fn order(&self, snapshot: &Snapshot) -> [ResourceType; 5] {
        let subscription = |kind| self.types.get(&kind);
        let (Some(listeners), Some(routes)) = (subscription(ResourceType::Listener), subscription(ResourceType::Route))
        else {
            return ResourceType::ALL;
        };
        // The contents of a returning client's listeners are unknown.
        let are_known = listeners.acknowledged.keys().all(|name| self.listeners.contains_key(name));
        let changes = Self::difference(ResourceType::Listener, listeners, snapshot, true);
        if !are_known || (changes.changed.is_empty() && changes.removed.is_empty()) {
            return ResourceType::ALL;
        }
        idle_routes::order(snapshot, self.listeners.values(), |name| routes.includes(name))
    }

    /// Whether the client has acknowledged clusters and not yet subscribed to their endpoints. Envoy subscribes to them
    /// at once, even if it had no subscription to endpoints before.
    fn endpoints_are_missing(&self, snapshot: &Snapshot) -> bool {
        let Some(clusters) = self.types.get(&ResourceType::Cluster) else { return false };
        let is_subscribed =
            |name: &str| self.types.get(&ResourceType::Endpoint).is_some_and(|endpoints| endpoints.includes(name));
        snapshot
            .of(ResourceType::Endpoint)
            .any(|(name, _)| clusters.acknowledged.contains_key(name) && !is_subscribed(name))
    }

    /// The resources of a type to send. Resources that the client has and the snapshot lacks are removed only if
    /// `may_remove`.
    fn difference(
        kind: ResourceType,
        subscription: &DeltaSubscription,
        snapshot: &Snapshot,
        may_remove: bool,
    ) -> DeltaChanges {
        let differs = |name: &String, version: &Version| {
            subscription.acknowledged.get(name) != Some(version) && subscription.refused.get(name) != Some(version)
        };
        let changed = snapshot.of(kind).map(|(name, resource)| (name, resource.version())).filter(|(name, version)| {
            subscription.includes(name) && (differs(name, version) || subscription.due.contains(*name))
        });
        // A cluster that exists keeps the endpoints that the client has, even if the snapshot has none for it.
        let stays = |name: &str| kind == ResourceType::Endpoint && snapshot.find(ResourceType::Cluster, name).is_some();
        let known = subscription.acknowledged.keys().chain(subscription.refused.keys());
        let removed = known.filter(|name| may_remove && snapshot.find(kind, name).is_none() && !stays(name));
        let missing = subscription.due.iter().filter(|name| snapshot.find(kind, name).is_none());
        DeltaChanges {
            version: None,
            contents: BTreeMap::new(),
            changed: changed.map(|(name, version)| (name.clone(), version.clone())).collect(),
            removed: removed.chain(missing).cloned().collect(),
        }
    }

    /// Whether the client has acknowledged the listeners and routes of the snapshot: only those name clusters.
    fn references_are_acknowledged(&self, snapshot: &Snapshot) -> bool {
        [ResourceType::Listener, ResourceType::Route].into_iter().all(|kind| {
            let Some(subscription) = self.types.get(&kind) else {
                // A returning client has its earlier resources and subscribes soon, to routes only if a listener names
                // them.
                let has_none = kind == ResourceType::Route && snapshot.of(kind).next().is_none();
                return !self.returning || has_none;
            };
            let changes = Self::difference(kind, subscription, snapshot, true);
            subscription.outstanding.is_none()
                && subscription.refused.is_empty()
                && changes.changed.is_empty()
                && changes.removed.is_empty()
        })
    }

    fn send(
        &mut self,
        kind: ResourceType,
        snapshot: &Snapshot,
        mut changes: DeltaChanges,
    ) -> Option<DeltaDiscoveryResponse> {
        let subscription = self.types.get_mut(&kind)?;
        subscription.due.clear();
        subscription.waits = false;
        self.nonces += 1;
        let nonce = self.nonces.to_string();
        let resources = changes.changed.iter().filter_map(|(name, version)| {
            let body = snapshot.find(kind, name)?.body().to_vec();
            Some(DeltaResource {
                name: name.clone(),
                version: version.to_string(),
                resource: Some(Any { type_url: kind.url().to_owned(), value: body }),
                ..DeltaResource::default()
            })
        });
        let mut after = subscription.acknowledged.clone();
        after.retain(|name, _| !changes.removed.contains(name));
        after.extend(changes.changed.clone());
        let version = combined_version(&after);
        let response = DeltaDiscoveryResponse {
            system_version_info: version.to_string(),
            resources: resources.collect(),
            removed_resources: changes.removed.iter().cloned().collect(),
            type_url: kind.url().to_owned(),
            nonce: nonce.clone(),
            ..DeltaDiscoveryResponse::default()
        };
        changes.version = Some(version.clone());
        if matches!(kind, ResourceType::Route | ResourceType::Listener) {
            let content = |name: &String| Some((name.clone(), snapshot.find(kind, name)?.clone()));
            changes.contents = changes.changed.keys().filter_map(content).collect();
        }
        subscription.nonce = Some(nonce);
        subscription.outstanding = Some(changes);
        self.status.of(kind).sent = Some(version);
        if kind == ResourceType::Cluster {
            self.warming = Some(snapshot.clone());
        }
        if uses_clusters(kind) {
            self.may_drop_clusters = false;
        }
        Some(response)
    }
}
