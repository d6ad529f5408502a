//! `meshwarden check` on partly invalid files.

mod folder;

use std::process::Command;

use folder::Folder;
use serde_json::Value;

#[test]
fn a_misspelt_member_is_a_finding_with_its_line() {
    let node = "apiVersion: appmesh.k8s.aws/v1beta2\nkind: VirtualNode\nmetadata: {name: orders, namespace: lab}\nspec:\n  \
                listeners:\n    - HealthCheck: {path: /}\n      portMapping: {port: 80, protocol: http}\n";
    let folder = Folder::new(&[("node.yaml", node)]);
    let (status, text) = folder.check(&["."]);
    assert_eq!(status, 1, "{text}");
    let output = folder.json(&["."]);
    let finding = output["findings"].as_array().unwrap().iter().find(|one| one["rule"] == "member-unknown").unwrap();
    assert_eq!((&finding["facts"]["line"], &finding["facts"]["suggestion"]), (&6.into(), &"healthCheck".into()));
    assert_eq!(finding["source"]["file"], "./node.yaml");
    let log: Value = serde_json::from_str(&folder.check(&[".", "--format", "sarif"]).1).unwrap();
    let results = log["runs"][0]["results"].as_array().unwrap();
    let result = results.iter().find(|result| result["ruleId"] == "member-unknown").unwrap();
    assert_eq!(result["locations"][0]["physicalLocation"]["region"]["startLine"], 6);
}

/// A finding on a gateway route without a gateway is uncertain while the mesh is not among the files.
#[test]
fn memberships_are_judged_where_all_is_there() {
    let object = |kind: &str, name: &str, spec: &str| {
        format!(
            "---\napiVersion: appmesh.k8s.aws/v1beta2\nkind: {kind}\nmetadata: {{name: {name}, namespace: lab}}\nspec: {spec}\n"
        )
    };
    let mesh =
        "---\napiVersion: appmesh.k8s.aws/v1beta2\nkind: Mesh\nmetadata: {name: lab}\nspec: {namespaceSelector: {}}\n";
    let gateway = object("VirtualGateway", "door", "{listeners: [{portMapping: {port: 80, protocol: http}}]}");
    let route = object(
        "GatewayRoute",
        "all",
        "{httpRoute: {match: {prefix: /}, action: {target: {virtualService: {virtualServiceRef: {name: web}}}}}}",
    );
    let part = format!("{gateway}{route}");
    let whole = format!("{mesh}{part}");
    let folder = Folder::new(&[("whole.yaml", &whole), ("part.yaml", &part)]);
    let rules = |output: &Value, list: &str| {
        let findings = output[list].as_array().unwrap().clone();
        findings.into_iter().filter(|finding| finding["rule"] == "manifest-gateway-missing").count()
    };
    let output = folder.json(&["whole.yaml"]);
    assert_eq!((rules(&output, "findings"), rules(&output, "undecided")), (1, 0), "{output}");
    let output = folder.json(&["part.yaml"]);
    assert_eq!((rules(&output, "findings"), rules(&output, "undecided")), (0, 1), "{output}");
}

/// Files that try to exhaust memory, time or the stack are errors with a line number.
#[test]
fn hostile_files_are_refused() {
    let resource = "Resources: {M: {Type: AWS::AppMesh::Mesh, Properties: {MeshName: m}}}\n";
    let copies = format!("{resource}a: &a {}\nb: [{}]\n", "x".repeat(100_000), "*a,".repeat(100_000));
    let deep = format!("{resource}a: {}\n", "[".repeat(1_000_000));
    let chain = format!("resource \"aws_appmesh_mesh\" \"m\" {{ name = {}1 }}\n", "!".repeat(1_000_000));
    for (name, text, expected) in [
        ("copies.yaml", &copies, "anchors and aliases add more than 32 MiB"),
        ("deep.yaml", &deep, "recursion limit exceeded"),
        ("chain.tf", &chain, "nested too deep"),
    ] {
        let (status, output) = Folder::new(&[(name, text)]).check(&["."]);
        assert_eq!(status, 2, "{name}: {output}");
        assert!(output.contains(expected), "{name}: {output}");
    }
}

/// A pipe in a folder has no writer, so a read would block.
#[test]
fn pipe_in_a_folder_is_passed_over() {
    let folder = Folder::new(&[("mesh.json", "{\"mesh\": {\"meshName\": \"m\", \"spec\": {}}}")]);
    let made = Command::new("mkfifo").arg(folder.0.join("pipe.yaml")).status().unwrap();
    assert!(made.success());
    let (status, output) = folder.check(&["."]);
    assert_ne!(status, 2, "{output}");
    assert!(output.contains("Read: 1 file"), "{output}");
}

/// YAML documents in flow style look like JSON. An unreadable document does not affect the others.
#[test]
fn broken_document_among_flow_style_leaves_the_others() {
    let mesh = |name: &str| {
        format!(
            "{{apiVersion: appmesh.k8s.aws/v1beta2, kind: Mesh, metadata: {{name: {name}}}, spec: {{namespaceSelector: {{}}}}}}\n"
        )
    };
    let text = [mesh("a"), "{apiVersion: appmesh.k8s.aws/v1beta2, kind: [\n".to_owned(), mesh("b")].join("---\n");
    let folder = Folder::new(&[("a.yaml", &text)]);
    assert_eq!(folder.json(&["."])["resources"], 2);
    assert_eq!(folder.check(&["."]).0, 2);
}
