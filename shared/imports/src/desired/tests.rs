//! Inputs that are refused, and the declaration that counts.

use readers::{File, Surroundings, read_all};
use serde_json::json;

use super::*;

fn desired(files: &[(&str, &str)], options: &InputOptions) -> Result<Desired, Vec<String>> {
    let files: Vec<File<'_>> = files.iter().map(|(name, text)| File { name, text }).collect();
    let (reading, errors) = read_all(&files, &Surroundings::default());
    assert!(errors.is_empty(), "{errors:?}");
    Desired::from_reading(&reading, options)
        .map_err(|refused| refused.iter().map(ToString::to_string).collect::<Vec<_>>())
}

fn refused(files: &[(&str, &str)]) -> Vec<String> {
    desired(files, &InputOptions::default()).unwrap_err()
}

#[test]
fn guesses_are_refused_with_place_and_remedy() {
    let node = |members: &str| format!(r#"{{"meshName": "shop", "virtualNodeName": "a", {members}}}"#);
    let dns = |host: &str| format!(r#""spec": {{"serviceDiscovery": {{"dns": {{"hostname": "{host}"}}}}}}"#);
    let table = [
        (
            node(&dns("a.${NAMESPACE}")),
            "a.json:1: virtualNode a: spec.serviceDiscovery.dns.hostname: the value of `${NAMESPACE}` is unknown; ",
        ),
        (r#"{"virtualNodeName": "a", "spec": {}}"#.to_owned(), "names no mesh; pass --mesh NAME"),
        (r#"{"meshName": "shop", "spec": {"listners": []}, "virtualNodeName": "a"}"#.to_owned(), "write `listeners`"),
        (
            r#"{"httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": [{"virtualNode": "a", "weight": 1}]}}}"#
                .to_owned(),
            "its members suggest a route",
        ),
        (
            r#"{"virtualNodes": [{"meshName": "shop", "virtualNodeName": "a", "arn": "arn:x"}]}"#.to_owned(),
            "is an entry of a list without a spec; pass the output of the `aws appmesh describe-*`",
        ),
    ];
    for (text, expected) in table {
        let shown = refused(&[("a.json", &text)]).join("\n");
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
}

#[test]
fn different_declarations_of_one_resource_are_refused_and_equal_ones_are_one() {
    let node = |host: &str| {
        format!(
            r#"{{"meshName": "shop", "virtualNodeName": "a", "spec": {{"serviceDiscovery": {{"dns": {{"hostname": "{host}"}}}}}}}}"#
        )
    };
    let shown = refused(&[("a.json", &node("one")), ("b.json", &node("two"))]).join("\n");
    assert_eq!(
        shown,
        "b.json:1: virtualNode a: declares mesh/shop/virtualNode/a differently than a.json:1: virtualNode a; pass only \
         the files of one state of the mesh"
    );
    let same = desired(&[("a.json", &node("one")), ("b.json", &node("one"))], &InputOptions::default()).unwrap();
    assert_eq!(same.resources.len(), 1);
}

fn item(name: &str, host: &str, time: &serde_json::Value, status: &str) -> serde_json::Value {
    let configuration = json!({"MeshName": "shop", "VirtualNodeName": name,
        "Spec": {"ServiceDiscovery": {"DNS": {"Hostname": host}}}});
    json!({"resourceType": "AWS::AppMesh::VirtualNode", "configurationItemStatus": status,
        "configurationItemCaptureTime": time,
        "arn": format!("arn:aws:appmesh:eu-west-1:123456789012:mesh/shop/virtualNode/{name}"),
        "configuration": if status == "OK" { configuration } else { serde_json::Value::Null }})
}

#[test]
fn newest_item_of_a_history_counts_in_any_order() {
    let (old, new) = (json!("2026-05-01T10:00:00.000Z"), json!("2026-05-02T10:00:00.000Z"));
    let text = |items: Vec<serde_json::Value>| json!({"configurationItems": items}).to_string();
    let histories = [
        text(vec![item("a", "new", &new, "OK"), item("a", "old", &old, "OK")]),
        text(vec![item("a", "old", &old, "OK"), item("a", "new", &new, "OK")]),
        text(vec![item("a", "new", &json!(1_777_716_000.25), "OK"), item("a", "old", &json!(1_777_629_600.5), "OK")]),
    ];
    for history in &histories {
        let desired = desired(&[("history.json", history)], &InputOptions::default()).unwrap();
        let spec = desired.resources.values().next().unwrap().spec.to_json();
        assert_eq!(spec["serviceDiscovery"]["dns"]["hostname"], "new", "{history}");
    }
}

#[test]
fn resource_with_a_newer_deletion_is_skipped() {
    let (old, new) = (json!("2026-05-01T10:00:00.000Z"), json!("2026-05-02T10:00:00.000Z"));
    let history = |deleted: &serde_json::Value, recorded: &serde_json::Value| {
        json!({"configurationItems": [item("a", "", deleted, "ResourceDeleted"), item("a", "a", recorded, "OK")]})
            .to_string()
    };
    let gone = desired(&[("h.json", &history(&new, &old))], &InputOptions::default()).unwrap();
    assert!(gone.resources.is_empty(), "{gone:?}");
    assert!(gone.skipped.iter().any(|one| one.reason.contains("deletion at 2026-05-02")), "{gone:?}");
    let back = desired(&[("h.json", &history(&old, &new))], &InputOptions::default()).unwrap();
    assert_eq!(back.resources.len(), 1);
}

#[test]
fn unknown_members_are_dropped_on_request_and_named() {
    let options = InputOptions { drop_unknown: true, ..InputOptions::default() };
    let api = r#"{"meshName": "shop", "virtualNodeName": "a",
        "spec": {"serviceDiscovery": {"dns": {"hostname": "a", "ttl": 5}}}}"#;
    let of_api = desired(&[("a.json", api)], &options).unwrap();
    let dropped = &of_api.resources.values().next().unwrap().dropped;
    assert_eq!((dropped.len(), dropped[0].member.as_str(), dropped[0].line), (1, "spec.serviceDiscovery.dns.ttl", 2));
    let mut item = item("a", "a", &json!("2026-05-01T10:00:00.000Z"), "OK");
    item["configuration"]["Spec"]["ServiceDiscovery"]["DNS"]["Ttl"] = json!(5);
    let text = item.to_string();
    assert!(refused(&[("item.json", &text)])[0].contains("or pass --drop-unknown"));
    let of_item = desired(&[("item.json", &text)], &options).unwrap();
    let resource = of_item.resources.values().next().unwrap();
    assert_eq!(resource.dropped[0].member, "spec.serviceDiscovery.dns.ttl");
    assert_eq!(resource.spec.to_json(), json!({"serviceDiscovery": {"dns": {"hostname": "a"}}}));
}

#[test]
fn texts_of_an_export_are_values() {
    let text = r#"{"meshwardenExport": 1, "resources": [{"meshName": "shop", "virtualNodeName": "a",
        "spec": {"logging": {"accessLog": {"file": {"path": "/logs/${NAME}"}}}}}]}"#;
    assert_eq!(refused(&[("a.json", text)]).len(), 1);
    let options = InputOptions { exact_files: ["a.json".to_owned()].into(), ..InputOptions::default() };
    assert_eq!(desired(&[("a.json", text)], &options).unwrap().resources.len(), 1);
}
