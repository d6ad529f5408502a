//! The file of keys.

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

/// The keys of a file, read again when the file changes.
pub(crate) struct KeyFile {
    path: PathBuf,
    read: Mutex<Reading>,
}

/// What a look at the file found: no keys, if it can't be used.
struct Reading {
    mark: Option<Mark>,
    keys: Option<Keys>,
}

/// What changes when a file does: inode, size, mode, and the time of the last change with its nanoseconds.
type Mark = (u64, u64, u32, i64, i64);

/// The keys, by their ids.
#[derive(Clone)]
pub(crate) struct Keys(Arc<HashMap<String, Arc<Key>>>);

/// The file's content.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    keys: Vec<Key>,
}

/// One key. Its `Debug` does not show the secret.
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
        let (mark, keys) = load(path)?;
        Ok(Self { path: path.to_owned(), read: Mutex::new(Reading { mark: Some(mark), keys: Some(keys) }) })
    }

    /// The keys as they are now. While the file can't be used there are none: to take a key away has to work at once,
    /// also when something goes wrong with it.
    pub(super) fn current(&self) -> Result<Keys, Denial> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let mark = std::fs::metadata(&self.path).ok().map(|metadata| mark(&metadata));
        if mark != read.mark {
            *read = match load(&self.path) {
                Ok((mark, keys)) => {
                    tracing::info!(path = %self.path.display(), keys = keys.0.len(), "keys read anew");
                    Reading { mark: Some(mark), keys: Some(keys) }
                }
                Err(error) => {
                    tracing::error!(%error, "nobody is let in until the key file is mended");
                    Reading { mark, keys: None }
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

fn load(path: &Path) -> Result<(Mark, Keys), KeyFileError> {
    let failed = |source| KeyFileError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.mode() & 0o077 != 0 {
        return Err(KeyFileError::Exposed { path: path.to_owned() });
    }
    let mut text = Zeroizing::new(String::new());
    file.read_to_string(&mut text).map_err(failed)?;
    let content = |line| KeyFileError::Content { path: path.to_owned(), line };
    let read: Content = serde_json::from_str(&text).map_err(|error| content(error.line()))?;
    let mut keys = HashMap::new();
    for key in read.keys {
        if key.id.is_empty() || key.secret.is_empty() || keys.insert(key.id.clone(), Arc::new(key)).is_some() {
            return Err(content(0));
        }
    }
    Ok((mark(&metadata), Keys(Arc::new(keys))))
}

fn mark(metadata: &Metadata) -> Mark {
    (metadata.ino(), metadata.size(), metadata.mode(), metadata.ctime(), metadata.ctime_nsec())
}
