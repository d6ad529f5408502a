//! `meshwarden check` on values and parts of files that decide what is created: loops, modules, booleans and selectors.

mod folder;

use folder::{Files, Folder, rules};

fn object(kind: &str, metadata: &str, spec: &str) -> String {
    format!("apiVersion: appmesh.k8s.aws/v1beta2\nkind: {kind}\nmetadata: {{{metadata}}}\nspec: {spec}\n")
}

fn mesh() -> String {
    object("Mesh", "name: shop", "{namespaceSelector: {}, egressFilter: {type: DROP_ALL}}")
}

/// A virtual node of a namespace with a pod selector.
fn node(name: &str, namespace: &str, selector: &str) -> String {
    object(
        "VirtualNode",
        &format!("name: {name}, namespace: {namespace}"),
        &format!(
            "{{listeners: [{{portMapping: {{port: 8080, protocol: http}}}}], \
             serviceDiscovery: {{dns: {{hostname: {name}.local}}}}{selector}}}"
        ),
    )
}

/// The nested template makes a node for each name that its parent gives it.
#[test]
fn loops_over_a_list_of_the_parent_stack_are_expanded() {
    let child = |default: &str| {
        format!(
            "Transform: AWS::LanguageExtensions\nParameters:\n  Names: {{Type: CommaDelimitedList{default}}}\nResources:\n  \
             'Fn::ForEach::Nodes':\n    - Name\n    - !Ref Names\n    - 'Node${{Name}}':\n        Type: \
             AWS::AppMesh::VirtualNode\n        Properties: {{MeshName: shop, VirtualNodeName: !Sub '${{Name}}-node', Spec: \
             {{Listeners: [{{PortMapping: {{Port: 8080, Protocol: http}}}}], ServiceDiscovery: {{DNS: {{Hostname: a.local}}}}}}}}\n"
        )
    };
    let root = |names: &str, more: &str| {
        format!(
            "Resources:\n  Mesh: {{Type: AWS::AppMesh::Mesh, Properties: {{MeshName: shop}}}}\n  App: {{Type: \
             AWS::CloudFormation::Stack, Properties: {{TemplateURL: child.yaml, Parameters: {{Names: {names}}}}}}}\n{more}"
        )
    };
    let core = "Resources: {Topic: {Type: AWS::SNS::Topic}}\nOutputs: {Names: {Value: !Join [',', [a, b, c]]}}\n";
    let sibling = "  Core: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: core.yaml}}\n";
    for (name, names, more, default, nodes) in [
        ("a text", "'a,b'", "", "", &["a-node", "b-node"][..]),
        ("a list", "!Join [',', [a, b]]", "", "", &["a-node", "b-node"]),
        ("instead of the default", "'a,b'", "", ", Default: 'x'", &["a-node", "b-node"]),
        ("an output of a sibling", "!GetAtt Core.Outputs.Names", sibling, "", &["a-node", "b-node", "c-node"]),
    ] {
        let (root, child) = (root(names, more), child(default));
        let folder = Folder::new(&[("root.yaml", &root), ("child.yaml", &child), ("core.yaml", core)]);
        let report = folder.json(&["."]);
        assert_eq!(report["resources"], nodes.len() + 1, "{name}: {report}");
        assert_eq!(
            (&report["refusals"], &report["unreadable"]),
            (&serde_json::json!([]), &serde_json::json!([])),
            "{name}"
        );
        let text = report.to_string();
        for node in nodes {
            assert!(text.contains(&format!("mesh/shop/virtualNode/{node}")), "{name}: {node}: {text}");
        }
        assert!(!text.contains("x-node"), "{name}: {text}");
    }
    // A list that only a deployment knows.
    let (root, child) = (root("!GetAtt Other.Names", ""), child(""));
    let (status, text) = Folder::new(&[("root.yaml", &root), ("child.yaml", &child)]).check(&["."]);
    assert!(status == 2 && text.contains("over an unknown collection"), "{text}");
}

/// The controller refuses a pod that two virtual nodes of its namespace select.
#[test]
fn virtual_nodes_with_the_same_pods_are_found() {
    let selector = |labels: &str| format!(", podSelector: {{matchLabels: {labels}}}");
    let by_values =
        |values: &str| format!(", podSelector: {{matchExpressions: [{{key: app, operator: In, values: {values}}}]}}");
    let found = |one: String, other: String| {
        let objects = [mesh(), one, other].join("---\n");
        let report = Folder::new(&[("mesh.yaml", &objects)]).json(&["."]);
        let mut found = rules(&report, "findings");
        found.retain(|rule| rule == "manifest-pods-ambiguous");
        (found.len(), report.to_string())
    };
    let web = selector("{app: web}");
    for (name, one, other, expected) in [
        ("the same labels", node("a", "apps", &web), node("b", "apps", &web), 2),
        ("one label more", node("a", "apps", &web), node("b", "apps", &selector("{app: web, version: v1}")), 2),
        ("all pods", node("a", "apps", ", podSelector: {}"), node("b", "apps", &web), 2),
        ("labels and an expression", node("a", "apps", &web), node("b", "apps", &by_values("[web]")), 2),
        ("the same expression", node("a", "apps", &by_values("[x, y]")), node("b", "apps", &by_values("[y, x]")), 2),
        ("other labels", node("a", "apps", &web), node("b", "apps", &selector("{app: orders}")), 0),
        ("another namespace", node("a", "apps", &web), node("b", "other", &web), 0),
        ("no selector", node("a", "apps", ""), node("b", "apps", ""), 0),
    ] {
        let (count, report) = found(one, other);
        assert_eq!(count, expected, "{name}: {report}");
    }
}

