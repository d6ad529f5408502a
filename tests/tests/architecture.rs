//! The rules of the layout: dependencies point in one direction, and the pure crates stay pure.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The maximum length of a source file, in lines: a longer file should be split.
const LONGEST_FILE: usize = 500;

/// The crates of the workspace that each crate may depend on, without dependencies of tests.
const ALLOWED: [(&str, &[&str]); 34] = [
    ("mesh", &[]),
    ("policy", &["mesh"]),
    ("readers", &["mesh"]),
    ("decisions", &["mesh", "policy"]),
    ("rules", &["decisions", "mesh", "policy", "readers"]),
    ("drills", &["decisions", "mesh", "policy"]),
    ("imports", &["mesh", "policy", "readers", "rules"]),
    ("kubernetes", &["imports", "mesh", "policy", "readers", "rules"]),
    ("rollouts", &["decisions", "mesh", "policy"]),
    ("records", &["decisions", "drills", "mesh", "policy", "rollouts", "rules"]),
    ("ports", &["mesh", "policy", "records"]),
    ("ports-memory", &["mesh", "ports", "records"]),
    ("xds", &["mesh"]),
    ("reports", &["mesh", "policy", "records", "rules"]),
    ("aws", &["mesh", "ports"]),
    ("runner", &["mesh", "policy", "ports", "records", "rules"]),
    ("certificate-rotation", &["aws", "decisions", "mesh", "policy", "ports", "records", "runner"]),
    ("compliance", &["mesh", "policy", "ports", "records", "rules", "runner"]),
    ("egress-compliance", &["aws", "compliance", "policy", "ports", "rules", "runner"]),
    ("tag-compliance", &["aws", "compliance", "policy", "ports", "rules", "runner"]),
    ("change-audit", &["aws", "mesh", "policy", "ports", "records", "rules", "runner"]),
    ("compliance-sweep", &["aws", "drills", "mesh", "policy", "ports", "records", "reports", "rules", "runner"]),
    ("failover-drill", &["aws", "decisions", "drills", "mesh", "policy", "ports", "records", "runner"]),
    ("route-failover", &["aws", "decisions", "mesh", "policy", "ports", "records", "runner"]),
    ("traffic-shift", &["aws", "decisions", "mesh", "policy", "ports", "records", "rollouts", "runner"]),
    ("control-plane", &["aws", "imports", "kubernetes", "mesh", "policy", "ports", "rules", "xds"]),
    (
        "meshwarden",
        &[
            "aws",
            "decisions",
            "drills",
            "imports",
            "mesh",
            "policy",
            "ports",
            "readers",
            "records",
            "reports",
            "rollouts",
            "rules",
            "runner",
        ],
    ),
    ("shop", &[]),
    ("shop-edges", &["mesh", "policy"]),
    // They are built before the product, so they depend on no crate of the product.
    ("stack", &[]),
    ("demo", &["stack"]),
    ("xtask", &["stack"]),
    (
        "bench",
        &[
            "aws",
            "certificate-rotation",
            "control-plane",
            "decisions",
            "mesh",
            "policy",
            "ports",
            "ports-memory",
            "route-failover",
            "rules",
            "runner",
            "xds",
        ],
    ),
    (
        "meshwarden-tests",
        &[
            "aws",
            "control-plane",
            "decisions",
            "mesh",
            "policy",
            "ports",
            "ports-memory",
            "reports",
            "route-failover",
            "rules",
            "runner",
            "xds",
        ],
    ),
];

/// The external crates that the crates without I/O may depend on: none that runs tasks, waits, listens or
/// reads a clock.
const PURE: [(&str, &[&str]); 12] = [
    ("reports", &["askama", "base64", "jiff", "mesh", "policy", "records", "rules", "serde", "serde_json", "sha2"]),
    ("drills", &["decisions", "jiff", "mesh", "policy", "serde", "serde_json", "sha2"]),
    ("imports", &["jiff", "mesh", "policy", "readers", "rules", "serde", "serde_json", "sha2"]),
    (
        "kubernetes",
        &[
            "base64",
            "imports",
            "jiff",
            "mesh",
            "policy",
            "readers",
            "rules",
            "serde",
            "serde_json",
            "sha2",
            "thiserror",
        ],
    ),
    ("rollouts", &["decisions", "jiff", "mesh", "policy", "serde", "serde_json", "sha2"]),
    (
        "records",
        &[
            "decisions",
            "drills",
            "jiff",
            "mesh",
            "policy",
            "rollouts",
            "rules",
            "serde",
            "serde_json",
            "serde_path_to_error",
            "thiserror",
        ],
    ),
    ("xds", &["envoy-types", "jiff", "mesh", "prost", "serde_json", "sha2", "thiserror", "zeroize"]),
    ("mesh", &["jiff", "schemars", "serde", "serde_json", "sha2", "thiserror", "x509-parser"]),
    ("readers", &["granit-parser", "jiff", "mesh", "serde", "serde_json", "strsim", "thiserror"]),
    (
        "policy",
        &[
            "jiff",
            "mesh",
            "regex-lite",
            "schemars",
            "serde",
            "serde-saphyr",
            "serde_json",
            "serde_path_to_error",
            "sha2",
            "strsim",
            "strum",
            "thiserror",
        ],
    ),
    ("decisions", &["jiff", "mesh", "policy", "serde", "serde_json", "sha2", "strum", "thiserror"]),
    ("rules", &["decisions", "jiff", "mesh", "policy", "readers", "serde", "serde_json", "sha2", "strum", "thiserror"]),
];

