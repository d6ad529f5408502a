//! The line of each declaration, also if other text before it has the same name or refers to it.

use std::collections::BTreeMap;

use readers::{File, Surroundings, read_all};

/// The line of each resource, by its path.
fn lines(text: &str) -> BTreeMap<String, usize> {
    let (reading, errors) = read_all(&[File { name: "file", text }], &Surroundings::default());
    assert_eq!((errors.len(), reading.refusals.len()), (0, 0), "{errors:?} {:?}", reading.refusals);
    reading.resources.iter().map(|declared| (declared.path.to_string(), declared.line)).collect()
}

fn expected(lines: &[(&str, usize)]) -> BTreeMap<String, usize> {
    lines.iter().map(|(path, line)| ((*path).to_owned(), *line)).collect()
}

#[test]
fn of_a_template_by_its_logical_id() {
    // `Web` is a parameter and a name in an output, and each logical id is referred to before it is declared.
    let yaml = "\
Parameters:
  Web: {Type: String, Default: web}
Outputs:
  Shop: {Value: !Ref Shop}
Resources:
  WebNode:
    DependsOn: Shop
    Type: AWS::AppMesh::VirtualNode
    Properties: {MeshName: shop, VirtualNodeName: !Ref Web, Spec: {}}
  ApiNode: {Type: AWS::AppMesh::VirtualNode, Properties: {MeshName: shop, VirtualNodeName: WebNode, Spec: {}}}
  Shop:
    Type: AWS::AppMesh::Mesh
    Properties: {MeshName: shop}
";
    let web = [("mesh/shop", 11), ("mesh/shop/virtualNode/WebNode", 10), ("mesh/shop/virtualNode/web", 6)];
    assert_eq!(lines(yaml), expected(&web));
    let json = "{\"Resources\": {\n\"Web\":\n{\"Type\": \"AWS::AppMesh::Mesh\", \"Properties\": {\"MeshName\": \"Shop\"}},\n\"Shop\": {\"Type\":\n\"AWS::AppMesh::Mesh\", \"Properties\": {\"MeshName\": \"Web\"}}}}";
    assert_eq!(lines(json), expected(&[("mesh/Shop", 2), ("mesh/Web", 4)]));
}

#[test]
fn of_manifests_by_their_documents_and_items() {
    let object = |kind: &str, name: &str, spec: &str| {
        format!(
            "kind: {kind}\napiVersion: appmesh.k8s.aws/v1beta2\nmetadata: {{name: {name}, namespace: a}}\nspec: {spec}\n"
        )
    };
    let routes = "\n  meshRef: {name: shop}\n  routes:\n  - name: web\n    tcpRoute: {action: {weightedTargets: [{virtualNodeRef: {name: other}, weight: 1}]}}\n  - name: api\n    tcpRoute: {action: {weightedTargets: [{virtualNodeRef: {name: other}, weight: 1}]}}";
    let in_shop = "{meshRef: {name: shop}, awsName: web}";
    let text = [
        object("VirtualService", "web", in_shop),
        object("VirtualNode", "other", in_shop),
        object("VirtualRouter", "web", routes),
        object("Mesh", "shop", "{}"),
    ]
    .join("---\n# web\n");
    let found = lines(&text);
    assert_eq!(
        found,
        expected(&[
            ("mesh/shop", 25),
            ("mesh/shop/virtualNode/web", 7),
            ("mesh/shop/virtualRouter/web_a", 13),
            ("mesh/shop/virtualRouter/web_a/route/api", 21),
            ("mesh/shop/virtualRouter/web_a/route/web", 19),
            ("mesh/shop/virtualService/web", 1),
        ])
    );
    let list = "kind: List\napiVersion: v1\nitems:\n- kind: Mesh\n  apiVersion: appmesh.k8s.aws/v1beta2\n  metadata: {name: b}\n- kind: Mesh\n  apiVersion: appmesh.k8s.aws/v1beta2\n  metadata: {name: a}\n";
    assert_eq!(lines(list), expected(&[("mesh/a", 7), ("mesh/b", 4)]));
}

/// An unreadable document does not shift the lines of the others.
#[test]
fn with_an_unreadable_document() {
    let mesh = |name: &str| format!("kind: Mesh\napiVersion: appmesh.k8s.aws/v1beta2\nmetadata: {{name: {name}}}\n");
    let text = [mesh("a"), "x: [\n\n".to_owned(), mesh("b")].join("---\n");
    let (reading, _) = read_all(&[File { name: "file", text: &text }], &Surroundings::default());
    let found: Vec<_> = reading.resources.iter().map(|declared| (declared.path.name(), declared.line)).collect();
    assert_eq!(found, [("a", 1), ("b", 8)]);
    assert_eq!(reading.refusals.len(), 1);
}

