//! Every refusal of the API, by a request that gets it.

use std::collections::BTreeSet;

use mesh::spec::Refusal;
use rules::pack::RuleName;
use serde_json::{Value, json};

use crate::client::Plane;
use crate::examples::examples;

/// The collection of a resource and its name, from its path below the mesh.
fn place(path: &str) -> (String, &str) {
    match path.split('/').collect::<Vec<_>>().as_slice() {
        [kind, name] => (format!("/meshes/shop/{kind}s"), *name),
        [parent, of, kind, name] => (format!("/meshes/shop/{parent}/{of}/{kind}s"), *name),
        other => panic!("{other:?}"),
    }
}

async fn create(plane: &Plane, path: &str, spec: &Value) {
    let (collection, name) = place(path);
    let kind = path.split('/').rev().nth(1).unwrap();
    plane.put(&collection, json!({format!("{kind}Name"): name, "spec": spec})).await.ok();
}

#[tokio::test]
async fn every_refusal_has_a_request_that_gets_it() {
    let mut seen = BTreeSet::new();
    for example in examples() {
        let plane = Plane::start().await;
        plane.put("/meshes", json!({"meshName": "shop"})).await.ok();
        for (path, spec) in &example.before {
            create(&plane, path, spec).await;
        }
        let (path, spec) = &example.written;
        let reply = if path.is_empty() {
            plane.put("/meshes/shop", json!({"spec": spec})).await
        } else if example.before.iter().any(|(other, _)| other == path) {
            let (collection, name) = place(path);
            plane.put(&format!("{collection}/{name}"), json!({"spec": spec})).await
        } else {
            let (collection, name) = place(path);
            let kind = path.split('/').rev().nth(1).unwrap();
            plane.put(&collection, json!({format!("{kind}Name"): name, "spec": spec})).await
        };
        let message = reply.error("BadRequestException");
        assert!(message.starts_with(&format!("{}: ", example.member)), "{}: {message}", example.code);
        assert!(RuleName::try_from(example.rule.to_owned()).is_ok(), "{}", example.rule);
        seen.insert(example.code);
    }
    assert_eq!(seen, Refusal::CODES.iter().copied().collect(), "each refusal has an example");
}
