//! Which mesh and which virtual gateway the objects of manifests belong to, by the rules of the controller.

mod folder;

use folder::{Folder, rules};

fn namespace(name: &str, labels: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {labels}}}\n")
}

fn object(kind: &str, metadata: &str, spec: &str) -> String {
    format!("apiVersion: appmesh.k8s.aws/v1beta2\nkind: {kind}\nmetadata: {{{metadata}}}\nspec: {spec}\n")
}

/// A mesh with a selector of namespaces, as it stands in the manifest.
fn mesh(name: &str, selector: &str) -> String {
    object("Mesh", &format!("name: {name}"), &format!("{{namespaceSelector: {selector}}}"))
}

/// A virtual gateway with selectors.
fn gateway(name: &str, namespace: &str, selectors: &str) -> String {
    let listeners = "listeners: [{portMapping: {port: 80, protocol: http}}]";
    object("VirtualGateway", &format!("name: {name}, namespace: {namespace}"), &format!("{{{listeners}, {selectors}}}"))
}

fn gateway_route(namespace: &str, labels: &str) -> String {
    object(
        "GatewayRoute",
        &format!("name: all, namespace: {namespace}, labels: {labels}"),
        "{httpRoute: {match: {prefix: /}, action: {target: {virtualService: {virtualServiceRef: {name: web}}}}}}",
    )
}

/// A virtual service and the node that provides it.
fn web(namespace: &str) -> String {
    let metadata = format!("name: web, namespace: {namespace}");
    let node = "{listeners: [{portMapping: {port: 8080, protocol: http}}], serviceDiscovery: {dns: {hostname: web.local}}, \
                podSelector: {matchLabels: {app: web}}}";
    let service = "{awsName: web.local, provider: {virtualNode: {virtualNodeRef: {name: web}}}}";
    format!("{}---\n{}", object("VirtualNode", &metadata, node), object("VirtualService", &metadata, service))
}

/// The membership rules that find something in the manifests, each once.
fn found(objects: &[String]) -> (Vec<String>, String) {
    let report = Folder::new(&[("mesh.yaml", &objects.join("---\n"))]).json(&["mesh.yaml"]);
    let mut found = rules(&report, "findings");
    found.retain(|rule| rule.starts_with("manifest-"));
    found.dedup();
    (found, report.to_string())
}

/// Asserts the findings where one gateway with these selectors is in front of `apps`.
fn of_gateways(name: &str, labels: &str, gateways: &[&str], of_route: &str, expected: &[&str]) {
    let mut objects = vec![namespace("apps", labels), mesh("shop", "{}"), web("apps"), gateway_route("apps", of_route)];
    objects.extend((0..).zip(gateways).map(|(number, selectors)| gateway(&format!("g{number}"), "apps", selectors)));
    let (found, report) = found(&objects);
    assert_eq!(found, expected, "{name}: {report}");
}

const MISSING: &[&str] = &["manifest-gateway-missing"];
const AMBIGUOUS: &[&str] = &["manifest-gateway-ambiguous"];

#[test]
fn a_gateway_selects_namespaces_by_expressions() {
    let by = |operator: &str, key: &str, values: &str| {
        format!("namespaceSelector: {{matchExpressions: [{{key: {key}, operator: {operator}{values}}}]}}")
    };
    for (operator, key, values, expected) in [
        ("In", "team", ", values: [pay, web]", &[][..]),
        ("In", "team", ", values: [pay, shop]", MISSING),
        ("In", "tier", ", values: [web]", MISSING),
        ("NotIn", "team", ", values: [pay]", &[]),
        ("NotIn", "team", ", values: [web, pay]", MISSING),
        // A label that is missing is among no values.
        ("NotIn", "tier", ", values: [web]", &[]),
        ("Exists", "team", "", &[]),
        ("Exists", "tier", "", MISSING),
        ("DoesNotExist", "tier", "", &[]),
        ("DoesNotExist", "team", "", MISSING),
        ("In", "kubernetes.io/metadata.name", ", values: [apps]", &[]),
    ] {
        let selector = by(operator, key, values);
        of_gateways(&selector, "{team: web}", &[selector.as_str()], "{}", expected);
    }
}