#[test]
fn of_a_plan_by_the_entry_of_its_module() {
    let resource = |address: &str, name: &str| {
        format!(
            "{{\"address\": \"{address}\",\n\"type\": \"aws_appmesh_mesh\", \"name\": \"x\", \"values\": {{\"name\": \"{name}\"}}}}"
        )
    };
    let text = format!(
        "{{\"terraform_version\": \"1\", \"resource_changes\": [{{\"address\": \"aws_appmesh_mesh.x\"}}],\n\"planned_values\": {{\"root_module\": {{\n\"resources\": [\n{}],\n\"child_modules\": [{{\"address\": \"module.m\", \"resources\": [\n{}]}}]}}}}}}",
        resource("aws_appmesh_mesh.x", "a"),
        resource("module.m.aws_appmesh_mesh.x", "b"),
    );
    assert_eq!(lines(&text), expected(&[("mesh/a", 4), ("mesh/b", 7)]));
}

/// Two routers may each have a route of one name, and two meshes a node.
#[test]
fn of_api_documents_and_config_items_by_their_place() {
    let route = |router: &str| {
        format!(
            "{{\"meshName\": \"shop\", \"virtualRouterName\": \"{router}\",\n\"routeName\": \"main\", \"spec\": {{\"tcpRoute\": {{\"action\": {{\"weightedTargets\": [{{\"virtualNode\": \"main\", \"weight\": 1}}]}}}}}}}}"
        )
    };
    let node = |mesh: &str| {
        format!("{{\"virtualNode\":\n{{\"meshName\": \"{mesh}\",\n\"virtualNodeName\": \"main\", \"spec\": {{}}}}}}")
    };
    let text = format!("[{},\n{},\n{},\n{}]", route("one"), route("two"), node("a"), node("b"));
    assert_eq!(
        lines(&text),
        expected(&[
            ("mesh/a/virtualNode/main", 5),
            ("mesh/b/virtualNode/main", 8),
            ("mesh/shop/virtualRouter/one/route/main", 1),
            ("mesh/shop/virtualRouter/two/route/main", 3),
        ])
    );
    let listed = "{\"virtualNodes\": [\n{\"meshName\": \"a\", \"virtualNodeName\": \"n\", \"spec\": {}},\n\n{\"meshName\": \"b\", \"virtualNodeName\": \"n\", \"spec\": {}}]}";
    assert_eq!(lines(listed), expected(&[("mesh/a/virtualNode/n", 2), ("mesh/b/virtualNode/n", 4)]));
    let item = |mesh: &str| {
        format!(
            "{{\"resourceType\": \"AWS::AppMesh::VirtualNode\",\n\"ResourceName\": \"n\", \"configuration\": {{\"MeshName\": \"{mesh}\", \"VirtualNodeName\": \"n\", \"Spec\": {{}}}}}}"
        )
    };
    let text = format!("{{\"ConfigurationItems\": [{},\n{}]}}", item("a"), item("b"));
    assert_eq!(lines(&text), expected(&[("mesh/a/virtualNode/n", 1), ("mesh/b/virtualNode/n", 3)]));
}

/// Compares the lines of members of a resource in a text.
fn assert_lines(text: &str, path: &str, members: &[(&str, Option<usize>)]) {
    let (reading, errors) = read_all(&[File { name: "file", text }], &Surroundings::default());
    assert!(errors.is_empty() && reading.refusals.is_empty(), "{errors:?} {:?}", reading.refusals);
    let declared = reading.resources.iter().find(|declared| declared.path.to_string() == path).unwrap();
    for (member, line) in members {
        assert_eq!(declared.lines.line_of(member), *line, "{path} {member}");
    }
}

