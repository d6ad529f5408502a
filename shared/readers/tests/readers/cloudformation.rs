//! CloudFormation: each function, each pseudo parameter, conditions, and unknown values.

use std::collections::BTreeMap;

use readers::{Note, Reading, Skipped, Surroundings, read};
use serde_json::{Value, json};

/// The declarations around the resource under test.
const HEAD: &str = r"
Parameters:
  Name: {Type: String, Default: shop}
  Port: {Type: Number, Default: 8080}
  Bare: {Type: String}
  BarePort: {Type: Number}
  Names: {Type: CommaDelimitedList, Default: 'a, b,c'}
  Stored: {Type: 'AWS::SSM::Parameter::Value<String>', Default: /mesh/name}
Mappings:
  Regions:
    eu-west-1: {Host: eu.local, Port: 8081}
Conditions:
  Yes: !Equals [!Ref Name, shop]
  No: !Not [!Condition Yes]
  Both: !And [!Condition Yes, !Condition No]
  Either: !Or [!Condition Yes, !Condition Open]
  Open: !Equals [!Ref Bare, x]
  Same: !Equals [!Ref Bare, !Ref Bare]
  Circle: !Not [!Condition Circle]
  OpenAndNo: !And [!Condition Open, !Condition No]
";

fn around() -> Surroundings {
    Surroundings {
        region: Some("eu-west-1".to_owned()),
        account: Some("123456789012".to_owned()),
        exports: BTreeMap::from([("zone".to_owned(), "exported.local".to_owned())]),
        ..Surroundings::default()
    }
}

fn template(resources: &str, around: &Surroundings) -> Reading {
    read(&format!("{HEAD}Resources:\n{resources}"), "mesh.yaml", around).unwrap()
}

/// Reads a virtual node with an expression as host name.
fn hostname(expression: &str) -> (Option<Value>, Vec<Note>) {
    let node = format!(
        "
  Mesh: {{Type: AWS::AppMesh::Mesh, Properties: {{MeshName: !Ref Name}}}}
  Zone: {{Type: AWS::ServiceDiscovery::PrivateDnsNamespace, Properties: {{Name: shop.local, Vpc: vpc-1}}}}
  Edge: {{Type: AWS::AppMesh::VirtualGateway, Properties: {{MeshName: shop, Spec: {{Listeners: []}}}}}}
  Node:
    Type: AWS::AppMesh::VirtualNode
    Properties:
      MeshName: !GetAtt Mesh.MeshName
      VirtualNodeName: orders
      Spec:
        ServiceDiscovery:
          DNS:
            Hostname: {expression}
"
    );
    let reading = template(&node, &around());
    let node = reading.resources.iter().find(|resource| resource.source.id == "Node");
    let hostname = node.map(|node| node.spec.to_json()["serviceDiscovery"]["dns"]["hostname"].clone());
    let notes = reading.remarks.into_iter().filter(|remark| remark.source.id == "Node").map(|remark| remark.note);
    (hostname, notes.collect())
}

