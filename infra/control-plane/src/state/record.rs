//! The stored form of the state: records that lead to it when they are applied in order.

use std::collections::btree_map::Entry;
use std::sync::Arc;

use mesh::name::ResourcePath;

use super::resource::Resource;
use super::tokens::Remembered;
use super::{Collection, State};

/// One record. A later record on the same subject replaces an earlier one.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// The resource exists in exactly this version.
    Resource(Arc<Resource>),
    /// No resource exists at this path.
    Deleted(ResourcePath),
    /// The remembered answer to a request. The numbers increase.
    Remembered(u64, Arc<Remembered>),
    /// The answer of this number was forgotten.
    Forgotten(u64),
    /// The listener port of this key, or `None` if it has none any more.
    Port(String, Option<u16>),
}

impl State {
    /// Applies a record without checks: they were made when the write was accepted. Lower quotas remove no resource.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Resource(resource) => {
                let members = self.collections.entry(Collection::containing(&resource.path)).or_default();
                members.insert(resource.path.name().to_owned(), Arc::clone(resource));
            }
            Record::Deleted(path) => {
                if let Entry::Occupied(mut members) = self.collections.entry(Collection::containing(path)) {
                    members.get_mut().remove(path.name());
                    if members.get().is_empty() {
                        members.remove();
                    }
                }
            }
            Record::Remembered(number, remembered) => self.tokens.remember(*number, Arc::clone(remembered)),
            Record::Forgotten(number) => self.tokens.forget(*number),
            Record::Port(key, Some(port)) => {
                self.ports.insert(key.clone(), *port);
            }
            Record::Port(key, None) => {
                self.ports.remove(key);
            }
        }
    }

    /// Records that lead to this state from an empty one.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        let resources = self.resources().cloned().map(Record::Resource);
        let ports = self.ports.iter().map(|(key, port)| Record::Port(key.clone(), Some(*port)));
        resources.chain(self.tokens.records()).chain(ports).collect()
    }
}
