//! The folder that a stack's processes are recorded in. Whoever starts or ends them holds its lock.

use std::cell::Cell;
use std::fs;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};
use crate::process::Record;

/// A folder under lock.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    pub(crate) fn take(path: PathBuf) -> Result<Self> {
        fs::create_dir_all(&path).map_err(Failure::file("create", &path))?;
        let lock = path.join("lock");
        let file = File::create(&lock).map_err(Failure::file("create", &lock))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path, _lock: file }),
            Err(TryLockError::WouldBlock) => {
                Err(Failure::Unreadable { path, why: "another xtask is at work in it".to_owned() })
            }
            Err(TryLockError::Error(source)) => Err(Failure::file("lock", lock)(source)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether anything recorded here still runs.
    pub(crate) fn runs(&self) -> bool {
        Record::all(&self.path).iter().any(Record::runs)
    }

    /// Ends what is recorded here, and says what that was.
    pub(crate) fn end(&self) -> Result<Vec<String>> {
        let mut ended = Vec::new();
        for record in Record::all(&self.path) {
            if record.runs() {
                ended.push(record.name.clone());
            }
            record.end(&self.path)?;
        }
        let outputs = super::deploy::outputs_file(&self.path);
        if outputs.exists() {
            fs::remove_file(&outputs).map_err(Failure::file("remove", outputs))?;
        }
        Ok(ended)
    }

    /// From here on, everything ends when the owner does.
    pub(crate) fn ending(self) -> Ending {
        Ending { folder: self, kept: Cell::new(false) }
    }
}

/// Ends what is recorded in its folder when it is dropped, unless it is told otherwise.
#[derive(Debug)]
pub(crate) struct Ending {
    folder: Folder,
    kept: Cell<bool>,
}

impl Ending {
    pub(crate) fn get(&self) -> &Folder {
        &self.folder
    }

    pub(crate) fn keep(&self) {
        self.kept.set(true);
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if !self.kept.get()
            && let Err(failure) = self.folder.end()
        {
            crate::console::complain(&failure);
        }
    }
}