#[test]
fn functions_are_evaluated() {
    let table = [
        ("!Ref Name", "shop"),
        ("{Ref: Name}", "shop"),
        ("!Sub 'orders.${Name}.local'", "orders.shop.local"),
        ("{'Fn::Sub': 'orders.${ Name }.local'}", "orders.shop.local"),
        ("!Sub ['${a}.${Name}', {a: !Ref Port}]", "8080.shop"),
        ("!Sub '${!Name}.${AWS::Region}'", "${Name}.eu-west-1"),
        ("!Sub '${Mesh.MeshName}.local'", "shop.local"),
        ("!Sub '${Names}'", "a,b,c"),
        ("!Sub 'a${'", "a${"),
        ("!Join ['.', [orders, !Ref Name, local]]", "orders.shop.local"),
        ("!Join ['-', !Ref Names]", "a-b-c"),
        ("{'Fn::Join': ['', [a, {Ref: 'AWS::NoValue'}, b]]}", "ab"),
        ("!Select [1, !Ref Names]", "b"),
        ("!Select ['2', !Split ['.', a.b.c]]", "c"),
        ("!FindInMap [Regions, !Ref AWS::Region, Host]", "eu.local"),
        ("!FindInMap [Regions, nowhere, Host, {DefaultValue: d.local}]", "d.local"),
        ("!GetAtt Mesh.MeshName", "shop"),
        ("{'Fn::GetAtt': [Mesh, MeshName]}", "shop"),
        ("!GetAtt Zone.Name", "shop.local"),
        ("!GetAtt Mesh.Arn", "arn:aws:appmesh:eu-west-1:123456789012:mesh/shop"),
        ("!Ref Mesh", "arn:aws:appmesh:eu-west-1:123456789012:mesh/shop"),
        ("!Ref Edge", "arn:aws:appmesh:eu-west-1:123456789012:mesh/shop/virtualGateway/Edge"),
        ("!GetAtt Mesh.MeshOwner", "123456789012"),
        ("!ImportValue zone", "exported.local"),
        ("{'Fn::ImportValue': !Sub 'zone'}", "exported.local"),
        ("!If [Yes, a, b]", "a"),
        ("!If [No, a, b]", "b"),
        ("!If [Both, a, b]", "b"),
        ("!If [Either, a, b]", "a"),
        ("!If [Same, a, b]", "a"),
        ("!If [OpenAndNo, a, b]", "b"),
        ("!If [Open, a, a]", "a"),
        ("{'Fn::If': [Yes, !If [No, a, !Ref Name], c]}", "shop"),
        ("!Ref AWS::Region", "eu-west-1"),
        ("!Ref AWS::AccountId", "123456789012"),
        ("!Ref AWS::Partition", "aws"),
        ("!Ref AWS::URLSuffix", "amazonaws.com"),
        ("{'Fn::ToJsonString': {a: !Ref Name}}", r#"{"a":"shop"}"#),
        ("8080", "8080"),
        ("007", "007"),
    ];
    for (expression, expected) in table {
        assert_eq!(hostname(expression), (Some(json!(expected)), vec![]), "{expression}");
    }
}

#[test]
fn unknown_values_are_placeholders_with_a_remark() {
    let table = [
        ("!Ref Bare", "${Bare}"),
        ("!Ref Stored", "${Stored}"),
        ("!Ref Vanished", "${Vanished}"),
        ("!Ref AWS::StackName", "${AWS::StackName}"),
        ("!Sub 'a.${Bare}.b'", "a.${Bare}.b"),
        ("!Join ['.', [!Ref Bare, local]]", "${Bare}.local"),
        ("!Select [0, !Ref Bare]", "${Fn::Select 0 Bare}"),
        ("!Select [9, !Ref Names]", "${Fn::Select 9}"),
        ("!Split ['.', !Ref Bare]", "${Fn::Split Bare}"),
        ("!FindInMap [Regions, !Ref Bare, Host]", "${Fn::FindInMap Regions Bare Host}"),
        ("!GetAtt Vanished.Name", "${Vanished.Name}"),
        ("!GetAtt Mesh.Uid", "${Mesh.Uid}"),
        ("!ImportValue 'a/b'", "${Fn::ImportValue a.b}"),
        ("!GetAZs ''", "${Fn::GetAZs}"),
        ("!If [Open, a, b]", "${Fn::If Open}"),
        ("!If [Circle, a, b]", "${Fn::If Circle}"),
        ("!If [Vanished, a, b]", "${Fn::If Vanished}"),
        ("!Transform {Name: AWS::Include}", "${Fn::Transform}"),
        ("!Cidr [10.0.0.0/8, 1, 8]", "${Fn::Cidr}"),
    ];
    for (expression, expected) in table {
        let (hostname, notes) = hostname(expression);
        assert_eq!(hostname, Some(json!(expected)), "{expression}");
        assert!(matches!(notes.as_slice(), [Note::Unresolved { .. }]), "{expression}: {notes:?}");
    }
}

#[test]
fn given_parameters_come_before_defaults() {
    let mut around = around();
    around.parameters.insert("Name".to_owned(), "given".to_owned());
    let reading = template("  Mesh: {Type: AWS::AppMesh::Mesh, Properties: {MeshName: !Ref Name}}", &around);
    assert_eq!(reading.resources[0].path.to_string(), "mesh/given");
}

#[test]
fn unknown_number_refuses_its_resource_by_name() {
    let router = "
  Router:
    Type: AWS::AppMesh::VirtualRouter
    Properties:
      MeshName: shop
      Spec: {Listeners: [{PortMapping: {Port: !Ref BarePort, Protocol: http}}]}
  Other:
    Type: AWS::AppMesh::VirtualRouter
    Properties:
      MeshName: shop
      Spec: {Listeners: [{PortMapping: {Port: !Ref Port, Protocol: http}}]}
";
    let reading = template(router, &around());
    assert_eq!(
        reading.refusals[0].to_string(),
        "mesh.yaml:27: Router: spec.listeners[0].portMapping.port: depends on `${BarePort}`, which has no value here: \
         give it one"
    );
    assert_eq!(reading.resources.len(), 1, "the other resource is read");
    let port = &reading.resources[0].spec.to_json()["listeners"][0]["portMapping"]["port"];
    assert_eq!(*port, json!(8080), "a parameter's text is a number where one belongs");
}

#[test]
fn conditions_include_or_exclude_a_resource() {
    let node = |condition: &str| {
        let text = format!("  Mesh: {{Type: AWS::AppMesh::Mesh, Condition: {condition}, Properties: {{}}}}");
        let reading = template(&text, &around());
        (reading.resources.len(), reading.remarks.into_iter().map(|remark| remark.note).next())
    };
    assert_eq!(node("Yes"), (1, Some(Note::NameAssumed { name: "Mesh".to_owned() })));
    let reason = Skipped::ConditionFalse { condition: "No".to_owned() };
    assert_eq!(node("No"), (0, Some(Note::NotRead { reason })));
    assert_eq!(node("Open"), (1, Some(Note::ConditionUnknown { condition: "Open".to_owned() })));
}

#[test]
fn no_value_removes_a_member() {
    let node = "
  Node:
    Type: AWS::AppMesh::VirtualNode
    Properties:
      MeshName: shop
      VirtualNodeName: orders
      Spec:
        Listeners:
          - PortMapping: {Port: '8080', Protocol: http}
            TLS: !If [No, {Mode: STRICT}, !Ref AWS::NoValue]
        Backends: [!If [No, {VirtualService: {VirtualServiceName: x}}, !Ref AWS::NoValue]]
      Tags: [{Key: team, Value: !Ref Name}, {Key: open, Value: !Ref Bare}]
";
    let reading = template(node, &around());
    let read = &reading.resources[0];
    let expected = json!({"backends": [], "listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}]});
    assert_eq!(read.spec.to_json(), expected);
    let tags = read.tags.as_ref().unwrap();
    assert_eq!(tags.iter().collect::<Vec<_>>(), [("open", "${Bare}"), ("team", "shop")]);
    assert_eq!(
        reading.remarks[0].to_string(),
        "mesh.yaml: Node: tags.open: `${Bare}` has no value here and stands as text"
    );
}

#[test]
fn unread_members_are_reported() {
    let node = "
  Node:
    Type: AWS::AppMesh::VirtualNode
    Properties:
      MeshName: shop
      VirtualNodeName: orders
      Colour: blue
      Spec: {Listeners: [{PortMapping: {Port: 1, Protocol: http, Speed: {Fast: 1}}}]}
";
    let reading = template(node, &around());
    let parts: Vec<&str> = reading.faults.iter().map(|fault| fault.part.as_str()).collect();
    assert_eq!(parts, ["Colour", "Spec.Listeners[0].PortMapping.Speed"]);
    let mapping = &reading.resources[0].spec.to_json()["listeners"][0]["portMapping"];
    assert_eq!(*mapping, json!({"port": 1, "protocol": "http"}), "CloudFormation takes no such member");
}

#[test]
fn circular_names_terminate() {
    let text = "
  A: {Type: AWS::AppMesh::Mesh, Properties: {MeshName: !GetAtt B.MeshName}}
  B: {Type: AWS::AppMesh::Mesh, Properties: {MeshName: !Sub '${A.MeshName}${A.MeshName}'}}
";
    let reading = template(text, &around());
    assert_eq!(reading.resources.len() + reading.refusals.len(), 2);
    let chain: Vec<String> = (1..200)
        .map(|n| {
            let before = n - 1;
            format!("  M{n}: {{Type: AWS::AppMesh::Mesh, Properties: {{MeshName: !Sub '${{M{before}.MeshName}}${{M{before}.MeshName}}'}}}}")
        })
        .collect();
    let reading = template(
        &format!("  M0: {{Type: AWS::AppMesh::Mesh, Properties: {{MeshName: m}}}}\n{}", chain.join("\n")),
        &around(),
    );
    assert_eq!(reading.resources.len() + reading.refusals.len(), 200);
}

#[test]
fn json_template_is_read_like_yaml() {
    let text = r#"{"Resources": {"Mesh": {"Type": "AWS::AppMesh::Mesh", "Properties":
        {"MeshName": {"Fn::Join": ["-", ["a", {"Ref": "AWS::Region"}]]}}}}}"#;
    let reading = read(text, "mesh.json", &around()).unwrap();
    assert_eq!(reading.resources[0].path.to_string(), "mesh/a-eu-west-1");
}

