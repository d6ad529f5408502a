//! Explicit listeners: the assignment of loopback ports.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;
use std::str::FromStr;

use mesh::graph::Mesh;
use mesh::name::{MeshName, ResourcePath};
use xds::Proxy;
use xds::ports::{PortBook, PortUse, uses};

use crate::store::PortRequest;

/// How traffic reaches the proxies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ListenerMode {
    /// Redirected to 15000 and 15001, as App Mesh's images do.
    #[default]
    Interception,
    /// Without redirection, on loopback ports of this range.
    Explicit(RangeInclusive<u16>),
}

impl FromStr for ListenerMode {
    type Err = ListenerModeError;

    fn from_str(text: &str) -> Result<Self, ListenerModeError> {
        let error = || ListenerModeError(text.to_owned());
        if text == "interception" {
            return Ok(Self::Interception);
        }
        let (first, last) = text.strip_prefix("explicit:").and_then(|range| range.split_once('-')).ok_or_else(error)?;
        let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(error);
        let range = port(first)?..=port(last)?;
        if range.is_empty() { Err(error()) } else { Ok(Self::Explicit(range)) }
    }
}

/// The text is not a listener mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid listener mode {0:?}: expected \"interception\", or a range of ports such as \"explicit:20000-20999\"")]
pub struct ListenerModeError(String);

/// Assigns ports: one for each use, unchanged while the use exists.
#[derive(Debug)]
pub(super) struct PortAssigner {
    range: RangeInclusive<u16>,
    /// The ports by key. Keys without a use are from an earlier start.
    assigned: BTreeMap<String, u16>,
    taken: BTreeSet<u16>,
    /// The port at which the search starts. A freed port is assigned again last, so that a client of its previous
    /// owner fails to connect instead of reaching another proxy.
    next: u16,
    uses: BTreeMap<MeshName, BTreeSet<PortUse>>,
    without: BTreeSet<PortUse>,
    book: PortBook,
    edits: Vec<(String, Option<u16>)>,
}

impl PortAssigner {
    /// Starts with the stored assignments of an earlier start, by key. Ports outside the range are assigned again.
    pub(super) fn new(range: RangeInclusive<u16>, assigned: BTreeMap<String, u16>) -> Self {
        let (assigned, outside): (BTreeMap<_, _>, BTreeMap<_, _>) =
            assigned.into_iter().partition(|(_, port)| range.contains(port));
        let taken = assigned.values().copied().collect();
        let next = *range.start();
        let mut edits: Vec<_> = outside.into_keys().map(|key| (key, None)).collect();
        let mut current = BTreeMap::new();
        for (key, port) in assigned {
            let present = renamed(&key);
            if let Some(present) = &present {
                edits.extend([(key.clone(), None), (present.clone(), Some(port))]);
            }
            current.insert(present.unwrap_or(key), port);
        }
        let assigned = current;
        let (uses, without, book) = (BTreeMap::new(), BTreeSet::new(), PortBook::default());
        Self { range, assigned, taken, next, uses, without, book, edits }
    }

    /// The current assignments.
    pub(super) const fn book(&self) -> &PortBook {
        &self.book
    }

    /// Assigns and frees the ports of a mesh. Returns the resources with changed ports.
    pub(super) fn settle(&mut self, name: &MeshName, mesh: Option<&Mesh>) -> BTreeSet<ResourcePath> {
        let wanted = mesh.map(uses).unwrap_or_default();
        let had = self.uses.remove(name).unwrap_or_default();
        let mut moved = BTreeSet::new();
        for unused in had.difference(&wanted) {
            moved.insert(owner(unused).1);
            self.without.remove(unused);
            self.free(&unused.to_string());
        }
        let without = |new: &&PortUse| !had.contains(*new) || self.without.contains(*new);
        let mut new: Vec<PortUse> = wanted.iter().filter(without).cloned().collect();
        // Proxy by proxy: when ports run out, some proxies have all their ports, instead of all having a part.
        new.sort_by_key(|new| owner(new).1);
        for new in new {
            if self.assign(&new) {
                moved.insert(owner(&new).1);
                self.without.remove(&new);
            } else {
                self.without.insert(new);
            }
        }
        if !wanted.is_empty() {
            self.uses.insert(name.clone(), wanted);
        }
        if !moved.is_empty() {
            self.write_book();
        }
        moved
    }

    /// Frees the stored ports of an earlier start that no mesh uses.
    pub(super) fn sweep(&mut self) {
        let used: BTreeSet<String> = self.uses.values().flatten().map(ToString::to_string).collect();
        let unused: Vec<String> = self.assigned.keys().filter(|key| !used.contains(*key)).cloned().collect();
        for key in unused {
            self.free(&key);
        }
    }

    fn assign(&mut self, to: &PortUse) -> bool {
        let key = to.to_string();
        if self.assigned.contains_key(&key) {
            return true;
        }
        let Some(port) = self.free_port() else {
            return false;
        };
        self.edits.push((key.clone(), Some(port)));
        self.taken.insert(port);
        self.assigned.insert(key, port);
        true
    }

    fn free(&mut self, key: &str) {
        if let Some(port) = self.assigned.remove(key) {
            self.taken.remove(&port);
            self.edits.push((key.to_owned(), None));
        }
    }

