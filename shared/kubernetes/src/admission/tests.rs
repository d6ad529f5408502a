//! Recorded reviews, and tables of verdicts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use imports::Held;
use jiff::Timestamp;
use policy::Policy;
use rules::pack::Severity;
use serde_json::{Value, json};

use super::*;
use crate::cluster::ClusterObjects;
use crate::fixture::{cluster_name, json_object, key, mesh_spec, node_spec, object, router_spec, settle, shop};
use crate::object::ObjectKind;

fn review(operation: &str, kind: ObjectKind, object: &Value, old: &Value) -> Review {
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "operation": operation,
        "kind": {"group": "appmesh.k8s.aws", "version": "v1beta2", "kind": kind.as_str()},
        "namespace": "shop", "object": object, "oldObject": old}});
    Review::parse(review.to_string().as_bytes()).unwrap()
}

fn validated(review: &Review, cluster: &ClusterObjects, held: Option<&Held>) -> AdmissionVerdict {
    let (name, policy) = (cluster_name(), Policy::built_in().unwrap());
    let refuses = Some(Severity::High);
    let check = HarmCheck { held, cluster_name: &name, policy: &policy, refuses, now: Timestamp::UNIX_EPOCH };
    validate(review, cluster, &check)
}

fn refused(verdict: AdmissionVerdict) -> String {
    match verdict {
        AdmissionVerdict::Refused { problems } => problems.join("\n"),
        AdmissionVerdict::Allowed { .. } => panic!("allowed"),
    }
}

fn patch(verdict: AdmissionVerdict) -> Vec<(String, Value)> {
    match verdict {
        AdmissionVerdict::Allowed { patch, .. } => {
            patch.into_iter().map(|one| (one["path"].as_str().unwrap().to_owned(), one["value"].clone())).collect()
        }
        AdmissionVerdict::Refused { problems } => panic!("{problems:?}"),
    }
}

#[test]
fn new_object_gets_its_name_mesh_and_gateway() {
    let node = json_object(ObjectKind::VirtualNode, "c", &node_spec("c"));
    assert_eq!(
        patch(mutate(&review("CREATE", ObjectKind::VirtualNode, &node, &Value::Null), &shop())),
        [
            ("/spec/awsName".to_owned(), json!("c_shop")),
            ("/spec/meshRef".to_owned(), json!({"name": "shop", "uid": "uid-shop"})),
        ]
    );
    let route = shop().objects[&key(ObjectKind::GatewayRoute, "orders")].manifest();
    let found = patch(mutate(&review("CREATE", ObjectKind::GatewayRoute, &route, &Value::Null), &shop()));
    assert_eq!(
        found[2],
        ("/spec/virtualGatewayRef".to_owned(), json!({"namespace": "shop", "name": "edge", "uid": "uid-edge"}))
    );
    let service = json_object(
        ObjectKind::VirtualService,
        "front",
        &json!({"provider": {"virtualNode": {"virtualNodeRef": {"name": "a"}}}}),
    );
    let found = patch(mutate(&review("CREATE", ObjectKind::VirtualService, &service, &Value::Null), &shop()));
    assert_eq!(found[0].1, "front.shop");
    let mesh = json_object(ObjectKind::Mesh, "other", &json!({}));
    let found = patch(mutate(&review("CREATE", ObjectKind::Mesh, &mesh, &Value::Null), &shop()));
    assert_eq!(found, [("/spec/awsName".to_owned(), json!("other"))]);
}

#[test]
fn reference_from_a_backup_is_renewed_and_one_of_another_mesh_refused() {
    let mut node = json_object(ObjectKind::VirtualNode, "c", &node_spec("c"));
    node["spec"]["meshRef"] = json!({"name": "shop", "uid": "uid-of-before"});
    let found = patch(mutate(&review("CREATE", ObjectKind::VirtualNode, &node, &Value::Null), &shop()));
    assert!(found.contains(&("/spec/meshRef".to_owned(), json!({"name": "shop", "uid": "uid-shop"}))), "{found:?}");
    node["spec"]["meshRef"] = json!({"name": "other"});
    let problem = refused(mutate(&review("CREATE", ObjectKind::VirtualNode, &node, &Value::Null), &shop()));
    assert!(problem.starts_with("spec.meshRef: is `other`"), "{problem}");
}

