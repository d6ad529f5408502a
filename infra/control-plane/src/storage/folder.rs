//! The data folder: who may use it, and what is in it.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::acknowledged::Acknowledged;
use super::error::{CommitError, OpenError};
use super::identity::{Found, Identity};

/// A folder that is this process's alone until it is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// The system releases it at the latest when the process ends, however it ends.
    lock: File,
    /// The folder itself, locked as well: the file in it can be removed. Not every file system can lock a folder.
    _itself: File,
}

impl Folder {
    /// Takes a folder, making it where there is none.
    pub(super) fn take(folder: &Path) -> Result<Self, OpenError> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(system("create", folder))?;
        let itself = File::open(folder).map_err(system("open", folder))?;
        if matches!(itself.try_lock(), Err(TryLockError::WouldBlock)) {
            return Err(OpenError::InUse { folder: folder.to_owned() });
        }
        let path = folder.join("meshwarden.lock");
        let lock = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(system("open", &path))?;
        match lock.try_lock() {
            // One that was removed after it was opened, and perhaps made again by another process, locks nothing.
            Ok(()) => match Identity::of_file(&lock).and_then(|lock| lock.look(&path)) {
                Ok(Found::Same) => Ok(Self { path: folder.to_owned(), lock, _itself: itself }),
                Ok(Found::Nothing | Found::Other) => Err(OpenError::InUse { folder: folder.to_owned() }),
                Err(source) => Err(system("look for", &path)(source)),
            },
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { folder: folder.to_owned() }),
            Err(TryLockError::Error(source)) => Err(system("lock", &path)(source)),
        }
    }

    /// The store.
    pub(super) fn store(&self) -> PathBuf {
        self.path.join("meshwarden.redb")
    }

    /// Where a store is made before it gets its name.
    pub(super) fn draft(&self) -> PathBuf {
        self.path.join("meshwarden.redb.new")
    }

    /// Where the room is taken up that deletions need on a full disk.
    pub(super) fn reserve(&self) -> PathBuf {
        self.path.join("meshwarden.reserve")
    }

    fn note(&self) -> PathBuf {
        self.path.join("meshwarden.acknowledged")
    }

    /// Whether this process still has the folder, and what is in the place of its store. A lock that was removed is made
    /// again, unless another process was faster.
    pub(super) fn look(&mut self, store: Identity) -> Result<Found, CommitError> {
        let path = self.path.join("meshwarden.lock");
        let failed = |source: io::Error| CommitError::new("look at the data folder", source);
        match Identity::of_file(&self.lock).and_then(|lock| lock.look(&path)).map_err(failed)? {
            Found::Same => {}
            Found::Nothing => {
                let lock = File::options().create_new(true).write(true).open(&path).map_err(failed)?;
                lock.try_lock().map_err(|error| CommitError::new("lock the data folder", error))?;
                tracing::warn!(lock = %path.display(), "the lock of the data folder was removed, and is made again");
                self.lock = lock;
            }
            Found::Other => return Err(CommitError::new("use the data folder", "another process has locked it")),
        }
        store.look(&self.store()).map_err(failed)
    }

    /// The file beside the folder that says that there is a store.
    fn marker(&self) -> Option<PathBuf> {
        let name = self.path.file_name()?.to_str()?;
        Some(self.path.with_file_name(format!(".{name}.meshwarden")))
    }

    /// Says beside the folder that there is a store. Where that can't be written, as in a container whose folder is a
    /// volume, only the folder itself says so.
    pub(super) fn mark(&self) {
        let Some(marker) = self.marker() else { return };
        let text = format!(
            "There is a Meshwarden store in {}. While this file exists, a start without that store is refused.\n",
            self.path.display()
        );
        if !marker.exists()
            && let Err(error) = fs::write(&marker, text)
        {
            tracing::debug!(marker = %marker.display(), %error, "failed to write the marker beside the data folder");
        }
    }

    /// Whether there is a store. If there is none, nothing may have been acknowledged.
    pub(super) fn has_store(&self) -> Result<bool, OpenError> {
        let store = self.store();
        if store.try_exists().map_err(system("look for", &store))? {
            return Ok(true);
        }
        match self.acknowledged()? {
            None | Some((_, 0)) => match self.marker().filter(|marker| marker.exists()) {
                None => Ok(false),
                Some(marker) => Err(OpenError::Removed { folder: self.path.clone(), marker }),
            },
            Some(_) => Err(OpenError::Gone { file: store, note: self.note() }),
        }
    }

    /// Gives the first draft the name of the store.
    pub(super) fn adopt_first(&self, store: Uuid) -> Result<(), OpenError> {
        let note = self.note();
        Acknowledged::create(&note, store, 0).map_err(system("write", &note))?;
        self.adopt().map_err(system("replace", &self.store()))
    }

    /// Gives a draft the name of the store, so that it lasts. A crash on the way leaves the store that was there before
    /// or the new one, whole.
    pub(super) fn adopt(&self) -> io::Result<()> {
        fs::rename(self.draft(), self.store())?;
        File::open(&self.path)?.sync_all()
    }

    /// Passes a store that holds all that was acknowledged, and opens the note for what comes.
    pub(super) fn complete(&self, store: Uuid, sequence: u64) -> Result<Acknowledged, OpenError> {
        let note = self.note();
        match self.acknowledged()? {
            None => {
                tracing::warn!(note = %note.display(), "is gone: the store is taken as it is");
                Acknowledged::create(&note, store, sequence).map_err(system("write", &note))?;
            }
            Some((other, _)) if other != store => {
                let what = format!("it is about the store {other}, and the store is {store}");
                return Err(OpenError::Note { note, file: self.store(), what });
            }
            Some((_, acknowledged)) if acknowledged > sequence => {
                return Err(OpenError::Behind { file: self.store(), note, found: sequence, acknowledged });
            }
            Some(_) => {}
        }
        Acknowledged::open(&note, store).map_err(system("open", &note))
    }

    /// Opens the note of what was acknowledged, and makes one where it was removed.
    pub(super) fn note_again(&self, store: Uuid) -> io::Result<Acknowledged> {
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