struct Package {
    name: String,
    folder: PathBuf,
    depends: BTreeSet<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The workspace's packages with their dependencies, without those of tests.
fn packages() -> Vec<Package> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter().map(|package| Package {
        name: package["name"].as_str().unwrap().to_owned(),
        folder: Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned(),
        depends: package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|dependency| dependency["kind"] != "dev")
            .map(|dependency| dependency["name"].as_str().unwrap().to_owned())
            .collect(),
    });
    packages.collect()
}

#[test]
fn dependencies_point_one_way() {
    let packages = packages();
    let own: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.into_iter().collect();
    for package in &packages {
        let may = allowed.get(package.name.as_str());
        let may = may.unwrap_or_else(|| panic!("add the allowed dependencies of {} to this test", package.name));
        for dependency in package.depends.iter().filter(|name| own.contains(name.as_str())) {
            assert!(may.contains(&dependency.as_str()), "{} must not depend on {dependency}", package.name);
        }
    }
}

#[test]
fn only_the_aws_crate_names_the_sdk() {
    let others = |package: &&Package| !["aws", "meshwarden-tests"].contains(&package.name.as_str());
    for package in packages().iter().filter(others) {
        for dependency in &package.depends {
            let names_sdk = dependency.starts_with("aws-sdk-")
                || dependency.starts_with("aws-smithy-")
                || dependency == "aws-config";
            assert!(!names_sdk, "{} depends on {dependency}", package.name);
        }
    }
}

#[test]
fn pure_crates_stay_pure() {
    let packages = packages();
    for (name, may) in PURE {
        let package = packages.iter().find(|package| package.name == name).unwrap();
        for dependency in &package.depends {
            assert!(may.contains(&dependency.as_str()), "{name} must not depend on {dependency}");
        }
        let mut awaits = Vec::new();
        visit(&package.folder.join("src"), &mut |file, text| {
            if text.contains("async fn") || text.contains(".await") {
                awaits.push(file.display().to_string());
            }
        });
        assert!(awaits.is_empty(), "{name} is not pure: {}", awaits.join(", "));
    }
}

#[test]
fn function_is_named_like_its_folder() {
    let functions = root().join("functions");
    let found: Vec<_> = packages().into_iter().filter(|package| package.folder.parent() == Some(&functions)).collect();
    assert!(!found.is_empty());
    for package in found {
        assert_eq!(Some(package.name.as_str()), package.folder.file_name().and_then(|name| name.to_str()));
    }
}

#[test]
fn every_crate_has_the_workspace_lints_and_crate_documentation() {
    for package in packages() {
        let manifest = std::fs::read_to_string(package.folder.join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{}", package.name);
        let entry = ["src/lib.rs", "src/main.rs"].map(|file| std::fs::read_to_string(package.folder.join(file)));
        let documented = entry.into_iter().flatten().next().is_some_and(|text| text.starts_with("//!"));
        assert!(documented, "{} does not start with its purpose", package.name);
    }
}

#[test]
fn source_files_respect_the_length_limit() {
    let mut long = Vec::new();
    for folder in ["functions", "shared", "infra", "tests"] {
        visit(&root().join(folder), &mut |file, text| {
            let lines = text.lines().count();
            if lines > LONGEST_FILE {
                long.push(format!("{} has {lines} lines", file.display()));
            }
        });
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

/// A renamed member of a document or an entry then fails to compile, or fails a test of `shared/records`, and never
/// blanks the output of a command.
#[test]
fn stored_documents_and_journal_entries_are_read_by_their_types() {
    let pointers = ["body.get(", "body.pointer(", "document.get(", "document.pointer(", "JournalEntry {", "body[\""];
    let mut found = Vec::new();
    let folders = [
        "functions",
        "shared/compliance/src",
        "shared/runner/src",
        "infra/cli/src/people",
        "infra/cli/src/dead_letters",
    ];
    for folder in folders {
        visit(&root().join(folder), &mut |file, text| {
            // A message of a queue is not an entry.
            let is_other = ["tests", "tests.rs", "letter.rs"].iter().any(|part| file.iter().any(|name| name == *part));
            for line in text.lines().filter(|_| !is_other) {
                if pointers.iter().any(|pointer| line.contains(pointer)) && !line.contains("fn ") {
                    found.push(format!("{}: {}", file.display(), line.trim()));
                }
            }
        });
    }
    assert!(found.is_empty(), "use a type of shared/records:\n{}", found.join("\n"));
}

#[test]
fn every_sample_event_is_used_by_a_test() {
    let root = root();
    let mut tests = String::new();
    for folder in ["functions", "shared", "tests", "infra"] {
        visit(&root.join(folder), &mut |_, text| tests.push_str(text));
    }
    let mut unused = Vec::new();
    for function in std::fs::read_dir(root.join("events")).unwrap().flatten() {
        for event in std::fs::read_dir(function.path()).unwrap().flatten() {
            let name = event.file_name().into_string().unwrap();
            if !tests.contains(name.trim_end_matches(".json")) {
                unused.push(name);
            }
        }
    }
    assert!(unused.is_empty(), "no test names {}", unused.join(", "));
}

/// Visits every Rust file below a folder.
fn visit(folder: &Path, with: &mut impl FnMut(&Path, &str)) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            visit(&path, with);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            with(&path, &std::fs::read_to_string(&path).unwrap());
        }
    }
}
