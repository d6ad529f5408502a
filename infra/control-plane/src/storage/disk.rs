//! Storage of records in a database on disk.

use std::error::Error;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use redb::backends::FileBackend;
use redb::{Database, StorageBackend, WriteTransaction};
use uuid::Uuid;

use super::acknowledged::Acknowledged;
use super::backend::Backend;
use super::digest::Digest;
use super::encoding::{self, StoredEntry, Table};
use super::folder::{Folder, system};
use super::identity::{Identity, PathContent};
use super::reserve::Reserve;
use super::seal::{META, Seal};
use super::verify::{self, definition};
use super::{CACHE, CommitError, OpenError, Storage};
use crate::state::{Realm, Record};

/// Opens the file of a store. A parameter, so that tests can make the device fail.
pub(super) type Device = dyn Fn(&Path) -> io::Result<Box<dyn StorageBackend>> + Send;

/// A store in a folder.
pub struct Disk {
    /// `None` after a failure: the operating system's cache of the file may then differ from the device.
    database: Option<Database>,
    /// The seal of the last attempted commit.
    seal: Seal,
    acknowledged: Acknowledged,
    /// The identity of the store's file.
    file: Identity,
    reserve: Reserve,
    device: Box<Device>,
    /// The last field, so that the folder is unlocked after the database is closed.
    folder: Folder,
}

impl Disk {
    /// Opens the store of a folder, or creates it; returns its records.
    pub fn open(folder: &Path, realm: &Realm) -> Result<(Self, Vec<Record>), OpenError> {
        Self::open_with_device(folder, realm, Box::new(file))
    }

    pub(super) fn open_with_device(
        folder: &Path,
        realm: &Realm,
        device: Box<Device>,
    ) -> Result<(Self, Vec<Record>), OpenError> {
        let folder = Folder::lock(folder)?;
        let path = folder.store();
        let not_created = |source| OpenError::Store { doing: "create", file: path.clone(), source };
        if !folder.has_store()? {
            let unsealed = Seal::new(Uuid::new_v4(), realm);
            build(&device, &folder.draft(), &unsealed, &[]).map_err(not_created)?;
            folder.adopt_first(unsealed.store)?;
        }
        let content = verify::read(&path, &fs::read(&path).map_err(system("read", &path))?, realm)?;
        let acknowledged = folder.complete(content.seal.store, content.seal.sequence)?;
        let not_opened = |source| OpenError::Store { doing: "open", file: path.clone(), source };
        let mut database = database(&device, &path).map_err(not_opened)?;
        if content.repaired {
            tracing::warn!(store = %path.display(), "repairing free space of the store; no record is affected");
            database.check_integrity().map_err(failed("repair the database")).map_err(not_opened)?;
        }
        // A durable commit that was not acknowledged is served from now on, so it counts as acknowledged.
        acknowledged.record(content.seal.sequence).map_err(system("write the acknowledgement file of", &path))?;
        let file = Identity::from_path(&path).map_err(system("inspect", &path))?;
        folder.mark();
        let reserve = Reserve::new(folder.reserve(), &path);
        let disk = Self { database: Some(database), seal: content.seal, acknowledged, file, reserve, device, folder };
        Ok((disk, content.records))
    }

    fn append(&mut self, records: &[Record]) -> Result<(), CommitError> {
        let database = self.database.take();
        let database = database.ok_or_else(|| CommitError::new("commit", "the previous commit failed"))?;
        self.check_file()?;
        let transaction = database.begin_write().map_err(failed("begin a commit"))?;
        self.seal = put(&transaction, &encoded(records)?, &self.seal).map_err(failed("write records"))?;
        transaction.commit().map_err(failed("commit"))?;
        // Writes to an unlinked file are lost with this process.
        self.check_file()?;
        self.acknowledged.record(self.seal.sequence).map_err(failed("record the acknowledged commit"))?;
        self.database = Some(database);
        Ok(())
    }

    /// Passes while the folder is locked and the store is at its path.
    fn check_file(&mut self) -> Result<(), CommitError> {
        match self.folder.check(self.file)? {
            PathContent::Same => Ok(()),
            PathContent::Missing => Err(CommitError::new("commit", "the store's file was removed")),
            PathContent::Other => Err(CommitError::new("commit", "the store's file was replaced")),
        }
    }

