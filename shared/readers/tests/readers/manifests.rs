//! Manifests: the controller's names, selectors and references, within a file and across files.

use readers::{File, Note, Reading, Surroundings, read, read_all};

const NAMESPACE: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: web, labels: {mesh: shop, edge: main}}
";

const MESH: &str = "
apiVersion: appmesh.k8s.aws/v1beta2
kind: Mesh
metadata: {name: shop}
spec: {namespaceSelector: {matchLabels: {mesh: shop}}, meshOwner: '123456789012'}
";

fn object(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "\napiVersion: appmesh.k8s.aws/v1beta2\nkind: {kind}\nmetadata: {{name: {name}, namespace: web}}\nspec: {spec}\n"
    )
}

fn manifests(objects: &[&str]) -> Reading {
    read(&objects.join("---"), "mesh.yaml", &Surroundings::default()).unwrap()
}

fn paths(reading: &Reading) -> Vec<String> {
    reading.resources.iter().map(|resource| resource.path.to_string()).collect()
}

fn notes(reading: &Reading) -> Vec<&Note> {
    reading.remarks.iter().map(|remark| &remark.note).collect()
}

#[test]
fn names_follow_the_controller() {
    let table = [
        ("VirtualNode", "{}", "mesh/shop/virtualNode/a_web"),
        ("VirtualNode", "{awsName: x}", "mesh/shop/virtualNode/x"),
        ("VirtualNode", "{awsName: ''}", "mesh/shop/virtualNode/a_web"),
        ("VirtualRouter", "{}", "mesh/shop/virtualRouter/a_web"),
        ("VirtualGateway", "{listeners: [{portMapping: {port: 1, protocol: http}}]}", "mesh/shop/virtualGateway/a_web"),
        ("VirtualService", "{}", "mesh/shop/virtualService/a.web"),
        ("VirtualService", "{awsName: a.local}", "mesh/shop/virtualService/a.local"),
    ];
    for (kind, spec, expected) in table {
        let reading = manifests(&[NAMESPACE, MESH, &object(kind, "a", spec)]);
        assert_eq!(paths(&reading)[1..], [expected], "{kind} {spec}");
        assert_eq!(reading.remarks, [], "{kind} {spec}");
        assert_eq!(reading.resources[1].tags, None);
        assert_eq!(reading.resources[1].mesh_owner.as_ref().unwrap().as_str(), "123456789012");
    }
}

#[test]
fn mesh_is_the_one_that_selects_the_namespace() {
    let other = MESH.replace("name: shop", "name: other").replace("mesh: shop", "mesh: other");
    let node = object("VirtualNode", "a", "{}");
    let reading = manifests(&[NAMESPACE, &other, MESH, &node]);
    assert_eq!(paths(&reading)[2], "mesh/shop/virtualNode/a_web");
    assert_eq!(reading.remarks, []);

    // Without the namespace's labels, one mesh or none may match.
    let reading = manifests(&[MESH, &node]);
    assert_eq!(paths(&reading)[1], "mesh/shop/virtualNode/a_web");
    assert_eq!(notes(&reading), [&Note::MeshAssumed { mesh: "shop".to_owned() }]);
    let reading = manifests(&[&other, MESH, &node]);
    assert_eq!(paths(&reading)[2], "mesh/${mesh}/virtualNode/a_web");

    let around = Surroundings { mesh: Some("given".parse().unwrap()), ..Surroundings::default() };
    let reading = read(&node, "a.yaml", &around).unwrap();
    assert_eq!(paths(&reading), ["mesh/given/virtualNode/a_web"]);
}

