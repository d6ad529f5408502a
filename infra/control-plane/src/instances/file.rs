//! Instances of Cloud Map services from a file.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{CloudMapService, IPV4, IPV6, InstanceBook, Instances, Unlisted, instance};

/// How often the file is checked for changes.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Instances from a JSON file that is reloaded when it changes: by namespace and service a list of instances, each an
/// object of its Cloud Map attributes with `AWS_INSTANCE_IPV4` or `AWS_INSTANCE_IPV6`.
#[derive(Debug)]
pub struct InstanceFile {
    watched: Arc<WatchedFile>,
    watcher: JoinHandle<()>,
}

#[derive(Debug)]
struct WatchedFile {
    path: PathBuf,
    known: Mutex<(FileVersion, Arc<InstanceBook>)>,
    changes: watch::Sender<u64>,
}

/// Identifies a version of the file: inode, time of the last change with its nanoseconds, and size. `None`: no file.
type FileVersion = Option<(u64, i64, i64, u64)>;

impl InstanceFile {
    /// Reads the file, which must be valid, and watches it from a task in the current runtime.
    pub fn open(path: PathBuf) -> Result<Arc<Self>, InstanceFileError> {
        let known = Mutex::new((file_version(&path), Arc::new(read(&path)?)));
        let watched = Arc::new(WatchedFile { path, known, changes: watch::Sender::new(0) });
        let file = Arc::clone(&watched);
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(CHECK_INTERVAL).await;
                file.reload_if_changed();
            }
        });
        Ok(Arc::new(Self { watched, watcher: task }))
    }
}

impl Drop for InstanceFile {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

impl WatchedFile {
    /// Reloads the file if it has changed. An invalid file keeps the last valid instances.
    fn reload_if_changed(&self) {
        let seen = file_version(&self.path);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.0 == seen {
            return;
        }
        known.0 = seen;
        match read(&self.path) {
            Ok(book) if book == *known.1 => {}
            Ok(book) => {
                known.1 = Arc::new(book);
                drop(known);
                self.changes.send_modify(|count| *count += 1);
            }
            Err(error) => tracing::warn!(%error, "failed to reload instance file; last valid instances stay in use"),
        }
    }
}

impl Instances for InstanceFile {
    fn known(&self) -> Arc<InstanceBook> {
        Arc::clone(&self.watched.known.lock().unwrap_or_else(PoisonError::into_inner).1)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.watched.changes.subscribe()
    }

    /// A service that is not in the file has no instances.
    fn unlisted(&self, _: &CloudMapService) -> Unlisted {
        Unlisted::None
    }
}

fn file_version(path: &Path) -> FileVersion {
    let file = fs::metadata(path).ok()?;
    Some((file.ino(), file.mtime(), file.mtime_nsec(), file.len()))
}

fn read(path: &Path) -> Result<InstanceBook, InstanceFileError> {
    let at = || path.to_owned();
    let text = fs::read_to_string(path).map_err(|source| InstanceFileError::Unreadable { path: at(), source })?;
    let written: BTreeMap<String, BTreeMap<String, Vec<BTreeMap<String, String>>>> =
        serde_json::from_str(&text).map_err(|source| InstanceFileError::Malformed { path: at(), source })?;
    let mut book = InstanceBook::default();
    for (namespace, services) in written {
        for (service, instances) in services {
            let instances = instances.into_iter().map(|attributes| {
                let instance = instance(attributes);
                instance
                    .ok_or_else(|| InstanceFileError::Address { path: at(), service: format!("{service}.{namespace}") })
            });
            let instances = instances.collect::<Result<_, _>>()?;
            book.known.insert((namespace.clone(), service), instances);
        }
    }
    Ok(book)
}

/// The instance file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InstanceFileError {
    /// The file cannot be read.
    #[error("failed to read the instance file {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// The content has another format.
    #[error(
        "invalid instance file {}: expected JSON such as {{\"namespace\": {{\"service\": [{{\"{IPV4}\": \"10.0.0.1\"}}]}}}}",
        path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The position of the error.
        source: serde_json::Error,
    },
    /// An instance has no valid address.
    #[error("an instance of {service} in {} has no address; give it {IPV4} or {IPV6}", path.display())]
    Address {
        /// The file.
        path: PathBuf,
        /// The service of the instance.
        service: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    struct TestFile(PathBuf);

    impl TestFile {
        fn new(name: &str) -> Self {
            Self(std::env::temp_dir().join(format!("meshwarden-instances-{name}-{}", std::process::id())))
        }
    }

    impl Drop for TestFile {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    fn count(file: &InstanceFile) -> usize {
        file.known().known.get(&("prod".to_owned(), "cart".to_owned())).map_or(0, Vec::len)
    }

    #[tokio::test(start_paused = true)]
    async fn a_changed_file_is_reloaded_unless_it_is_invalid() {
        let scratch = TestFile::new("changes");
        fs::write(&scratch.0, r#"{"prod": {"cart": [{"AWS_INSTANCE_IPV4": "10.0.0.1", "version": "1"}]}}"#).unwrap();
        let file = InstanceFile::open(scratch.0.clone()).unwrap();
        assert_eq!(count(&file), 1);
        let mut changes = file.changes();
        fs::write(&scratch.0, "{").unwrap();
        tokio::time::sleep(CHECK_INTERVAL * 2).await;
        assert_eq!((count(&file), changes.has_changed().unwrap()), (1, false));
        let two = r#"{"prod": {"cart": [{"AWS_INSTANCE_IPV4": "10.0.0.1"}, {"AWS_INSTANCE_IPV6": "fd00::1"}]}}"#;
        fs::write(&scratch.0, two).unwrap();
        tokio::time::timeout(CHECK_INTERVAL * 2, changes.changed()).await.unwrap().unwrap();
        assert_eq!(count(&file), 2);
    }

    #[test]
    fn an_invalid_file_is_refused() {
        let scratch = TestFile::new("refused");
        assert!(matches!(read(&scratch.0), Err(InstanceFileError::Unreadable { .. })));
        for (text, at_address) in [
            ("[]", false),
            (r#"{"prod": {"cart": [{"AWS_INSTANCE_PORT": 80}]}}"#, false),
            (r#"{"prod": {"cart": [{}]}}"#, true),
            (r#"{"prod": {"cart": [{"AWS_INSTANCE_IPV4": "cart"}]}}"#, true),
        ] {
            fs::write(&scratch.0, text).unwrap();
            let refused = read(&scratch.0).unwrap_err();
            assert_eq!(matches!(refused, InstanceFileError::Address { .. }), at_address, "{text}: {refused}");
        }
    }
}
