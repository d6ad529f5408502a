//! Unix sockets in the file system.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream as Probe;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::{UnixListener, UnixStream};

use super::super::peer::{PeerAddress, Proof, XdsPeer};

/// A listening socket. Its file is removed when it is dropped.
#[derive(Debug)]
pub(super) struct Socket {
    listener: UnixListener,
    pub(super) path: Arc<PathBuf>,
    file: (u64, u64),
    /// The users that may connect; `None` if only the file's mode decides.
    users: Option<Vec<u32>>,
}

impl Socket {
    /// Listens at a path. An existing file is replaced only if it is a socket without a listener.
    ///
    /// Without users, the file's mode admits only the user of this process. With users, the mode admits the group as
    /// well, and the UID of each connection is checked. An empty list is the user of this process.
    pub(super) fn bind(path: &Path, users: Option<Vec<u32>>) -> io::Result<Self> {
        is_free(path)?;
        // Created under another name and then renamed, so that no client can connect before it has its mode.
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!(".{}", std::process::id()));
        let temporary = PathBuf::from(temporary);
        let _ = fs::remove_file(&temporary);
        let listener = UnixListener::bind(&temporary)?;
        let mode = if users.is_some() { 0o660 } else { 0o600 };
        let placed =
            fs::set_permissions(&temporary, Permissions::from_mode(mode)).and_then(|()| fs::rename(&temporary, path));
        if let Err(error) = placed {
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        let file = fs::symlink_metadata(path)?;
        let users = users.map(|users| if users.is_empty() { vec![file.uid()] } else { users });
        Ok(Self { listener, path: Arc::new(path.to_owned()), file: (file.dev(), file.ino()), users })
    }

    /// The next connection of an admitted user.
    pub(super) async fn accept(&self) -> io::Result<(UnixStream, XdsPeer)> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            let credentials = stream.peer_cred()?;
            let address =
                PeerAddress::Unix { path: Arc::clone(&self.path), pid: credentials.pid(), uid: credentials.uid() };
            let proof = match &self.users {
                None => Proof::None,
                Some(users) if users.contains(&credentials.uid()) => Proof::User,
                Some(_) => {
                    tracing::warn!(peer = %address, "refused xDS connection of a user that is not in --xds-unix-uid");
                    continue;
                }
            };
            return Ok((stream, XdsPeer { address, proof }));
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&*self.path).is_ok_and(|file| (file.dev(), file.ino()) == self.file);
        if is_ours && let Err(error) = fs::remove_file(&*self.path) {
            tracing::warn!(%error, path = %self.path.display(), "failed to remove socket");
        }
    }
}

fn is_free(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(file) if !file.file_type().is_socket() => {
            Err(io::Error::new(io::ErrorKind::AlreadyExists, "the file exists and is not a socket"))
        }
        Ok(_) => match Probe::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens on it")),
        },
    }
}
