//! The data folder: who may use it, and what is in it.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::acknowledged::Acknowledged;
use super::error::OpenError;

/// A folder that is this process's alone until it is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    folder: PathBuf,
    /// The system releases it at the latest when the process ends, however it ends.
    _lock: File,
}

impl Folder {
    /// Takes a folder, making it where there is none.
    pub(super) fn take(folder: &Path) -> Result<Self, OpenError> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(system("create", folder))?;
        let path = folder.join("meshwarden.lock");
        let lock = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(system("open", &path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { folder: folder.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { folder: folder.to_owned() }),
            Err(TryLockError::Error(source)) => Err(system("lock", &path)(source)),
        }
    }

    /// The store.
    pub(super) fn store(&self) -> PathBuf {
        self.folder.join("meshwarden.redb")
    }

    /// Where a store is made before it gets its name.
    pub(super) fn draft(&self) -> PathBuf {
        self.folder.join("meshwarden.redb.new")
    }

    fn note(&self) -> PathBuf {
        self.folder.join("meshwarden.acknowledged")
    }

    /// Whether there is a store. If there is none, nothing may have been acknowledged.
    pub(super) fn has_store(&self) -> Result<bool, OpenError> {
        let store = self.store();
        if store.try_exists().map_err(system("look for", &store))? {
            return Ok(true);
        }
        match self.acknowledged()? {
            None | Some((_, 0)) => Ok(false),
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
        File::open(&self.folder)?.sync_all()
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
