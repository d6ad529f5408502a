//! Certificates in files beside proxies, where those files can be seen from here.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::material;
use crate::secrets::ServedCertificate;

/// The most of a file that is read: a bundle of all public roots has 200 KB.
const LARGEST: u64 = 1024 * 1024;

/// A folder in which the paths that a mesh names are found: `/` where proxies run on this machine and see the same files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles(PathBuf);

impl CertificateFiles {
    /// Below this folder.
    #[must_use]
    pub const fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// What is in a file now; `None` where that can't be told. Whether a proxy has read it since is not known.
    pub(crate) fn certificates(&self, path: &str) -> Option<Vec<ServedCertificate>> {
        let below = Path::new(path);
        // A path of a mesh says where a proxy looks, and must not lead out of the folder here.
        let mut parts = below.components();
        if parts.any(|part| !matches!(part, Component::Normal(_) | Component::RootDir | Component::CurDir)) {
            return None;
        }
        let file = self.0.join(below.strip_prefix("/").unwrap_or(below));
        let length = fs::metadata(&file).ok().filter(fs::Metadata::is_file)?.len();
        if length > LARGEST {
            return None;
        }
        material::read(&fs::read_to_string(file).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_below_the_folder_and_none_above() {
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
