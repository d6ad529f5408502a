//! Instances in a file.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{IPV4, IPV6, InstanceBook, Instances, Service, Unlisted, instance};

/// How often a file is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Instances in a JSON file, read again when it changes: by namespace and service a list of instances, each an object of
/// its attributes as Cloud Map has them, `AWS_INSTANCE_IPV4` or `AWS_INSTANCE_IPV6` among them.
#[derive(Debug)]
pub struct InstanceFile {
    shelf: Arc<Shelf>,
    looking: JoinHandle<()>,
}

#[derive(Debug)]
struct Shelf {
    path: PathBuf,
    known: Mutex<(Stamp, Arc<InstanceBook>)>,
    changes: watch::Sender<u64>,
}

/// What a file is told apart by from what it was. `None` is no file.
type Stamp = Option<(u64, i64, i64, u64)>;

impl InstanceFile {
    /// Reads the file, which must be good, and goes on looking at it, in the runtime that this is called in.
    pub fn open(path: PathBuf) -> Result<Arc<Self>, InstanceFileError> {
        let known = Mutex::new((stamp(&path), Arc::new(read(&path)?)));
        let shelf = Arc::new(Shelf { path, known, changes: watch::Sender::new(0) });
        let looked_at = Arc::clone(&shelf);
        let looking = tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                looked_at.look();
            }
        });
        Ok(Arc::new(Self { shelf, looking }))
    }
}

impl Drop for InstanceFile {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

impl Shelf {
    /// Takes in what the file says now. One that can't be read keeps the last good one.
    fn look(&self) {
        let seen = stamp(&self.path);
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
            Err(error) => tracing::warn!(%error, "the former instances stay"),
        }
    }
}

impl Instances for InstanceFile {
    fn known(&self) -> Arc<InstanceBook> {
        Arc::clone(&self.shelf.known.lock().unwrap_or_else(PoisonError::into_inner).1)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.shelf.changes.subscribe()
    }

    /// What the file does not name has none.
    fn unlisted(&self, _: &Service) -> Unlisted {
        Unlisted::None
    }
}

fn stamp(path: &Path) -> Stamp {
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

/// Why a file tells no instances.
#[derive(Debug, thiserror::Error)]
pub enum InstanceFileError {
    /// It can't be read.
    #[error("read the instances in {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not as it has to be.
    #[error(
        "{} is not JSON such as {{\"namespace\": {{\"service\": [{{\"{IPV4}\": \"10.0.0.1\"}}]}}}}",
        path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where.
        source: serde_json::Error,
    },
    /// An instance is nowhere.
    #[error("an instance of {service} in {} has no address: give {IPV4} or {IPV6}", path.display())]
    Address {
        /// The file.
        path: PathBuf,
        /// Whose.
        service: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            Self(std::env::temp_dir().join(format!("meshwarden-instances-{name}-{}", std::process::id())))
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    fn count(file: &InstanceFile) -> usize {
        file.known().known.get(&("prod".to_owned(), "cart".to_owned())).map_or(0, Vec::len)
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_changes_is_read_again_and_a_broken_one_is_not() {
        let scratch = Scratch::new("changes");
        fs::write(&scratch.0, r#"{"prod": {"cart": [{"AWS_INSTANCE_IPV4": "10.0.0.1", "version": "1"}]}}"#).unwrap();
        let file = InstanceFile::open(scratch.0.clone()).unwrap();
        assert_eq!(count(&file), 1);
        let mut changes = file.changes();
        fs::write(&scratch.0, "{").unwrap();
        tokio::time::sleep(LOOK * 2).await;
        assert_eq!((count(&file), changes.has_changed().unwrap()), (1, false));
        let two = r#"{"prod": {"cart": [{"AWS_INSTANCE_IPV4": "10.0.0.1"}, {"AWS_INSTANCE_IPV6": "fd00::1"}]}}"#;
        fs::write(&scratch.0, two).unwrap();
        tokio::time::timeout(LOOK * 2, changes.changed()).await.unwrap().unwrap();
        assert_eq!(count(&file), 2);
    }

    #[test]
    fn what_is_no_book_is_refused() {
        let scratch = Scratch::new("refused");
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
