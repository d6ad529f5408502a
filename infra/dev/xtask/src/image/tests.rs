//! The layout is read as an engine reads it: by digests from the index, and the layer by tar.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::layout::digest;
use super::*;

/// A folder, removed with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("meshwarden-image-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn image(revision: Option<&str>) -> Image {
    let labels = Labels { version: "1.2.3".to_owned(), revision: revision.map(str::to_owned) };
    Image::new(b"\x7fELF program", b"roots", &labels).unwrap()
}

/// The content of a descriptor, verified.
fn blob(folder: &Path, descriptor: &Value) -> Vec<u8> {
    let name = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    let content = fs::read(folder.join("blobs/sha256").join(name)).unwrap();
    assert_eq!(descriptor["digest"], digest(&content));
    assert_eq!(descriptor["size"], content.len());
    content
}

fn parsed(content: &[u8]) -> Value {
    serde_json::from_slice(content).unwrap()
}

#[test]
fn layout_leads_from_the_index_to_the_files_of_a_user_without_rights() {
    let scratch = Scratch::new("layout");
    let folder = scratch.0.join("image");
    let image = image(Some(&"a".repeat(40)));
    image.write(&folder).unwrap();
    assert_eq!(parsed(&fs::read(folder.join("oci-layout")).unwrap())["imageLayoutVersion"], "1.0.0");
    let index = parsed(&fs::read(folder.join("index.json")).unwrap());
    assert_eq!((&index["schemaVersion"], index["manifests"].as_array().unwrap().len()), (&2.into(), 1));
    let manifest = parsed(&blob(&folder, &index["manifests"][0]));
    assert_eq!(index["manifests"][0]["digest"], image.manifest_digest());
    let config = parsed(&blob(&folder, &manifest["config"]));
    assert_eq!(config["config"]["User"], "65532:65532");
    assert_eq!(config["config"]["Entrypoint"], serde_json::json!(["/control-plane"]));
    assert_eq!(config["config"]["Labels"]["org.opencontainers.image.version"], "1.2.3");
    assert_eq!(config["config"]["Labels"]["org.opencontainers.image.revision"], "a".repeat(40));

    // The layer, unpacked by tar, has the digest in the config.
    let layer = scratch.0.join("layer.tar.gz");
    fs::write(&layer, blob(&folder, &manifest["layers"][0])).unwrap();
    let tar = |args: &[&str]| {
        let output = Command::new("tar").args(args).arg("--file").arg(&layer).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let unpacked = Command::new("gzip").args(["--decompress", "--stdout"]).arg(&layer).output().unwrap();
    assert_eq!(config["rootfs"]["diff_ids"][0], digest(&unpacked.stdout));
    let listed = tar(&["--list", "--verbose", "--numeric-owner"]);
    let entries: Vec<(&str, &str, &str)> = listed
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            (words[0], words[1], *words.last().unwrap())
        })
        .collect();
    assert_eq!(
        entries,
        [
            ("-rwxr-xr-x", "0/0", "control-plane"),
            ("drwxr-xr-x", "0/0", "etc/"),
            ("drwxr-xr-x", "0/0", "etc/ssl/"),
            ("drwxr-xr-x", "0/0", "etc/ssl/certs/"),
            ("-rw-r--r--", "0/0", "etc/ssl/certs/ca-certificates.crt"),
            ("drwxr-xr-x", "0/0", "var/"),
            ("drwxr-xr-x", "0/0", "var/lib/"),
            ("drwx------", "65532/65532", "var/lib/meshwarden/"),
        ]
    );
    assert_eq!(tar(&["--extract", "--to-stdout", "control-plane"]), "\u{7f}ELF program");
}

#[test]
fn archive_has_the_files_of_the_folder_and_the_same_bytes_again() {
    let scratch = Scratch::new("archive");
    let (first, second) = (scratch.0.join("first"), scratch.0.join("second"));
    image(None).write(&first).unwrap();
    image(None).write(&second).unwrap();
    let archive = |folder: &Path| fs::read(folder.with_extension("tar")).unwrap();
    assert_eq!(archive(&first), archive(&second));
    let unpacked = scratch.0.join("unpacked");
    fs::create_dir(&unpacked).unwrap();
    let mut tar = Command::new("tar");
    tar.arg("--extract").arg("--file").arg(first.with_extension("tar")).arg("-C").arg(&unpacked);
    assert!(tar.status().unwrap().success());
    let index = fs::read(first.join("index.json")).unwrap();
    assert_eq!(fs::read(unpacked.join("index.json")).unwrap(), index);
    blob(&unpacked, &parsed(&index)["manifests"][0]);
}

#[test]
fn dynamic_programs_are_refused() {
    let program = std::env::current_exe().unwrap();
    let bytes = fs::read(&program).unwrap();
    assert_eq!(needs_loader(&bytes), Some(true), "tests are linked dynamically");
    assert!(require_static(&program, &bytes).unwrap_err().to_string().contains("linked dynamically"));
    assert_eq!(needs_loader(b"#!/bin/sh"), None);
    assert_eq!(needs_loader(&bytes[..60]), None, "the headers are cut off");
}