#[test]
fn gateway_routes_find_their_gateway() {
    let gateway = |name: &str, selector: &str| {
        let selects = "namespaceSelector: {matchLabels: {edge: main}}";
        object(
            "VirtualGateway",
            name,
            &format!("{{{selects}{selector}, listeners: [{{portMapping: {{port: 80, protocol: http}}}}]}}"),
        )
    };
    let service = object("VirtualService", "a", "{}");
    let rule = "httpRoute: {match: {prefix: /}, action: {target: {virtualService: {virtualServiceRef: {name: a}}}}}";
    let labelled = object("GatewayRoute", "r", &format!("{{{rule}}}"))
        .replace("namespace: web", "namespace: web, labels: {to: b}");
    let (a, b) = (gateway("a", ""), gateway("b", ", gatewayRouteSelector: {matchLabels: {to: b}}"));
    let path = |objects: &[&str]| {
        let reading = manifests(objects);
        let route = reading.resources.iter().find(|resource| resource.source.id.starts_with("GatewayRoute")).unwrap();
        (route.path.to_string(), reading.remarks.len())
    };
    let expected = |gateway: &str| format!("mesh/shop/virtualGateway/{gateway}_web/gatewayRoute/r_web");
    assert_eq!(path(&[NAMESPACE, MESH, &service, &a, &labelled]), (expected("a"), 0));
    assert_eq!(path(&[NAMESPACE, MESH, &service, &b, &labelled]), (expected("b"), 0));
    // Two meshes select it, which the controller refuses: the first is assumed.
    assert_eq!(path(&[NAMESPACE, MESH, &service, &a, &b, &labelled]), (expected("a"), 1));
    let named = object("GatewayRoute", "r", &format!("{{virtualGatewayRef: {{name: b}}, {rule}}}"));
    assert_eq!(path(&[NAMESPACE, MESH, &service, &a, &b, &named]), (expected("b"), 0));
    assert_eq!(
        path(&[NAMESPACE, MESH, &service, &named]),
        (expected("b"), 1),
        "one that is not in the files keeps the controller's name"
    );
}

#[test]
fn references_become_names() {
    let router = object(
        "VirtualRouter",
        "r",
        "{routes: [{name: all, priority: 7, tcpRoute: {action: {weightedTargets: [
            {virtualNodeRef: {name: a}, weight: 1}, {virtualNodeRef: {name: gone, namespace: far}, weight: 2},
            {virtualNodeARN: 'arn:aws:appmesh:eu-west-1:123456789012:mesh/shop/virtualNode/by-arn', weight: 3, port: 9}]}}}]}",
    );
    let node =
        object("VirtualNode", "a", "{awsName: node-a, backends: [{virtualService: {virtualServiceRef: {name: s}}}]}");
    let service =
        object("VirtualService", "s", "{awsName: s.local, provider: {virtualRouter: {virtualRouterRef: {name: r}}}}");
    let reading = manifests(&[NAMESPACE, MESH, &router, &node, &service]);
    let spec = |id: &str| {
        let resource = reading.resources.iter().find(|resource| resource.source.id == id).unwrap();
        resource.spec.to_json()
    };
    assert_eq!(
        spec("VirtualRouter web/r routes[0]"),
        serde_json::json!({"priority": 7, "tcpRoute": {"action": {"weightedTargets": [
            {"virtualNode": "node-a", "weight": 1}, {"virtualNode": "gone_far", "weight": 2},
            {"port": 9, "virtualNode": "by-arn", "weight": 3}]}}})
    );
    assert_eq!(spec("VirtualNode web/a")["backends"][0]["virtualService"]["virtualServiceName"], "s.local");
    assert_eq!(spec("VirtualService web/s")["provider"]["virtualRouter"]["virtualRouterName"], "r_web");
    assert_eq!(notes(&reading), [&Note::ReferenceAssumed { name: "gone_far".to_owned() }]);
}

#[test]
fn backend_groups_are_backends() {
    let group = object("BackendGroup", "g", "{virtualservices: [{name: s}, {name: t}]}");
    let service = |name: &str| object("VirtualService", name, "{}");
    let table = [
        ("{backendGroups: [{name: g}]}", vec!["s.web", "t.web"]),
        ("{backendGroups: [{name: '*'}]}", vec!["s.web", "t.web", "u.web"]),
        (
            "{backends: [{virtualService: {virtualServiceRef: {name: t}}}], backendGroups: [{name: g}]}",
            vec!["t.web", "s.web"],
        ),
    ];
    for (spec, expected) in table {
        let node = object("VirtualNode", "a", spec);
        let reading = manifests(&[NAMESPACE, MESH, &group, &service("s"), &service("t"), &service("u"), &node]);
        let meshes = reading.meshes();
        let node = &meshes[reading.resources[0].path.mesh()].nodes["a_web"];
        assert_eq!(node.backend_services().map(ToString::to_string).collect::<Vec<_>>(), expected, "{spec}");
        assert_eq!(reading.remarks, []);
    }
}