#[test]
fn resource_of_a_loop_is_refused_by_its_name() {
    let resources = r"
  Mesh: {Type: AWS::AppMesh::Mesh, Properties: {MeshName: shop}}
  Fn::ForEach::Nodes:
    - Service
    - !Ref Bare
    - Node${Service}:
        Type: AWS::AppMesh::VirtualNode
        Properties: {MeshName: shop, VirtualNodeName: !Sub '${Service}', Spec: {}}
      Queue${Service}: {Type: AWS::SQS::Queue}
      Fn::ForEach::Routers:
        - Zone
        - [a, b]
        - Router${Service}${Zone}: {Type: AWS::AppMesh::VirtualRouter, Properties: {MeshName: shop, Spec: {}}}
  Fn::ForEach::Queues: [Name, [x], {'Queue${Name}': {Type: AWS::SQS::Queue}}]
  Fn::ForEach::Odd: nothing
";
    let reading = template(resources, &around());
    let refused: Vec<(&str, bool)> = reading
        .refusals
        .iter()
        .map(|refusal| (refusal.source_.id.as_str(), refusal.to_string().contains("created by the loop Fn::ForEach::")))
        .collect();
    let expected = [("Node${Service}", true), ("Router${Service}${Zone}", true), ("Fn::ForEach::Odd", false)];
    assert_eq!(refused, expected);
    assert_eq!(reading.resources.len(), 1, "the other resources are read");
}

