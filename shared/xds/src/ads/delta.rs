//! Delta: every response carries what changed, and names what is gone. A client that has to wait for something anew
//! subscribes to it again, and is then answered.

use std::collections::{BTreeMap, BTreeSet};

use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource as Sent};
use envoy_types::pb::google::protobuf::Any;

use super::status::{Nack, Status, version_of};
use super::{goes_last, leads};
use crate::resource::{ResourceType, Version};
use crate::snapshot::Snapshot;

/// One client's stream.
#[derive(Debug, Default)]
pub struct DeltaStream {
    status: Status,
    types: BTreeMap<ResourceType, Asked>,
    nonces: u64,
    /// Whether the client said that it has something from before.
    returning: bool,
    /// What went with the clusters that the client has not taken yet: to become warm they need it, also if it isn't there
    /// any more.
    warming: Option<Snapshot>,
}

/// What the client asked for of one type, and what it has.
#[derive(Debug, Default)]
struct Asked {
    all: bool,
    names: BTreeSet<String>,
    /// What it has acknowledged.
    held: BTreeMap<String, Version>,
    /// What it has refused: there is no use in sending it again.
    refused: BTreeMap<String, Version>,
    nonce: Option<String>,
    /// The response sent last, until it is acknowledged or refused.
    outstanding: Option<Given>,
    /// Named by a client that waits for an answer, whether or not anything changed.
    due: BTreeSet<String>,
    /// Whether it waits for an answer even without a name.
    waits: bool,
}

#[derive(Debug, Default)]
struct Given {
    version: Option<Version>,
    changed: BTreeMap<String, Version>,
    gone: BTreeSet<String>,
}

impl Asked {
    fn includes(&self, name: &str) -> bool {
        self.all || self.names.contains(name)
    }
}

impl DeltaStream {
    /// Nothing asked for yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What was sent, and what became of it.
    #[must_use]
    pub const fn status(&self) -> &Status {
        &self.status
    }

    /// The bytes of the names that the client has subscribed to.
    #[must_use]
    pub fn name_bytes(&self) -> usize {
        self.types.values().flat_map(|asked| &asked.names).map(String::len).sum()
    }

    /// Whether the client has acknowledged all that it asked for of a snapshot.
    #[must_use]
    pub fn has(&self, snapshot: &Snapshot) -> bool {
        self.types.iter().all(|(kind, asked)| {
            let given = Self::difference(*kind, asked, snapshot, true);
            asked.outstanding.is_none() && asked.refused.is_empty() && given.changed.is_empty() && given.gone.is_empty()
        })
    }

    /// Whether the response with this nonce was sent, and neither acknowledged nor refused yet.
    #[must_use]
    pub fn awaits(&self, kind: ResourceType, nonce: &str) -> bool {
        let asked = self.types.get(&kind);
        asked.is_some_and(|asked| asked.outstanding.is_some() && asked.nonce.as_deref() == Some(nonce))
    }