#[test]
fn files_are_resolved_together() {
    let node = object("VirtualNode", "a", "{awsName: node-a}");
    let service = object("VirtualService", "s", "{provider: {virtualNode: {virtualNodeRef: {name: a}}}}");
    let files = [("1.yaml", service.as_str()), ("2.yaml", MESH), ("3.yaml", NAMESPACE), ("4.yaml", node.as_str())];
    let files = files.map(|(name, text)| File { name, text });
    let (reading, errors) = read_all(&files, &Surroundings::default());
    // A file with only a namespace is not an App Mesh file, but its labels count.
    assert_eq!(errors, []);
    assert_eq!(reading.remarks, []);
    let service = reading.resources.iter().find(|resource| resource.path.name() == "s.web").unwrap();
    assert_eq!(service.path.to_string(), "mesh/shop/virtualService/s.web");
    assert_eq!(service.spec.to_json()["provider"]["virtualNode"]["virtualNodeName"], "node-a");
}

#[test]
fn placeholders_stay_and_are_remarked_on() {
    let node = object(
        "VirtualNode",
        "a",
        "{listeners: [{portMapping: {port: 80, protocol: '${PROTOCOL}'}}], serviceDiscovery: {dns: {hostname: 'a.${NS}'}}}",
    );
    let reading = manifests(&[NAMESPACE, MESH, &node]);
    assert_eq!(reading.resources[1].spec.to_json()["listeners"][0]["portMapping"]["protocol"], "${PROTOCOL}");
    let messages: Vec<String> = reading.remarks.iter().map(ToString::to_string).collect();
    assert_eq!(
        messages,
        [
            "mesh.yaml: VirtualNode web/a: spec.listeners[0].portMapping.protocol: `${PROTOCOL}` has no value here and stands as text",
            "mesh.yaml: VirtualNode web/a: spec.serviceDiscovery.dns.hostname: `${NS}` has no value here and stands as text",
        ]
    );
}

#[test]
fn other_versions_and_broken_documents_are_refused_by_name() {
    let old = object("VirtualNode", "a", "{}").replace("v1beta2", "v1beta1");
    let broken = object("VirtualRouter", "r", "{routes: [${ROUTES}]}");
    let reading = manifests(&[NAMESPACE, MESH, &old, &broken, &object("VirtualNode", "b", "{}")]);
    let messages: Vec<String> = reading.refusals.iter().map(ToString::to_string).collect();
    assert_eq!(messages.len(), 2);
    assert!(messages.iter().any(|message| message == "mesh.yaml: VirtualNode web/a: apiVersion: is `appmesh.k8s.aws/v1beta1`; only appmesh.k8s.aws/v1beta2 is read"), "{messages:?}");
    assert!(messages.iter().any(|message| message.starts_with("mesh.yaml: VirtualRouter: line ")), "{messages:?}");
    assert_eq!(reading.resources.len(), 2);
}

#[test]
fn lists_and_other_objects() {
    let text = r#"{"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}},
        {"apiVersion": "appmesh.k8s.aws/v1beta2", "kind": "Mesh", "metadata": {"name": "shop"}, "status": {"meshARN": "x"}}]}"#;
    let reading = read(text, "list.json", &Surroundings::default()).unwrap();
    assert_eq!(paths(&reading), ["mesh/shop"]);
}

/// A patch in the list of Kustomize is not a resource.
#[test]
fn patches_of_kustomize_are_not_read_as_resources() {
    let node = |more: &str| {
        format!(
            "apiVersion: appmesh.k8s.aws/v1beta2\nkind: VirtualNode\nmetadata: {{name: a, namespace: lab}}\nspec: {{{more}}}\n"
        )
    };
    let base =
        node("listeners: [{portMapping: {port: 80, protocol: http}}], serviceDiscovery: {dns: {hostname: a.local}}");
    let patch = node("logging: {accessLog: {file: {path: /dev/stdout}}}");
    let files = [
        File { name: "./base/node.yaml", text: &base },
        File { name: "./prod/kustomization.yaml", text: "resources: [../base]\npatches: [{path: log.yaml}]\n" },
        File { name: "./prod/log.yaml", text: &patch },
    ];
    let (reading, _) = read_all(&files, &Surroundings::default());
    assert_eq!(reading.resources.len(), 1);
    assert!(
        reading.remarks.iter().any(|remark| remark.to_string().contains("is a patch of ./prod/kustomization.yaml"))
    );
}
