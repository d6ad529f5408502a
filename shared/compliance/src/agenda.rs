//! Which meshes are read, what of each is decided about, and how new what was read must be.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use mesh::compliance::Scope;
use mesh::name::{MeshName, ResourcePath};

use crate::trigger::{ItemRequest, Trigger};

/// What an invocation looks at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Agenda(BTreeMap<MeshName, Item>);

/// What it looks at in one mesh.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Item {
    /// The resources; unset: all.
    pub(crate) only: Option<BTreeSet<ResourcePath>>,
    /// What is read must be newer than this; unset: it is read now.
    pub(crate) since: Option<Timestamp>,
}

impl Item {
    /// What is decided about.
    pub(crate) fn scope(&self) -> Scope<'_> {
        self.only.as_ref().map_or(Scope::All, Scope::Only)
    }

    fn join(&mut self, resource: Option<&ResourcePath>, since: Option<Timestamp>) {
        match (&mut self.only, resource) {
            (Some(only), Some(resource)) => {
                only.insert(resource.clone());
            }
            (only, None) => *only = None,
            (None, Some(_)) => {}
        }
        self.since = self.since.zip(since).map(|(one, other)| one.max(other));
    }

    fn new(resource: Option<&ResourcePath>, since: Option<Timestamp>) -> Self {
        Self { only: resource.map(|resource| BTreeSet::from([resource.clone()])), since }
    }
}

impl Agenda {
    /// What a trigger requests. `all` are the meshes that exist, where everything is looked at; `items` the requests of
    /// AWS Config whose answers depend on a mesh.
    pub(crate) fn new<'a>(trigger: &Trigger, all: Vec<MeshName>, items: impl Iterator<Item = &'a ItemRequest>) -> Self {
        let mut agenda = Self::default();
        for request in items {
            if let Some(path) = request.item.path() {
                agenda.add(path.mesh(), Some(path), Some(request.notified));
            }
        }
        for written in &trigger.written {
            // What a resource has may be inherited by any other, and what it is may matter to any.
            agenda.add(written.resource.mesh(), None, written.at);
        }
        for mesh in all {
            agenda.add(&mesh, None, None);
        }
        agenda
    }

    /// The meshes.
    pub(crate) fn meshes(&self) -> impl Iterator<Item = &MeshName> {
        self.0.keys()
    }

    fn add(&mut self, mesh: &MeshName, resource: Option<&ResourcePath>, since: Option<Timestamp>) {
        match self.0.get_mut(mesh) {
            Some(item) => item.join(resource, since),
            None => {
                self.0.insert(mesh.clone(), Item::new(resource, since));
            }
        }
    }

    /// The meshes with what is looked at in each.
    pub(crate) fn into_items(self) -> impl Iterator<Item = (MeshName, Item)> {
        self.0.into_iter()
    }
}
