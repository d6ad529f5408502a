//! Links and paths in Markdown pages lead to files of the repository.

use std::path::{Path, PathBuf};

use super::file;

/// Folders that hold no page of the project.
const PASSED_OVER: [&str; 5] = [".git", ".local", ".venv", "node_modules", "target"];

/// Every Markdown page of the repository.
fn pages() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![file("")];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !path.is_symlink() && !PASSED_OVER.contains(&name.as_str()) {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found
}

/// The targets of links, without those on the web and within the page.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    targets.filter(|target| !target.is_empty() && !target.contains("://"))
}

/// Paths in code spans that begin with a folder of the repository.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    let begins = ["functions/", "infra/", "shared/", "tests/tests/"];
    let is_plain =
        |span: &&str| !span.contains(['*', '{', '<', ' ', '$']) && !span.contains("NAME") && !span.contains("ID.");
    let spans = text.split('`').skip(1).step_by(2);
    spans.filter(move |span| begins.iter().any(|begin| span.starts_with(begin))).filter(is_plain)
}

#[test]
fn links_and_paths_in_pages_lead_to_files() {
    let mut broken = Vec::new();
    let pages = pages();
    assert!(pages.len() > 40, "only {} pages were found", pages.len());
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        let folder = page.parent().unwrap_or_else(|| Path::new(""));
        broken.extend(
            links(&text).filter(|link| !folder.join(link).exists()).map(|link| format!("{}: {link}", page.display())),
        );
        broken
            .extend(paths(&text).filter(|path| !file(path).exists()).map(|path| format!("{}: {path}", page.display())));
    }
    assert!(broken.is_empty(), "these lead to no file:\n{}", broken.join("\n"));
}
