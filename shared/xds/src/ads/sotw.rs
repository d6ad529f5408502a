//! The state-of-the-world protocol: each response carries all resources of its type that the client subscribes to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use envoy_types::pb::google::protobuf::Any;

use super::former::{FormerResources, has_inner_routes};
use super::route_steps::{RouteSteps, Step};
use super::status::{Nack, Status, version_of};
use super::{awaited_after, goes_last, leads};
use crate::resource::{Resource, ResourceType, Version};
use crate::snapshot::Snapshot;

/// The state of one client's state-of-the-world stream.
#[derive(Debug, Default)]
pub struct SotwStream {
    status: Status,
    types: BTreeMap<ResourceType, Asked>,
    nonces: u64,
    /// Whether the client reported a version from an earlier stream.
    returning: bool,
    /// The snapshot of the last sent clusters, until the client has accepted them and has no cluster that the snapshot
    /// lacks. The clusters need its endpoints and secrets to become warm, even if a later snapshot no longer has those.
    /// A refused cluster that is kept for routes that may lead to it is new to the client in each response.
    warming: Option<Snapshot>,
    /// The resources that the client may have from earlier streams.
    former: Vec<FormerResources>,
    /// Whether the route configurations sent last include targets that only former ones of the client name.
    keeps_former_routes: bool,
}

/// The subscription of a client to one resource type, and the resources that were sent.
#[derive(Debug, Default)]
struct Asked {
    wanted: Wanted,
    /// The nonce of the response sent last.
    nonce: Option<String>,
    /// The last response, until the client acknowledges or refuses it.
    outstanding: Option<Given>,
    /// The version that was acknowledged or refused last. It is not sent again.
    settled: Option<Version>,
    /// Whether the version in `settled` was refused.
    refused: bool,
    /// The resources that were sent last. The client may still use them.
    given: Arc<BTreeMap<String, Resource>>,
    /// The resources that were accepted last; `accepted_version` is their version.
    accepted: Arc<BTreeMap<String, Resource>>,
    accepted_version: Option<Version>,
    /// Whether the next request must get a response even if nothing changed.
    due: bool,
    /// Whether the client waits for a response, which is sent in the turn of its type.
    waits: bool,
}

#[derive(Debug)]
struct Given {
    version: Version,
    resources: BTreeMap<String, Version>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Wanted {
    #[default]
    Nothing,
    /// All resources of the type, because the first request named none.
    AllByDefault,
    /// The named resources; all resources of the type if `*` is among the names.
    Named(BTreeSet<String>),
}

impl Wanted {
    fn includes(&self, name: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::AllByDefault => true,
            Self::Named(names) => names.contains(name) || names.contains("*"),
        }
    }

    /// The subscription after a request. A list without names means all resources of a type only until names were
    /// given.
    fn after(&self, kind: ResourceType, names: &[String]) -> Self {
        match self {
            Self::Nothing | Self::AllByDefault if names.is_empty() && kind.is_wildcard() => Self::AllByDefault,
            Self::Nothing | Self::AllByDefault | Self::Named(_) => Self::Named(names.iter().cloned().collect()),
        }
    }

    /// Whether the subscription includes a name that `before` did not include.
    fn exceeds(&self, before: &Self) -> bool {
        match (self, before) {
            (Self::Named(now), Self::Named(before)) => !now.is_subset(before),
            (now, before) => now != before,
        }
    }
}

impl SotwStream {
    /// Creates a stream without subscriptions. A returning client has one of the `former` sets of resources, or resources
    /// that this server does not know.
    #[must_use]
    pub fn new(former: Vec<FormerResources>) -> Self {
        Self { former, ..Self::default() }
    }

    /// The versions that were sent, acknowledged and refused, by type.
    #[must_use]
    pub const fn status(&self) -> &Status {
        &self.status
    }

    /// The resources that the client may have if the stream breaks now, and that the next stream has to know: clusters,
    /// and the route configurations of a gateway. They are the accepted ones, and those of an outstanding response.
    pub fn former(&self) -> impl Iterator<Item = FormerResources> {
        let kinds = [ResourceType::Cluster, ResourceType::Route].into_iter();
        let sets = kinds.filter_map(|kind| Some((kind, self.types.get(&kind)?))).flat_map(|(kind, asked)| {
            let accepted = asked.accepted_version.clone().map(|version| (version, &asked.accepted));
            let sent = asked.outstanding.as_ref().map(|given| (given.version.clone(), &asked.given));
            accepted.into_iter().chain(sent).map(move |(version, resources)| FormerResources {
                kind,
                version,
                resources: Arc::clone(resources),
            })
        });
        sets.filter(|set| set.kind == ResourceType::Cluster || has_inner_routes(&set.resources))
    }

    /// Whether the client lacks nothing of the snapshot, but still has targets of its former gateway routes. The caller
    /// calls [`Self::release`] once no request can be on its way to them.
    #[must_use]
    pub fn lingers(&self, snapshot: &Snapshot) -> bool {
        let asked = self.types.get(&ResourceType::Route);
        asked.is_some_and(|asked| asked.outstanding.is_none() && !asked.refused) && self.route_step(snapshot).lingers
    }

