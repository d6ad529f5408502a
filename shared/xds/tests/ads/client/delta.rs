//! A client of the delta protocol.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use envoy_types::pb::google::rpc::Status as RpcStatus;
use xds::ads::{DeltaStream, FormerResources, Status};
use xds::{ResourceType, Snapshot};

use super::{Client, Wishes, to_be_warmed};
use crate::world::Held;

#[derive(Default)]
pub(crate) struct Delta {
    stream: DeltaStream,
    former: Vec<FormerResources>,
    to_server: VecDeque<DeltaDiscoveryRequest>,
    to_client: VecDeque<DeltaDiscoveryResponse>,
    held: Held,
    versions: BTreeMap<ResourceType, BTreeMap<String, String>>,
    wishes: Wishes,
    warming: BTreeSet<String>,
    withheld: Option<String>,
    pub(crate) sent: Vec<ResourceType>,
}

impl Delta {
    pub(crate) fn connected() -> Self {
        let mut client = Self { wishes: Wishes { follows: true, ..Wishes::default() }, ..Self::default() };
        client.reconnect();
        client
    }

    fn say(&mut self, kind: ResourceType, nonce: String, error: Option<&str>) {
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
    /// holds even if the client refused that response. Once the last cluster is warm, the client acknowledges the
    /// clusters.
    fn warmed(&mut self, kind: ResourceType, came: &[String], gone: &[String]) {
        if kind == ResourceType::Endpoint {
            self.warming.retain(|name| !came.contains(name) && !gone.contains(name));
            if self.warming.is_empty()
                && let Some(nonce) = self.withheld.take()
            {
                self.say(ResourceType::Cluster, nonce, None);
            }
        }
    }
}

impl Client for Delta {
    fn ask(&mut self, kind: ResourceType, names: BTreeSet<String>) {
        let before = self.wishes.names.insert(kind, names.clone()).unwrap_or_default();
        let (held, versions) = (self.held.entry(kind).or_default(), self.versions.entry(kind).or_default());
        held.retain(|name, _| self.wishes.include(kind, name));
        versions.retain(|name, _| self.wishes.include(kind, name));
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
            self.say(kind, response.nonce, Some("no"));
            self.warmed(kind, &named, &response.removed_resources);
            return true;
        }
        let (held, versions) = (self.held.entry(kind).or_default(), self.versions.entry(kind).or_default());
        let before = held.clone();
        for resource in response.resources {
            if self.wishes.include(kind, &resource.name) {
                versions.insert(resource.name.clone(), resource.version);
                held.insert(resource.name, resource.resource.unwrap().value);
            }
        }
        for name in &response.removed_resources {
            held.remove(name);
            versions.remove(name);
        }
        if kind == ResourceType::Cluster && self.wishes.follows {
            self.warming = to_be_warmed(&before, held);
        }
        let warming = if kind == ResourceType::Cluster { self.warming.clone() } else { BTreeSet::new() };
        if warming.is_empty() {
            self.say(kind, response.nonce, None);
        } else {
            self.withheld = Some(response.nonce);
        }
        self.warmed(kind, &named, &response.removed_resources);
        if let Some((follower, names)) = self.wishes.after(kind, &self.held, !warming.is_empty()) {
            // The client subscribes again to endpoints that it already subscribes to.
            let again = self.wishes.of(follower).intersection(&warming).cloned().collect();
            self.ask(follower, names);
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
        self.former.extend(self.stream.former());
        self.stream = DeltaStream::new(self.former.clone());
        self.to_server.clear();
        self.to_client.clear();
        // The client gives up waiting for warm clusters.
        self.warming.clear();
        self.withheld = None;
        for kind in [ResourceType::Cluster, ResourceType::Endpoint, ResourceType::Listener, ResourceType::Route] {
            if (self.wishes.follows && kind.is_wildcard()) || self.wishes.names.contains_key(&kind) {
                self.to_server.push_back(DeltaDiscoveryRequest {
                    type_url: kind.url().to_owned(),
                    resource_names_subscribe: self.wishes.of(kind).into_iter().collect(),
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
