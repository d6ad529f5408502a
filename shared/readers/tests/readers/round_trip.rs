//! A valid mesh is unchanged after it is written in any form and read back.

use mesh::name::{ResourceKind, ResourcePath};
use mesh::validate;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use readers::{Note, Remark, Surroundings, read};
use serde_json::Value;

use super::edits::{Edit, edit, specs};
use super::writers::{Written, api, cloudformation, config, manifest, terraform};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_form_round_trips(mesh in any_mesh()) {
        let mut expected: Vec<_> = mesh.iter().map(|one| (one.path.clone(), one.spec.clone())).collect();
        expected.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (form, text) in [
            ("api", api(&mesh)),
            ("config", config(&mesh)),
            ("cloudformation", cloudformation(&mesh)),
            ("terraform", terraform(&mesh)),
            ("manifest", manifest(&mesh)),
        ] {
            let reading = read(&text, form, &Surroundings::default()).unwrap();
            prop_assert_eq!(&reading.refusals, &vec![], "{}", form);
            // One spec has a placeholder, which two of the forms support.
            let is_other = |remark: &&Remark| !matches!(remark.note, Note::Unresolved { .. });
            prop_assert_eq!(reading.remarks.iter().find(is_other), None, "{}", form);
            let found: Vec<_> = reading.resources.iter().map(|one| (one.path.clone(), one.spec.to_json())).collect();
            prop_assert_eq!(&found, &expected, "{}", form);
            for one in &reading.resources {
                let original = mesh.iter().find(|other| other.path == one.path).unwrap();
                let tags = one.tags.as_ref().map(|tags| tags.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect());
                prop_assert_eq!(tags, (form != "manifest").then(|| original.tags.clone()), "{}", form);
            }
        }
    }
}

/// A mesh with one resource of each form of spec, under a router and a gateway that exist; what else it refers to
/// mostly doesn't.
fn any_mesh() -> impl Strategy<Value = Vec<Written>> {
    let specs = specs();
    let changes = vec(vec(any::<Edit>(), 0..4), specs.len());
    let tags = vec(btree_map("[a-zA-Z0-9:/=+@._-]{1,20}", "[a-z A-Z0-9_.:/=+@-]{0,20}", 0..4), specs.len());
    let names = vec("[a-z0-9._-]{0,12}", specs.len());
    ("[a-z][a-z0-9_-]{0,10}", changes, tags, names).prop_map(move |(mesh, changes, tags, names)| {
        let parent = |kind: ResourceKind| {
            let index = specs.iter().position(|(_, other, _)| *other == kind).unwrap();
            format!("{}{index}", names[index])
        };
        let (router, gateway) = (parent(ResourceKind::VirtualRouter), parent(ResourceKind::VirtualGateway));
        let resources = specs.iter().zip(changes).zip(&names).zip(tags).enumerate();
        resources
            .map(|(index, ((((_, kind, spec), edits), name), tags))| {
                let name = format!("{name}{index}");
                let place = match kind {
                    ResourceKind::Mesh => String::new(),
                    ResourceKind::Route => format!("/virtualRouter/{router}/route/{name}"),
                    ResourceKind::GatewayRoute => format!("/virtualGateway/{gateway}/gatewayRoute/{name}"),
                    kind => format!("/{kind}/{name}"),
                };
                let path = ResourcePath::parse(&format!("mesh/{mesh}{place}")).unwrap();
                Written { path, spec: valid(*kind, spec, &edits), tags: tags.into_iter().collect() }
            })
            .collect()
    })
}

/// An edited spec where it is valid and can be written in all forms: not all of them distinguish an empty list
/// or text from none.
fn valid(kind: ResourceKind, spec: &Value, edits: &[Edit]) -> Value {
    let original = sorted(without_nothing(spec.clone()));
    let edited = sorted(without_nothing(edit(spec.clone(), edits)));
    let fits = |spec: &Value| validate::spec(kind, spec).is_ok();
    assert!(fits(&original), "{original}");
    if fits(&edited) { edited } else { original }
}

fn without_nothing(value: Value) -> Value {
    let says = |value: &Value| !value.is_null() && *value != Value::Array(vec![]) && value.as_str() != Some("");
    match value {
        Value::Array(items) => items.into_iter().map(without_nothing).collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| (name, without_nothing(value)))
            .filter(|(_, value)| says(value))
            .collect(),
        other => other,
    }
}

/// Terraform has the attributes of Cloud Map as a map: each key once, in no order.
fn sorted(mut value: Value) -> Value {
    if let Some(Value::Array(attributes)) = value.pointer_mut("/serviceDiscovery/awsCloudMap/attributes") {
        attributes.sort_by_key(|attribute| attribute["key"].as_str().map(str::to_owned));
        attributes.dedup_by_key(|attribute| attribute["key"].as_str().map(str::to_owned));
    }
    value
}
