//! The data folder: its lock and its files.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::acknowledged::Acknowledged;
use super::error::{CommitError, OpenError};
use super::identity::{Identity, PathContent};

/// A folder that this process has locked, until it is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// The lock file. The operating system releases its lock when the process ends, however it ends.
    lock: File,
    /// The folder itself, locked as well because the lock file can be removed. Not every file system can lock
    /// a folder.
    _itself: File,
}

impl Folder {
    /// Locks a folder, creating it if it does not exist.
    pub(super) fn lock(folder: &Path) -> Result<Self, OpenError> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(system("create", folder))?;
        let itself = File::open(folder).map_err(system("open", folder))?;
        if matches!(itself.try_lock(), Err(TryLockError::WouldBlock)) {
            return Err(OpenError::InUse { folder: folder.to_owned() });
        }
        let path = folder.join("meshwarden.lock");
        let lock = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(system("open", &path))?;
        match lock.try_lock() {
            // A lock file that was removed after it was opened, and perhaps created again by another process, locks nothing.
            Ok(()) => match Identity::from_file(&lock).and_then(|lock| lock.compare(&path)) {
                Ok(PathContent::Same) => Ok(Self { path: folder.to_owned(), lock, _itself: itself }),
                Ok(PathContent::Missing | PathContent::Other) => Err(OpenError::InUse { folder: folder.to_owned() }),
                Err(source) => Err(system("inspect", &path)(source)),
            },
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { folder: folder.to_owned() }),
            Err(TryLockError::Error(source)) => Err(system("lock", &path)(source)),
        }
    }

    /// The path of the store.
    pub(super) fn store(&self) -> PathBuf {
        self.path.join("meshwarden.redb")
    }

    /// The path at which a store is built before it replaces the store.
    pub(super) fn draft(&self) -> PathBuf {
        self.path.join("meshwarden.redb.new")
    }

    /// The path of the file that reserves disk space for deletions.
    pub(super) fn reserve(&self) -> PathBuf {
        self.path.join("meshwarden.reserve")
    }

    fn note(&self) -> PathBuf {
        self.path.join("meshwarden.acknowledged")
    }

    /// Whether this process still holds the lock, and what exists at the store's path. A removed lock file is created again, unless
    /// another process was faster.
    pub(super) fn check(&mut self, store: Identity) -> Result<PathContent, CommitError> {
        let path = self.path.join("meshwarden.lock");
        let failed = |source: io::Error| CommitError::new("inspect the data folder", source);
        match Identity::from_file(&self.lock).and_then(|lock| lock.compare(&path)).map_err(failed)? {
            PathContent::Same => {}
            PathContent::Missing => {
                let lock = File::options().create_new(true).write(true).open(&path).map_err(failed)?;
                lock.try_lock().map_err(|error| CommitError::new("lock the data folder", error))?;
                tracing::warn!(lock = %path.display(), "recreated removed lock file of the data folder");
                self.lock = lock;
            }
            PathContent::Other => return Err(CommitError::new("use the data folder", "another process has locked it")),
        }
        store.compare(&self.store()).map_err(failed)
    }

    /// The marker file next to the folder, which shows that there is a store.
    fn marker(&self) -> Option<PathBuf> {
        let name = self.path.file_name()?.to_str()?;
        Some(self.path.with_file_name(format!(".{name}.meshwarden")))
    }

    /// Creates the marker file. If it cannot be written, as in a container with a volume as folder, only the folder
    /// itself shows that a store exists.
    pub(super) fn mark(&self) {
        let Some(marker) = self.marker() else { return };
        let text = format!(
            "There is a Meshwarden store in {}. While this file exists, a start without that store is refused.\n",
            self.path.display()
        );
        if !marker.exists()
            && let Err(error) = fs::write(&marker, text)
        {
            tracing::debug!(marker = %marker.display(), %error, "failed to write marker file of the data folder");
        }
    }

    /// Whether there is a store. Fails if there is none but writes were acknowledged.
    pub(super) fn has_store(&self) -> Result<bool, OpenError> {
        let store = self.store();
        if store.try_exists().map_err(system("inspect", &store))? {
            return Ok(true);
        }
        match self.acknowledged()? {
            None | Some((_, 0)) => match self.marker().filter(|marker| marker.exists()) {
                None => Ok(false),
                Some(marker) => Err(OpenError::Removed { folder: self.path.clone(), marker }),
            },
            Some(_) => Err(OpenError::StoreMissing { file: store, note: self.note() }),
        }
    }

    /// Moves the first draft to the path of the store.
    pub(super) fn adopt_first(&self, store: Uuid) -> Result<(), OpenError> {
        let note = self.note();
        Acknowledged::create(&note, store, 0).map_err(system("write", &note))?;
        self.adopt().map_err(system("replace", &self.store()))
    }

    /// Moves a draft to the path of the store, durably. A crash on the way leaves the old store or the new
    /// one, complete.
    pub(super) fn adopt(&self) -> io::Result<()> {
        fs::rename(self.draft(), self.store())?;
        File::open(&self.path)?.sync_all()
    }

    /// Passes a store that contains every acknowledged commit, and opens the acknowledgement file.
    pub(super) fn complete(&self, store: Uuid, sequence: u64) -> Result<Acknowledged, OpenError> {
        let note = self.note();
        match self.acknowledged()? {
            None => {
                tracing::warn!(note = %note.display(), "acknowledgement file is missing; using the store without its check");
                Acknowledged::create(&note, store, sequence).map_err(system("write", &note))?;
            }
            Some((other, _)) if other != store => {
                let what = format!("it belongs to the store {other}, but the store is {store}");
                return Err(OpenError::Note { note, file: self.store(), what });
            }
            Some((_, acknowledged)) if acknowledged > sequence => {
                return Err(OpenError::Behind { file: self.store(), note, found: sequence, acknowledged });
            }
            Some(_) => {}
        }
        Acknowledged::open(&note, store).map_err(system("open", &note))
    }

    /// Opens the acknowledgement file, and creates it again if it was removed.
    pub(super) fn reopen_acknowledged(&self, store: Uuid) -> io::Result<Acknowledged> {
        let note = self.note();
        if !note.try_exists()? {
            Acknowledged::create(&note, store, 0)?;
        }
        Acknowledged::open(&note, store)
    }

    fn acknowledged(&self) -> Result<Option<(Uuid, u64)>, OpenError> {
        let note = self.note();
        match Acknowledged::read(&note) {
            Ok(Ok(acknowledged)) => Ok(Some(acknowledged)),
            Ok(Err(what)) => Err(OpenError::Note { note, file: self.store(), what: what.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(system("read", &note)(error)),
        }
    }
}

pub(super) fn system(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::System { doing, path: path.to_owned(), source }
}
