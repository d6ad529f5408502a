//! Applies records to the state.

use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::record::Record;
use super::{Change, Collection, Operation, RevokedSubject, SignatureHash, State};

impl State {
    /// Applies a record without checks: they were made when the write was accepted. Lower quotas remove no resource.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Resource(resource) => {
                let members = self.collections.entry(Collection::containing(&resource.path)).or_default();
                Arc::make_mut(members).insert(resource.path.name().to_owned(), Arc::clone(resource));
            }
            Record::Deleted(path) => {
                if let Entry::Occupied(mut members) = self.collections.entry(Collection::containing(path)) {
                    Arc::make_mut(members.get_mut()).remove(path.name());
                    if members.get().is_empty() {
                        members.remove();
                    }
                }
            }
            Record::Remembered(number, remembered) => {
                Arc::make_mut(&mut self.tokens).remember(*number, Arc::clone(remembered));
            }
            Record::Forgotten(number) => Arc::make_mut(&mut self.tokens).forget(*number),
            Record::Signature(known) => Arc::make_mut(&mut self.signatures).insert(Arc::clone(known)),
            Record::SignatureExpired(hash) => Arc::make_mut(&mut self.signatures).remove(hash),
            Record::Revoked(revocation) => Arc::make_mut(&mut self.revocations).insert(Arc::clone(revocation)),
            Record::RevocationEnded(subject) => Arc::make_mut(&mut self.revocations).remove(subject),
            Record::Port(key, Some(port)) => {
                Arc::make_mut(&mut self.ports).insert(key.clone(), *port);
            }
            Record::Port(key, None) => {
                Arc::make_mut(&mut self.ports).remove(key);
            }
        }
    }

    /// The record that this record replaces or removes, if there is one.
    #[must_use]
    pub fn replaced_by(&self, record: &Record) -> Option<Record> {
        match record {
            Record::Resource(resource) => self.find(&resource.path).cloned().map(Record::Resource),
            Record::Deleted(path) => self.find(path).cloned().map(Record::Resource),
            Record::Remembered(number, _) | Record::Forgotten(number) => {
                let known = self.tokens.numbered(*number)?;
                Some(Record::Remembered(*number, Arc::clone(known)))
            }
            Record::Signature(known) => self.known_signature(&known.signature.hash),
            Record::SignatureExpired(hash) => self.known_signature(hash),
            Record::Revoked(revocation) => self.known_revocation(&revocation.subject),
            Record::RevocationEnded(subject) => self.known_revocation(subject),
            Record::Port(key, _) => self.ports.get(key).map(|port| Record::Port(key.clone(), Some(*port))),
        }
    }

    fn known_signature(&self, hash: &SignatureHash) -> Option<Record> {
        self.signatures.find(hash).cloned().map(Record::Signature)
    }

    fn known_revocation(&self, subject: &RevokedSubject) -> Option<Record> {
        self.revocations.find(subject).cloned().map(Record::Revoked)
    }

    /// The change that this record makes, if it makes one that followers need.
    #[must_use]
    pub fn change_of(&self, record: &Record) -> Option<Change> {
        match record {
            Record::Resource(resource) => {
                let operation = match self.find(&resource.path) {
                    Some(current) if current.uid == resource.uid && current.version == resource.version => {
                        if current.tags == resource.tags && current.spec == resource.spec {
                            return None;
                        }
                        Operation::Retagged
                    }
                    Some(current) if current.uid == resource.uid => Operation::Updated,
                    Some(_) | None => Operation::Created,
                };
                Some(Change { path: resource.path.clone(), version: resource.version, operation })
            }
            Record::Deleted(path) => {
                let current = self.find(path)?;
                let version = current.version.saturating_add(1);
                Some(Change { path: path.clone(), version, operation: Operation::Deleted })
            }
            Record::Remembered(..)
            | Record::Forgotten(_)
            | Record::Port(..)
            | Record::Signature(_)
            | Record::SignatureExpired(_)
            | Record::Revoked(_)
            | Record::RevocationEnded(_) => None,
        }
    }

    /// The changes that lead from this state to another one: those of a replica that continues with a snapshot.
    #[must_use]
    pub fn changes_to(&self, later: &Self) -> Vec<Change> {
        let removed = self.resources().filter(|resource| later.find(&resource.path).is_none());
        let removed = removed.filter_map(|resource| self.change_of(&Record::Deleted(resource.path.clone())));
        let stored = later.resources().filter_map(|resource| self.change_of(&Record::Resource(Arc::clone(resource))));
        removed.chain(stored).collect()
    }

    /// Records that lead to this state from an empty one.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        let resources = self.resources().cloned().map(Record::Resource);
        let ports = self.ports.iter().map(|(key, port)| Record::Port(key.clone(), Some(*port)));
        resources
            .chain(self.tokens.records())
            .chain(self.signatures.records())
            .chain(self.revocations.records())
            .chain(ports)
            .collect()
    }
}
