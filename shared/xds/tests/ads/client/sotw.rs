//! A client of the state-of-the-world protocol.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use envoy_types::pb::google::rpc::Status as RpcStatus;
use xds::ads::{PreviousResources, SotwStream, Status};
use xds::{ResourceType, Snapshot};

use super::{Client, Subscriptions, changed_clusters};
use crate::synthetic::{HeldResources, name_of};

#[derive(Default)]
pub(crate) struct Sotw {
    stream: SotwStream,
    previous: Vec<PreviousResources>,
    to_server: VecDeque<DiscoveryRequest>,
    to_client: VecDeque<DiscoveryResponse>,
    held: HeldResources,
    versions: BTreeMap<ResourceType, String>,
    nonces: BTreeMap<ResourceType, String>,
    subscriptions: Subscriptions,
    warming: BTreeSet<String>,
    pub(crate) sent: Vec<ResourceType>,
}

impl Sotw {
    pub(crate) fn connected() -> Self {
        let mut client =
            Self { subscriptions: Subscriptions { like_envoy: true, ..Subscriptions::default() }, ..Self::default() };
        client.reconnect();
        client
    }

    /// Breaks the stream; the next server does not know the client.
    pub(crate) fn reconnect_elsewhere(&mut self) {
        self.stream = SotwStream::default();
        self.previous.clear();
        self.reconnect();
    }

    /// Clusters are warm once the client has received their endpoints, even if it refused that response. Once the last
    /// cluster is warm, the client acknowledges the clusters.
    fn warm_clusters(&mut self, kind: ResourceType, names: &[String]) {
        if kind == ResourceType::Endpoint && !self.warming.is_empty() {
            self.warming.retain(|name| !names.contains(name));
            if self.warming.is_empty() {
                self.send_request(ResourceType::Cluster, None);
            }
        }
    }

    fn send_request(&mut self, kind: ResourceType, error: Option<&str>) {
        self.to_server.push_back(DiscoveryRequest {
            type_url: kind.url().to_owned(),
            version_info: self.versions.get(&kind).cloned().unwrap_or_default(),
            response_nonce: self.nonces.get(&kind).cloned().unwrap_or_default(),
            resource_names: self.subscriptions.names_of_type(kind).into_iter().collect(),
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
    fn subscribe(&mut self, kind: ResourceType, names: BTreeSet<String>) {
        self.subscriptions.names.insert(kind, names);
        if let Some(held) = self.held.get_mut(&kind) {
            held.retain(|name, _| self.subscriptions.include(kind, name));
        }
        self.send_request(kind, None);
    }

    fn receive(&mut self, refuse: bool) -> bool {
        let Some(response) = self.to_client.pop_front() else { return false };
        let kind = ResourceType::of_url(&response.type_url).unwrap();
        self.sent.push(kind);
        self.nonces.insert(kind, response.nonce.clone());
        let names: Vec<String> = response.resources.iter().map(|resource| name_of(kind, &resource.value)).collect();
        if refuse {
            self.send_request(kind, Some("no"));
            self.warm_clusters(kind, &names);
            return true;
        }
        let held = self.held.entry(kind).or_default();
        let before = held.clone();
        if kind.is_wildcard() {
            held.clear();
        }
        for (name, resource) in names.iter().zip(response.resources) {
            if self.subscriptions.include(kind, name) {
                held.insert(name.clone(), resource.value);
            }
        }
        self.versions.insert(kind, response.version_info);
        if kind == ResourceType::Cluster && self.subscriptions.like_envoy {
            self.warming = changed_clusters(&before, held);
        }
        let waits = kind == ResourceType::Cluster && !self.warming.is_empty();
        if !waits {
            self.send_request(kind, None);
        }
        self.warm_clusters(kind, &names);
        if let Some((dependent, names)) = self.subscriptions.after(kind, &self.held, waits) {
            self.subscribe(dependent, names);
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
        self.previous.extend(self.stream.resources_for_next_stream());
        self.stream = SotwStream::new(self.previous.clone());
        self.to_server.clear();
        self.to_client.clear();
        self.nonces.clear();
        // The client gives up waiting for warm clusters.
        self.warming.clear();
        for kind in [ResourceType::Cluster, ResourceType::Listener, ResourceType::Endpoint, ResourceType::Route] {
            if (self.subscriptions.like_envoy && kind.is_wildcard()) || self.subscriptions.names.contains_key(&kind) {
                self.send_request(kind, None);
            }
        }
    }

    fn held(&self) -> &HeldResources {
        &self.held
    }

    fn has(&self, snapshot: &Snapshot) -> bool {
        self.stream.has(snapshot)
    }

    fn status(&self) -> &Status {
        self.stream.status()
    }

    fn responses_in_flight(&self) -> usize {
        self.to_client.len()
    }

    fn next_type(&self) -> Option<ResourceType> {
        ResourceType::of_url(&self.to_client.front()?.type_url)
    }

    fn warming(&self) -> &BTreeSet<String> {
        &self.warming
    }
}
