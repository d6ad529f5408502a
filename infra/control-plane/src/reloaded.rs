//! A file that is read again when it changes. An invalid file has no content: the removal of an entry takes effect at once,
//! even if the edit breaks the file.

use std::error::Error;
use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use zeroize::Zeroizing;

/// Identifies a version of a file: inode, size, mode, and the time of the last change with its nanoseconds.
type FileMark = (u64, u64, u32, i64, i64);

/// A file that is read again when it changes. A clone of its content is cheap.
pub(crate) struct ReloadedFile<T> {
    path: PathBuf,
    /// The noun of the file in the log, such as `key file`.
    noun: &'static str,
    parse: Parse<T>,
    read: Mutex<LoadedFile<T>>,
}

type Parse<T> = Box<dyn Fn(&Path) -> Result<(Metadata, T), String> + Send + Sync>;

/// The result of the last read; no content if the file is invalid.
struct LoadedFile<T> {
    mark: Option<FileMark>,
    content: Option<T>,
}

impl<T: Clone> ReloadedFile<T> {
    /// Reads the file. An error is returned here only; later ones are logged.
    pub(crate) fn open<E>(
        path: &Path,
        noun: &'static str,
        parse: fn(&Path) -> Result<(Metadata, T), E>,
    ) -> Result<Self, E>
    where
        T: 'static,
        E: Error + 'static,
    {
        let (metadata, content) = parse(path)?;
        let read = Mutex::new(LoadedFile { mark: Some(mark(&metadata)), content: Some(content) });
        let parse: Parse<T> = Box::new(move |path| parse(path).map_err(|error| chain(&error)));
        Ok(Self { path: path.to_owned(), noun, parse, read })
    }

    /// The current content; `None` while the file is invalid.
    pub(crate) fn current(&self) -> Option<T> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let now = std::fs::metadata(&self.path).ok().map(|metadata| mark(&metadata));
        if now != read.mark {
            *read = match (self.parse)(&self.path) {
                Ok((metadata, content)) => {
                    tracing::info!(path = %self.path.display(), file = self.noun, "file reloaded");
                    LoadedFile { mark: Some(mark(&metadata)), content: Some(content) }
                }
                Err(error) => {
                    tracing::error!(error, file = self.noun, "failed to reload file; no entry of it is in force");
                    LoadedFile { mark: now, content: None }
                }
            };
        }
        read.content.clone()
    }
}

impl<T> fmt::Debug for ReloadedFile<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReloadedFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Reads a file and its metadata, from one open file.
pub(crate) fn read(path: &Path) -> io::Result<(Metadata, Zeroizing<String>)> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    let mut text = Zeroizing::new(String::new());
    file.read_to_string(&mut text)?;
    Ok((metadata, text))
}

fn mark(metadata: &Metadata) -> FileMark {
    (metadata.ino(), metadata.size(), metadata.mode(), metadata.ctime(), metadata.ctime_nsec())
}

fn chain(error: &dyn Error) -> String {
    let sources = std::iter::successors(error.source(), |&source| source.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}