/// A module that was not read may have App Mesh resources, also where the files next to it have some.
#[test]
fn unread_modules_next_to_a_readable_mesh_are_undecided() {
    let mesh = "resource \"aws_appmesh_mesh\" \"m\" {\n  name = \"shop\"\n}\n";
    let module = "module \"nodes\" {\n  source = \"git::https://example.com/nodes.git\"\n}\n";
    let both = format!("{mesh}{module}");
    let plan = r#"{"format_version": "1.2", "terraform_version": "1.11.4", "planned_values": {"root_module": {"resources": [
        {"address": "aws_appmesh_mesh.m", "mode": "managed", "type": "aws_appmesh_mesh", "name": "m",
         "values": {"name": "shop", "spec": [{"egress_filter": [{"type": "DROP_ALL"}]}]}}]}}}"#;
    let manifest = object("Mesh", "name: shop", "{namespaceSelector: {}}");
    let never = ["--fail-on", "never"];
    let table: [(&str, Files<'_>, i32); 5] = [
        ("in one file", &[("main.tf", &both)], 2),
        ("in another file of the module", &[("mesh.tf", mesh), ("nodes.tf", module)], 2),
        ("in another folder", &[("mesh/main.tf", mesh), ("live/main.tf", module)], 2),
        ("next to manifests", &[("mesh.yaml", &manifest), ("main.tf", module)], 2),
        ("next to a plan, which has all modules", &[("plan.json", plan), ("main.tf", module)], 0),
    ];
    for (name, files, expected) in table {
        let folder = Folder::new(files);
        let (status, text) = folder.check(&[&["."], &never[..]].concat());
        assert_eq!(status, expected, "{name}: {text}");
        assert!(text.contains("module.nodes: `git::https://example.com/nodes.git` was not read"), "{name}: {text}");
        assert_eq!(text.contains("undecided"), expected == 2, "{name}: {text}");
        let (status, text) = folder.check(&[&[".", "--allow-unread-modules"], &never[..]].concat());
        assert!(status == 0 && text.contains("was not read"), "{name}: {text}");
    }
}

/// Kubernetes reads manifests by YAML 1.1.
#[test]
fn plain_yes_and_no_of_manifests_are_booleans() {
    let node = |enforce: &str| {
        let tls = format!("{{enforce: {enforce}, validation: {{trust: {{file: {{certificateChain: /ca.pem}}}}}}}}");
        object(
            "VirtualNode",
            "name: web, namespace: apps",
            &format!(
                "{{backends: [{{virtualService: {{virtualServiceRef: {{name: web}}}}}}], backendDefaults: {{clientPolicy: {{tls: {tls}}}}}, podSelector: {{matchLabels: {{app: web}}}}, \
                 listeners: [{{portMapping: {{port: 8080, protocol: http}}}}], serviceDiscovery: {{dns: {{hostname: a.local}}}}}}"
            ),
        )
    };
    let service = object(
        "VirtualService",
        "name: web, namespace: apps",
        "{awsName: web.local, provider: {virtualNode: {virtualNodeRef: {name: web}}}}",
    );
    let report = |node: &str| {
        let objects = [mesh(), service.clone(), node.to_owned()].join("---\n");
        Folder::new(&[("mesh.yaml", &objects)]).json(&["."])
    };
    let not_enforced = |enforce: &str| {
        let report = report(&node(enforce));
        assert_eq!(report["refusals"], serde_json::json!([]), "{enforce}: {report}");
        rules(&report, "findings").contains(&"node-backend-tls-not-enforced".to_owned())
    };
    for (enforce, expected) in
        [("no", true), ("off", true), ("N", true), ("yes", false), ("On", false), ("true", false)]
    {
        assert_eq!(not_enforced(enforce), expected, "{enforce}");
    }
    // A text is not a boolean, and a boolean is not a label.
    for (name, object, member) in [
        ("a quoted text", node("'no'"), "enforce"),
        (
            "a label",
            node("yes").replace("namespace: apps", "namespace: apps, labels: {public: on}"),
            "metadata.labels.public",
        ),
        ("a selected label", node("yes").replace("{app: web}", "{public: no}"), "spec.podSelector.matchLabels.public"),
        ("a number", node("yes").replace("{app: web}", "{version: 1}"), "spec.podSelector.matchLabels.version"),
    ] {
        let refusals = report(&object)["refusals"].to_string();
        assert!(refusals.contains(member), "{name}: {refusals}");
    }
}

/// DNS has no longer name, so no call reaches such a host.
#[test]
fn host_names_of_more_than_253_characters_are_refused() {
    let host = |labels: usize, last: &str| {
        format!("{}{last}", "a234567890123456789012345678901234567890123456789.".repeat(labels))
    };
    for (name, host, is_refused) in [
        ("253 characters", host(5, "abc"), false),
        ("and the dot of the root", host(5, "abc."), false),
        ("254 characters", host(5, "abcd"), true),
    ] {
        let node = object(
            "VirtualNode",
            "name: web, namespace: apps",
            &format!(
                "{{listeners: [{{portMapping: {{port: 80, protocol: http}}}}], serviceDiscovery: {{dns: {{hostname: {host}}}}}}}"
            ),
        );
        let objects = [mesh(), node].join("---\n");
        let (status, text) = Folder::new(&[("mesh.yaml", &objects)]).check(&[".", "--fail-on", "never", "--all"]);
        assert_eq!(text.contains("253 characters at most"), is_refused, "{name}: {status} {text}");
    }
}
