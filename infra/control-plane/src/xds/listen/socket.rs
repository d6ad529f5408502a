//! Sockets in the file system.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream as Probe;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::{UnixListener, UnixStream};

use super::super::peer::{Peer, Place, Proof};

/// A socket that listens. Its file goes when it is dropped.
#[derive(Debug)]
pub(super) struct Socket {
    listener: UnixListener,
    pub(super) path: Arc<PathBuf>,
    file: (u64, u64),
    /// The users that may connect, where that is asked.
    users: Option<Vec<u32>>,
}

impl Socket {
    /// Listens at a path. A file that is there already is replaced only if it is a socket that nobody listens at.
    ///
    /// Without users, the file's mode lets only this process' own user connect. With them the group may as well, and
    /// each that connects is asked who it is; an empty list is this process' own user.
    pub(super) fn bind(path: &Path, users: Option<Vec<u32>>) -> io::Result<Self> {
        is_free(path)?;
        // Made beside its place and then moved there, so that nobody meets it before it has its mode.
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{}", std::process::id()));
        let beside = PathBuf::from(beside);
        let _ = fs::remove_file(&beside);
        let listener = UnixListener::bind(&beside)?;
        let mode = if users.is_some() { 0o660 } else { 0o600 };
        let placed =
            fs::set_permissions(&beside, Permissions::from_mode(mode)).and_then(|()| fs::rename(&beside, path));
        if let Err(error) = placed {
            let _ = fs::remove_file(&beside);
            return Err(error);
        }
        let file = fs::symlink_metadata(path)?;
        let users = users.map(|users| if users.is_empty() { vec![file.uid()] } else { users });
        Ok(Self { listener, path: Arc::new(path.to_owned()), file: (file.dev(), file.ino()), users })
    }

    /// The next connection of a user that may connect.
    pub(super) async fn accept(&self) -> io::Result<(UnixStream, Peer)> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            let credentials = stream.peer_cred()?;
            let place = Place::Unix { path: Arc::clone(&self.path), pid: credentials.pid(), uid: credentials.uid() };
            let proof = match &self.users {
                None => Proof::None,
                Some(users) if users.contains(&credentials.uid()) => Proof::User,
                Some(_) => {
                    tracing::warn!(peer = %place, "connection refused: its user is not among those of --xds-unix-uid");
                    continue;
                }
            };
            return Ok((stream, Peer { place, proof }));
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&*self.path).is_ok_and(|file| (file.dev(), file.ino()) == self.file);
        if is_ours && let Err(error) = fs::remove_file(&*self.path) {
            tracing::warn!(%error, path = %self.path.display(), "the socket is left behind");
        }
    }
}

fn is_free(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(file) if !file.file_type().is_socket() => {
            Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket"))
        }
        Ok(_) => match Probe::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody listens there")),
        },
    }
}
