//! The state-of-the-world protocol: each response carries all resources of its type that the client subscribes to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use envoy_types::pb::google::protobuf::Any;

use super::idle_routes;
use super::previous::{PreviousResources, has_inner_routes};
use super::route_steps::{RouteSteps, Step};
use super::status::{Nack, Status, combined_version};
use super::{awaited_after, is_removed_last, uses_clusters};
use crate::resource::{Resource, ResourceType, Version};
use crate::snapshot::Snapshot;

/// The state of one client's state-of-the-world stream.
#[derive(Debug, Default)]
pub struct SotwStream {
    status: Status,
    types: BTreeMap<ResourceType, SotwSubscription>,
    nonces: u64,
    /// Whether the client reported a version from an earlier stream.
    returning: bool,
    /// The snapshot of the last sent clusters, until the client has accepted them and has no cluster that the snapshot
    /// lacks. The clusters need its endpoints and secrets to become warm, even if a later snapshot no longer has those.
    /// A refused cluster that is kept for routes that may lead to it is new to the client in each response.
    warming: Option<Snapshot>,
    /// The resources that the client may have from earlier streams.
    previous: Vec<PreviousResources>,
    /// Whether the route configurations sent last include targets that only previous ones of the client name.
    keeps_previous_routes: bool,
    /// Whether no request or connection can be on its way to a cluster that the client has and the snapshot lacks.
    may_drop_clusters: bool,
}

/// The subscription of a client to one resource type, and the resources that were sent.
#[derive(Debug, Default)]
struct SotwSubscription {
    names: SubscribedNames,
    /// The nonce of the response sent last.
    nonce: Option<String>,
    /// The last response, until the client acknowledges or refuses it.
    outstanding: Option<OutstandingResponse>,
    /// The version that was acknowledged or refused last. It is not sent again.
    settled: Option<Version>,
    /// Whether the version in `settled` was refused.
    refused: bool,
    /// The resources that were sent last. The client may still use them.
    sent: Arc<BTreeMap<String, Resource>>,
    /// The resources that were accepted last; `accepted_version` is their version.
    accepted: Arc<BTreeMap<String, Resource>>,
    accepted_version: Option<Version>,
    /// Whether the next request must get a response even if nothing changed.
    due: bool,
    /// Whether the client waits for a response, which is sent in the turn of its type.
    waits: bool,
}

#[derive(Debug)]
struct OutstandingResponse {
    version: Version,
    resources: BTreeMap<String, Version>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum SubscribedNames {
    #[default]
    Nothing,
    /// All resources of the type, because the first request named none.
    AllByDefault,
    /// The named resources; all resources of the type if `*` is among the names.
    Named(BTreeSet<String>),
}

impl SubscribedNames {
    fn includes(&self, name: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::AllByDefault => true,
            Self::Named(names) => names.contains(name) || names.contains("*"),
        }
    }

    /// The subscription after a request. A list without names means all resources of a type only until names
    /// were given.
    fn after(&self, kind: ResourceType, names: &[String]) -> Self {
        match self {
            Self::Nothing | Self::AllByDefault if names.is_empty() && kind.is_wildcard() => Self::AllByDefault,
            Self::Nothing | Self::AllByDefault | Self::Named(_) => Self::Named(names.iter().cloned().collect()),
        }
    }

    /// Whether the subscription includes a name that `before` did not include.
    fn is_wider_than(&self, before: &Self) -> bool {
        match (self, before) {
            (Self::Named(now), Self::Named(before)) => !now.is_subset(before),
            (now, before) => now != before,
        }
    }
}

impl SotwSubscription {
    /// Keeps the previous contents of names to which the client still subscribes: a response without them removes nothing.
    fn keep_unnamed(&mut self, previous: &BTreeMap<String, Resource>) {
        let is_kept = |name: &&String| self.names.includes(name) && !self.accepted.contains_key(*name);
        let kept: Vec<String> = previous.keys().filter(is_kept).cloned().collect();
        if !kept.is_empty() {
            let kept = kept.into_iter().filter_map(|name| previous.get(&name).map(|resource| (name, resource.clone())));
            Arc::make_mut(&mut self.accepted).extend(kept);
        }
    }
}

impl SotwStream {
    /// Creates a stream without subscriptions. A returning client has one of the `previous` sets of resources, or resources
    /// that this server does not know.
    #[must_use]
    pub fn new(previous: Vec<PreviousResources>) -> Self {
        Self { previous, ..Self::default() }
    }

