//! The agenda of an invocation: the meshes to read, the resources to decide about, and the required age of the data.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use mesh::name::{MeshName, ResourcePath};
use rules::compliance::DecisionScope;

use crate::trigger::{ItemRequest, Trigger};

/// The meshes of an invocation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Agenda(BTreeMap<MeshName, AgendaItem>);

/// The scope within one mesh.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct AgendaItem {
    /// The resources; `None`: all.
    pub(crate) only: Option<BTreeSet<ResourcePath>>,
    /// The data must be read after this time; `None`: it is read now.
    pub(crate) since: Option<Timestamp>,
}

impl AgendaItem {
    /// The resources to decide about.
    pub(crate) fn scope(&self) -> DecisionScope<'_> {
        self.only.as_ref().map_or(DecisionScope::All, DecisionScope::Only)
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
    /// The agenda of a trigger. `all` are all existing meshes, if the trigger requests them; `items` are the requests
    /// of AWS Config that depend on a mesh.
    pub(crate) fn new<'a>(trigger: &Trigger, all: Vec<MeshName>, items: impl Iterator<Item = &'a ItemRequest>) -> Self {
        let mut agenda = Self::default();
        for request in items {
            if let Some(path) = request.item.path() {
                agenda.add(path.mesh(), Some(path), Some(request.notified));
            }
        }
        for written in &trigger.written {
            // A change of one resource may change the inherited tags and the findings of any other.
            agenda.add(written.resource.mesh(), None, written.at);
        }
        for mesh in all {
            agenda.add(&mesh, None, None);
        }
        agenda
    }

    fn add(&mut self, mesh: &MeshName, resource: Option<&ResourcePath>, since: Option<Timestamp>) {
        match self.0.get_mut(mesh) {
            Some(item) => item.join(resource, since),
            None => {
                self.0.insert(mesh.clone(), AgendaItem::new(resource, since));
            }
        }
    }

    /// The meshes, each with its scope.
    pub(crate) fn into_items(self) -> impl Iterator<Item = (MeshName, AgendaItem)> {
        self.0.into_iter()
    }
}
