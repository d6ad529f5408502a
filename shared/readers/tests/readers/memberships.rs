//! The mesh that selects a namespace, and the virtual gateway of a gateway route. The controller refuses none and
//! several, so both are faults.

use readers::{Defect, Note, Reading, Surroundings, read};

fn namespace(labels: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: lab, labels: {labels}}}\n")
}

fn object(kind: &str, metadata: &str, spec: &str) -> String {
    format!("apiVersion: appmesh.k8s.aws/v1beta2\nkind: {kind}\nmetadata: {{{metadata}}}\nspec: {spec}\n")
}

fn mesh(name: &str, spec: &str) -> String {
    object("Mesh", &format!("name: {name}"), spec)
}

fn gateway(name: &str, selectors: &str) -> String {
    let listeners = "listeners: [{portMapping: {port: 80, protocol: http}}]";
    object("VirtualGateway", &format!("name: {name}, namespace: lab"), &format!("{{{listeners}{selectors}}}"))
}

fn route(labels: &str) -> String {
    object(
        "GatewayRoute",
        &format!("name: all, namespace: lab, labels: {labels}"),
        "{httpRoute: {match: {prefix: /}, action: {target: {virtualService: {virtualServiceRef: {name: web}}}}}}",
    )
}

fn service() -> String {
    object("VirtualService", "name: web, namespace: lab", "{awsName: web.local}")
}

fn manifests(objects: &[String]) -> Reading {
    read(&objects.join("---\n"), "mesh.yaml", &Surroundings::default()).unwrap()
}

/// The faults, each with its resource.
fn faults(reading: &Reading) -> Vec<(String, String)> {
    let code = |defect: &Defect| serde_json::to_value(defect).unwrap()["code"].as_str().unwrap().to_owned();
    reading.faults.iter().map(|fault| (fault.resource.to_string(), code(&fault.defect))).collect()
}

const ALL: &str = "{namespaceSelector: {}}";
const ROUTE: &str = "mesh/lab/virtualGateway/front_lab/gatewayRoute/all_lab";

#[test]
fn exactly_one_gateway_selects_a_gateway_route() {
    let lab = "{mesh: lab}";
    let selects = ", namespaceSelector: {matchLabels: {mesh: lab}}";
    let other = ", namespaceSelector: {matchLabels: {mesh: other}}";
    let by_label = |door: &str| format!("{selects}, gatewayRouteSelector: {{matchLabels: {{door: {door}}}}}");
    let both = |one: &str, two: &str| vec![gateway("front", one), gateway("back", two)];
    let table = [
        (vec![gateway("front", selects)], "{}", None),
        (vec![gateway("front", "")], "{door: front}", Some("gatewayMissing")),
        (
            vec![gateway("front", ", gatewayRouteSelector: {matchLabels: {door: front}}")],
            "{door: front}",
            Some("gatewayMissing"),
        ),
        (vec![gateway("front", other)], "{}", Some("gatewayMissing")),
        (vec![gateway("front", &by_label("front"))], "{door: back}", Some("gatewayMissing")),
        (both(selects, selects), "{}", Some("gatewayAmbiguous")),
        (both(&by_label("front"), &by_label("back")), "{door: front}", None),
        (both(selects, other), "{}", None),
        (both(&by_label("front"), selects), "{door: front}", Some("gatewayAmbiguous")),
        (vec![gateway("front", ", namespaceSelector: {}")], "{}", None),
    ];
    for (gateways, labels, expected) in table {
        let mut objects = vec![namespace(lab), mesh("lab", ALL), service(), route(labels)];
        objects.extend(gateways.clone());
        let reading = manifests(&objects);
        let expected: Vec<_> = expected.into_iter().map(|code| (ROUTE.to_owned(), code.to_owned())).collect();
        assert_eq!(faults(&reading), expected, "{labels} {gateways:?}");
        let assumed = reading.remarks.iter().any(|remark| matches!(remark.note, Note::SelectionAssumed { .. }));
        assert_eq!(assumed, !expected.is_empty(), "{:?}", reading.remarks);
    }
}