/// A loop over a list, or over a parameter with a value, creates each of its resources.
#[test]
fn loops_over_known_values_are_expanded() {
    let text = "\
Parameters: {Names: {Type: CommaDelimitedList, Default: 'pay, web'}}
Transform: AWS::LanguageExtensions
Resources:
  Fn::ForEach::Nodes:
    - Service
    - !Ref Names
    - Node${Service}:
        Type: AWS::AppMesh::VirtualNode
        Properties:
          MeshName: shop
          VirtualNodeName: !Ref Service
          Spec: {ServiceDiscovery: {DNS: {Hostname: !Sub '${Service}.local'}}, Listeners: [{PortMapping: {Port: 80, Protocol: http}}]}
      Fn::ForEach::Versions:
        - Version
        - [v.1]
        - Service${Service}&{Version}:
            Type: AWS::AppMesh::VirtualService
            Properties:
              MeshName: shop
              VirtualServiceName: !Sub '${Service}-${Version}'
              Spec: {Provider: {VirtualNode: {VirtualNodeName: !GetAtt 'Node${Service}.VirtualNodeName'}}}
";
    let reading = read(text, "mesh.yaml", &around()).unwrap();
    assert_eq!((&reading.refusals, &reading.remarks), (&vec![], &vec![]));
    let found: Vec<(String, &str, usize)> = reading
        .resources
        .iter()
        .map(|declared| (declared.path.to_string(), declared.source.id.as_str(), declared.line))
        .collect();
    let expected = [
        ("mesh/shop/virtualNode/pay", "Nodepay"),
        ("mesh/shop/virtualNode/web", "Nodeweb"),
        ("mesh/shop/virtualService/pay-v.1", "Servicepayv1"),
        ("mesh/shop/virtualService/web-v.1", "Servicewebv1"),
    ];
    assert_eq!(found, expected.map(|(path, id)| (path.to_owned(), id, 4)));
    let service = reading.resources[3].spec.to_json();
    assert_eq!(service["provider"]["virtualNode"]["virtualNodeName"], "web");
}
