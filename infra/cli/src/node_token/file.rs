//! The file with a token: replaced as a whole, so that a reader finds the old token or the new one.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Replaces the file. Only its owner may read it.
pub(super) fn replace(path: &Path, token: &str) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}", std::process::id()));
    let temporary = Path::new(&temporary);
    match fs::remove_file(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary);
    let placed =
        written.and_then(|mut file| file.write_all(token.as_bytes())).and_then(|()| fs::rename(temporary, path));
    if placed.is_err() {
        drop(fs::remove_file(temporary));
    }
    placed
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn file_is_replaced_and_readable_by_its_owner_only() {
        let folder = std::env::temp_dir().join(format!("meshwarden-token-file-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("token");
        replace(&path, "one").unwrap();
        let first = fs::metadata(&path).unwrap();
        replace(&path, "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(first.mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "no other file is left");
        assert!(replace(&folder.join("none/token"), "three").is_err());
        fs::remove_dir_all(&folder).unwrap();
    }
}
