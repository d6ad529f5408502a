//! Records in a database on disk.

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
use super::encoding::{self, Entry, Table};
use super::folder::{Folder, system};
use super::identity::{Found, Identity};
use super::reserve::Reserve;
use super::seal::{Digest, META, Seal};
use super::verify::{self, definition};
use super::{CACHE, CommitError, OpenError, Storage};
use crate::state::{Realm, Record};

/// How a file is reached. A parameter so that tests can make the device fail.
pub(super) type Device = dyn Fn(&Path) -> io::Result<Box<dyn StorageBackend>> + Send;

/// A store in a folder.
pub struct Disk {
    /// None after a failure: what the system then has in its caches for the file need not be what is on the device.
    database: Option<Database>,
    /// The last commit that was tried.
    seal: Seal,
    acknowledged: Acknowledged,
    /// The file that the store is in.
    file: Identity,
    reserve: Reserve,
    device: Box<Device>,
    /// Last, so that the folder is free only when the database is closed.
    folder: Folder,
}

impl Disk {
    /// Opens the store in a folder, or makes one where there is none; gives the records that it holds.
    pub fn open(folder: &Path, realm: &Realm) -> Result<(Self, Vec<Record>), OpenError> {
        Self::open_through(folder, realm, Box::new(file))
    }

    pub(super) fn open_through(
        folder: &Path,
        realm: &Realm,
        device: Box<Device>,
    ) -> Result<(Self, Vec<Record>), OpenError> {
        let folder = Folder::take(folder)?;
        let path = folder.store();
        let not_made = |source| OpenError::Store { doing: "make", file: path.clone(), source };
        if !folder.has_store()? {
            let unsealed = Seal::new(Uuid::new_v4(), realm);
            build(&device, &folder.draft(), &unsealed, &[]).map_err(not_made)?;
            folder.adopt_first(unsealed.store)?;
        }
        let content = verify::read(&path, &fs::read(&path).map_err(system("read", &path))?, realm)?;
        let acknowledged = folder.complete(content.seal.store, content.seal.sequence)?;
        let not_opened = |source| OpenError::Store { doing: "open", file: path.clone(), source };
        let mut database = database(&device, &path).map_err(not_opened)?;
        if content.mended {
            tracing::warn!(store = %path.display(), "mends the bookkeeping of free space; no record is affected");
            database.check_integrity().map_err(failed("mend")).map_err(not_opened)?;
        }
        // A commit that was durable and not yet acknowledged is served from now on, so it counts as acknowledged.
        acknowledged.note(content.seal.sequence).map_err(system("write the note beside", &path))?;
        let file = Identity::at(&path).map_err(system("look at", &path))?;
        folder.mark();
        let reserve = Reserve::take(folder.reserve(), &path);
        let disk = Self { database: Some(database), seal: content.seal, acknowledged, file, reserve, device, folder };
        Ok((disk, content.records))
    }

    fn append(&mut self, records: &[Record]) -> Result<(), CommitError> {
        let database = self.database.take();
        let database = database.ok_or_else(|| CommitError::new("commit", "the commit before failed"))?;
        self.is_ours()?;
        let transaction = database.begin_write().map_err(failed("begin a commit"))?;
        self.seal = put(&transaction, &encoded(records)?, &self.seal).map_err(failed("write records"))?;
        transaction.commit().map_err(failed("commit"))?;
        // What was written to a file without a name is lost with this process.
        self.is_ours()?;
        self.acknowledged.note(self.seal.sequence).map_err(failed("note what is acknowledged"))?;
        self.database = Some(database);
        Ok(())
    }

    /// Passes while the folder is locked and the store is in its place.
    fn is_ours(&mut self) -> Result<(), CommitError> {
        match self.folder.look(self.file)? {
            Found::Same => Ok(()),
            Found::Nothing => Err(CommitError::new("commit", "the store's file was removed")),
            Found::Other => Err(CommitError::new("commit", "the store's file was replaced")),
        }
    }

    fn start_over(&mut self, records: &[Record]) -> Result<(), CommitError> {
        drop(self.database.take());
        if self.folder.look(self.file)? == Found::Other {
            return Err(CommitError::new("replace the store", "another file is in its place: move it away"));
        }
        self.reserve.release();
        let draft = self.folder.draft();
        // It goes on above the commit that failed, which may have reached the disk.
        let from = Seal { digest: Digest::default(), ..self.seal.clone() };
        let (database, seal) = build(&self.device, &draft, &from, &encoded(records)?).inspect_err(|_| {
            // It may be what fills the disk. That it can't be removed is told by the next try.
            let _ = fs::remove_file(&draft);
        })?;
        self.seal = seal;
        self.folder.adopt().map_err(failed("replace the store"))?;
        self.file = Identity::at(&self.folder.store()).map_err(failed("look at the store"))?;
        self.acknowledged = self.folder.note_again(self.seal.store).map_err(failed("open the note"))?;
        self.acknowledged.note(self.seal.sequence).map_err(failed("note what is acknowledged"))?;
        self.database = Some(database);
        Ok(())
    }
}

impl Storage for Disk {
    fn commit(&mut self, records: &[Record]) -> Result<(), CommitError> {
        caught(|| self.append(records))
    }

    fn restart(&mut self, records: &[Record]) -> Result<(), CommitError> {
        caught(|| self.start_over(records))
    }

    fn is_full(&mut self) -> bool {
        self.reserve.retake(&self.folder.store());
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

/// Makes a store with these entries, whatever was at the path before.
fn build(device: &Device, path: &Path, before: &Seal, entries: &[Entry]) -> Result<(Database, Seal), CommitError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove an old draft")(error)),
        _ => {}
    }
    let database = database(device, path)?;
    let transaction = database.begin_write().map_err(failed("begin a store"))?;
    let seal = put(&transaction, entries, before).map_err(failed("write records"))?;
    transaction.commit().map_err(failed("commit a store"))?;
    Ok((database, seal))
}

/// Writes entries and the seal of all that is there then.
fn put(transaction: &WriteTransaction, entries: &[Entry], before: &Seal) -> Result<Seal, redb::Error> {
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
                digest.take(table, key, old.value());
            }
        }
    }
    let seal = before.next(digest);
    seal.write(&mut transaction.open_table(META)?)?;
    Ok(seal)
}

fn encoded(records: &[Record]) -> Result<Vec<Entry>, CommitError> {
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

/// The database asserts some of what a failing device breaks, and the thread has to go on.
fn caught(work: impl FnOnce() -> Result<(), CommitError>) -> Result<(), CommitError> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(CommitError::new("commit", "the database gave up on the file")))
}
