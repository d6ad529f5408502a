//! Patches of Kustomize: manifests that change other manifests, and are not resources themselves.

use std::collections::HashMap;

use serde_json::Value;

use super::input::File;
use super::yaml;

/// The files that a kustomization of the same run lists as patches, by their path without `.` and `..`, each with
/// its kustomization.
pub(super) fn patches(files: &[File<'_>]) -> HashMap<String, String> {
    let mut all = HashMap::new();
    for file in files {
        let (folder, name) = file.name.rsplit_once('/').unwrap_or(("", file.name));
        if !matches!(name, "kustomization.yaml" | "kustomization.yml") {
            continue;
        }
        for document in yaml::documents(file.text).unwrap_or_default() {
            all.extend(listed(&document).map(|patch| (joined(folder, patch), file.name.to_owned())));
        }
    }
    all
}

/// A path without `.` and `..`, if they can be resolved.
pub(super) fn plain(name: &str) -> String {
    joined("", name)
}

/// The files of patches: `patches` and `patchesJson6902` name them, `patchesStrategicMerge` lists them.
fn listed(kustomization: &Value) -> impl Iterator<Item = &str> {
    let lists = ["patches", "patchesJson6902", "patchesStrategicMerge"].into_iter();
    let items = lists.filter_map(|list| kustomization.get(list)?.as_array()).flatten();
    let files = items.filter_map(|item| item.as_str().or_else(|| item.get("path").and_then(Value::as_str)));
    // The list may also contain the patch itself.
    files.filter(|file| !file.contains('\n') && !file.contains(": "))
}

fn joined(folder: &str, file: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(file.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_are_found_in_each_list() {
        let text = "patches:\n- path: a.yaml\n- patch: |-\n    kind: x\npatchesStrategicMerge:\n- ../b.yaml\n- |-\n  kind: y\n\
                    patchesJson6902:\n- {target: {kind: Mesh}, path: ./c/d.yaml}\n";
        let found = patches(&[File { name: "./over/prod/kustomization.yaml", text }, File { name: "a.yaml", text }]);
        let mut names: Vec<&str> = found.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["over/b.yaml", "over/prod/a.yaml", "over/prod/c/d.yaml"]);
        assert_eq!((plain("./over/../x.yaml"), plain("../x.yaml")), ("x.yaml".to_owned(), "../x.yaml".to_owned()));
    }
}
