//! A client of the delta protocol.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use envoy_types::pb::google::rpc::Status as RpcStatus;
use xds::ads::{DeltaStream, PreviousResources, Status};
use xds::{ResourceType, Snapshot};

use super::{Client, Subscriptions, changed_clusters};
use crate::synthetic::HeldResources;

#[derive(Default)]
pub(crate) struct Delta {
    stream: DeltaStream,
    previous: Vec<PreviousResources>,
    to_server: VecDeque<DeltaDiscoveryRequest>,
    to_client: VecDeque<DeltaDiscoveryResponse>,
    held: HeldResources,
    versions: BTreeMap<ResourceType, BTreeMap<String, String>>,
    subscriptions: Subscriptions,
    warming: BTreeSet<String>,
    withheld_nonce: Option<String>,
    pub(crate) sent: Vec<ResourceType>,
}

impl Delta {
    pub(crate) fn connected() -> Self {
        let mut client =
            Self { subscriptions: Subscriptions { like_envoy: true, ..Subscriptions::default() }, ..Self::default() };
        client.reconnect();
        client
    }

    fn send_request(&mut self, kind: ResourceType, nonce: String, error: Option<&str>) {
        self.to_server.push_back(DeltaDiscoveryRequest {
            type_url: kind.url().to_owned(),
            response_nonce: nonce,
            error_detail: error.map(|message| RpcStatus {
                code: 3,
                message: message.to_owned(),
                ..RpcStatus::default()
            }),
            ..DeltaDiscoveryRequest::default()
        });
    }

    /// Clusters are warm once the client has received their endpoints, or the notice that these do not exist. This
    /// holds even if the client refused that response. Once the last cluster is warm, the client acknowledges
    /// the clusters.
    fn warm_clusters(&mut self, kind: ResourceType, received: &[String], removed: &[String]) {
        if kind == ResourceType::Endpoint {
            self.warming.retain(|name| !received.contains(name) && !removed.contains(name));
            if self.warming.is_empty()
                && let Some(nonce) = self.withheld_nonce.take()
            {
                self.send_request(ResourceType::Cluster, nonce, None);
            }
        }
    }
}

impl Client for Delta {
    fn subscribe(&mut self, kind: ResourceType, names: BTreeSet<String>) {
        let before = self.subscriptions.names.insert(kind, names.clone()).unwrap_or_default();
        let (held, versions) = (self.held.entry(kind).or_default(), self.versions.entry(kind).or_default());
        held.retain(|name, _| self.subscriptions.include(kind, name));
        versions.retain(|name, _| self.subscriptions.include(kind, name));
        let (subscribe, unsubscribe): (Vec<_>, Vec<_>) =
            (&names ^ &before).into_iter().partition(|name| names.contains(name));
        self.to_server.push_back(DeltaDiscoveryRequest {
            type_url: kind.url().to_owned(),
            resource_names_subscribe: subscribe,
            resource_names_unsubscribe: unsubscribe,
            ..DeltaDiscoveryRequest::default()
        });
    }

    fn receive(&mut self, refuse: bool) -> bool {
        let Some(response) = self.to_client.pop_front() else { return false };
        let kind = ResourceType::of_url(&response.type_url).unwrap();
        self.sent.push(kind);
        let named: Vec<String> = response.resources.iter().map(|resource| resource.name.clone()).collect();
        if refuse {
            self.send_request(kind, response.nonce, Some("no"));
            self.warm_clusters(kind, &named, &response.removed_resources);
            return true;
        }
        let (held, versions) = (self.held.entry(kind).or_default(), self.versions.entry(kind).or_default());
        let before = held.clone();
        for resource in response.resources {
            if self.subscriptions.include(kind, &resource.name) {
                versions.insert(resource.name.clone(), resource.version);
                held.insert(resource.name, resource.resource.unwrap().value);
            }
        }
        for name in &response.removed_resources {
            held.remove(name);
            versions.remove(name);
        }
        if kind == ResourceType::Cluster && self.subscriptions.like_envoy {
            self.warming = changed_clusters(&before, held);
        }
        let warming = if kind == ResourceType::Cluster { self.warming.clone() } else { BTreeSet::new() };
        if warming.is_empty() {
            self.send_request(kind, response.nonce, None);
        } else {
            self.withheld_nonce = Some(response.nonce);
        }
        self.warm_clusters(kind, &named, &response.removed_resources);
        if let Some((dependent, names)) = self.subscriptions.after(kind, &self.held, !warming.is_empty()) {
            // The client subscribes again to endpoints that it already subscribes to.
            let again = self.subscriptions.names_of_type(dependent).intersection(&warming).cloned().collect();
            self.subscribe(dependent, names);
            if let Some(request) = self.to_server.back_mut() {
                request.resource_names_subscribe.extend::<Vec<_>>(again);
            }
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
        self.stream = DeltaStream::new(self.previous.clone());
        self.to_server.clear();
        self.to_client.clear();
        // The client gives up waiting for warm clusters.
        self.warming.clear();
        self.withheld_nonce = None;
        for kind in [ResourceType::Cluster, ResourceType::Endpoint, ResourceType::Listener, ResourceType::Route] {
            if (self.subscriptions.like_envoy && kind.is_wildcard()) || self.subscriptions.names.contains_key(&kind) {
                self.to_server.push_back(DeltaDiscoveryRequest {
                    type_url: kind.url().to_owned(),
                    resource_names_subscribe: self.subscriptions.names_of_type(kind).into_iter().collect(),
                    initial_resource_versions: self
                        .versions
                        .get(&kind)
                        .cloned()
                        .unwrap_or_default()
                        .into_iter()
                        .collect(),
                    ..DeltaDiscoveryRequest::default()
                });
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
