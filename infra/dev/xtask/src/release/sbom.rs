//! The list of everything that is linked into the programs, in the format `CycloneDX`.

use serde_json::{Value, json};

use stack::command::Run;
use stack::failure::{Failure, Result};
use stack::workspace::Workspace;

/// The document for the dependencies in `Cargo.lock`. It has neither a time nor a random number.
pub(super) fn document(workspace: &Workspace, version: &str) -> Result<String> {
    let metadata = Run::cargo(workspace.root())
        .args(["metadata", "--locked", "--format-version", "1", "--filter-platform", "x86_64-unknown-linux-gnu"])
        .filter("")?;
    let unreadable = |why: String| Failure::Unreadable { path: "the output of `cargo metadata`".into(), why };
    let metadata: Value = serde_json::from_str(&metadata).map_err(|error| unreadable(error.to_string()))?;
    let components = components(&metadata);
    if components.is_empty() {
        return Err(unreadable("it lists no package of a registry".to_owned()));
    }
    let document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": { "type": "application", "name": "meshwarden", "version": version } },
        "components": components,
    });
    Ok(format!("{document:#}\n"))
}

/// The packages of registries that are in the dependency graph of this platform, by name and version.
pub(super) fn components(metadata: &Value) -> Vec<Value> {
    let text = |value: &Value, member: &str| value.get(member).and_then(Value::as_str).map(str::to_owned);
    let nodes = metadata.pointer("/resolve/nodes").and_then(Value::as_array).into_iter().flatten();
    let used: Vec<String> = nodes.filter_map(|node| text(node, "id")).collect();
    let packages = metadata.get("packages").and_then(Value::as_array).into_iter().flatten();
    let mut found: Vec<(String, String, Value)> = packages
        .filter(|package| text(package, "id").is_some_and(|id| used.contains(&id)))
        // Packages of this workspace have no source.
        .filter(|package| text(package, "source").is_some())
        .filter_map(|package| {
            let (name, version) = (text(package, "name")?, text(package, "version")?);
            let purl = format!("pkg:cargo/{name}@{version}");
            let mut component = json!({
                "type": "library",
                "bom-ref": purl,
                "name": name,
                "version": version,
                "purl": purl,
            });
            if let (Some(license), Some(members)) = (text(package, "license"), component.as_object_mut()) {
                members.insert("licenses".to_owned(), json!([{ "expression": license.replace('/', " OR ") }]));
            }
            Some((name, version, component))
        })
        .collect();
    found.sort_by(|(name, version, _), (other, other_version, _)| (name, version).cmp(&(other, other_version)));
    found.into_iter().map(|(_, _, component)| component).collect()
}
