//! The folder with the records of a stack's processes. Starting or ending them needs its lock.

use std::cell::Cell;
use std::fs;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};
use crate::process::Record;

/// A locked folder.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    pub(crate) fn lock(path: PathBuf) -> Result<Self> {
        fs::create_dir_all(&path).map_err(Failure::file("create", &path))?;
        let lock = path.join("lock");
        let file = File::create(&lock).map_err(Failure::file("create", &lock))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path, _lock: file }),
            Err(TryLockError::WouldBlock) => Err(Failure::Unreadable { path, why: "another xtask uses it".to_owned() }),
            Err(TryLockError::Error(source)) => Err(Failure::file("lock", lock)(source)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether any recorded process still runs.
    pub(crate) fn runs(&self) -> bool {
        Record::all(&self.path).iter().any(Record::runs)
    }

    /// Ends the recorded processes, and returns the names of the running ones.
    pub(crate) fn end(&self) -> Result<Vec<String>> {
        let mut ended = Vec::new();
        for record in Record::all(&self.path) {
            if record.runs() {
                ended.push(record.name.clone());
            }
            record.end(&self.path)?;
        }
        let outputs = outputs_file(&self.path);
        if outputs.exists() {
            fs::remove_file(&outputs).map_err(Failure::file("remove", outputs))?;
        }
        Ok(ended)
    }

    /// Ends the processes when the returned value is dropped.
    pub(crate) fn end_on_drop(self) -> EndOnDrop {
        EndOnDrop { folder: self, kept: Cell::new(false) }
    }
}

/// The file of a stack's outputs.
pub(super) fn outputs_file(folder: &Path) -> PathBuf {
    folder.join("outputs.json")
}

/// Ends the recorded processes when it is dropped, unless `keep` was called.
#[derive(Debug)]
pub(crate) struct EndOnDrop {
    folder: Folder,
    kept: Cell<bool>,
}

impl EndOnDrop {
    pub(crate) fn get(&self) -> &Folder {
        &self.folder
    }

    pub(crate) fn keep(&self) {
        self.kept.set(true);
    }
}

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        if !self.kept.get()
            && let Err(failure) = self.folder.end()
        {
            crate::console::print_failure(&failure);
        }
    }
}
