//! The cloud assembly that `cdk synth` writes next to its templates, and the location of a nested stack's template.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// The contents of the manifests of cloud assemblies.
#[derive(Debug, Default)]
pub(in super::super) struct Assembly {
    /// Stack names by the path of the template.
    stacks: BTreeMap<String, String>,
    /// Paths of files by the hash of the asset.
    assets: BTreeMap<String, String>,
}

/// Whether a document is a manifest or a list of assets of a cloud assembly.
pub(in super::super) fn is_assembly(document: &Map<String, Value>) -> bool {
    document.get("version").is_some_and(Value::is_string)
        && (document.get("artifacts").is_some_and(Value::is_object)
            || (document.get("files").is_some_and(Value::is_object) && document.contains_key("dockerImages")))
}

impl Assembly {
    /// Adds the contents of a document.
    pub(in super::super) fn add(&mut self, file: &str, document: &Value) {
        let members = |name: &str| document.get(name).and_then(Value::as_object).into_iter().flatten();
        for (id, artifact) in members("artifacts") {
            let properties = artifact.get("properties");
            let text = |name: &str| properties.and_then(|properties| properties.get(name)).and_then(Value::as_str);
            if let Some(template) = text("templateFile") {
                let name = text("stackName").unwrap_or(id).to_owned();
                self.stacks.insert(relative_to(file, template), name);
            }
        }
        for (hash, asset) in members("files") {
            let path = asset.get("source").and_then(|source| source.get("path")).and_then(Value::as_str);
            if let Some(path) = path {
                self.assets.insert(hash.clone(), relative_to(file, path));
            }
        }
    }

    /// The name of the stack that a template is for.
    pub(super) fn stack_of(&self, file: &str) -> Option<String> {
        self.stacks.get(&normal(file)).cloned()
    }

    /// The number of the file with the template of a nested stack. It is found by the asset's path, by a path relative
    /// to the parent, or by the asset's hash; otherwise by the longest common end of its path and the URL, if one file
    /// only has it.
    pub(super) fn locate(&self, parent: &str, url: &str, asset: Option<&str>, files: &[&str]) -> Option<usize> {
        let find = |path: &str| files.iter().position(|file| normal(file) == path);
        if let Some(found) = asset.and_then(|asset| find(&relative_to(parent, asset))) {
            return Some(found);
        }
        let url = url.split(['?', '#']).next().unwrap_or(url);
        if url.is_empty() {
            return None;
        }
        if !url.contains("://")
            && let Some(found) = find(&relative_to(parent, url))
        {
            return Some(found);
        }
        let name = last(url);
        let hash = name.split('.').next().unwrap_or(name);
        if let Some(found) = self.assets.get(hash).and_then(|path| find(path)) {
            return Some(found);
        }
        let common = |file: &str| {
            let (one, other) = (normal(file), normal(url));
            one.rsplit('/').zip(other.rsplit('/')).take_while(|(one, other)| one == other).count()
        };
        let most =
            files.iter().filter(|file| **file != parent).map(|file| common(file)).max().filter(|most| *most > 0)?;
        let mut named = files.iter().enumerate().filter(|(_, file)| **file != parent && common(file) == most);
        match (named.next(), named.next()) {
            (Some((number, _)), None) => Some(number),
            _ => None,
        }
    }
}

/// A path relative to the folder of a file.
fn relative_to(file: &str, path: &str) -> String {
    let path = path.strip_prefix("file://").unwrap_or(path);
    match file.replace('\\', "/").rsplit_once('/') {
        Some((folder, _)) if !path.starts_with('/') => normal(&format!("{folder}/{path}")),
        _ => normal(path),
    }
}

/// A path without `.` and `..`.
fn normal(path: &str) -> String {
    let path = path.replace('\\', "/");
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "." => {}
            ".." if parts.last().is_some_and(|last| !matches!(*last, ".." | "")) => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_template_is_found_by_asset_path_url_and_hash() {
        let mut assembly = Assembly::default();
        assembly.add(
            "out/Root.assets.json",
            &json!({"version": "1", "files": {"abc": {"source": {"path": "RootSvc.nested.template.json"}}}, "dockerImages": {}}),
        );
        let files = ["out/Root.template.json", "out/RootSvc.nested.template.json", "out/a/svc.yaml", "out/b/svc.yaml"];
        let table = [
            ("./RootSvc.nested.template.json", None, Some(1)),
            ("https://s3.x/cdk-assets/abc.json", None, Some(1)),
            ("https://s3.x/other.json", Some("RootSvc.nested.template.json"), Some(1)),
            ("a/svc.yaml", None, Some(2)),
            ("./a/../b/svc.yaml", None, Some(3)),
            ("https://bucket.s3.amazonaws.com/deploy/b/svc.yaml?versionId=1", None, Some(3)),
            ("https://bucket.s3.amazonaws.com/svc.yaml", None, None),
            ("https://bucket.s3.amazonaws.com/none.yaml", None, None),
            ("", None, None),
        ];
        for (url, asset, expected) in table {
            assert_eq!(assembly.locate("out/Root.template.json", url, asset, &files), expected, "{url}");
        }
    }
}
