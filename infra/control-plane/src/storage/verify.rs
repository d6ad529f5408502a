//! Reading a store at the start. All of it is done on a copy in memory: what turns out to be damaged was not touched,
//! and what the database does to recover from a crash happens to the file only once the outcome is known to be right.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use redb::backends::InMemoryBackend;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, StorageBackend as _, TableDefinition, TableError};

use super::CACHE;
use super::encoding::{self, Table};
use super::error::OpenError;
use super::seal::{Digest, META, Seal, UnreadSeal};
use crate::state::{Realm, Record};

/// How a database file begins.
const MAGIC: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";

/// What a store holds, known to be whole.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) seal: Seal,
    pub(super) records: Vec<Record>,
    /// Whether bookkeeping beside the records was mended in the copy, and has to be in the file.
    pub(super) mended: bool,
}

/// Reads the bytes of the store at `file`, which is named in errors only.
pub(super) fn read(file: &Path, bytes: &[u8], realm: &Realm) -> Result<Content, OpenError> {
    let foreign = |what: &str| OpenError::Foreign { file: file.to_owned(), what: what.to_owned() };
    let damaged = |what: String| OpenError::Damaged { file: file.to_owned(), what };
    if bytes.is_empty() {
        return Err(damaged("it is empty".to_owned()));
    }
    if !bytes.starts_with(MAGIC) {
        return Err(foreign("it is no database"));
    }
    // The database asserts some of what a damaged file breaks.
    let content = catch_unwind(AssertUnwindSafe(|| content(bytes)));
    let content = match content.unwrap_or_else(|_| Err(Unread::Damage("the database gave up on it".to_owned()))) {
        Ok(content) => content,
        Err(Unread::Unsealed) => return Err(foreign("it has no seal")),
        Err(Unread::Format(format)) => return Err(OpenError::OtherFormat { file: file.to_owned(), format }),
        Err(Unread::Damage(what)) => return Err(damaged(what)),
    };
    let Seal { account, region, .. } = &content.seal;
    if Realm::new(account.clone(), region.clone()) != *realm {
        let (account, region) = (account.clone(), region.as_str().to_owned());
        return Err(OpenError::OtherRealm { file: file.to_owned(), account, region });
    }
    Ok(content)
}

enum Unread {
    Unsealed,
    Format(String),
    Damage(String),
}

impl<E: Into<redb::Error>> From<E> for Unread {
    fn from(error: E) -> Self {
        Self::Damage(error.into().to_string())
    }
}

fn content(bytes: &[u8]) -> Result<Content, Unread> {
    let copy = InMemoryBackend::new();
    copy.set_len(u64::try_from(bytes.len()).unwrap_or(u64::MAX)).map_err(redb::Error::Io)?;
    copy.write(0, bytes).map_err(redb::Error::Io)?;
    let mut database = Database::builder().set_cache_size(CACHE).create_with_backend(copy)?;
    let mended = !database.check_integrity()?;
    let reading = database.begin_read()?;
    let meta = match reading.open_table(META) {
        Err(TableError::TableDoesNotExist(_)) => return Err(Unread::Unsealed),
        meta => meta?,
    };
    let seal = Seal::read(&meta).map_err(|error| match error {
        UnreadSeal::Format(format) => Unread::Format(format),
        UnreadSeal::Member(_) | UnreadSeal::Storage(_) => Unread::Damage(error.to_string()),
    })?;
    let mut digest = Digest::default();
    let mut records = Vec::new();
    for table in Table::ALL {
        for entry in reading.open_table(definition(table))?.iter()? {
            let (key, value) = entry?;
            let (key, value) = (key.value(), value.value());
            digest.add(table, key, value);
            let record = encoding::decode(table, key, value);
            records.push(record.map_err(|why| Unread::Damage(format!("{} {key:?}: {why}", table.name())))?);
        }
    }
    if digest != seal.digest {
        return Err(Unread::Damage("its records do not have the digest in its seal".to_owned()));
    }
    Ok(Content { seal, records, mended })
}

/// The database's name for a table.
pub(super) const fn definition(table: Table) -> TableDefinition<'static, &'static str, &'static [u8]> {
    TableDefinition::new(table.name())
}
