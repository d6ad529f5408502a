//! A model of an ADS client, for both protocols.

mod delta;
mod sotw;

use std::collections::{BTreeMap, BTreeSet};

use xds::ads::Status;
use xds::{ResourceType, Snapshot};

pub(crate) use delta::Delta;
pub(crate) use sotw::Sotw;

use crate::synthetic::{HeldResources, needs_endpoints, routes_of};

/// An ADS client. A `connected` client behaves as Envoy does. It subscribes to all clusters and listeners, the
/// endpoints of its clusters and the routes of its listeners. It acknowledges clusters once all new or changed ones are
/// warm. Any other client subscribes only to the names that a test gives it.
pub(crate) trait Client {
    /// Replaces the names that the client subscribes to for a type.
    fn subscribe(&mut self, kind: ResourceType, names: BTreeSet<String>);
    /// Handles the oldest message to the client; refuses it if `refuse` is set. Returns false if there is none.
    fn receive(&mut self, refuse: bool) -> bool;
    /// Handles the oldest message to the server. Returns false if there is none.
    fn deliver(&mut self, snapshot: &Snapshot) -> bool;
    /// Gives the server a new snapshot.
    fn update(&mut self, snapshot: &Snapshot);
    /// The time has passed after which previous clusters and targets of previous gateway routes are removed.
    fn release(&mut self, snapshot: &Snapshot);
    /// Breaks the stream; the client reconnects with the resources that it has.
    fn reconnect(&mut self);
    fn held(&self) -> &HeldResources;
    /// Whether the server reports that the client has all of a snapshot.
    fn has(&self, snapshot: &Snapshot) -> bool;
    /// The status of the client, as the server reports it.
    fn status(&self) -> &Status;
    /// The number of responses that are still on their way to the client.
    fn responses_in_flight(&self) -> usize;
    /// The type of the oldest response on its way to the client.
    fn next_type(&self) -> Option<ResourceType>;
    /// The clusters that wait for their endpoints.
    fn warming(&self) -> &BTreeSet<String>;

    /// Delivers all messages, and lets time pass.
    fn settle(&mut self, snapshot: &Snapshot) {
        for _ in 0..10_000 {
            let moved = self.deliver(snapshot) | self.receive(false);
            if !moved {
                self.release(snapshot);
            }
            if !moved && self.responses_in_flight() == 0 {
                assert!(self.warming().is_empty(), "the endpoints of {:?} never arrived", self.warming());
                return;
            }
        }
        panic!("messages are exchanged without end");
    }
}

/// The subscriptions of a client.
#[derive(Default)]
struct Subscriptions {
    /// Whether the client behaves as Envoy does.
    like_envoy: bool,
    names: BTreeMap<ResourceType, BTreeSet<String>>,
}

impl Subscriptions {
    fn names_of_type(&self, kind: ResourceType) -> BTreeSet<String> {
        self.names.get(&kind).cloned().unwrap_or_default()
    }

    fn include(&self, kind: ResourceType, name: &str) -> bool {
        let all = self.like_envoy && kind.is_wildcard();
        all || self.names.get(&kind).is_some_and(|names| names.contains(name) || names.contains("*"))
    }

    /// The next subscription to the dependent type, once the client holds these resources. It is repeated without a
    /// change if a resource waits for it.
    fn after(&self, kind: ResourceType, held: &HeldResources, waits: bool) -> Option<(ResourceType, BTreeSet<String>)> {
        let dependent = match kind {
            ResourceType::Cluster => ResourceType::Endpoint,
            ResourceType::Listener => ResourceType::Route,
            ResourceType::Endpoint | ResourceType::Secret | ResourceType::Route => return None,
        };
        if !self.like_envoy {
            return None;
        }
        let held = held.get(&kind)?.iter();
        let names: BTreeSet<String> = match kind {
            ResourceType::Cluster => {
                held.filter(|(_, body)| needs_endpoints(body)).map(|(name, _)| name.clone()).collect()
            }
            _ => held.map(|(_, body)| routes_of(body)).collect(),
        };
        (waits || self.names.get(&dependent) != Some(&names)).then_some((dependent, names))
    }
}

/// The clusters that are new or changed.
fn changed_clusters(before: &BTreeMap<String, Vec<u8>>, after: &BTreeMap<String, Vec<u8>>) -> BTreeSet<String> {
    let changed = after.iter().filter(|(name, body)| before.get(*name) != Some(*body));
    changed.filter(|(_, body)| needs_endpoints(body)).map(|(name, _)| name.clone()).collect()
}
