//! The differences between two documents, by member.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::graph::Mesh;
use crate::name::ResourcePath;

/// A changed member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The path of the member, for example `spec.httpRoute.action.weightedTargets[0].weight`.
    pub path: String,
    /// The value before; `None` if the member was absent.
    pub before: Option<Value>,
    /// The value after; `None` if the member is absent.
    pub after: Option<Value>,
}

/// The changed members of two specs: first the members of the spec before, in their order, then the added members.
/// Lists are compared item by item. A `null` member counts as absent.
#[must_use]
pub fn diff(before: &Value, after: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    walk("spec".to_owned(), Some(before), Some(after), &mut found);
    found
}

/// The changed resources of two meshes, in the order of their paths, each with its changed members. An added or removed
/// resource differs in its whole spec.
#[must_use]
pub fn diff_meshes(before: &Mesh, after: &Mesh) -> BTreeMap<ResourcePath, Vec<Difference>> {
    let json = |mesh: &Mesh| -> BTreeMap<ResourcePath, Value> {
        mesh.resources().into_iter().map(|(path, spec)| (path, spec.to_json())).collect()
    };
    let (before, mut after) = (json(before), json(after));
    let mut found = BTreeMap::new();
    for (path, spec) in before {
        let mut differences = Vec::new();
        walk("spec".to_owned(), Some(&spec), after.remove(&path).as_ref(), &mut differences);
        if !differences.is_empty() {
            found.insert(path, differences);
        }
    }
    for (path, spec) in after {
        found.insert(path, vec![Difference { path: "spec".to_owned(), before: None, after: Some(spec) }]);
    }
    found
}

fn walk(path: String, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<Difference>) {
    let (before, after) = (before.filter(|value| !value.is_null()), after.filter(|value| !value.is_null()));
    match (before, after) {
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            for (name, value) in before {
                walk(format!("{path}.{name}"), Some(value), after.get(name), found);
            }
            for (name, value) in after.iter().filter(|(name, _)| !before.contains_key(*name)) {
                walk(format!("{path}.{name}"), None, Some(value), found);
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) => {
            for index in 0..before.len().max(after.len()) {
                walk(format!("{path}[{index}]"), before.get(index), after.get(index), found);
            }
        }
        (before, after) if before == after => {}
        (before, after) => found.push(Difference { path, before: before.cloned(), after: after.cloned() }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_are_named_by_path() {
        let before = json!({"a": {"b": 1, "gone": true, "same": [1]}, "l": [{"w": 1}, {"w": 2}, 3], "n": null});
        let after = json!({"a": {"b": 2, "same": [1], "new": {}}, "l": [{"w": 1}, {"w": 5}], "m": null});
        let found: Vec<_> = diff(&before, &after).into_iter().map(|d| (d.path, d.before, d.after)).collect();
        assert_eq!(
            found,
            [
                ("spec.a.b".to_owned(), Some(json!(1)), Some(json!(2))),
                ("spec.a.gone".to_owned(), Some(json!(true)), None),
                ("spec.a.new".to_owned(), None, Some(json!({}))),
                ("spec.l[1].w".to_owned(), Some(json!(2)), Some(json!(5))),
                ("spec.l[2]".to_owned(), Some(json!(3)), None),
            ]
        );
        assert_eq!(diff(&before, &before), []);
    }

    #[test]
    fn meshes_differ_by_resource() {
        let mesh = |resources: &[(&str, &str)]| {
            let mut mesh = Mesh::new("shop".parse().unwrap());
            for (path, spec) in resources {
                let path = ResourcePath::parse(path).unwrap();
                let spec = crate::spec::Spec::read(path.kind(), &serde_json::from_str(spec).unwrap()).unwrap();
                mesh.insert(path, spec).unwrap();
            }
            mesh
        };
        let (kept, gone, new) =
            ("mesh/shop/virtualNode/kept", "mesh/shop/virtualNode/gone", "mesh/shop/virtualService/new");
        let before = mesh(&[("mesh/shop", "{}"), (kept, r#"{"backends":[]}"#), (gone, "{}")]);
        let after = mesh(&[("mesh/shop", "{}"), (kept, "{}"), (new, "{}")]);
        let found = diff_meshes(&before, &after);
        let paths: Vec<_> = found.iter().map(|(path, members)| (path.to_string(), members[0].path.as_str())).collect();
        let expected = [(gone, "spec"), (kept, "spec.backends"), (new, "spec")];
        assert_eq!(paths, expected.map(|(path, member)| (path.to_owned(), member)));
        assert!(diff_meshes(&before, &before).is_empty());
    }
}
