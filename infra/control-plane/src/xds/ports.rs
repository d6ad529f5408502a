//! Explicit listeners: which loopback port is whose.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;
use std::str::FromStr;

use mesh::graph::Mesh;
use mesh::name::{MeshName, ResourcePath};
use xds::Proxy;
use xds::ports::{PortBook, PortUse, uses};

/// How traffic reaches the proxies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ListenerMode {
    /// Redirected to 15000 and 15001, as App Mesh's images have it.
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

/// What is no listener mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither \"interception\" nor a range of ports such as \"explicit:20000-20999\"")]
pub struct ListenerModeError(String);

/// Assigns ports: once for each use, kept while the use is there.
#[derive(Debug)]
pub(super) struct PortKeeper {
    range: RangeInclusive<u16>,
    /// By key; those that no use has claimed yet were kept from an earlier start.
    kept: BTreeMap<String, u16>,
    taken: BTreeSet<u16>,
    /// Where to look next: a port that became free is taken again last, so that whoever still talks to its former
    /// owner meets nobody, and not somebody else.
    next: u16,
    uses: BTreeMap<MeshName, BTreeSet<PortUse>>,
    without: BTreeSet<PortUse>,
    book: PortBook,
    edits: Vec<(String, Option<u16>)>,
}

impl PortKeeper {
    /// With the assignments kept from an earlier start, by key. Those outside the range are made anew.
    pub(super) fn new(range: RangeInclusive<u16>, kept: BTreeMap<String, u16>) -> Self {
        let (kept, outside): (BTreeMap<_, _>, BTreeMap<_, _>) =
            kept.into_iter().partition(|(_, port)| range.contains(port));
        let taken = kept.values().copied().collect();
        let next = *range.start();
        let edits = outside.into_keys().map(|key| (key, None)).collect();
        let (uses, without, book) = (BTreeMap::new(), BTreeSet::new(), PortBook::default());
        Self { range, kept, taken, next, uses, without, book, edits }
    }

    /// The assignments in force.
    pub(super) const fn book(&self) -> &PortBook {
        &self.book
    }

    /// Assigns and frees what a mesh needs and no longer needs. Gives the resources whose ports are others now.
    pub(super) fn settle(&mut self, name: &MeshName, mesh: Option<&Mesh>) -> BTreeSet<ResourcePath> {
        let wanted = mesh.map(uses).unwrap_or_default();
        let had = self.uses.remove(name).unwrap_or_default();
        let mut moved = BTreeSet::new();
        for gone in had.difference(&wanted) {
            moved.insert(owner(gone).1);
            self.without.remove(gone);
            self.free(&gone.to_string());
        }
        let without = |new: &&PortUse| !had.contains(*new) || self.without.contains(*new);
        let mut new: Vec<PortUse> = wanted.iter().filter(without).cloned().collect();
        // Proxy by proxy: when ports run out, some have all that they need and not all have half of it.
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

    /// Frees what was kept from an earlier start and has no use in any mesh.
    pub(super) fn sweep(&mut self) {
        let used: BTreeSet<String> = self.uses.values().flatten().map(ToString::to_string).collect();
        let unused: Vec<String> = self.kept.keys().filter(|key| !used.contains(*key)).cloned().collect();
        for key in unused {
            self.free(&key);
        }
    }

    fn assign(&mut self, to: &PortUse) -> bool {
        let key = to.to_string();
        if self.kept.contains_key(&key) {
            return true;
        }
        let Some(port) = self.free_port() else {
            return false;
        };
        self.edits.push((key.clone(), Some(port)));
        self.taken.insert(port);
        self.kept.insert(key, port);
        true
    }

    fn free(&mut self, key: &str) {
        if let Some(port) = self.kept.remove(key) {
            self.taken.remove(&port);
            self.edits.push((key.to_owned(), None));
        }
    }

    /// The next port that nobody has: neither a use nor another process.
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
            if let Some(port) = self.kept.get(&to.to_string()) {
                book.assign(to.clone(), *port);
            }
        }
        self.book = book;
    }

    /// The assignments made and given up since the last call, to be stored.
    pub(super) fn take_edits(&mut self) -> Vec<(String, Option<u16>)> {
        std::mem::take(&mut self.edits)
    }

    /// The assignments of a proxy.
    pub(super) fn of(&self, mesh: &MeshName, proxy: &Proxy) -> impl Iterator<Item = (&PortUse, u16)> {
        self.book.iter().filter(move |(to, _)| {
            let (who, path) = owner(to);
            path.mesh() == mesh && who == *proxy
        })
    }
}

/// Whose proxy a port belongs to.
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
