//! Real files: each is refused with its reason, or the API holds exactly the resources that it declares.

use std::collections::BTreeSet;

use imports::{ExportFormat, export};
use mesh::name::MeshName;

use super::*;

/// The most characters of the failures that a test prints.
const MOST_PRINTED: usize = 4_000;

#[tokio::test]
async fn imported_api_documents_are_held_as_declared_and_exported_again() {
    files_are_held_as_declared("json", 10).await;
}

#[tokio::test]
#[ignore = "long: imports, exports and imports again each template of the corpus"]
async fn imported_templates_are_held_as_declared_and_exported_again() {
    files_are_held_as_declared("cfn", 18).await;
}

#[tokio::test]
#[ignore = "long: imports, exports and imports again each manifest of the corpus"]
async fn imported_manifests_are_held_as_declared_and_exported_again() {
    files_are_held_as_declared("k8s", 20).await;
}

/// Imports each file of a folder, compares the API with it, exports the meshes, and imports the export elsewhere.
async fn files_are_held_as_declared(kind: &str, fewest: usize) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus").join(kind);
    if !root.is_dir() {
        println!("skipped: {} does not exist", root.display());
        return;
    }
    let folder = Folder::new();
    let planes = (ControlPlane::start().await, ControlPlane::start().await);
    let apis = (api_of(&planes.0).await, api_of(&planes.1).await);
    let mut files: Vec<PathBuf> = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut imported, mut failures) = (0, Vec::new());
    for file in &files {
        let Some(desired) = read_with_values(file) else { continue };
        match import_and_compare(&apis, &desired, &folder).await {
            Ok(true) => imported += 1,
            Ok(false) => {}
            Err(failure) => failures.push(format!("{}: {failure}", file.display())),
        }
    }
    let printed: String = failures.join("\n").chars().take(MOST_PRINTED).collect();
    assert!(failures.is_empty(), "{printed}");
    println!("{imported} of {} files were imported", files.len());
    assert!(imported >= fewest, "{imported} of {} files were imported", files.len());
}

/// Imports resources. `false` if the plan is refused, for example because a target is not in the file.
async fn import_and_compare(
    (first, second): &(aws::AppMesh, aws::AppMesh),
    desired: &Desired,
    folder: &Folder,
) -> Result<bool, String> {
    const FLAGS: [&str; 4] = ["--create-meshes", "--prune", "--yes", "--allow-cuts"];
    let report = match import(first, desired, &FLAGS).await {
        Ok(report) => report,
        Err(ImportError::Plan(_)) => return Ok(false),
        Err(error) => return Err(error.to_string()),
    };
    if let Some(failure) = report.execution.and_then(|execution| execution.failure) {
        return Err(failure);
    }
    if let Some(row) = different(&report.carried_over).first() {
        return Err(format!("{row:?}"));
    }
    let meshes: BTreeSet<MeshName> = desired.resources.keys().map(|path| path.mesh().clone()).collect();
    let in_first = held(first, &meshes).await.map_err(|error| error.to_string())?;
    for (path, (spec, _)) in declared(desired) {
        let held = in_first.get(&path).map(|one| comparable(&one.spec));
        if held.as_ref() != Some(&spec) {
            return Err(format!("{path}: {held:?} instead of {spec:?}"));
        }
    }
    let exported = folder.file("exported.json", &export(&in_first, ExportFormat::Json));
    let again = read(&[&exported], &[]).map_err(|error| error.to_string())?;
    import(second, &again, &FLAGS).await.map_err(|error| error.to_string())?;
    let in_second = held(second, &meshes).await.map_err(|error| error.to_string())?;
    let parts = |held: Held| held.into_iter().map(|(path, one)| (path, one.spec, one.tags)).collect::<Vec<_>>();
    if parts(in_first) == parts(in_second) { Ok(true) } else { Err("the exported state differs".to_owned()) }
}

/// The resources of a file, with a value for each parameter and placeholder that it leaves open. `None` if it is refused
/// for another reason.
fn read_with_values(file: &Path) -> Option<Desired> {
    let flags = ["--region", "us-west-2", "--account", "123456789012", "--mesh", "corpus", "--namespace", "corpus"];
    let mut flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
    // A value may open a further one, as in a nested expression.
    for _ in 0..4 {
        let words: Vec<&str> = flags.iter().map(String::as_str).collect();
        let refused = match read(&[file], &words) {
            Ok(desired) => return Some(desired),
            Err(ImportError::Input { refused, .. }) => refused,
            Err(_) => return None,
        };
        let unknown: BTreeSet<&str> = refused.iter().filter_map(|one| one.unknown.as_deref()).collect();
        if unknown.is_empty() {
            return None;
        }
        for expression in unknown {
            let name = expression.trim_start_matches('$').trim_start_matches('{').trim_end_matches('}');
            let (flag, name) = match name.strip_prefix("Fn::ImportValue ") {
                Some(export) => ("--export", export),
                None => ("--parameter", name),
            };
            flags.extend([flag.to_owned(), format!("{name}=given")]);
        }
    }
    None
}