#[test]
fn all_requirements_of_a_selector_must_be_met() {
    let both = "namespaceSelector: {matchLabels: {team: web}, matchExpressions: [{key: env, operator: NotIn, values: [prod]}]}";
    of_gateways("labels and an expression", "{team: web, env: dev}", &[both], "{}", &[]);
    of_gateways("an expression that is not met", "{team: web, env: prod}", &[both], "{}", MISSING);
    of_gateways("labels that are not met", "{team: pay, env: dev}", &[both], "{}", MISSING);
}

#[test]
fn selectors_that_are_empty_missing_or_null_differ() {
    of_gateways("an empty selector selects all", "{}", &["namespaceSelector: {}"], "{}", &[]);
    of_gateways("a missing one selects nothing", "{}", &["podSelector: {}"], "{}", MISSING);
    of_gateways("so does null", "{}", &["namespaceSelector: null"], "{}", MISSING);
    let all = "namespaceSelector: {}, gatewayRouteSelector: {}";
    of_gateways("an empty selector of routes selects all", "{}", &[all], "{}", &[]);
    let only = "gatewayRouteSelector: {matchLabels: {door: front}}";
    of_gateways("a selector of routes needs one of namespaces", "{}", &[only], "{door: front}", MISSING);
}

#[test]
fn of_several_gateways_exactly_one_selects_a_gateway_route() {
    let all = "namespaceSelector: {}";
    let by = |expression: &str| format!("{all}, gatewayRouteSelector: {{matchExpressions: [{expression}]}}");
    let public = by("{key: public, operator: Exists}");
    let private = by("{key: public, operator: DoesNotExist}");
    of_gateways("two that select all", "{}", &[all, all], "{}", AMBIGUOUS);
    of_gateways("three", "{}", &[all, all, all], "{}", AMBIGUOUS);
    of_gateways("a label for each", "{}", &[public.as_str(), private.as_str()], "{public: 'yes'}", &[]);
    of_gateways("the other of them", "{}", &[public.as_str(), private.as_str()], "{}", &[]);
    of_gateways("one that also selects all", "{}", &[public.as_str(), all], "{public: 'yes'}", AMBIGUOUS);
    let values = by("{key: door, operator: In, values: [front, back]}");
    of_gateways("none of two", "{}", &[public.as_str(), values.as_str()], "{door: side}", MISSING);
    of_gateways("a value of several", "{}", &[public.as_str(), values.as_str()], "{door: back}", &[]);
}

#[test]
fn a_gateway_in_another_namespace_selects_the_namespace_of_the_route() {
    let objects = |labels: &str| {
        vec![
            namespace("apps", labels),
            namespace("edge", "{role: edge}"),
            mesh("shop", "{}"),
            web("apps"),
            gateway_route("apps", "{}"),
            gateway("front", "edge", "namespaceSelector: {matchLabels: {gateway: edge}}"),
        ]
    };
    assert_eq!(found(&objects("{gateway: edge}")).0, Vec::<String>::new());
    // The labels of the gateway's own namespace do not count.
    assert_eq!(found(&objects("{role: edge}")).0, MISSING);
}

