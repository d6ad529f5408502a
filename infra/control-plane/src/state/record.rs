//! What a storage keeps of the state: single facts that, played back in order, lead to it.

use std::collections::btree_map::Entry;
use std::sync::Arc;

use mesh::name::ResourcePath;

use super::resource::Resource;
use super::tokens::Remembered;
use super::{Collection, State};

/// One fact. A later one about the same thing replaces an earlier one.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// This resource exists, just so.
    Resource(Arc<Resource>),
    /// There is no resource at this path.
    Gone(ResourcePath),
    /// This request got this answer. Numbers rise from one to the next.
    Remembered(u64, Arc<Remembered>),
    /// The answer of this number is no longer remembered.
    Forgotten(u64),
    /// A listener port is given to this key, or to it no longer.
    Port(String, Option<u16>),
}

impl State {
    /// Takes a record for true. Nothing is checked: it was, when the write was accepted, and a quota that was lowered
    /// since takes nothing away.
    pub fn play(&mut self, record: &Record) {
        match record {
            Record::Resource(resource) => {
                let members = self.collections.entry(Collection::of(&resource.path)).or_default();
                members.insert(resource.path.name().to_owned(), Arc::clone(resource));
            }
            Record::Gone(path) => {
                if let Entry::Occupied(mut members) = self.collections.entry(Collection::of(path)) {
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

    /// Records that lead to this state.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        let resources = self.resources().cloned().map(Record::Resource);
        let ports = self.ports.iter().map(|(key, port)| Record::Port(key.clone(), Some(*port)));
        resources.chain(self.tokens.records()).chain(ports).collect()
    }
}
