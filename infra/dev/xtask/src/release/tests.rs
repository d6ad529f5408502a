//! Tests of releases from programs that are not started.

use std::path::Path;

use super::*;

/// An ELF header of a machine, followed by text.
fn program(machine: u8, text: &str) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01".to_vec();
    bytes.resize(18, 0);
    bytes.push(machine);
    bytes.extend(text.as_bytes());
    bytes
}

#[test]
fn zip_is_read_by_another_program_and_has_the_same_bytes_again() {
    let content = program(62, &"bootstrap ".repeat(1000));
    let zip = archives::zip("bootstrap", &content).unwrap();
    assert_eq!(zip, archives::zip("bootstrap", &content).unwrap());
    assert!(zip.len() < content.len() / 10);
    let folder = std::env::temp_dir().join(format!("meshwarden-release-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("function.zip");
    fs::write(&path, &zip).unwrap();
    // Python checks the sums of each part.
    let script = "import sys, zipfile\nz = zipfile.ZipFile(sys.argv[1])\nassert z.testzip() is None\n\
                  i, = z.infolist()\nprint(i.filename, oct(i.external_attr >> 16), i.date_time[0], len(z.read(i)))";
    let run = Run::new("python3", &folder).args(["-c", script]).arg_pair(&path.display().to_string(), "");
    let read = run.filter("").unwrap();
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(read.trim(), format!("bootstrap 0o100755 1980 {}", content.len()));
}

#[test]
fn program_of_another_architecture_is_refused() {
    let folder = std::env::temp_dir().join(format!("meshwarden-programs-{}", std::process::id()));
    fs::create_dir_all(folder.join("a")).unwrap();
    fs::write(folder.join("a/bootstrap"), program(183, "")).unwrap();
    fs::write(folder.join("b"), "#!/bin/sh").unwrap();
    assert!(read_program(&folder, "a", Architecture::Arm64).is_ok());
    for (name, architecture) in [("a", Architecture::X8664), ("b", Architecture::X8664), ("c", Architecture::Arm64)] {
        assert!(read_program(&folder, name, architecture).is_err(), "{name}");
    }
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn chart_is_complete_and_the_same_again() {
    let workspace = Workspace::find().unwrap();
    assert_eq!(chart(&workspace).unwrap(), chart(&workspace).unwrap());
    let names = all_files(&workspace.file(CHART.0)).unwrap();
    assert!(names.iter().any(|path| path.ends_with("Chart.yaml")));
}

#[test]
fn sbom_has_every_package_of_a_registry_once() {
    let package = |id: &str, source: Option<&str>| json!({ "id": id, "name": id, "version": "1.0.0", "source": source, "license": "MIT/Apache-2.0" });
    let registry = Some("registry+https://github.com/rust-lang/crates.io-index");
    let metadata = json!({
        "packages": [package("b", registry), package("own", None), package("a", registry), package("unused", registry)],
        "resolve": { "nodes": [{ "id": "a" }, { "id": "b" }, { "id": "own" }] },
    });
    let components = sbom::components(&metadata);
    let purls: Vec<_> = components.iter().map(|component| component["purl"].as_str().unwrap()).collect();
    assert_eq!(purls, ["pkg:cargo/a@1.0.0", "pkg:cargo/b@1.0.0"]);
    assert_eq!(components[0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
}

#[test]
fn folder_with_an_older_release_is_refused() {
    let folder = std::env::temp_dir().join(format!("meshwarden-dist-{}", std::process::id()));
    assert!(require_empty(&folder).is_ok());
    write(&folder.join("packages/1/x.zip"), b"x").unwrap();
    assert!(require_empty(&folder).is_err());
    let sums = checksums(&folder).unwrap();
    assert!(sums.ends_with("  packages/1/x.zip\n") && sums.len() == 64 + 2 + 16 + 1, "{sums}");
    fs::remove_dir_all(Path::new(&folder)).unwrap();
}
