//! The file of keys.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use zeroize::{Zeroize as _, Zeroizing};

/// The keys of a file, read again when the file changes.
pub(crate) struct KeyFile {
    path: PathBuf,
    read: Mutex<(Mark, Arc<Keys>)>,
}

/// What changes when a file does: inode, size, mode, and the time of the last change with its nanoseconds.
type Mark = (u64, u64, u32, i64, i64);

/// All keys of one reading.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keys {
    keys: Vec<Key>,
}

/// One key. It has no `Debug`, so that no log shows the secret.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Key {
    id: String,
    pub(crate) secret: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) read_only: bool,
}

/// Why the keys can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file can't be read.
    #[error("read the keys in {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else can read the secrets.
    #[error("{path} can be read by others than its owner: chmod 600")]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// The content is something else. The text itself is not shown.
    #[error(
        "{path} is not {{\"keys\": [{{\"id\", \"secret\", \"name\", \"readOnly\"}}]}}, each id once, none empty (line {line})"
    )]
    Content {
        /// The file.
        path: PathBuf,
        /// Where, 0 for the whole.
        line: usize,
    },
}

impl KeyFile {
    pub(super) fn open(path: &Path) -> Result<Self, KeyFileError> {
        let read = load(path)?;
        Ok(Self { path: path.to_owned(), read: Mutex::new(read) })
    }

    /// The keys as they are now. A file that became unusable is told, and the keys before it stay.
    pub(super) fn current(&self) -> Arc<Keys> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let now = std::fs::metadata(&self.path).map(|metadata| mark(&metadata));
        if now.is_ok_and(|now| now == read.0) {
            return Arc::clone(&read.1);
        }
        match load(&self.path) {
            Ok(loaded) => *read = loaded,
            Err(error) => tracing::error!(%error, "the keys read before are still used"),
        }
        Arc::clone(&read.1)
    }
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Keys {
    pub(super) fn find(&self, id: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == id)
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

fn load(path: &Path) -> Result<(Mark, Arc<Keys>), KeyFileError> {
    let failed = |source| KeyFileError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.mode() & 0o077 != 0 {
        return Err(KeyFileError::Exposed { path: path.to_owned() });
    }
    let mut text = Zeroizing::new(String::new());
    file.read_to_string(&mut text).map_err(failed)?;
    let content = |line| KeyFileError::Content { path: path.to_owned(), line };
    let keys: Keys = serde_json::from_str(&text).map_err(|error| content(error.line()))?;
    let mut ids: Vec<&str> = keys.keys.iter().map(|key| key.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() != keys.keys.len() || keys.keys.iter().any(|key| key.id.is_empty() || key.secret.is_empty()) {
        return Err(content(0));
    }
    Ok((mark(&metadata), Arc::new(keys)))
}

fn mark(metadata: &Metadata) -> Mark {
    (metadata.ino(), metadata.size(), metadata.mode(), metadata.ctime(), metadata.ctime_nsec())
}
