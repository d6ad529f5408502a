//! Vague words stay out of the sources: names, comments, errors and logs use the terms of the glossary in
//! `shared/README.md`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Words and turns of phrase that hide the subject or the noun.
const VAGUE: [&str; 38] = [
    "nobody",
    "somebody",
    "whoever",
    "whatever",
    "told",
    "untold",
    "asked",
    "anew",
    "mend",
    "mends",
    "mended",
    "to be had",
    "in earnest",
    "what is",
    "what was",
    "what they",
    "those that",
    "those who",
    "whose",
    "whom",
    "tell",
    "tells",
    "telling",
    "ask",
    "asks",
    "asking",
    "speak",
    "speaks",
    "speaking",
    "anybody",
    "everybody",
    "everyone",
    "someone",
    "anyone",
    "no one",
    "of its own",
    "by itself",
    "there is no",
];

/// The number of occurrences per folder that are left. A new occurrence fails; lower the number with each removal.
const LEFT: [(&str, usize); 24] = [
    ("CHANGELOG.md", 3),
    ("functions/certificate-rotation", 1),
    ("functions/change-audit", 5),
    ("functions/egress-compliance", 1),
    ("functions/failover-drill", 2),
    ("functions/route-failover", 6),
    ("functions/tag-compliance", 1),
    ("infra/cli", 13),
    ("infra/control-plane", 17),
    ("infra/decisions", 4),
    ("infra/dev", 3),
    ("infra/policy", 7),
    ("infra/samples", 1),
    ("infra/template.yaml", 1),
    ("shared/compliance", 10),
    ("shared/decisions", 6),
    ("shared/drills", 8),
    ("shared/mesh", 16),
    ("shared/policy", 2),
    ("shared/readers", 4),
    ("shared/records", 5),
    ("shared/rules", 19),
    ("shared/xds", 4),
    ("tests/src", 1),
];

/// The number of occurrences in a line.
fn occurrences(line: &str) -> usize {
    let words =
        line.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').filter(|word| !word.is_empty());
    let text = format!(" {} ", words.collect::<Vec<_>>().join(" ").to_ascii_lowercase());
    VAGUE.iter().map(|vague| text.matches(&format!(" {vague} ")).count()).sum()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The Rust, Markdown and YAML files below a folder, except this file.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !name.starts_with('.') && !["target", "node_modules"].contains(&name) {
            files(&path, found);
        }
        let is_text = path.extension().is_some_and(|kind| kind == "rs" || kind == "md" || kind == "yaml");
        if is_text && !path.ends_with(file!()) {
            found.push(path);
        }
    }
}

#[test]
fn no_folder_gains_vague_words() {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut paths = Vec::new();
    files(&root(), &mut paths);
    for path in paths {
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap();
        let folder = name.split('/').take(2).collect::<Vec<_>>().join("/");
        for (number, line) in (1..).zip(std::fs::read_to_string(&path).unwrap().lines()) {
            let places = found.entry(folder.clone()).or_default();
            places.extend(std::iter::repeat_n(format!("{name}:{number}: {}", line.trim()), occurrences(line)));
        }
    }
    let left: BTreeMap<&str, usize> = LEFT.into_iter().collect();
    let excess = found.iter().filter_map(|(folder, places)| {
        let allowed = left.get(folder.as_str()).copied().unwrap_or_default();
        (places.len() > allowed)
            .then(|| format!("{folder}: {} of at most {allowed}:\n{}", places.len(), places.join("\n")))
    });
    let excess = excess.collect::<Vec<_>>();
    assert!(excess.is_empty(), "write the noun or the term of the glossary instead:\n{}", excess.join("\n\n"));
}

#[test]
fn vague_words_are_found_in_any_case_and_punctuation() {
    assert_eq!(occurrences("/// Whoever asks, is TOLD by `nobody`."), 4);
    assert_eq!(occurrences("a file whose name is told: what   is it"), 3);
    assert_eq!(occurrences("fn told_of(whoever_asks: Asked)"), 1, "identifiers with underscores are one word");
    assert_eq!(occurrences("The caller gets the reason."), 0);
}