    /// Takes a request, and says what to answer and push.
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
                    // What it has of an unknown version differs from whatever is sent.
                    .map(|(name, version)| (name.clone(), Version::told(version))),
            );
            asked.all = request.resource_names_subscribe.is_empty() && kind.is_wildcard();
        }
        for name in &request.resource_names_subscribe {
            if name == "*" {
                asked.all = true;
            } else {
                asked.names.insert(name.clone());
                // One that comes back says in the same breath what it has of it, and waits for nothing.
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
        if is_new && !held.is_empty() {
            // Sent and acknowledged on an earlier stream, perhaps by another process: versions follow from the content.
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
            // Also a client that comes to have nothing is told so: it waits for that before it goes on.
            asked.waits |= is_new && kind.is_wildcard() && request.initial_resource_versions.is_empty();
        }
        self.advance(snapshot)
    }

    /// Takes a new snapshot, and says what to push.
    pub fn on_snapshot(&mut self, snapshot: &Snapshot) -> Vec<DeltaDiscoveryResponse> {
        self.advance(snapshot)
    }

    /// Takes an ACK or a NACK.
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
        let Asked { all, names, held, refused, .. } = asked;
        held.retain(|name, _| *all || names.contains(name));
        if refused.is_empty() {
            status.nack = None;
        }
        status.acknowledged = given.version;
        status.resources = held.clone();
    }

    /// Sends what differs, type by type, up to the first that has to be waited for.
    fn advance(&mut self, snapshot: &Snapshot) -> Vec<DeltaDiscoveryResponse> {
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
            let may_go = !goes_last(kind) || self.nothing_names_them(snapshot);
            let given = Self::difference(kind, asked, snapshot, may_go);
            if given.changed.is_empty() && given.gone.is_empty() && !asked.waits {
                continue;
            }
            return self.send(kind, snapshot).into_iter().collect();
        }
        Vec::new()
    }

    /// Whether the client has taken clusters whose endpoints it has not asked for yet, as it will at once, also those of
    /// its first such cluster.
    fn endpoints_are_missing(&self, snapshot: &Snapshot) -> bool {
        let Some(clusters) = self.types.get(&ResourceType::Cluster) else { return false };
        let asked_for =
            |name: &str| self.types.get(&ResourceType::Endpoint).is_some_and(|endpoints| endpoints.includes(name));
        snapshot.of(ResourceType::Endpoint).any(|(name, _)| clusters.held.contains_key(name) && !asked_for(name))
    }

    /// What to send of a type; what is gone only where it may go.
    fn difference(kind: ResourceType, asked: &Asked, snapshot: &Snapshot, may_go: bool) -> Given {
        let differs = |name: &String, version: &Version| {
            asked.held.get(name) != Some(version) && asked.refused.get(name) != Some(version)
        };
        let changed = snapshot
            .of(kind)
            .map(|(name, resource)| (name, resource.version()))
            .filter(|(name, version)| asked.includes(name) && (differs(name, version) || asked.due.contains(*name)));
        // That a cluster's endpoints are not known here is no reason to take those away that the client has.
        let stays = |name: &str| kind == ResourceType::Endpoint && snapshot.find(ResourceType::Cluster, name).is_some();
        let held = asked.held.keys().chain(asked.refused.keys());
        let gone = held.filter(|name| may_go && snapshot.find(kind, name).is_none() && !stays(name));
        let missing = asked.due.iter().filter(|name| snapshot.find(kind, name).is_none());
        Given {
            version: None,
            changed: changed.map(|(name, version)| (name.clone(), version.clone())).collect(),
            gone: gone.chain(missing).cloned().collect(),
        }
    }

    /// Whether all that may name a cluster is acknowledged as the snapshot has it.
    fn nothing_names_them(&self, snapshot: &Snapshot) -> bool {
        [ResourceType::Listener, ResourceType::Route].into_iter().all(|kind| {
            let Some(asked) = self.types.get(&kind) else {
                // One that comes back is about to ask, and has what it was sent before; routes only behind a listener.
                let has_none = kind == ResourceType::Route && snapshot.of(kind).next().is_none();
                return !self.returning || has_none;
            };
            let given = Self::difference(kind, asked, snapshot, true);
            asked.outstanding.is_none() && asked.refused.is_empty() && given.changed.is_empty() && given.gone.is_empty()
        })
    }

    fn send(&mut self, kind: ResourceType, snapshot: &Snapshot) -> Option<DeltaDiscoveryResponse> {
        let may_go = !goes_last(kind) || self.nothing_names_them(snapshot);
        let asked = self.types.get_mut(&kind)?;
        let mut given = Self::difference(kind, asked, snapshot, may_go);
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
        asked.nonce = Some(nonce);
        asked.outstanding = Some(given);
        self.status.of(kind).sent = Some(version);
        if kind == ResourceType::Cluster {
            self.warming = Some(snapshot.clone());
        }
        Some(response)
    }
}
