//! Applies records to the state.

use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::record::Record;
use super::{Collection, State};

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
