//! Three meshes, each written in all five forms: all are read as the same resources.

use std::path::{Path, PathBuf};

use mesh::name::ResourcePath;
use mesh::resource::Tags;
use mesh::spec::Spec;
use readers::{File, Note, Reading, Surroundings, read_all};

const MESHES: [&str; 3] = ["shop", "front", "loose"];

#[test]
fn all_forms_read_as_one_model() {
    for mesh in MESHES {
        let api = reading(&[format!("{mesh}/api.json")]);
        assert!(api.resources.len() >= 11, "{mesh}: {} resources", api.resources.len());
        for files in [
            config_files(mesh),
            vec![format!("{mesh}/cloudformation.yaml")],
            vec![format!("{mesh}/terraform.json")],
            vec![format!("{mesh}/manifest.yaml")],
        ] {
            let other = reading(&files);
            assert_eq!(models(&other), models(&api), "{files:?}");
            // A manifest cannot have tags; every other form has them.
            if other.resources.iter().any(|resource| resource.tags.is_some()) {
                assert_eq!(tags(&other), tags(&api), "{files:?}");
                assert_eq!(other.meshes(), api.meshes());
            } else {
                assert!(files.iter().all(|file| file.ends_with("manifest.yaml")));
            }
        }
    }
}

#[test]
fn only_unresolved_references_are_remarked_on() {
    for mesh in MESHES {
        for form in ["api.json", "terraform.json"] {
            assert_eq!(reading(&[format!("{mesh}/{form}")]).remarks, [], "{mesh}/{form}");
        }
        assert_eq!(reading(&config_files(mesh)).remarks, []);
    }
    let manifest = reading(&["loose/manifest.yaml".to_owned()]);
    let names: Vec<&str> = manifest
        .remarks
        .iter()
        .map(|remark| match &remark.note {
            Note::ReferenceAssumed { name } => name.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(names, ["nowhere.loose", "missing.loose", "gone_loose", "vanished_loose"]);
}

fn models(reading: &Reading) -> Vec<(ResourcePath, Spec)> {
    reading.resources.iter().map(|resource| (resource.path.clone(), resource.spec.clone())).collect()
}

fn tags(reading: &Reading) -> Vec<Option<Tags>> {
    reading.resources.iter().map(|resource| resource.tags.clone()).collect()
}

/// Reads files together as they are in one region and account.
fn reading(files: &[String]) -> Reading {
    let texts: Vec<String> = files
        .iter()
        .map(|file| std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}")))
        .collect();
    let files: Vec<File<'_>> = files.iter().zip(&texts).map(|(name, text)| File { name, text }).collect();
    let around = Surroundings {
        region: Some("eu-west-1".to_owned()),
        account: Some("123456789012".to_owned()),
        ..Surroundings::default()
    };
    let (reading, errors) = read_all(&files, &around);
    assert_eq!(errors, []);
    assert_eq!(reading.refusals, []);
    reading
}

fn config_files(mesh: &str) -> Vec<String> {
    let folder = root().join(mesh).join("config");
    let entries = std::fs::read_dir(&folder).expect("a folder of items");
    let mut names: Vec<String> =
        entries.flatten().map(|entry| format!("{mesh}/config/{}", entry.file_name().to_string_lossy())).collect();
    names.sort();
    names
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers/fixtures")
}
