//! The codes in the sources of a function: every text literal that is written like a reason code or a metric.

use std::collections::BTreeMap;
use std::path::Path;

use super::file;

/// Literals of the same shape that are names of other things: members and kinds of events, calls, dimensions of metrics.
const OTHERS: [&str; 20] = [
    "AlarmName",
    "Certificate",
    "Count",
    "CreateMesh",
    "Decision",
    "DeleteMesh",
    "Function",
    "Functions",
    "Mesh",
    "Message",
    "New",
    "NewStateValue",
    "Outcome",
    "Percent",
    "Reason",
    "Records",
    "Resolved",
    "Severity",
    "Sns",
    "Unread",
];

/// The folders with a function's code.
fn folders(function: &str) -> Vec<String> {
    let own = format!("functions/{function}/src");
    match function {
        "tag-compliance" | "egress-compliance" => vec![own, "shared/compliance/src".to_owned()],
        _ => vec![own],
    }
}

/// Each code with the first place of it.
pub(super) fn codes(function: &str) -> BTreeMap<String, String> {
    let mut codes = BTreeMap::new();
    for folder in folders(function) {
        visit(&file(&folder), &mut codes);
    }
    assert!(!codes.is_empty() || function.ends_with("-compliance"), "no code was found in {function}");
    codes
}

fn visit(folder: &Path, codes: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            visit(&path, codes);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let (code, _) = text.split_once("#[cfg(test)]").unwrap_or((&text, ""));
            for (number, line) in code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
                for literal in line.split('"').skip(1).step_by(2).filter(|literal| is_code(literal)) {
                    let place = || format!("{}:{}", path.display(), number + 1);
                    codes.entry(literal.to_owned()).or_insert_with(place);
                }
            }
        }
    }
}

/// Whether a literal is written like a code: words with capital initials and nothing between them.
fn is_code(literal: &str) -> bool {
    literal.starts_with(|first: char| first.is_ascii_uppercase())
        && literal.chars().all(|one| one.is_ascii_alphabetic())
        && literal.chars().any(|one| one.is_ascii_lowercase())
        && !OTHERS.contains(&literal)
}