    /// The versions that were sent, acknowledged and refused, by type.
    #[must_use]
    pub const fn status(&self) -> &Status {
        &self.status
    }

    /// The resources that the client may have if the stream breaks now, and that the next stream has to know: clusters,
    /// and the route configurations of a gateway. They are the accepted ones, and those of an outstanding response.
    pub fn resources_for_next_stream(&self) -> impl Iterator<Item = PreviousResources> {
        let kinds = [ResourceType::Cluster, ResourceType::Route].into_iter();
        let subscriptions = kinds.filter_map(|kind| Some((kind, self.types.get(&kind)?)));
        let sets = subscriptions.flat_map(|(kind, subscription)| {
            let accepted = subscription.accepted_version.clone().map(|version| (version, &subscription.accepted));
            let outstanding = subscription.outstanding.as_ref();
            let sent = outstanding.map(|response| (response.version.clone(), &subscription.sent));
            accepted.into_iter().chain(sent).map(move |(version, resources)| PreviousResources {
                kind,
                version,
                resources: Arc::clone(resources),
            })
        });
        sets.filter(|set| set.kind == ResourceType::Cluster || has_inner_routes(&set.resources))
    }

    /// Whether the client lacks nothing of the snapshot, but still has previous clusters, or targets of its previous
    /// gateway routes. The caller calls [`Self::release`] once no request can be on its way to them.
    #[must_use]
    pub fn lingers(&self, snapshot: &Snapshot) -> bool {
        self.routes_linger(snapshot) || self.clusters_linger(snapshot)
    }

    fn routes_linger(&self, snapshot: &Snapshot) -> bool {
        let subscription = self.types.get(&ResourceType::Route);
        subscription.is_some_and(|subscription| subscription.outstanding.is_none() && !subscription.refused)
            && self.route_step(snapshot).lingers
    }

    fn clusters_linger(&self, snapshot: &Snapshot) -> bool {
        let subscription = self.types.get(&ResourceType::Cluster);
        !self.may_drop_clusters
            && subscription.is_some_and(|subscription| subscription.outstanding.is_none())
            && self.stale_resources(ResourceType::Cluster, snapshot).next().is_some()
            && self.references_are_acknowledged(snapshot)
    }

    /// Removes previous clusters, and targets of previous gateway routes, if nothing else is left to do; returns the
    /// responses to send.
    pub fn release(&mut self, snapshot: &Snapshot) -> Vec<DiscoveryResponse> {
        if self.routes_linger(snapshot) {
            self.keeps_previous_routes = false;
        }
        self.may_drop_clusters |= self.clusters_linger(snapshot);
        self.advance(snapshot)
    }

    fn route_step(&self, snapshot: &Snapshot) -> Step {
        let Some(subscription) = self.types.get(&ResourceType::Route) else { return Step::whole(snapshot) };
        let steps = RouteSteps { acknowledged: &subscription.accepted, keeps_previous: self.keeps_previous_routes };
        steps.next(snapshot, |name| subscription.names.includes(name))
    }