#[test]
fn replacement_without_defaults_keeps_them() {
    let mut old = json_object(ObjectKind::VirtualNode, "a", &node_spec("a"));
    old["spec"]["awsName"] = json!("a_shop");
    old["spec"]["meshRef"] = json!({"name": "shop", "uid": "uid-shop"});
    let new = json_object(ObjectKind::VirtualNode, "a", &node_spec("a"));
    let found = patch(mutate(&review("UPDATE", ObjectKind::VirtualNode, &new, &old), &shop()));
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn object_without_one_mesh_is_refused_with_the_remedy() {
    let node = json_object(ObjectKind::VirtualNode, "c", &node_spec("c"));
    let create = review("CREATE", ObjectKind::VirtualNode, &node, &Value::Null);
    let mut two = shop();
    two.insert(object(ObjectKind::Mesh, "other", &mesh_spec()));
    let mut unlabelled = shop();
    unlabelled.namespaces.insert("shop".to_owned(), json!({}));
    for (around, text) in [(two, "other, shop; correct `spec.namespaceSelector`"), (unlabelled, "label the namespace")]
    {
        let problem = refused(mutate(&create, &around));
        assert!(problem.contains("spec.meshRef") && problem.contains(text), "{problem}");
        assert!(refused(validated(&create, &around, None)).contains(text));
    }
}

/// A change of a spec.
type Edit = fn(&mut Value);

#[test]
fn validation_names_member_and_remedy() {
    let mut cluster = shop();
    let mut held = Held::new();
    settle(&mut cluster, &mut held);
    let node = |edit: Edit| {
        let mut node = json_object(ObjectKind::VirtualNode, "a", &node_spec("a"));
        node["spec"]["awsName"] = json!("a_shop");
        let old = node.clone();
        edit(&mut node["spec"]);
        review("UPDATE", ObjectKind::VirtualNode, &node, &old)
    };
    let table: [(Edit, &str); 5] = [
        (|spec| spec["listeners"][0]["portMapping"]["port"] = json!(70_000), "spec.listeners[0].portMapping.port"),
        (|spec| spec["listners"] = json!([]), "spec.listners: is an unknown member; remove it"),
        (
            |spec| spec["awsName"] = json!("other"),
            "spec.awsName: must not change from \"a_shop\" to \"other\"; delete the object",
        ),
        (|spec| spec["awsName"] = json!("b_shop"), "must not change"),
        // The route sends its requests to the node, which then has no listener.
        (|spec| drop(spec.as_object_mut().unwrap().remove("listeners")), "mesh/shop/"),
    ];
    for (edit, text) in table {
        let problem = refused(validated(&node(edit), &cluster, Some(&held)));
        assert!(problem.contains(text), "{text}: {problem}");
    }
    let harmless = validated(
        &node(|spec| spec["logging"] = json!({"accessLog": {"file": {"path": "/dev/stdout"}}})),
        &cluster,
        Some(&held),
    );
    assert!(matches!(harmless, AdmissionVerdict::Allowed { .. }), "{harmless:?}");
}

#[test]
fn effects_are_unknown_while_app_mesh_cannot_be_read() {
    let node = json_object(ObjectKind::VirtualNode, "c", &node_spec("c"));
    match validated(&review("CREATE", ObjectKind::VirtualNode, &node, &Value::Null), &shop(), None) {
        AdmissionVerdict::Allowed { warnings, .. } => assert!(warnings[0].contains("are unknown"), "{warnings:?}"),
        AdmissionVerdict::Refused { problems } => panic!("{problems:?}"),
    }
}

#[test]
fn missing_target_is_a_warning_and_an_invalid_object_can_lose_its_finalizer() {
    let mut cluster = shop();
    cluster.objects.remove(&key(ObjectKind::VirtualNode, "b"));
    let router = json_object(ObjectKind::VirtualRouter, "orders", &router_spec([1, 1]));
    match validated(&review("CREATE", ObjectKind::VirtualRouter, &router, &Value::Null), &cluster, Some(&Held::new())) {
        AdmissionVerdict::Allowed { warnings, .. } => assert!(warnings[0].contains("b_shop"), "{warnings:?}"),
        AdmissionVerdict::Refused { problems } => panic!("{problems:?}"),
    }
    let mut old = json_object(ObjectKind::VirtualNode, "a", &json!({"listners": []}));
    old["metadata"]["finalizers"] = json!(["finalizers.appmesh.k8s.aws/aws-appmesh-resources"]);
    let new = json_object(ObjectKind::VirtualNode, "a", &json!({"listners": []}));
    assert_eq!(
        validated(&review("UPDATE", ObjectKind::VirtualNode, &new, &old), &cluster, None),
        AdmissionVerdict::allowed()
    );
    assert_eq!(
        validated(&review("DELETE", ObjectKind::VirtualNode, &Value::Null, &old), &cluster, None),
        AdmissionVerdict::allowed()
    );
}

#[test]
fn response_repeats_the_id_and_encodes_the_patch() {
    let node = json_object(ObjectKind::VirtualNode, "c", &node_spec("c"));
    let create = review("CREATE", ObjectKind::VirtualNode, &node, &Value::Null);
    let response = create.response(&mutate(&create, &shop()));
    assert_eq!(response["response"]["uid"], "705ab4f5-6393-11e8-b7cc-42010a800002");
    assert_eq!(
        (&response["response"]["allowed"], &response["response"]["patchType"]),
        (&json!(true), &json!("JSONPatch"))
    );
    let patch = STANDARD.decode(response["response"]["patch"].as_str().unwrap()).unwrap();
    let patch: Value = serde_json::from_slice(&patch).unwrap();
    assert_eq!(patch[0], json!({"op": "add", "path": "/spec/awsName", "value": "c_shop"}));
    let response = create.response(&AdmissionVerdict::refused("spec.x: is wrong; correct it"));
    assert_eq!(
        response["response"]["status"],
        json!({"code": 422, "reason": "Invalid", "message": "spec.x: is wrong; correct it"})
    );
}

#[test]
fn body_that_is_no_review_is_an_error() {
    for (body, text) in [
        ("", "invalid admission review"),
        ("{}", "`apiVersion` and `kind`"),
        (r#"{"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview"}"#, "`apiVersion` and `kind`"),
        (r#"{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}"#, "`request`"),
        (
            r#"{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"operation": "CREATE", "kind": {"kind": "Pod"}}}"#,
            "`request.uid`",
        ),
        (
            r#"{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "1", "operation": "PEEK"}}"#,
            "`request.operation`",
        ),
    ] {
        let error = Review::parse(body.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
}