    /// Removes targets of former gateway routes if nothing else is left to do; returns the responses to send.
    pub fn release(&mut self, snapshot: &Snapshot) -> Vec<DiscoveryResponse> {
        if self.lingers(snapshot) {
            self.keeps_former_routes = false;
        }
        self.advance(snapshot)
    }

    fn route_step(&self, snapshot: &Snapshot) -> Step {
        let Some(asked) = self.types.get(&ResourceType::Route) else { return Step::whole(snapshot) };
        let steps = RouteSteps { held: &asked.accepted, keeps_former: self.keeps_former_routes };
        steps.next(snapshot, |name| asked.wanted.includes(name))
    }

    /// Whether the client has acknowledged all resources of a snapshot that it subscribes to.
    #[must_use]
    pub fn has(&self, snapshot: &Snapshot) -> bool {
        self.types.iter().all(|(kind, asked)| {
            let target = self.target(*kind, asked, snapshot);
            let same = target.is_none_or(|target| asked.settled.as_ref() == Some(&target.version));
            asked.outstanding.is_none() && !asked.refused && same
        }) && self.leftovers(ResourceType::Cluster, snapshot).next().is_none()
    }

    /// Whether the response with this nonce was sent, and is neither acknowledged nor refused yet.
    #[must_use]
    pub fn awaits(&self, kind: ResourceType, nonce: &str) -> bool {
        let asked = self.types.get(&kind);
        asked.is_some_and(|asked| asked.outstanding.is_some() && asked.nonce.as_deref() == Some(nonce))
    }

    /// Applies a request; returns the responses to send.
    pub fn on_request(&mut self, request: &DiscoveryRequest, snapshot: &Snapshot) -> Vec<DiscoveryResponse> {
        let Some(kind) = ResourceType::of_url(&request.type_url) else { return Vec::new() };
        let first = request.response_nonce.is_empty();
        if first && !self.types.contains_key(&kind) {
            self.recall(kind, &request.version_info);
        }
        let asked = self.types.entry(kind).or_default();
        if !first && asked.nonce.as_deref() != Some(request.response_nonce.as_str()) {
            // The request answers a response that a later one replaced. The answer to the later one is still to come.
            return Vec::new();
        }
        let before = if first { Wanted::Nothing } else { std::mem::take(&mut asked.wanted) };
        asked.wanted = before.after(kind, &request.resource_names);
        if kind == ResourceType::Route && asked.accepted.keys().any(|name| !asked.wanted.includes(name)) {
            Arc::make_mut(&mut asked.accepted).retain(|name, _| asked.wanted.includes(name));
        }
        let mut answer = asked.wanted.exceeds(&before);
        if first {
            asked.outstanding = None;
            answer = true;
        } else if let Some(given) = asked.outstanding.take() {
            let status = self.status.of(kind);
            asked.settled = Some(given.version.clone());
            asked.refused = request.error_detail.is_some();
            if let Some(error) = &request.error_detail {
                status.nack = Some(Nack { version: given.version, message: error.message.clone() });
            } else {
                status.nack = None;
                status.acknowledged = Some(given.version.clone());
                status.resources = given.resources;
                (asked.accepted, asked.accepted_version) = (Arc::clone(&asked.given), Some(given.version));
            }
        } else if std::mem::take(&mut asked.due) {
            answer = true;
        }
        if kind == ResourceType::Cluster && !asked.refused && self.leftovers(kind, snapshot).next().is_none() {
            self.warming = None;
        }
        if first && self.is_what_it_has(kind, request, snapshot) {
            answer = false;
        }
        if let Some(asked) = self.types.get_mut(&kind) {
            asked.waits |= answer;
        }
        self.advance(snapshot)
    }

    /// Applies a new snapshot; returns the responses to send.
    pub fn on_snapshot(&mut self, snapshot: &Snapshot) -> Vec<DiscoveryResponse> {
        self.advance(snapshot)
    }

    /// Records the version that a returning client reports, and restores the resources of that version.
    fn recall(&mut self, kind: ResourceType, version: &str) {
        self.returning |= !version.is_empty();
        let of_kind: Vec<_> = self.former.extract_if(.., |former| former.kind == kind).collect();
        if let Some(held) = of_kind.into_iter().find(|former| former.version.as_str() == version) {
            let asked = self.types.entry(kind).or_default();
            (asked.given, asked.accepted) = (Arc::clone(&held.resources), held.resources);
            asked.accepted_version = Some(held.version);
        }
    }

