//! The content of a snapshot.

use std::fmt;

use jiff::Timestamp;

use super::error::SnapshotError;
use crate::quotas::Quotas;
use crate::state::{Realm, Record, State};
use crate::storage::{Digest, Sequence};

/// The state of a store at one moment, verified by its digest.
#[derive(Debug, Clone, PartialEq)]
pub struct StoreSnapshot {
    pub(super) realm: Realm,
    /// The id of the store that it was taken of.
    pub(super) store: String,
    pub(super) sequence: Sequence,
    pub(super) time: Timestamp,
    pub(super) digest: Digest,
    pub(super) records: Vec<Record>,
}

impl StoreSnapshot {
    /// The snapshot of a state. Fails if a record cannot be encoded.
    pub(super) fn new(
        realm: Realm,
        store: String,
        (sequence, time): (Sequence, Timestamp),
        records: &[Record],
    ) -> Result<Self, SnapshotError> {
        let mut state = State::new(Quotas::default());
        for record in records {
            state.apply(record);
        }
        let digest = Digest::of_state(&state).map_err(SnapshotError::encode)?;
        Ok(Self { realm, store, sequence, time, digest, records: state.records() })
    }

    /// Passes if a restored store has exactly this content.
    pub(super) fn verify(&self, name: &str, digest: Digest) -> Result<(), SnapshotError> {
        if digest == self.digest {
            return Ok(());
        }
        let what = format!("it has {} records, and the snapshot has {}", digest.records(), self.digest.records());
        Err(SnapshotError::NotVerified { store: name.to_owned(), what })
    }
}

impl fmt::Display for StoreSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (resources, digest) =
            (self.records.iter().filter(|record| matches!(record, Record::Resource(_))), self.digest);
        let resources = resources.count();
        let (account, region) = (self.realm.account(), self.realm.region().as_str());
        let (records, digest) = (digest.records(), digest.hexadecimal());
        write!(f, "{resources} resources of account {account} in {region}, {records} records, digest {digest}")
    }
}
