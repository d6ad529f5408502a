//! The socket in a data folder at which its process answers with a snapshot. The folder, and so the socket, is accessible
//! to the user of the process only.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::content::StoreSnapshot;
use super::error::SnapshotError;
use super::file;
use crate::state::Realm;
use crate::store::Store;

/// The name of the socket in the folder.
const NAME: &str = "meshwarden.snapshots";

/// How long a client may take to read its snapshot.
const TIME_LIMIT: Duration = Duration::from_mins(1);

/// Answers each connection with a snapshot, one at a time. The socket is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct SnapshotSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl SnapshotSocket {
    /// Listens in a folder that this process has locked. Without a socket, only a stopped process allows a snapshot.
    pub(crate) fn bind(folder: &Path) -> Option<Self> {
        let path = folder.join(NAME);
        let bound = match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => UnixListener::bind(&path),
        };
        let restricted = bound.and_then(|listener| {
            fs::set_permissions(&path, Permissions::from_mode(0o600))?;
            Ok(listener)
        });
        match restricted {
            Ok(listener) => Some(Self { listener, path }),
            Err(error) => {
                tracing::warn!(socket = %path.display(), %error, "failed to listen for snapshots; stop the process to take one");
                None
            }
        }
    }

    /// Answers until the future is dropped.
    pub(crate) async fn serve(self, store: Arc<Store>, realm: Realm) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let answered = timeout(TIME_LIMIT, answer(stream, &store, &realm)).await;
                    if let Err(error) = answered.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                        tracing::warn!(%error, "failed to answer with a snapshot");
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "failed to accept connection for a snapshot");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Drop for SnapshotSocket {
    fn drop(&mut self) {
        // Otherwise the next start removes it.
        let _ = fs::remove_file(&self.path);
    }
}

async fn answer(mut stream: UnixStream, store: &Arc<Store>, realm: &Realm) -> io::Result<()> {
    let (store, realm) = (Arc::clone(store), realm.clone());
    let encoded = tokio::task::spawn_blocking(move || {
        let (sequence, records) = store.records();
        let at = (sequence, jiff::Timestamp::now());
        file::encode(&StoreSnapshot::new(realm, "folder".to_owned(), at, &records)?)
    });
    let bytes = encoded.await.map_err(io::Error::other)?.map_err(io::Error::other)?;
    stream.write_all(&bytes).await?;
    stream.shutdown().await
}

/// Requests a snapshot from the process that uses a folder.
pub(super) async fn request(folder: &Path) -> Result<StoreSnapshot, SnapshotError> {
    let socket = folder.join(NAME);
    let mut bytes = Vec::new();
    let read = async {
        let mut stream = UnixStream::connect(&socket).await?;
        stream.read_to_end(&mut bytes).await
    };
    let read = timeout(TIME_LIMIT, read).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    if let Err(source) = read {
        return Err(SnapshotError::NoAnswer { folder: folder.to_owned(), socket, source });
    }
    file::decode(&bytes).map_err(|what| SnapshotError::Damaged { origin: socket.display().to_string(), what })
}
