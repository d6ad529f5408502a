//! Certificate files of proxies on this machine.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::material;
use crate::secrets::ServedCertificate;

/// The largest file that is read, in bytes: a bundle of all public roots has 200 KB.
const MAX_FILE: u64 = 1024 * 1024;

/// The folder that contains the files which a mesh names by path: `/` where proxies run on this machine and read the
/// same files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles(PathBuf);

impl CertificateFiles {
    /// Reads files below this folder.
    #[must_use]
    pub const fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// The certificates in a file now; `None` if the file cannot be read. A proxy may have read an earlier version.
    pub(crate) fn certificates(&self, path: &str) -> Option<Vec<ServedCertificate>> {
        let below = Path::new(path);
        // The mesh names a path on the proxy's machine, which must not lead out of this folder.
        let mut parts = below.components();
        if parts.any(|part| !matches!(part, Component::Normal(_) | Component::RootDir | Component::CurDir)) {
            return None;
        }
        let file = self.0.join(below.strip_prefix("/").unwrap_or(below));
        let length = fs::metadata(&file).ok().filter(fs::Metadata::is_file)?.len();
        if length > MAX_FILE {
            return None;
        }
        material::read(&fs::read_to_string(file).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_below_the_folder_only() {
        let folder = std::env::temp_dir().join(format!("meshwarden-files-{}", std::process::id()));
        fs::create_dir_all(folder.join("keys")).unwrap();
        let pem = rcgen::generate_simple_self_signed(vec!["a.local".to_owned()]).unwrap().cert.pem();
        fs::write(folder.join("keys/a.pem"), &pem).unwrap();
        fs::write(folder.join("keys/torn.pem"), "-----BEGIN CERTIFICATE-----").unwrap();
        let files = CertificateFiles::new(folder.clone());
        assert_eq!(files.certificates("/keys/a.pem"), Some(material::read(&pem).unwrap()));
        for path in ["/keys/b.pem", "/keys", "/keys/torn.pem", "/../keys/a.pem", "/keys/../keys/a.pem"] {
            assert_eq!(files.certificates(path), None, "{path}");
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