    /// Whether the client has acknowledged all resources of a snapshot that it subscribes to.
    #[must_use]
    pub fn has(&self, snapshot: &Snapshot) -> bool {
        self.types.iter().all(|(kind, subscription)| {
            let desired = self.desired(*kind, subscription, snapshot);
            let same = desired.is_none_or(|desired| subscription.settled.as_ref() == Some(&desired.version));
            subscription.outstanding.is_none() && !subscription.refused && same
        }) && self.stale_resources(ResourceType::Cluster, snapshot).next().is_none()
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
    pub fn on_request(&mut self, request: &DiscoveryRequest, snapshot: &Snapshot) -> Vec<DiscoveryResponse> {
        let Some(kind) = ResourceType::of_url(&request.type_url) else { return Vec::new() };
        let first = request.response_nonce.is_empty();
        if first && !self.types.contains_key(&kind) {
            self.restore_reported_version(kind, &request.version_info);
        }
        let subscription = self.types.entry(kind).or_default();
        if !first && subscription.nonce.as_deref() != Some(request.response_nonce.as_str()) {
            // The request answers a response that a later one replaced. The answer to the later one is still to come.
            return Vec::new();
        }
        let before = if first { SubscribedNames::Nothing } else { std::mem::take(&mut subscription.names) };
        subscription.names = before.after(kind, &request.resource_names);
        if kind == ResourceType::Route && subscription.accepted.keys().any(|name| !subscription.names.includes(name)) {
            Arc::make_mut(&mut subscription.accepted).retain(|name, _| subscription.names.includes(name));
        }
        let mut answer = subscription.names.is_wider_than(&before);
        if first {
            subscription.outstanding = None;
            answer = true;
        } else if let Some(sent) = subscription.outstanding.take() {
            let status = self.status.of(kind);
            subscription.settled = Some(sent.version.clone());
            subscription.refused = request.error_detail.is_some();
            if let Some(error) = &request.error_detail {
                status.nack = Some(Nack { version: sent.version, message: error.message.clone() });
            } else {
                status.nack = None;
                status.acknowledged = Some(sent.version.clone());
                status.resources = sent.resources;
                let previous = std::mem::replace(&mut subscription.accepted, Arc::clone(&subscription.sent));
                subscription.accepted_version = Some(sent.version);
                if kind == ResourceType::Route {
                    subscription.keep_unnamed(&previous);
                }
            }
        } else if std::mem::take(&mut subscription.due) {
            answer = true;
        }
        if kind == ResourceType::Cluster
            && !subscription.refused
            && self.stale_resources(kind, snapshot).next().is_none()
        {
            self.warming = None;
        }
        if first && self.has_desired_version(kind, request, snapshot) {
            answer = false;
        }
        if let Some(subscription) = self.types.get_mut(&kind) {
            subscription.waits |= answer;
        }
        self.advance(snapshot)
    }

    /// Applies a new snapshot; returns the responses to send.
    pub fn on_snapshot(&mut self, snapshot: &Snapshot) -> Vec<DiscoveryResponse> {
        self.advance(snapshot)
    }

    /// Records the version that a returning client reports, and restores the resources of that version.
    fn restore_reported_version(&mut self, kind: ResourceType, version: &str) {
        self.returning |= !version.is_empty();
        let of_kind: Vec<_> = self.previous.extract_if(.., |previous| previous.kind == kind).collect();
        if let Some(reported) = of_kind.into_iter().find(|previous| previous.version.as_str() == version) {
            let subscription = self.types.entry(kind).or_default();
            (subscription.sent, subscription.accepted) = (Arc::clone(&reported.resources), reported.resources);
            subscription.accepted_version = Some(reported.version);
        }
    }

    /// Whether a returning client reports the version that it would be sent. That version is then recorded
    /// as acknowledged.
    fn has_desired_version(&mut self, kind: ResourceType, request: &DiscoveryRequest, snapshot: &Snapshot) -> bool {
        let Some(subscription) = self.types.get(&kind) else { return false };
        let Some(desired) = self.desired(kind, subscription, snapshot) else { return false };
        if desired.version.as_str() != request.version_info {
            return false;
        }
        let status = self.status.of(kind);
        status.sent = Some(desired.version.clone());
        status.acknowledged = Some(desired.version.clone());
        status.resources =
            desired.resources.iter().map(|(name, resource)| (name.clone(), resource.version().clone())).collect();
        if let Some(subscription) = self.types.get_mut(&kind) {
            subscription.settled = Some(desired.version.clone());
            subscription.refused = false;
            let resources = Arc::new(desired.resources);
            (subscription.sent, subscription.accepted) = (Arc::clone(&resources), resources);
            subscription.accepted_version = Some(desired.version);
        }
        true
    }

    /// Sends the first type with a difference or a waiting client, unless an earlier type must be acknowledged first.
    fn advance(&mut self, snapshot: &Snapshot) -> Vec<DiscoveryResponse> {
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
            let is_route = kind == ResourceType::Route;
            let next = if is_route { &routes.snapshot } else { snapshot };
            let desired = self.desired(kind, subscription, next);
            let differs = desired.is_some_and(|desired| subscription.settled.as_ref() != Some(&desired.version));
            if (differs || subscription.waits)
                && let Some(response) = self.send(kind, next)
            {
                if is_route {
                    self.keeps_previous_routes = routes.keeps_previous;
                }
                return vec![response];
            }
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
        // What a returning client has is unknown until it accepts a response.
        let are_known = listeners.accepted_version.is_some();
        let desired = self.desired(ResourceType::Listener, listeners, snapshot);
        if !are_known || desired.is_none_or(|desired| listeners.settled.as_ref() == Some(&desired.version)) {
            return ResourceType::ALL;
        }
        idle_routes::order(snapshot, listeners.accepted.values(), |name| routes.names.includes(name))
    }

    /// Whether the client was sent clusters and has not yet subscribed to their endpoints. Envoy subscribes to them at
    /// once, even if it had no subscription to endpoints before.
    fn endpoints_are_missing(&self, snapshot: &Snapshot) -> bool {
        let Some(clusters) = self.types.get(&ResourceType::Cluster) else { return false };
        let is_subscribed = |name: &str| {
            self.types.get(&ResourceType::Endpoint).is_some_and(|endpoints| endpoints.names.includes(name))
        };
        // A client does not subscribe to the endpoints of clusters that it refused.
        !clusters.refused
            && snapshot
                .of(ResourceType::Endpoint)
                .any(|(name, _)| clusters.sent.contains_key(name) && !is_subscribed(name))
    }

    /// The resources that the client should have of a type; `None` if a response cannot express them.
    fn desired(
        &self,
        kind: ResourceType,
        subscription: &SotwSubscription,
        snapshot: &Snapshot,
    ) -> Option<DesiredResources> {
        let mut resources: BTreeMap<String, Resource> = snapshot
            .of(kind)
            .filter(|(name, _)| subscription.names.includes(name))
            .map(|(name, resource)| (name.clone(), resource.clone()))
            .collect();
        if kind.is_wildcard() {
            let kept =
                self.stale_resources(kind, snapshot).filter(|_| is_removed_last(kind) && !self.may_drop(snapshot));
            resources.extend(kept.map(|(name, resource)| (name.clone(), resource.clone())));
        } else if resources.is_empty() {
            // A response of these types cannot express a removal.
            return None;
        }
        let version = combined_version(resources.iter().map(|(name, resource)| (name, resource.version())));
        Some(DesiredResources { version, resources })
    }

    /// Whether the client may lose the clusters that the snapshot lacks.
    fn may_drop(&self, snapshot: &Snapshot) -> bool {
        self.may_drop_clusters && self.references_are_acknowledged(snapshot)
    }

    /// The resources that the client was sent and that the snapshot no longer has.
    fn stale_resources<'a>(
        &'a self,
        kind: ResourceType,
        snapshot: &'a Snapshot,
    ) -> impl Iterator<Item = (&'a String, &'a Resource)> {
        let sent = self.types.get(&kind).into_iter().flat_map(|subscription| subscription.sent.iter());
        sent.filter(move |(name, _)| snapshot.find(kind, name).is_none())
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
            let desired = self.desired(kind, subscription, snapshot);
            let same = desired.is_none_or(|desired| subscription.settled.as_ref() == Some(&desired.version));
            subscription.outstanding.is_none() && !subscription.refused && same
        })
    }

    fn send(&mut self, kind: ResourceType, snapshot: &Snapshot) -> Option<DiscoveryResponse> {
        let desired = self.desired(kind, self.types.get(&kind)?, snapshot)?;
        self.nonces += 1;
        let nonce = self.nonces.to_string();
        let response = DiscoveryResponse {
            version_info: desired.version.to_string(),
            resources: desired.resources.values().map(|resource| encode(kind, resource)).collect(),
            type_url: kind.url().to_owned(),
            nonce: nonce.clone(),
            ..DiscoveryResponse::default()
        };
        self.status.of(kind).sent = Some(desired.version.clone());
        let subscription = self.types.get_mut(&kind)?;
        subscription.nonce = Some(nonce);
        (subscription.due, subscription.waits) = (false, false);
        subscription.outstanding = Some(OutstandingResponse {
            version: desired.version,
            resources: desired
                .resources
                .iter()
                .map(|(name, resource)| (name.clone(), resource.version().clone()))
                .collect(),
        });
        subscription.sent = Arc::new(desired.resources);
        if kind == ResourceType::Cluster {
            self.warming = Some(snapshot.clone());
        }
        if uses_clusters(kind) {
            self.may_drop_clusters = false;
        }
        for kind in awaited_after(kind) {
            if let Some(subscription) = self.types.get_mut(kind) {
                subscription.due = true;
            }
        }
        Some(response)
    }
}

/// The resources that a client should have of one type.
struct DesiredResources {
    version: Version,
    resources: BTreeMap<String, Resource>,
}

fn encode(kind: ResourceType, resource: &Resource) -> Any {
    Any { type_url: kind.url().to_owned(), value: resource.body().to_vec() }
}
