//! The seal of a store, rewritten by every commit.

use mesh::name::AccountId;
use redb::{ReadableTable, TableDefinition};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::encoding::Table;
use crate::state::{Realm, Region};

/// The format of records and seal, incremented by each change that an older version would misread.
pub(super) const FORMAT: u32 = 1;

/// The table of the seal. Every format keeps its `format` member.
pub(super) const META: TableDefinition<'static, &str, &str> = TableDefinition::new("meta");

/// The owner of a store, its last commit, and a digest that verifies its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seal {
    /// Random id of the store, so that the acknowledgement file of another store is detected.
    pub(super) store: Uuid,
    pub(super) account: AccountId,
    pub(super) region: Region,
    /// The number of commits.
    pub(super) sequence: u64,
    pub(super) digest: Digest,
}

impl Seal {
    pub(super) fn new(store: Uuid, realm: &Realm) -> Self {
        Self {
            store,
            account: realm.account().clone(),
            region: realm.region().clone(),
            sequence: 0,
            digest: Digest::default(),
        }
    }

    /// The seal of the next commit.
    pub(super) fn next(&self, digest: Digest) -> Self {
        Self { sequence: self.sequence.saturating_add(1), digest, ..self.clone() }
    }

    pub(super) fn write(&self, meta: &mut redb::Table<'_, &str, &str>) -> Result<(), redb::StorageError> {
        let members = [
            ("format", FORMAT.to_string()),
            ("store", self.store.to_string()),
            ("account", self.account.to_string()),
            ("region", self.region.as_str().to_owned()),
            ("sequence", self.sequence.to_string()),
            ("records", self.digest.records.to_string()),
            ("digest", format!("{:032x}", self.digest.sum)),
        ];
        for (name, value) in members {
            meta.insert(name, value.as_str())?;
        }
        Ok(())
    }

    pub(super) fn read(meta: &impl ReadableTable<&'static str, &'static str>) -> Result<Self, SealError> {
        let format = member(meta, "format")?;
        if format != FORMAT.to_string() {
            return Err(SealError::Format(format));
        }
        let number = |name| member(meta, name)?.parse().map_err(|_| SealError::Member(name));
        let sum = u128::from_str_radix(&member(meta, "digest")?, 16).map_err(|_| SealError::Member("digest"))?;
        Ok(Self {
            store: member(meta, "store")?.parse().map_err(|_| SealError::Member("store"))?,
            account: AccountId::parse(&member(meta, "account")?).map_err(|_| SealError::Member("account"))?,
            region: Region::parse(&member(meta, "region")?).map_err(|_| SealError::Member("region"))?,
            sequence: number("sequence")?,
            digest: Digest { records: number("records")?, sum },
        })
    }
}

fn member(meta: &impl ReadableTable<&'static str, &'static str>, name: &'static str) -> Result<String, SealError> {
    let value = meta.get(name)?.ok_or(SealError::Member(name))?;
    Ok(value.value().to_owned())
}

/// The seal cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum SealError {
    #[error("format {0}")]
    Format(String),
    #[error("its seal has no valid member {0:?}")]
    Member(&'static str),
    #[error(transparent)]
    Storage(#[from] redb::StorageError),
}

/// A digest of a set of records that can be updated by single changes: the sum of the hashes of all records. It
/// detects damage, not manipulation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Digest {
    records: u64,
    sum: u128,
}

impl Digest {
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
