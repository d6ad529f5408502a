//! Reading a store at the start. Everything is done on a copy in memory: a damaged file is never changed, and the
//! database's recovery after a crash is applied to the file only once the result is verified.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use redb::backends::InMemoryBackend;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, StorageBackend as _, TableDefinition, TableError};

use super::CACHE;
use super::digest::Digest;
use super::encoding::{self, Table};
use super::error::OpenError;
use super::seal::{META, Seal, SealError};
use crate::state::{Realm, Record};

/// The first bytes of a database file.
const MAGIC: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";

/// The verified content of a store.
#[derive(Debug)]
pub(super) struct StoreContent {
    pub(super) seal: Seal,
    pub(super) records: Vec<Record>,
    /// Whether free space was repaired in the copy, which has to be done in the file as well.
    pub(super) repaired: bool,
}

/// Reads the bytes of the store of a realm at `file`, which is used in errors only.
pub(super) fn read(file: &Path, bytes: &[u8], realm: &Realm) -> Result<StoreContent, OpenError> {
    let content = read_any(file, bytes)?;
    let Seal { account, region, .. } = &content.seal;
    if Realm::new(account.clone(), region.clone()) != *realm {
        let (account, region) = (account.clone(), region.as_str().to_owned());
        return Err(OpenError::OtherRealm { file: file.to_owned(), account, region });
    }
    Ok(content)
}

/// Reads the bytes of a store of any realm.
pub(super) fn read_any(file: &Path, bytes: &[u8]) -> Result<StoreContent, OpenError> {
    let foreign = |what: &str| OpenError::Foreign { file: file.to_owned(), what: what.to_owned() };
    let damaged = |what: String| OpenError::Damaged { file: file.to_owned(), what };
    if bytes.is_empty() {
        return Err(damaged("it is empty".to_owned()));
    }
    if !bytes.starts_with(MAGIC) {
        return Err(foreign("it is not a database"));
    }
    // The database asserts invariants that a damaged file breaks.
    let content = catch_unwind(AssertUnwindSafe(|| content(bytes)));
    match content.unwrap_or_else(|_| Err(ReadFailure::Damage("the database panicked".to_owned()))) {
        Ok(content) => Ok(content),
        Err(ReadFailure::Unsealed) => Err(foreign("it has no seal")),
        Err(ReadFailure::Format(format)) => Err(OpenError::OtherFormat { file: file.to_owned(), format }),
        Err(ReadFailure::Damage(what)) => Err(damaged(what)),
    }
}

enum ReadFailure {
    Unsealed,
    Format(String),
    Damage(String),
}

impl<E: Into<redb::Error>> From<E> for ReadFailure {
    fn from(error: E) -> Self {
        Self::Damage(error.into().to_string())
    }
}

fn content(bytes: &[u8]) -> Result<StoreContent, ReadFailure> {
    let copy = InMemoryBackend::new();
    copy.set_len(u64::try_from(bytes.len()).unwrap_or(u64::MAX)).map_err(redb::Error::Io)?;
    copy.write(0, bytes).map_err(redb::Error::Io)?;
    let mut database = Database::builder().set_cache_size(CACHE).create_with_backend(copy)?;
    let repaired = !database.check_integrity()?;
    let reading = database.begin_read()?;
    let meta = match reading.open_table(META) {
        Err(TableError::TableDoesNotExist(_)) => return Err(ReadFailure::Unsealed),
        meta => meta?,
    };
    let seal = Seal::read(&meta).map_err(|error| match error {
        SealError::Format(format) => ReadFailure::Format(format),
        SealError::Member(_) | SealError::Storage(_) => ReadFailure::Damage(error.to_string()),
    })?;
    let mut digest = Digest::default();
    let mut records = Vec::new();
    for table in Table::ALL {
        let rows = match reading.open_table(definition(table)) {
            // An earlier release had fewer tables.
            Err(TableError::TableDoesNotExist(_)) if matches!(table, Table::Signatures | Table::Revocations) => {
                continue;
            }
            rows => rows?,
        };
        for entry in rows.iter()? {
            let (key, value) = entry?;
            let (key, value) = (key.value(), value.value());
            digest.add(table, key, value);
            let record = encoding::decode(table, key, value);
            records.push(record.map_err(|reason| ReadFailure::Damage(format!("{} {key:?}: {reason}", table.name())))?);
        }
    }
    if digest != seal.digest {
        return Err(ReadFailure::Damage("its records do not match the digest in its seal".to_owned()));
    }
    Ok(StoreContent { seal, records, repaired })
}

/// The database's definition of a table.
pub(super) const fn definition(table: Table) -> TableDefinition<'static, &'static str, &'static [u8]> {
    TableDefinition::new(table.name())
}
