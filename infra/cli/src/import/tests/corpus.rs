//! Real files: each is refused with its reason, or the API holds exactly the resources that it declares.

use imports::{ExportFormat, export};

use super::*;

/// The fewest files of the corpus that are imported.
const FEWEST: usize = 40;

/// The most characters of the failures that a test prints.
const MOST_PRINTED: usize = 4_000;

#[tokio::test]
async fn imported_corpus_files_are_held_as_declared_and_exported_again() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    if !root.is_dir() {
        println!("skipped: {} does not exist", root.display());
        return;
    }
    let (mut imported, mut failures) = (0, Vec::new());
    let folder = Folder::new();
    let planes = (ControlPlane::start().await, ControlPlane::start().await);
    let (first, second) = (api_of(&planes.0).await, api_of(&planes.1).await);
    let mut files: Vec<PathBuf> = ["json", "cfn", "k8s"]
        .iter()
        .flat_map(|kind| std::fs::read_dir(root.join(kind)).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for file in &files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let Some(desired) = read_with_values(file) else { continue };
        let report = match import(&first, &desired, &["--create-meshes", "--prune", "--yes", "--allow-cuts"]).await {
            Ok(report) => report,
            Err(ImportError::Plan(_)) => continue,
            Err(error) => {
                failures.push(format!("{name}: {error}"));
                continue;
            }
        };
        if let Some(failure) = report.execution.as_ref().and_then(|execution| execution.failure.as_ref()) {
            failures.push(format!("{name}: {failure}"));
            continue;
        }
        imported += 1;
        for row in different(&report.carried_over) {
            failures.push(format!("{name}: {row:?}"));
        }
        let held = all_held(&first).await;
        for (path, expected) in declared(&desired) {
            let held = held.get(&path).map(|one| (comparable(&one.spec), one.tags.clone()));
            let is_same = held.as_ref().is_some_and(|(spec, _)| *spec == expected.0);
            if !is_same {
                failures.push(format!("{name}: {path}: {held:?} instead of {expected:?}"));
            }
        }
        let again = folder.file("again.json", &export(&held, ExportFormat::Json));
        let again = read(&[&again], &[]).unwrap();
        import(&second, &again, &["--prune", "--yes", "--allow-cuts"]).await.unwrap();
        let (one, other) = (state(&first).await, state(&second).await);
        if one != other {
            failures.push(format!("{name}: the exported state differs"));
        }
    }
    let printed: String = failures.join("\n").chars().take(MOST_PRINTED).collect();
    assert!(failures.is_empty(), "{printed}");
    assert!(imported >= FEWEST, "{imported} of {} files were imported", files.len());
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
        let unknown: Vec<&str> = refused.iter().filter_map(|one| one.unknown.as_deref()).collect();
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