    /// The next port that neither another use nor another process has.
    fn free_port(&mut self) -> Option<u16> {
        let (first, last) = (*self.range.start(), *self.range.end());
        let candidates = (self.next..=last).chain(first..self.next);
        let free = |port: &u16| !self.taken.contains(port) && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
        let port = candidates.into_iter().find(free)?;
        self.next = if port == last { first } else { port.saturating_add(1) };
        Some(port)
    }

    fn write_book(&mut self) {
        let mut book = PortBook::default();
        for to in self.uses.values().flatten() {
            if let Some(port) = self.assigned.get(&to.to_string()) {
                book.assign(to.clone(), *port);
            }
        }
        self.book = book;
    }

    /// Takes the planned assignments and releases since the last call, to be decided by the log; `None` without any.
    pub(super) fn take_request(&mut self) -> Option<PortRequest> {
        if self.edits.is_empty() {
            return None;
        }
        let edits: BTreeMap<String, Option<u16>> = std::mem::take(&mut self.edits).into_iter().collect();
        let assigns = edits.values().any(Option::is_some);
        let busy = |port: &u16| !self.taken.contains(port) && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_err();
        let busy = if assigns { self.range.clone().filter(busy).collect() } else { BTreeSet::new() };
        Some(PortRequest { range: self.range.clone(), edits, busy })
    }

    /// Applies the decision of the log. A key without a port, also one that could not be stored, gets one when its mesh is
    /// settled again. Returns the resources with ports other than planned.
    pub(super) fn adopt(&mut self, decided: &BTreeMap<String, Option<u16>>) -> BTreeSet<ResourcePath> {
        let differing = decided.iter().filter(|(key, port)| self.assigned.get(*key) != port.as_ref());
        let differing: BTreeMap<String, Option<u16>> = differing.map(|(key, port)| (key.clone(), *port)).collect();
        if differing.is_empty() {
            return BTreeSet::new();
        }
        for (key, port) in &differing {
            match port {
                Some(port) => self.assigned.insert(key.clone(), *port),
                None => self.assigned.remove(key),
            };
        }
        self.taken = self.assigned.values().copied().collect();
        let concerned: Vec<PortUse> =
            self.uses.values().flatten().filter(|to| differing.contains_key(&to.to_string())).cloned().collect();
        let moved = concerned.iter().map(|to| owner(to).1).collect();
        for to in concerned {
            if differing.get(&to.to_string()).is_some_and(Option::is_none) {
                self.without.insert(to);
            } else {
                self.without.remove(&to);
            }
        }
        self.write_book();
        moved
    }

    /// The assignments of a proxy.
    pub(super) fn assignments_of(&self, mesh: &MeshName, proxy: &Proxy) -> impl Iterator<Item = (&PortUse, u16)> {
        self.book.iter().filter(move |(to, _)| {
            let (owner, path) = owner(to);
            path.mesh() == mesh && owner == *proxy
        })
    }
}

/// The present key of a gateway's port for its own egress side. Earlier versions appended the port of its first listener.
fn renamed(key: &str) -> Option<String> {
    let (gateway, listener) = key.strip_prefix("loop ")?.split_once(' ')?;
    listener.parse::<u16>().ok().map(|_| format!("loop {gateway}"))
}

/// The proxy that a port belongs to.
fn owner(to: &PortUse) -> (Proxy, ResourcePath) {
    let (mesh, proxy) = match to {
        PortUse::Ingress { mesh, proxy, .. } | PortUse::Loop { mesh, proxy, .. } => (mesh, proxy.clone()),
        PortUse::Application { mesh, node, .. } | PortUse::Egress { mesh, node, .. } => {
            (mesh, Proxy::Node(node.clone()))
        }
    };
    let path = match &proxy {
        Proxy::Node(name) => ResourcePath::VirtualNode(mesh.clone(), name.clone()),
        Proxy::Gateway(name) => ResourcePath::VirtualGateway(mesh.clone(), name.clone()),
    };
    (proxy, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_of_an_egress_side_keeps_its_number_under_the_present_key() {
        let stored = [
            ("loop mesh/shop/virtualGateway/web 8080", 20_001),
            ("ingress mesh/shop/virtualGateway/web 8080", 20_002),
            ("loop mesh/shop/virtualGateway/edge", 20_003),
        ];
        let stored = stored.map(|(key, port)| (key.to_owned(), port));
        let mut ports = PortAssigner::new(20_000..=20_009, BTreeMap::from(stored));
        let edits = ports.take_request().unwrap().edits;
        let expected =
            [("loop mesh/shop/virtualGateway/web 8080", None), ("loop mesh/shop/virtualGateway/web", Some(20_001))];
        assert_eq!(edits, BTreeMap::from(expected.map(|(key, port)| (key.to_owned(), port))));
        let mut assigned: Vec<_> = ports.assigned.into_iter().collect();
        assigned.sort_by_key(|(_, port)| *port);
        let keys: Vec<_> = assigned.iter().map(|(key, _)| key.as_str()).collect();
        let expected = [
            "loop mesh/shop/virtualGateway/web",
            "ingress mesh/shop/virtualGateway/web 8080",
            "loop mesh/shop/virtualGateway/edge",
        ];
        assert_eq!(keys, expected);
    }
}