/// The line of each member of a resource, if the text of the form has it.
#[test]
fn of_members_in_each_form() {
    let template = "\
Resources:
  Web:
    Type: AWS::AppMesh::VirtualNode
    Properties:
      MeshName: m
      VirtualNodeName: web
      Tags:
        - {Key: a, Value: b}
      Spec:
        Backends: !If [Some, [{VirtualService: {VirtualServiceName: a}}], !Ref AWS::NoValue]
        Listeners:
          - PortMapping:
              Port: 80
              Protocol: http
          - PortMapping: {Port: 443, Protocol: http}
            TLS:
              Mode: STRICT
              Certificate: {ACM: {CertificateArn: !Ref Arn}}
        ServiceDiscovery: {DNS: {Hostname: a}}
";
    assert_lines(
        template,
        "mesh/m/virtualNode/web",
        &[
            ("spec", Some(9)),
            ("tags", Some(7)),
            ("spec.listeners[0].portMapping.protocol", Some(14)),
            ("spec.listeners[0].healthCheck", Some(12)),
            ("spec.listeners[1]", Some(15)),
            ("spec.listeners[1].tls.mode", Some(17)),
            ("spec.listeners[1].tls.certificate.acm.certificateArn", Some(18)),
            // The text does not decide between the branches.
            ("spec.backends[0]", Some(10)),
            ("spec.serviceDiscovery.dns.hostname", Some(19)),
            ("spec.logging", Some(9)),
        ],
    );
    let manifests = "\
apiVersion: appmesh.k8s.aws/v1beta2
kind: VirtualRouter
metadata: {name: r, namespace: a}
spec:
  meshRef: {name: m}
  listeners:
    - portMapping: {port: 80, protocol: http}
  routes:
    - name: all
      httpRoute:
        match:
          prefix: /
        action:
          weightedTargets:
            - weight: 1
              virtualNodeRef: {name: one}
            - virtualNodeRef:
                name: two
              weight: 1
";
    assert_lines(
        manifests,
        "mesh/m/virtualRouter/r_a",
        &[("spec.listeners[0].portMapping.port", Some(7)), ("spec", Some(4))],
    );
    assert_lines(
        manifests,
        "mesh/m/virtualRouter/r_a/route/all",
        &[
            ("spec.httpRoute.match.prefix", Some(12)),
            ("spec.httpRoute.action.weightedTargets[0].virtualNode", Some(16)),
            ("spec.httpRoute.action.weightedTargets[1].virtualNode", Some(17)),
            ("spec.httpRoute.match.port", Some(11)),
        ],
    );
    let plan = "{\"terraform_version\": \"1\", \"planned_values\": {\"root_module\": {\"resources\": [\n{\"address\": \"aws_appmesh_virtual_router.r\",\n\"type\": \"aws_appmesh_virtual_router\", \"name\": \"r\", \"values\": {\n\"name\": \"r\", \"mesh_name\": \"m\",\n\"tags\": {\"a\": \"b\"},\n\"spec\": [{\n\"listener\": [{\"port_mapping\": [\n{\"port\": 80,\n\"protocol\": \"http\"}]}]}]}}]}}}";
    assert_lines(
        plan,
        "mesh/m/virtualRouter/r",
        &[
            ("tags", Some(5)),
            ("spec.listeners[0]", Some(7)),
            ("spec.listeners[0].portMapping.port", Some(8)),
            ("spec.listeners[0].portMapping.protocol", Some(9)),
        ],
    );
}

#[test]
fn of_members_in_documents_and_items() {
    let api = "{\"meshName\": \"m\", \"virtualRouterName\": \"r\",\n\"spec\": {\n\"listeners\": [\n{\"portMapping\": {\"port\": 80,\n\"protocol\": \"http\"}}]}}";
    assert_lines(api, "mesh/m/virtualRouter/r", &[("spec.listeners[0].portMapping.protocol", Some(5))]);
    let alone = "{\n\"listeners\": [\n{\"portMapping\":\n{\"port\": 80, \"protocol\": \"http\"}}]}";
    let (reading, _) = read_all(&[File { name: "file", text: alone }], &Surroundings::default());
    assert_eq!(reading.resources[0].lines.line_of("spec.listeners[0].portMapping.port"), Some(4));
    let item = |configuration: &str| {
        format!("{{\"resourceType\": \"AWS::AppMesh::VirtualRouter\",\n\"configuration\": {configuration}}}")
    };
    let object = "{\"MeshName\": \"m\", \"VirtualRouterName\": \"r\",\n\"Spec\": {\n\"Listeners\": [{\"PortMapping\": {\"Port\": 80, \"Protocol\": \"http\"}}]}}";
    assert_lines(&item(object), "mesh/m/virtualRouter/r", &[("spec.listeners[0].portMapping.port", Some(4))]);
    // A text inside a text has no line numbers.
    let text = serde_json::Value::from(object).to_string();
    assert_lines(&item(&text), "mesh/m/virtualRouter/r", &[("spec.listeners[0].portMapping.port", None)]);
}
