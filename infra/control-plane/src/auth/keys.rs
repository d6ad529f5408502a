//! The file of API keys.

use std::collections::HashMap;
use std::fmt;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use zeroize::Zeroize as _;

use super::Denial;
use crate::reloaded::{self, ReloadedFile};

/// The keys of a file, reloaded when the file changes.
#[derive(Debug)]
pub(crate) struct KeyFile(ReloadedFile<Keys>);

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
        Ok(Self(ReloadedFile::open(path, "key file", load)?))
    }

    /// The current keys. An invalid file has no keys.
    pub(super) fn current(&self) -> Result<Keys, Denial> {
        self.0.current().ok_or(Denial::NoKeys)
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

fn load(path: &Path) -> Result<(Metadata, Keys), KeyFileError> {
    let (metadata, text) =
        reloaded::read(path).map_err(|source| KeyFileError::Read { path: path.to_owned(), source })?;
    if metadata.mode() & 0o077 != 0 {
        return Err(KeyFileError::Exposed { path: path.to_owned() });
    }
    let content = |line| KeyFileError::KeyFileContent { path: path.to_owned(), line };
    let read: KeyFileContent = serde_json::from_str(&text).map_err(|error| content(error.line()))?;
    let mut keys = HashMap::new();
    for key in read.keys {
        if key.id.is_empty() || key.secret.is_empty() || keys.insert(key.id.clone(), Arc::new(key)).is_some() {
            return Err(content(0));
        }
    }
    Ok((metadata, Keys(Arc::new(keys))))
}
