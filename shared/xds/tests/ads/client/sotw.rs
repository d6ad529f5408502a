//! A client of the state-of-the-world protocol.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use envoy_types::pb::google::rpc::Status as RpcStatus;
use xds::ads::{FormerResources, SotwStream, Status};
use xds::{ResourceType, Snapshot};

use super::{Client, Wishes, to_be_warmed};
use crate::world::{Held, name_of};

#[derive(Default)]
pub(crate) struct Sotw {
    stream: SotwStream,
    former: Vec<FormerResources>,
    to_server: VecDeque<DiscoveryRequest>,
    to_client: VecDeque<DiscoveryResponse>,
    held: Held,
    versions: BTreeMap<ResourceType, String>,
    nonces: BTreeMap<ResourceType, String>,
    wishes: Wishes,
    warming: BTreeSet<String>,
    pub(crate) sent: Vec<ResourceType>,
}

impl Sotw {
    pub(crate) fn connected() -> Self {
        let mut client = Self { wishes: Wishes { follows: true, ..Wishes::default() }, ..Self::default() };
        client.reconnect();
        client
    }

    /// Breaks the stream; the next server does not know the client.
    pub(crate) fn reconnect_elsewhere(&mut self) {
        self.stream = SotwStream::default();
        self.former.clear();
        self.reconnect();
    }

    /// Clusters are warm once the client has received their endpoints, even if it refused that response. Once the last
    /// cluster is warm, the client acknowledges the clusters.
    fn warmed(&mut self, kind: ResourceType, names: &[String]) {
        if kind == ResourceType::Endpoint && !self.warming.is_empty() {
            self.warming.retain(|name| !names.contains(name));
            if self.warming.is_empty() {
                self.say(ResourceType::Cluster, None);
            }
        }
    }

    fn say(&mut self, kind: ResourceType, error: Option<&str>) {
        self.to_server.push_back(DiscoveryRequest {
            type_url: kind.url().to_owned(),
            version_info: self.versions.get(&kind).cloned().unwrap_or_default(),
            response_nonce: self.nonces.get(&kind).cloned().unwrap_or_default(),
            resource_names: self.wishes.of(kind).into_iter().collect(),
            error_detail: error.map(|message| RpcStatus {
                code: 3,
                message: message.to_owned(),
                ..RpcStatus::default()
            }),
            ..DiscoveryRequest::default()
        });
    }
}

impl Client for Sotw {
    fn ask(&mut self, kind: ResourceType, names: BTreeSet<String>) {
        self.wishes.names.insert(kind, names);
        if let Some(held) = self.held.get_mut(&kind) {
            held.retain(|name, _| self.wishes.include(kind, name));
        }
        self.say(kind, None);
    }

    fn receive(&mut self, refuse: bool) -> bool {
        let Some(response) = self.to_client.pop_front() else { return false };
        let kind = ResourceType::of_url(&response.type_url).unwrap();
        self.sent.push(kind);
        self.nonces.insert(kind, response.nonce.clone());
        let names: Vec<String> = response.resources.iter().map(|resource| name_of(kind, &resource.value)).collect();
        if refuse {
            self.say(kind, Some("no"));
            self.warmed(kind, &names);
            return true;
        }
        let held = self.held.entry(kind).or_default();
        let before = held.clone();
        if kind.is_wildcard() {
            held.clear();
        }
        for (name, resource) in names.iter().zip(response.resources) {
            if self.wishes.include(kind, name) {
                held.insert(name.clone(), resource.value);
            }
        }
        self.versions.insert(kind, response.version_info);
        if kind == ResourceType::Cluster && self.wishes.follows {
            self.warming = to_be_warmed(&before, held);
        }
        let waits = kind == ResourceType::Cluster && !self.warming.is_empty();
        if !waits {
            self.say(kind, None);
        }
        self.warmed(kind, &names);
        if let Some((follower, names)) = self.wishes.after(kind, &self.held, waits) {
            self.ask(follower, names);
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

    fn release(&mut self, snapshot: &Snapshot) {
        if self.stream.lingers(snapshot) {
            self.to_client.extend(self.stream.release(snapshot));
        }
    }

    fn reconnect(&mut self) {
        self.former.extend(self.stream.former());
        self.stream = SotwStream::new(self.former.clone());
        self.to_server.clear();
        self.to_client.clear();
        self.nonces.clear();
        // The client gives up waiting for warm clusters.
        self.warming.clear();
        for kind in [ResourceType::Cluster, ResourceType::Listener, ResourceType::Endpoint, ResourceType::Route] {
            if (self.wishes.follows && kind.is_wildcard()) || self.wishes.names.contains_key(&kind) {
                self.say(kind, None);
            }
        }
    }

    fn held(&self) -> &Held {
        &self.held
    }

    fn has(&self, snapshot: &Snapshot) -> bool {
        self.stream.has(snapshot)
    }

    fn status(&self) -> &Status {
        self.stream.status()
    }

    fn under_way(&self) -> usize {
        self.to_client.len()
    }

    fn warming(&self) -> &BTreeSet<String> {
        &self.warming
    }
}
