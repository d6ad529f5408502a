//! State of the world: every response carries all resources of its type that the client asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use envoy_types::pb::google::protobuf::Any;

use super::status::{Nack, Status, version_of};
use super::{awaited_after, goes_last, leads};
use crate::resource::{Resource, ResourceType, Version};
use crate::snapshot::Snapshot;

/// One client's stream.
#[derive(Debug, Default)]
pub struct SotwStream {
    status: Status,
    types: BTreeMap<ResourceType, Asked>,
    nonces: u64,
    /// Whether the client said that it has something from before.
    returning: bool,
    /// What went with the clusters that the client was given, until it has taken them and has none that the snapshot
    /// doesn't have: to become warm they need it, also if it isn't there any more. One that was refused and is kept for the
    /// routes that may lead to it is new to the client each time.
    warming: Option<Snapshot>,
    /// What it may have from before.
    former: Vec<FormerClusters>,
}

/// Clusters that a client was sent on a stream. A client that comes back says by their version that it has them, and
/// nothing more; what it has and is to lose, it loses only when its routes don't need it any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormerClusters {
    /// The version under which they were sent.
    pub version: Version,
    clusters: Arc<BTreeMap<String, Resource>>,
}

/// What the client asked for of one type, and what it was given.
#[derive(Debug, Default)]
struct Asked {
    wanted: Wanted,
    /// The nonce of the response sent last.
    nonce: Option<String>,
    /// That response, until it is acknowledged or refused.
    outstanding: Option<Given>,
    /// What was acknowledged, or refused, last: there is no use in sending it again.
    settled: Option<Version>,
    /// Whether what was settled last was refused.
    refused: bool,
    /// The resources given last: what the client may still use.
    given: Arc<BTreeMap<String, Resource>>,
    /// Those that were accepted last, and under which version.
    accepted: Arc<BTreeMap<String, Resource>>,
    accepted_version: Option<Version>,
    /// Whether the next request wants an answer though nothing changed.
    due: bool,
    /// Whether the client waits for an answer, which it gets in its type's turn.
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
    /// All, because the first request named nothing.
    AllByDefault,
    /// These, and all if `*` is among them.
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

    /// What a request makes of it. A list without names is all of a type only until names were given.
    fn after(&self, kind: ResourceType, names: &[String]) -> Self {
        match self {
            Self::Nothing | Self::AllByDefault if names.is_empty() && kind.is_wildcard() => Self::AllByDefault,
            Self::Nothing | Self::AllByDefault | Self::Named(_) => Self::Named(names.iter().cloned().collect()),
        }
    }

    /// Whether there is something in it that was not in `before`.
    fn exceeds(&self, before: &Self) -> bool {
        match (self, before) {
            (Self::Named(now), Self::Named(before)) => !now.is_subset(before),
            (now, before) => now != before,
        }
    }
}

impl SotwStream {
    /// Nothing asked for yet. If the client comes back, it has one of the former, or what is not known here.
    #[must_use]
    pub fn new(former: Vec<FormerClusters>) -> Self {
        Self { former, ..Self::default() }
    }

    /// What was sent, and what became of it.
    #[must_use]
    pub const fn status(&self) -> &Status {
        &self.status
    }

    /// The clusters that the client may have should the stream break now: those that it has accepted, and those on their
    /// way to it.
    pub fn clusters(&self) -> impl Iterator<Item = FormerClusters> {
        let asked = self.types.get(&ResourceType::Cluster);
        let accepted = asked.and_then(|asked| Some((asked.accepted_version.clone()?, &asked.accepted)));
        let sent = asked.and_then(|asked| Some((asked.outstanding.as_ref()?.version.clone(), &asked.given)));
        let sets = accepted.into_iter().chain(sent);
        sets.map(|(version, clusters)| FormerClusters { version, clusters: Arc::clone(clusters) })
    }

    /// Whether the client has acknowledged all that it asked for of a snapshot.
    #[must_use]
    pub fn has(&self, snapshot: &Snapshot) -> bool {
        self.types.iter().all(|(kind, asked)| {
            let target = self.target(*kind, asked, snapshot);
            let same = target.is_none_or(|target| asked.settled.as_ref() == Some(&target.version));
            asked.outstanding.is_none() && !asked.refused && same
        }) && self.leftovers(ResourceType::Cluster, snapshot).next().is_none()
    }