    /// Whether a returning client reports the version that it would be sent. That version is then recorded as
    /// acknowledged.
    fn is_what_it_has(&mut self, kind: ResourceType, request: &DiscoveryRequest, snapshot: &Snapshot) -> bool {
        let Some(asked) = self.types.get(&kind) else { return false };
        let Some(target) = self.target(kind, asked, snapshot) else { return false };
        if target.version.as_str() != request.version_info {
            return false;
        }
        let status = self.status.of(kind);
        status.sent = Some(target.version.clone());
        status.acknowledged = Some(target.version.clone());
        status.resources =
            target.resources.iter().map(|(name, resource)| (name.clone(), resource.version().clone())).collect();
        if let Some(asked) = self.types.get_mut(&kind) {
            asked.settled = Some(target.version.clone());
            asked.refused = false;
            let has = Arc::new(target.resources);
            (asked.given, asked.accepted) = (Arc::clone(&has), has);
            asked.accepted_version = Some(target.version);
        }
        true
    }

    /// Sends the first type with a difference or a waiting client, unless an earlier type must be acknowledged first.
    fn advance(&mut self, snapshot: &Snapshot) -> Vec<DiscoveryResponse> {
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
            let is_route = kind == ResourceType::Route;
            let next = if is_route { &routes.snapshot } else { snapshot };
            let target = self.target(kind, asked, next);
            let differs = target.is_some_and(|target| asked.settled.as_ref() != Some(&target.version));
            if (differs || asked.waits)
                && let Some(response) = self.send(kind, next)
            {
                if is_route {
                    self.keeps_former_routes = routes.keeps_former;
                }
                return vec![response];
            }
        }
        Vec::new()
    }

    /// Whether the client was sent clusters and has not yet subscribed to their endpoints. Envoy subscribes to them at
    /// once, even if it had no subscription to endpoints before.
    fn endpoints_are_missing(&self, snapshot: &Snapshot) -> bool {
        let Some(clusters) = self.types.get(&ResourceType::Cluster) else { return false };
        let asked_for = |name: &str| {
            self.types.get(&ResourceType::Endpoint).is_some_and(|endpoints| endpoints.wanted.includes(name))
        };
        // A client does not subscribe to the endpoints of clusters that it refused.
        !clusters.refused
            && snapshot
                .of(ResourceType::Endpoint)
                .any(|(name, _)| clusters.given.contains_key(name) && !asked_for(name))
    }

    /// The resources that the client should have of a type; `None` if a response cannot express them.
    fn target(&self, kind: ResourceType, asked: &Asked, snapshot: &Snapshot) -> Option<Target> {
        let mut resources: BTreeMap<String, Resource> = snapshot
            .of(kind)
            .filter(|(name, _)| asked.wanted.includes(name))
            .map(|(name, resource)| (name.clone(), resource.clone()))
            .collect();
        if kind.is_wildcard() {
            let kept = self.leftovers(kind, snapshot).filter(|_| goes_last(kind) && !self.nothing_names_them(snapshot));
            resources.extend(kept.map(|(name, resource)| (name.clone(), resource.clone())));
        } else if resources.is_empty() {
            // A response of these types cannot express a removal.
            return None;
        }
        let version = version_of(resources.iter().map(|(name, resource)| (name, resource.version())));
        Some(Target { version, resources })
    }

    /// The resources that the client was sent and that the snapshot no longer has.
    fn leftovers<'a>(
        &'a self,
        kind: ResourceType,
        snapshot: &'a Snapshot,
    ) -> impl Iterator<Item = (&'a String, &'a Resource)> {
        let given = self.types.get(&kind).into_iter().flat_map(|asked| asked.given.iter());
        given.filter(move |(name, _)| snapshot.find(kind, name).is_none())
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
            let target = self.target(kind, asked, snapshot);
            let same = target.is_none_or(|target| asked.settled.as_ref() == Some(&target.version));
            asked.outstanding.is_none() && !asked.refused && same
        })
    }

    fn send(&mut self, kind: ResourceType, snapshot: &Snapshot) -> Option<DiscoveryResponse> {
        let target = self.target(kind, self.types.get(&kind)?, snapshot)?;
        self.nonces += 1;
        let nonce = self.nonces.to_string();
        let response = DiscoveryResponse {
            version_info: target.version.to_string(),
            resources: target.resources.values().map(|resource| encoded(kind, resource)).collect(),
            type_url: kind.url().to_owned(),
            nonce: nonce.clone(),
            ..DiscoveryResponse::default()
        };
        self.status.of(kind).sent = Some(target.version.clone());
        let asked = self.types.get_mut(&kind)?;
        asked.nonce = Some(nonce);
        (asked.due, asked.waits) = (false, false);
        asked.outstanding = Some(Given {
            version: target.version,
            resources: target
                .resources
                .iter()
                .map(|(name, resource)| (name.clone(), resource.version().clone()))
                .collect(),
        });
        asked.given = Arc::new(target.resources);
        if kind == ResourceType::Cluster {
            self.warming = Some(snapshot.clone());
        }
        for kind in awaited_after(kind) {
            if let Some(asked) = self.types.get_mut(kind) {
                asked.due = true;
            }
        }
        Some(response)
    }
}

/// The resources that a client should have of one type.
struct Target {
    version: Version,
    resources: BTreeMap<String, Resource>,
}

fn encoded(kind: ResourceType, resource: &Resource) -> Any {
    Any { type_url: kind.url().to_owned(), value: resource.body().to_vec() }
}
