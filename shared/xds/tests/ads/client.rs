//! A model of a client, by either protocol.

mod delta;
mod sotw;

use std::collections::{BTreeMap, BTreeSet};

use xds::ads::Status;
use xds::{ResourceType, Snapshot};

pub(crate) use delta::Delta;
pub(crate) use sotw::Sotw;

use crate::world::Held;

/// A client: one that is `connected` does as Envoy does. It asks for all clusters and listeners, the endpoints of its
/// clusters and the routes of its listeners, and acknowledges clusters once all that are new or other are warm. Any other
/// asks for nothing but what it is told to.
pub(crate) trait Client {
    /// Asks for these names of a type from now on.
    fn ask(&mut self, kind: ResourceType, names: BTreeSet<String>);
    /// Handles the oldest message on its way to the client; refuses it if told to. False if there is none.
    fn receive(&mut self, refuse: bool) -> bool;
    /// Handles the oldest message on its way to the server. False if there is none.
    fn deliver(&mut self, snapshot: &Snapshot) -> bool;
    /// Tells the server of a new snapshot.
    fn update(&mut self, snapshot: &Snapshot);
    /// The stream breaks, and the client comes back with what it has.
    fn reconnect(&mut self);
    fn held(&self) -> &Held;
    /// Whether the server says that the client has all of a snapshot.
    fn has(&self, snapshot: &Snapshot) -> bool;
    /// What the server says that the client has acknowledged.
    fn status(&self) -> &Status;
    /// What the server has sent and not been told about.
    fn under_way(&self) -> usize;
    /// The clusters that wait for their endpoints.
    fn warming(&self) -> &BTreeSet<String>;

    /// Lets all messages arrive.
    fn settle(&mut self, snapshot: &Snapshot) {
        for _ in 0..10_000 {
            let moved = self.deliver(snapshot) | self.receive(false);
            if !moved {
                assert!(self.warming().is_empty(), "waits in vain for the endpoints of {:?}", self.warming());
                return;
            }
        }
        panic!("never at rest");
    }
}

/// What a client asks for.
#[derive(Default)]
struct Wishes {
    /// Whether it is as Envoy is.
    follows: bool,
    names: BTreeMap<ResourceType, BTreeSet<String>>,
}

impl Wishes {
    fn of(&self, kind: ResourceType) -> BTreeSet<String> {
        self.names.get(&kind).cloned().unwrap_or_default()
    }

    fn include(&self, kind: ResourceType, name: &str) -> bool {
        let all = self.follows && kind.is_wildcard();
        all || self.names.get(&kind).is_some_and(|names| names.contains(name) || names.contains("*"))
    }

    /// What it asks for of another type once it holds these; anew, if there is something that waits for it.
    fn after(&self, kind: ResourceType, held: &Held, waits: bool) -> Option<(ResourceType, BTreeSet<String>)> {
        let follower = match kind {
            ResourceType::Cluster => ResourceType::Endpoint,
            ResourceType::Listener => ResourceType::Route,
            ResourceType::Endpoint | ResourceType::Secret | ResourceType::Route => return None,
        };
        let names: BTreeSet<String> = held.get(&kind)?.keys().cloned().collect();
        (self.follows && (waits || self.names.get(&follower) != Some(&names))).then_some((follower, names))
    }
}

/// The clusters that are new or other than they were.
fn to_be_warmed(before: &BTreeMap<String, Vec<u8>>, after: &BTreeMap<String, Vec<u8>>) -> BTreeSet<String> {
    after.iter().filter(|(name, body)| before.get(*name) != Some(*body)).map(|(name, _)| name.clone()).collect()
}