    fn rebuild(&mut self, records: &[Record]) -> Result<(), CommitError> {
        drop(self.database.take());
        if self.folder.check(self.file)? == PathContent::Other {
            return Err(CommitError::new("replace the store", "another file is at its path; move that file away"));
        }
        self.reserve.release();
        let draft = self.folder.draft();
        // Its sequence is higher than that of the failed commit, which may have reached the disk.
        let from = Seal { digest: Digest::default(), ..self.seal.clone() };
        let (database, seal) = build(&self.device, &draft, &from, &encoded(records)?).inspect_err(|_| {
            // The draft may be what fills the disk. The next attempt reports it if it cannot be removed.
            let _ = fs::remove_file(&draft);
        })?;
        self.seal = seal;
        self.folder.adopt().map_err(failed("replace the store"))?;
        self.file = Identity::from_path(&self.folder.store()).map_err(failed("inspect the store"))?;
        self.acknowledged =
            self.folder.reopen_acknowledged(self.seal.store).map_err(failed("open the acknowledgement file"))?;
        self.acknowledged.record(self.seal.sequence).map_err(failed("record the acknowledged commit"))?;
        self.database = Some(database);
        Ok(())
    }
}

/// The content of a folder that no process uses.
#[derive(Debug)]
pub(crate) struct FolderContent {
    pub(crate) realm: Realm,
    pub(crate) store: Uuid,
    pub(crate) sequence: u64,
    pub(crate) digest: Digest,
    pub(crate) records: Vec<Record>,
}

/// Reads the store of an existing folder. It must contain every acknowledged write.
pub(crate) fn read_folder(folder: &Path) -> Result<FolderContent, OpenError> {
    let folder = Folder::lock(folder)?;
    let path = folder.store();
    let content = verify::read_any(&path, &fs::read(&path).map_err(system("read", &path))?)?;
    folder.complete(content.seal.store, content.seal.sequence)?;
    let Seal { store, account, region, sequence, digest } = content.seal;
    Ok(FolderContent { realm: Realm::new(account, region), store, sequence, digest, records: content.records })
}

impl Storage for Disk {
    fn commit(&mut self, records: &[Record]) -> Result<(), CommitError> {
        catch_panic(|| self.append(records))
    }

    fn restart(&mut self, records: &[Record]) -> Result<(), CommitError> {
        catch_panic(|| self.rebuild(records))
    }

    fn is_full(&mut self) -> bool {
        self.reserve.refill(&self.folder.store());
        !self.reserve.is_there()
    }

    fn waits(&self) -> bool {
        true
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("seal", &self.seal).field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// Creates a store with these entries, replacing any file at the path.
fn build(
    device: &Device,
    path: &Path,
    before: &Seal,
    entries: &[StoredEntry],
) -> Result<(Database, Seal), CommitError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove an old draft")(error)),
        _ => {}
    }
    let database = database(device, path)?;
    let transaction = database.begin_write().map_err(failed("begin a transaction"))?;
    let seal = put(&transaction, entries, before).map_err(failed("write records"))?;
    transaction.commit().map_err(failed("commit the new store"))?;
    Ok((database, seal))
}

/// Writes entries, and the seal of the resulting content.
fn put(transaction: &WriteTransaction, entries: &[StoredEntry], before: &Seal) -> Result<Seal, redb::Error> {
    let mut digest = before.digest;
    for table in Table::ALL {
        let mut rows = transaction.open_table(definition(table))?;
        for entry in entries.iter().filter(|entry| entry.table == table) {
            let key = entry.key.as_str();
            let old = match &entry.value {
                Some(value) => {
                    digest.add(table, key, value);
                    rows.insert(key, value.as_slice())?
                }
                None => rows.remove(key)?,
            };
            if let Some(old) = old {
                digest.remove(table, key, old.value());
            }
        }
    }
    let seal = before.next(digest);
    seal.write(&mut transaction.open_table(META)?)?;
    Ok(seal)
}

fn encoded(records: &[Record]) -> Result<Vec<StoredEntry>, CommitError> {
    records.iter().map(|record| encoding::encode(record).map_err(failed("encode a record"))).collect()
}

fn database(device: &Device, path: &Path) -> Result<Database, CommitError> {
    let backend = Backend(device(path).map_err(failed("open the file"))?);
    Database::builder().set_cache_size(CACHE).create_with_backend(backend).map_err(failed("open the database"))
}

fn file(path: &Path) -> io::Result<Box<dyn StorageBackend>> {
    let file = fs::File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    Ok(Box::new(FileBackend::new(file).map_err(io::Error::other)?))
}

fn failed<E: Error + Send + Sync + 'static>(doing: &'static str) -> impl FnOnce(E) -> CommitError {
    move |source| CommitError::new(doing, source)
}

/// Converts a panic of the database into an error: it asserts invariants that a failing device breaks, and the thread has
/// to continue.
fn catch_panic(work: impl FnOnce() -> Result<(), CommitError>) -> Result<(), CommitError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(CommitError::new("commit", "the database panicked")))
}