#[test]
fn exactly_one_mesh_selects_a_namespace() {
    let selects = |value: &str| format!("{{namespaceSelector: {{matchLabels: {{mesh: {value}}}}}}}");
    let by_name = "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: lab}}}".to_owned();
    let fault = |mesh: &str, code: &str| (format!("mesh/{mesh}"), code.to_owned());
    let table = [
        (vec![mesh("lab", &selects("lab"))], vec![]),
        (vec![mesh("lab", &by_name)], vec![]),
        (vec![mesh("lab", "{}")], vec![fault("lab", "meshSelectsNothing")]),
        (vec![mesh("lab", &selects("other"))], vec![fault("lab", "meshMissing")]),
        (
            vec![mesh("lab", &selects("lab")), mesh("all", ALL)],
            vec![fault("lab", "meshAmbiguous"), fault("all", "meshAmbiguous")],
        ),
        (vec![mesh("lab", &selects("lab")), mesh("two", &selects("two"))], vec![]),
    ];
    for (meshes, expected) in table {
        let mut objects = vec![namespace("{mesh: lab}"), service()];
        objects.extend(meshes.clone());
        let reading = manifests(&objects);
        assert_eq!(faults(&reading), expected, "{meshes:?}");
    }
}

/// Labels that the files lack do not decide, and are not a fault.
#[test]
fn labels_of_an_undeclared_namespace_are_unknown() {
    let selects = "{namespaceSelector: {matchLabels: {mesh: lab}}}";
    let gateway = gateway("front", ", namespaceSelector: {matchLabels: {mesh: lab}}");
    let reading = manifests(&[mesh("lab", selects), service(), route("{}"), gateway]);
    assert_eq!(faults(&reading), []);
    let notes: Vec<&Note> = reading.remarks.iter().map(|remark| &remark.note).collect();
    assert!(notes.contains(&&Note::SelectionAssumed { name: "front_lab".to_owned() }), "{notes:?}");
    assert!(notes.contains(&&Note::MeshAssumed { mesh: "lab".to_owned() }), "{notes:?}");
    // A missing selector selects no resource, with any labels.
    let reading = manifests(&[mesh("lab", "{}"), service()]);
    assert_eq!(faults(&reading), [("mesh/lab".to_owned(), "meshSelectsNothing".to_owned())]);
    // The caller may specify the mesh; then the selectors of other meshes don't count.
    let around = Surroundings { mesh: Some("given".parse().unwrap()), ..Surroundings::default() };
    let text = [namespace("{mesh: x}"), mesh("lab", selects), service()].join("---\n");
    assert_eq!(faults(&read(&text, "mesh.yaml", &around).unwrap()), []);
}

#[test]
fn name_and_namespace_are_texts() {
    let spec = "{listeners: [{portMapping: {port: 80, protocol: http}}], serviceDiscovery: {dns: {hostname: a.lab}}}";
    for (metadata, member) in [
        ("name: web, namespace: no", Some("metadata.namespace")),
        ("name: web, namespace: n", Some("metadata.namespace")),
        ("name: on, namespace: lab", Some("metadata.name")),
        ("name: 7, namespace: lab", Some("metadata.name")),
        ("name: web, namespace: 2024", Some("metadata.namespace")),
        ("name: \"on\", namespace: \"no\"", None),
        ("name: web, namespace: north", None),
    ] {
        let reading = manifests(&[mesh("lab", ALL), object("VirtualNode", metadata, spec)]);
        let refused = reading.refusals.iter().flat_map(|refusal| &refusal.violations).map(ToString::to_string);
        let refused: Vec<String> = refused.collect();
        match member {
            Some(member) => {
                assert!(
                    refused.iter().any(|text| text.contains(member) && text.contains("quote it")),
                    "{metadata}: {refused:?}"
                );
            }
            None => assert!(refused.is_empty(), "{metadata}: {refused:?}"),
        }
    }
}
