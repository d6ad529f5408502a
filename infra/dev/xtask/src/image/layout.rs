//! The OCI image layout: blobs under their digests, and the index that names the manifest.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::tar::{Entry, archive};
use stack::failure::{Failure, Result};

/// The user and group of the program: a number, since the image has no list of users.
const USER: u32 = 65532;

/// The content of the file that marks a layout.
const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// The labels that differ between images.
#[derive(Clone, Debug)]
pub(super) struct Labels {
    pub(super) version: String,
    pub(super) revision: Option<String>,
}

/// An image with one layer.
#[derive(Debug)]
pub(super) struct Image {
    /// The content of the blobs by their digest, in the order layer, config, manifest.
    blobs: Vec<(String, Vec<u8>)>,
    index: Vec<u8>,
    manifest: String,
}

impl Image {
    /// An image of a program and of root certificates.
    pub(super) fn new(program: &[u8], roots: &[u8], labels: &Labels) -> Result<Self> {
        let folder = |path| Entry { path, mode: 0o755, owner: 0, content: b"" };
        let tar = archive(&[
            Entry { path: "control-plane", mode: 0o755, owner: 0, content: program },
            folder("etc/"),
            folder("etc/ssl/"),
            folder("etc/ssl/certs/"),
            Entry { path: "etc/ssl/certs/ca-certificates.crt", mode: 0o644, owner: 0, content: roots },
            folder("var/"),
            folder("var/lib/"),
            Entry { path: "var/lib/meshwarden/", mode: 0o700, owner: USER, content: b"" },
        ]);
        let layer = compressed(&tar).map_err(Failure::file("compress", "the layer"))?;
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "User": format!("{USER}:{USER}"),
                "Entrypoint": ["/control-plane"],
                "ExposedPorts": {"8443/tcp": {}, "18000/tcp": {}, "9102/tcp": {}},
                "WorkingDir": "/",
                "StopSignal": "SIGTERM",
                "Labels": labels.to_json(),
            },
            "rootfs": {"type": "layers", "diff_ids": [digest(&tar)]},
            "history": [{"created_by": "cargo xtask image"}],
        });
        let config = config.to_string().into_bytes();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &layer)],
        });
        let manifest = manifest.to_string().into_bytes();
        let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
        if let Some(entry) = entry.as_object_mut() {
            entry.insert("platform".to_owned(), json!({"architecture": "amd64", "os": "linux"}));
            entry.insert(
                "annotations".to_owned(),
                json!({"org.opencontainers.image.ref.name": format!("meshwarden-control-plane:{}", labels.version)}),
            );
        }
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [entry],
        });
        let manifest_digest = digest(&manifest);
        let blobs = [layer, config, manifest].map(|content| (digest(&content), content));
        Ok(Self { blobs: blobs.into(), index: index.to_string().into_bytes(), manifest: manifest_digest })
    }

    /// The digest of the manifest, by which registries name the image.
    pub(super) fn manifest_digest(&self) -> &str {
        &self.manifest
    }

    /// Writes the layout to a folder, and the same as an archive next to it.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        if folder.exists() {
            fs::remove_dir_all(folder).map_err(Failure::file("remove", folder))?;
        }
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs).map_err(Failure::file("create", &blobs))?;
        let files = self.files();
        for (path, content) in &files {
            let path = folder.join(path);
            fs::write(&path, content).map_err(Failure::file("write", &path))?;
        }
        let folders = ["blobs/", "blobs/sha256/"].map(|path| Entry { path, mode: 0o755, owner: 0, content: b"" });
        let entries = files.iter().map(|(path, content)| Entry { path, mode: 0o644, owner: 0, content });
        let tar = archive(&folders.into_iter().chain(entries).collect::<Vec<_>>());
        let mut name = folder.as_os_str().to_owned();
        name.push(".tar");
        fs::write(&name, tar).map_err(Failure::file("write", name))
    }

    /// Every file by its path in the layout.
    fn files(&self) -> Vec<(String, &[u8])> {
        let blobs = self.blobs.iter().map(|(digest, content)| {
            (format!("blobs/sha256/{}", digest.trim_start_matches("sha256:")), content.as_slice())
        });
        let fixed = [("oci-layout".to_owned(), LAYOUT.as_bytes()), ("index.json".to_owned(), self.index.as_slice())];
        fixed.into_iter().chain(blobs).collect()
    }
}

impl Labels {
    fn to_json(&self) -> Value {
        let mut labels = json!({
            "org.opencontainers.image.title": "meshwarden-control-plane",
            "org.opencontainers.image.description": "The App Mesh API, and xDS for its Envoys",
            "org.opencontainers.image.licenses": "Apache-2.0",
            "org.opencontainers.image.version": self.version,
        });
        if let (Some(labels), Some(revision)) = (labels.as_object_mut(), &self.revision) {
            labels.insert("org.opencontainers.image.revision".to_owned(), json!(revision));
        }
        labels
    }
}

fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(content), "size": content.len()})
}

pub(super) fn digest(content: &[u8]) -> String {
    Sha256::digest(content).iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// The content in gzip's format, without a time or a name.
fn compressed(content: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::default());
    encoder.write_all(content)?;
    encoder.finish()
}
