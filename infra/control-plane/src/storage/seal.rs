//! The seal of a store, rewritten by every commit.

use mesh::name::AccountId;
use redb::{ReadableTable, TableDefinition};
use uuid::Uuid;

use super::digest::Digest;
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
            ("records", self.digest.records().to_string()),
            ("digest", self.digest.hexadecimal()),
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
        Ok(Self {
            store: member(meta, "store")?.parse().map_err(|_| SealError::Member("store"))?,
            account: AccountId::parse(&member(meta, "account")?).map_err(|_| SealError::Member("account"))?,
            region: Region::parse(&member(meta, "region")?).map_err(|_| SealError::Member("region"))?,
            sequence: number("sequence")?,
            digest: Digest::parse(number("records")?, &member(meta, "digest")?).ok_or(SealError::Member("digest"))?,
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