#[test]
fn exactly_one_mesh_selects_each_namespace() {
    let by =
        |operator: &str, values: &str| format!("{{matchExpressions: [{{key: mesh, operator: {operator}{values}}}]}}");
    let of = |value: &str| format!("{{matchLabels: {{mesh: {value}}}}}");
    let table: [(&str, Vec<String>, &[&str]); 8] = [
        ("one of two", vec![mesh("a", &of("a")), mesh("b", &of("b"))], &[]),
        ("an expression", vec![mesh("a", &by("In", ", values: [a, b]"))], &[]),
        ("all and one", vec![mesh("a", &of("a")), mesh("b", "{}")], &["manifest-mesh-ambiguous"]),
        (
            "two expressions",
            vec![mesh("a", &by("Exists", "")), mesh("b", &by("NotIn", ", values: [c]"))],
            &["manifest-mesh-ambiguous"],
        ),
        ("none", vec![mesh("a", &of("x"))], &["manifest-mesh-missing"]),
        ("none of two", vec![mesh("a", &of("x")), mesh("b", &by("DoesNotExist", ""))], &["manifest-mesh-missing"]),
        ("a mesh without a selector", vec![mesh("a", "null")], &["manifest-mesh-selects-nothing"]),
        (
            "one of them without a selector",
            vec![mesh("a", &of("a")), mesh("b", "null")],
            &["manifest-mesh-selects-nothing"],
        ),
    ];
    for (name, meshes, expected) in table {
        let mut objects = vec![namespace("apps", "{mesh: a}"), web("apps")];
        objects.extend(meshes);
        let (found, report) = found(&objects);
        assert_eq!(found, expected, "{name}: {report}");
    }
}

#[test]
fn each_namespace_is_judged_by_itself() {
    let by_label = "{matchLabels: {mesh: shop}}";
    let objects = |labels: &str| {
        vec![
            namespace("apps", "{mesh: shop}"),
            namespace("edge", labels),
            mesh("shop", by_label),
            web("apps"),
            gateway("front", "edge", "namespaceSelector: {}"),
            gateway_route("apps", "{}"),
        ]
    };
    assert_eq!(found(&objects("{mesh: shop}")).0, Vec::<String>::new());
    let (rules, report) = found(&objects("{}"));
    assert_eq!(rules, ["manifest-mesh-missing"]);
    assert!(report.contains("namespace `edge`") && !report.contains("no mesh selects namespace `apps`"), "{report}");
}

/// Kubernetes refuses to evaluate such a selector, and the controller refuses every object.
#[test]
fn a_selector_that_is_not_valid_is_refused() {
    for (expression, member) in [
        ("{key: mesh, operator: Equals, values: [a]}", "operator"),
        ("{key: mesh, operator: in, values: [a]}", "operator"),
        ("{key: mesh, operator: In, values: []}", "values"),
        ("{key: other, operator: NotIn, values: []}", "values"),
        ("{key: mesh, operator: Exists, values: [a]}", "values"),
        ("{operator: Exists}", "key"),
    ] {
        let selector = format!("{{matchExpressions: [{expression}]}}");
        let objects = [namespace("apps", "{mesh: a}"), mesh("shop", &selector), web("apps")];
        let folder = Folder::new(&[("mesh.yaml", &objects.join("---\n"))]);
        let (status, text) = folder.check(&["mesh.yaml"]);
        let path = format!("spec.namespaceSelector.matchExpressions[0].{member}: ");
        assert!(status != 0 && text.contains(&path), "{expression}: {status} {text}");
        // The refused selector may have been meant to select it.
        let report = folder.json(&["mesh.yaml"]);
        assert!(rules(&report, "undecided").contains(&"manifest-mesh-missing".to_owned()), "{expression}: {report}");
        // It is refused although another mesh selects the namespace.
        let objects = [namespace("apps", "{mesh: a}"), mesh("all", "{}"), mesh("shop", &selector), web("apps")];
        let (status, text) = Folder::new(&[("mesh.yaml", &objects.join("---\n"))]).check(&["mesh.yaml"]);
        assert!(status != 0 && text.contains(&path), "{expression}: {status} {text}");
    }
}

/// Labels that no file has decide nothing.
#[test]
fn labels_of_a_namespace_that_is_not_declared_are_not_judged() {
    let selector = "{matchLabels: {mesh: shop}}";
    let objects = [
        mesh("shop", selector),
        web("apps"),
        gateway_route("apps", "{}"),
        gateway("front", "apps", &format!("namespaceSelector: {selector}")),
    ];
    assert_eq!(found(&objects).0, Vec::<String>::new());
    // Its name is known.
    let by_name = "{matchLabels: {kubernetes.io/metadata.name: prod}}";
    assert_eq!(found(&[mesh("shop", by_name), web("apps")]).0, ["manifest-mesh-missing"]);
}
