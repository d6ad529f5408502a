//! Verifies certificates against their issuer: with an X.509 library, and with openssl if it is installed.

use std::path::PathBuf;
use std::process::Command;

use jiff::Timestamp;
use mesh::certificates::{Certificate, Chain, leads_to};

/// Checks that a chain leads to this root, and not to an equivalent other one.
pub(crate) fn verify(certificate: &str, root: &str, other: &str) {
    let chain = Chain::read(certificate).unwrap();
    for (root, is_it) in [(root, true), (other, false)] {
        let anchors = Certificate::read_all(root).unwrap();
        let leads = leads_to(&chain, &anchors.iter().collect::<Vec<_>>(), Timestamp::now());
        assert_eq!(leads.is_ok(), is_it, "{leads:?}");
        if let Some(verified) = openssl(certificate, root) {
            assert_eq!(verified, is_it, "openssl verify");
        }
    }
}

/// The validity of a certificate in whole days: private CAs cut off parts of a second.
pub(crate) fn days(certificate: &Certificate) -> i64 {
    const DAY: i64 = 24 * 60 * 60;
    (certificate.not_after.duration_since(certificate.not_before).as_secs() + DAY / 2) / DAY
}

/// The verdict of `openssl verify`; `None`, with the reason printed, without openssl.
fn openssl(certificate: &str, root: &str) -> Option<bool> {
    let folder = Scratch::new();
    let (leaf, anchor) = (folder.write("leaf.pem", certificate), folder.write("root.pem", root));
    let output = Command::new("openssl").arg("verify").arg("-CAfile").arg(anchor).arg(leaf).output();
    match output {
        Ok(output) => Some(output.status.success()),
        Err(error) => {
            println!("not verified by openssl too: {error}");
            None
        }
    }
}

struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("meshwarden-chain-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