    /// Whether the response with this nonce was sent, and neither acknowledged nor refused yet.
    #[must_use]
    pub fn awaits(&self, kind: ResourceType, nonce: &str) -> bool {
        let asked = self.types.get(&kind);
        asked.is_some_and(|asked| asked.outstanding.is_some() && asked.nonce.as_deref() == Some(nonce))
    }

    /// Takes a request, and says what to answer and push.
    pub fn on_request(&mut self, request: &DiscoveryRequest, snapshot: &Snapshot) -> Vec<DiscoveryResponse> {
        let Some(kind) = ResourceType::of_url(&request.type_url) else { return Vec::new() };
        let first = request.response_nonce.is_empty();
        if first && !self.types.contains_key(&kind) {
            self.recall(kind, &request.version_info);
        }
        let asked = self.types.entry(kind).or_default();
        if !first && asked.nonce.as_deref() != Some(request.response_nonce.as_str()) {
            // About a response that another one has overtaken; the client's word on that one is still to come.
            return Vec::new();
        }
        let before = if first { Wanted::Nothing } else { std::mem::take(&mut asked.wanted) };
        asked.wanted = before.after(kind, &request.resource_names);
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

    /// Takes a new snapshot, and says what to push.
    pub fn on_snapshot(&mut self, snapshot: &Snapshot) -> Vec<DiscoveryResponse> {
        self.advance(snapshot)
    }

    /// Takes down what a client that comes back says that it has.
    fn recall(&mut self, kind: ResourceType, version: &str) {
        self.returning |= !version.is_empty();
        if kind != ResourceType::Cluster {
            return;
        }
        let former = std::mem::take(&mut self.former);
        if let Some(held) = former.into_iter().find(|former| former.version.as_str() == version) {
            let asked = self.types.entry(kind).or_default();
            (asked.given, asked.accepted) = (Arc::clone(&held.clusters), held.clusters);
            asked.accepted_version = Some(held.version);
        }
    }

    /// Whether a client that has come back says that it has what it would be sent.
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

    /// Sends what differs, type by type, up to the first that has to be waited for.
    fn advance(&mut self, snapshot: &Snapshot) -> Vec<DiscoveryResponse> {
        let snapshot =
            &self.warming.as_ref().map_or_else(|| snapshot.clone(), |former| snapshot.with_support_of(former));
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
            let target = self.target(kind, asked, snapshot);
            let differs = target.is_some_and(|target| asked.settled.as_ref() != Some(&target.version));
            if (differs || asked.waits)
                && let Some(response) = self.send(kind, snapshot)
            {
                return vec![response];
            }
        }
        Vec::new()
    }

    /// Whether the client has taken clusters whose endpoints it has not asked for yet, as it will at once, also those of
    /// its first such cluster.
    fn endpoints_are_missing(&self, snapshot: &Snapshot) -> bool {
        let Some(clusters) = self.types.get(&ResourceType::Cluster) else { return false };
        let asked_for = |name: &str| {
            self.types.get(&ResourceType::Endpoint).is_some_and(|endpoints| endpoints.wanted.includes(name))
        };
        // Of what it refused it won't ask.
        !clusters.refused
            && snapshot
                .of(ResourceType::Endpoint)
                .any(|(name, _)| clusters.given.contains_key(name) && !asked_for(name))
    }

    /// What the client should have of a type; `None` where there is nothing that could be said.
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
            // That something is gone can't be said of these.
            return None;
        }
        let version = version_of(resources.iter().map(|(name, resource)| (name, resource.version())));
        Some(Target { version, resources })
    }

    /// What the client was given and the snapshot no longer has.
    fn leftovers<'a>(
        &'a self,
        kind: ResourceType,
        snapshot: &'a Snapshot,
    ) -> impl Iterator<Item = (&'a String, &'a Resource)> {
        let given = self.types.get(&kind).into_iter().flat_map(|asked| asked.given.iter());
        given.filter(move |(name, _)| snapshot.find(kind, name).is_none())
    }

    /// Whether all that may name a cluster is acknowledged as the snapshot has it.
    fn nothing_names_them(&self, snapshot: &Snapshot) -> bool {
        [ResourceType::Listener, ResourceType::Route].into_iter().all(|kind| {
            let Some(asked) = self.types.get(&kind) else {
                // One that comes back is about to ask, and has what it was sent before; routes only behind a listener.
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

/// What a client should have of a type.
struct Target {
    version: Version,
    resources: BTreeMap<String, Resource>,
}

fn encoded(kind: ResourceType, resource: &Resource) -> Any {
    Any { type_url: kind.url().to_owned(), value: resource.body().to_vec() }
}
