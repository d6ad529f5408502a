//! A digest of the records of a state.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use super::encoding::{self, Table};
use crate::state::{Record, State};

/// A digest of a set of records that can be updated by single changes: the sum of the hashes of all records. It
/// detects damage, not manipulation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Digest {
    records: u64,
    sum: u128,
}

impl Digest {
    /// The digest of a state.
    pub fn of_state(state: &State) -> Result<Self, serde_json::Error> {
        let mut digest = Self::default();
        for record in state.records() {
            let entry = encoding::encode(&record)?;
            if let Some(value) = entry.value {
                digest.add(entry.table, &entry.key, &value);
            }
        }
        Ok(digest)
    }

    /// The digest of a state after records are applied to it. `self` is its digest before.
    pub fn after(self, state: &State, records: &[Record]) -> Result<Self, serde_json::Error> {
        let mut digest = self;
        // The values of keys that an earlier record of the same batch has changed.
        let mut changed: HashMap<(Table, String), Option<Vec<u8>>> = HashMap::new();
        for record in records {
            let entry = encoding::encode(record)?;
            let key = (entry.table, entry.key);
            let old = match changed.get(&key) {
                Some(old) => old.clone(),
                None => match state.replaced_by(record) {
                    Some(old) => encoding::encode(&old)?.value,
                    None => None,
                },
            };
            if let Some(old) = old {
                digest.remove(key.0, &key.1, &old);
            }
            if let Some(value) = &entry.value {
                digest.add(key.0, &key.1, value);
            }
            changed.insert(key, entry.value);
        }
        Ok(digest)
    }

    /// Reads a digest from its two parts, the second in hexadecimal digits.
    #[must_use]
    pub fn parse(records: u64, sum: &str) -> Option<Self> {
        Some(Self { records, sum: u128::from_str_radix(sum, 16).ok()? })
    }

    /// The number of records.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// The sum of the hashes, as 32 hexadecimal digits.
    #[must_use]
    pub fn hexadecimal(&self) -> String {
        format!("{:032x}", self.sum)
    }

    pub(super) fn add(&mut self, table: Table, key: &str, value: &[u8]) {
        self.records = self.records.wrapping_add(1);
        self.sum = self.sum.wrapping_add(hash(table, key, value));
    }

    pub(super) fn remove(&mut self, table: Table, key: &str, value: &[u8]) {
        self.records = self.records.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(hash(table, key, value));
    }
}

fn hash(table: Table, key: &str, value: &[u8]) -> u128 {
    let mut hash = Sha256::new();
    for part in [table.name().as_bytes(), key.as_bytes(), value] {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(part);
    }
    let hash = hash.finalize();
    hash.first_chunk().map_or(0, |head| u128::from_le_bytes(*head))
}
