//! The file of API keys.

use std::collections::HashMap;
use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use zeroize::{Zeroize as _, Zeroizing};

use super::Denial;

/// The keys of a file, reloaded when the file changes.
pub(crate) struct KeyFile {
    path: PathBuf,
    read: Mutex<LoadedKeys>,
}

/// The result of the last read of the file; no keys if the file is invalid.
struct LoadedKeys {
    mark: Option<KeyFileMark>,
    keys: Option<Keys>,
}

/// Identifies a version of the file: inode, size, mode, and the time of the last change with its nanoseconds.
type KeyFileMark = (u64, u64, u32, i64, i64);

/// The keys by their ids.
#[derive(Clone)]
pub(crate) struct Keys(Arc<HashMap<String, Arc<Key>>>);

/// The content of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFileContent {
    keys: Vec<Key>,
}

/// One key. Its `Debug` output omits the secret.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Key {
    id: String,
    pub(crate) secret: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) read_only: bool,
}

/// The keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read.
    #[error("failed to read the key file {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// Users other than the owner can read the secrets.
    #[error("{path} is readable by users other than its owner; run chmod 600 on it")]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// The content has another format. The text itself is not part of the error.
    #[error(
        "invalid key file {path} (line {line}): expected {{\"keys\": [{{\"id\", \"secret\", \"name\", \"readOnly\"}}]}}, each id once, none empty"
    )]
    KeyFileContent {
        /// The file.
        path: PathBuf,
        /// The line; 0 for the whole file.
        line: usize,
    },
}

impl KeyFile {
    pub(super) fn open(path: &Path) -> Result<Self, KeyFileError> {
        let (mark, keys) = load(path)?;
        Ok(Self { path: path.to_owned(), read: Mutex::new(LoadedKeys { mark: Some(mark), keys: Some(keys) }) })
    }

    /// The current keys. An invalid file has no keys: the removal of a key takes effect at once, even if the edit
    /// breaks the file.
    pub(super) fn current(&self) -> Result<Keys, Denial> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let mark = std::fs::metadata(&self.path).ok().map(|metadata| mark(&metadata));
        if mark != read.mark {
            *read = match load(&self.path) {
                Ok((mark, keys)) => {
                    tracing::info!(path = %self.path.display(), keys = keys.0.len(), "key file reloaded");
                    LoadedKeys { mark: Some(mark), keys: Some(keys) }
                }
                Err(error) => {
                    tracing::error!(%error, "failed to reload key file; every request is refused");
                    LoadedKeys { mark, keys: None }
                }
            };
        }
        read.keys.clone().ok_or(Denial::NoKeys)
    }
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Keys {
    pub(super) fn find(&self, id: &str) -> Option<Arc<Key>> {
        self.0.get(id).map(Arc::clone)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

fn load(path: &Path) -> Result<(KeyFileMark, Keys), KeyFileError> {
    let failed = |source| KeyFileError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.mode() & 0o077 != 0 {
        return Err(KeyFileError::Exposed { path: path.to_owned() });
    }
    let mut text = Zeroizing::new(String::new());
    file.read_to_string(&mut text).map_err(failed)?;
    let content = |line| KeyFileError::KeyFileContent { path: path.to_owned(), line };
    let read: KeyFileContent = serde_json::from_str(&text).map_err(|error| content(error.line()))?;
    let mut keys = HashMap::new();
    for key in read.keys {
        if key.id.is_empty() || key.secret.is_empty() || keys.insert(key.id.clone(), Arc::new(key)).is_some() {
            return Err(content(0));
        }
    }
    Ok((mark(&metadata), Keys(Arc::new(keys))))
}

fn mark(metadata: &Metadata) -> KeyFileMark {
    (metadata.ino(), metadata.size(), metadata.mode(), metadata.ctime(), metadata.ctime_nsec())
}
