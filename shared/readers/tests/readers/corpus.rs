//! Every file of the corpus is read, or refused with a message that names file, resource and member.

use std::collections::BTreeMap;
use std::path::Path;

use readers::{Form, Note, ReadError, Reading, Surroundings, detect, read};

#[test]
fn every_file_is_read_or_refused_by_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let files = files(&root);
    if files.is_empty() {
        println!("skipped: no corpus next to the repository");
        return;
    }
    let mut counts = BTreeMap::<String, Counts>::new();
    let mut faults = Vec::new();
    for (name, text) in &files {
        let folder = name.split('/').next().unwrap_or_default().to_owned();
        let counts = counts.entry(folder).or_default();
        counts.files += 1;
        match read(text, name, &Surroundings::default()) {
            Ok(reading) => {
                faults.extend(reading.faults.iter().map(|fault| format!("{name}: {}: {:?}", fault.part, fault.defect)));
                counts.add(name, &reading);
            }
            Err(error) => {
                assert!(error.to_string().contains(name), "{error}");
                counts.unreadable += 1;
                println!("  {error}");
                assert!(matches!(error, ReadError::NoForm { .. }) || name.starts_with("k8s/"), "{error}");
            }
        }
    }
    for fault in &faults {
        println!("  {fault}");
    }
    println!(
        "{:<8} {:>5} {:>9} {:>7} {:>10} {:>9}",
        "folder", "files", "resources", "refused", "unreadable", "remarks"
    );
    for (folder, Counts { files, resources, refused, unreadable, notes }) in &counts {
        let remarks: usize = notes.values().sum();
        println!("{folder:<8} {files:>5} {resources:>9} {refused:>7} {unreadable:>10} {remarks:>9}  {notes:?}");
    }
    for folder in ["cfn", "json", "k8s"] {
        let Counts { resources, refused, .. } = &counts[folder];
        assert!(*refused * 10 < *resources, "{folder}: {refused} refused");
    }
}

#[test]
fn form_follows_from_the_content() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    for (name, text) in files(&root) {
        let expected = match name.split('/').next() {
            Some("cfn") => Form::CloudFormation,
            Some("json") => Form::Api,
            Some("k8s") => Form::Manifest,
            _ => continue,
        };
        match detect(&text, &name) {
            Ok(form) => assert_eq!(form, expected, "{name}"),
            Err(error) => println!("  {error}"),
        }
    }
}

/// The index has the kind of each API document, also of one that has none itself.
#[test]
fn kind_of_an_api_document_follows_the_index() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let Ok(index) = std::fs::read_to_string(root.join("index.tsv")) else {
        println!("skipped: no corpus next to the repository");
        return;
    };
    let (mut all, mut other) = (0, Vec::new());
    for row in index.lines().map(|line| line.split('\t').collect::<Vec<_>>()) {
        let ["json", kind, file, ..] = row.as_slice() else { continue };
        let text = std::fs::read_to_string(root.join(file)).expect("a file of text");
        let reading = read(&text, file, &Surroundings::default()).unwrap();
        all += 1;
        if reading.resources[0].path.kind().as_str() != *kind {
            // Listeners alone may be of a router, a gateway or a node. A remark then states the assumed kind.
            assert!(reading.remarks.iter().any(|remark| matches!(remark.note, Note::KindAssumed { .. })), "{file}");
            other.push(file.to_owned());
        }
    }
    assert!(other.len() * 10 < all, "{other:?}");
}

#[derive(Debug, Default)]
struct Counts {
    files: usize,
    resources: usize,
    refused: usize,
    unreadable: usize,
    notes: BTreeMap<String, usize>,
}

impl Counts {
    fn add(&mut self, name: &str, reading: &Reading) {
        self.resources += reading.resources.len();
        for refusal in &reading.refusals {
            println!("  {refusal}");
            self.refused += 1;
            assert_eq!(refusal.source_.file, *name);
            assert!(!refusal.source_.id.is_empty());
            assert!(refusal.violations.iter().all(|violation| !violation.path.is_empty()), "{refusal}");
        }
        for remark in &reading.remarks {
            *self.notes.entry(code(&remark.note)).or_default() += 1;
            if std::env::var_os("TELL_REMARKS").is_some() {
                println!("    {remark}");
            }
        }
        assert!(!reading.is_empty(), "{name}: every file has a result");
    }
}

fn code(note: &Note) -> String {
    let json = serde_json::to_value(note).expect("a note is written as JSON");
    json["code"].as_str().expect("by its code").to_owned()
}

fn files(root: &Path) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for folder in ["cfn", "events", "json", "k8s"] {
        let Ok(entries) = std::fs::read_dir(root.join(folder)) else { continue };
        for entry in entries.flatten() {
            let text = std::fs::read_to_string(entry.path()).expect("a file of text");
            files.push((format!("{folder}/{}", entry.file_name().to_string_lossy()), text));
        }
    }
    files.sort();
    files
}
