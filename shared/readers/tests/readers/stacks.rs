//! Stacks that are read together: exports, nested stacks, and the forms in which the CDK passes values.

use std::collections::BTreeMap;

use readers::{File, Note, Reading, Skipped, Surroundings, read_all};
use serde_json::json;

fn stacks(files: &[(&str, &str)], around: &Surroundings) -> Reading {
    let files: Vec<File<'_>> = files.iter().map(|(name, text)| File { name, text }).collect();
    let (reading, errors) = read_all(&files, around);
    assert_eq!(errors, []);
    assert_eq!(reading.refusals, []);
    reading
}

fn paths(reading: &Reading) -> Vec<String> {
    reading.resources.iter().map(|resource| resource.path.to_string()).collect()
}

fn core(export: &str) -> String {
    format!(
        "Parameters: {{Env: {{Type: String}}}}\nResources:\n  Mesh: {{Type: AWS::AppMesh::Mesh, Properties: {{MeshName: quay}}}}\n\
         Outputs:\n  MeshName: {{Value: !GetAtt Mesh.MeshName, Export: {{Name: {export}}}}}\n"
    )
}

fn service(import: &str) -> String {
    format!(
        "Parameters: {{Env: {{Type: String}}, Network: {{Type: String, Default: net}}}}\nResources:\n  \
         Node: {{Type: AWS::AppMesh::VirtualNode, Properties: {{MeshName: {import}, VirtualNodeName: crate, Spec: {{}}}}}}\n"
    )
}

const TOGETHER: [&str; 2] = ["mesh/quay", "mesh/quay/virtualNode/crate"];

#[test]
fn an_export_of_one_template_is_the_import_of_another() {
    let table = [
        ("quay-mesh", "!ImportValue quay-mesh"),
        ("'core:ExportsOutputFnGetAttMesh1'", "{'Fn::ImportValue': 'core:ExportsOutputFnGetAttMesh1'}"),
        // A parameter without a value has the same unknown value in both.
        ("!Sub '${Env}:Mesh'", "{'Fn::ImportValue': !Sub '${Env}:Mesh'}"),
        // The stack's name is unknown, and only one export matches.
        ("!Sub '${AWS::StackName}-Mesh'", "{'Fn::ImportValue': !Sub '${Network}-Mesh'}"),
    ];
    for (export, import) in table {
        let (core, service) = (core(export), service(import));
        for files in
            [[("a.yaml", core.as_str()), ("b.yaml", service.as_str())], [("b.yaml", &service), ("c.yaml", &core)]]
        {
            let reading = stacks(&files, &Surroundings::default());
            assert_eq!(paths(&reading), TOGETHER, "{export}");
            assert_eq!(reading.remarks, [], "{export}");
        }
    }
}

#[test]
fn given_value_wins_and_conflicting_values_are_unknown() {
    let (core, service) = (core("quay-mesh"), service("!ImportValue quay-mesh"));
    let around = Surroundings {
        exports: BTreeMap::from([("quay-mesh".to_owned(), "given".to_owned())]),
        ..Surroundings::default()
    };
    let reading = stacks(&[("a.yaml", &core), ("b.yaml", &service)], &around);
    assert_eq!(paths(&reading), ["mesh/quay", "mesh/given/virtualNode/crate"]);

    let other = core.replace("MeshName: quay", "MeshName: other");
    let reading = stacks(&[("a.yaml", &core), ("b.yaml", &service), ("c.yaml", &other)], &Surroundings::default());
    let unknown = "mesh/${Fn::ImportValue quay-mesh}/virtualNode/crate".to_owned();
    assert!(paths(&reading).contains(&unknown), "{:?}", paths(&reading));
    let conditional = core
        .replace("MeshName: {Value", "MeshName: {Condition: No, Value")
        .replace("Resources:", "Conditions: {No: !Equals [a, b]}\nResources:");
    let reading = stacks(&[("a.yaml", &conditional), ("b.yaml", &service)], &Surroundings::default());
    assert!(paths(&reading).contains(&unknown), "an output that is not created: {:?}", paths(&reading));
}

const CHILD: &str = "
Parameters: {MeshName: {Type: String}, Port: {Type: Number, Default: 80}}
Resources:
  Node:
    Type: AWS::AppMesh::VirtualNode
    Properties:
      MeshName: !Ref MeshName
      VirtualNodeName: !Sub 'node-${Port}'
      Spec: {}
Outputs: {Node: {Value: !GetAtt Node.VirtualNodeName}}
";

#[test]
fn nested_stacks_receive_parameters_and_return_outputs() {
    let root = "
Resources:
  Mesh: {Type: AWS::AppMesh::Mesh, Properties: {MeshName: quay}}
  One: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: ./child.yaml, Parameters: {MeshName: !GetAtt Mesh.MeshName}}}
  Two:
    Type: AWS::CloudFormation::Stack
    Properties:
      TemplateURL: !Sub 'https://s3.amazonaws.com/${Bucket}/stacks/child.yaml'
      Parameters: {MeshName: quay, Port: 81}
  Service:
    Type: AWS::AppMesh::VirtualService
    Properties:
      MeshName: quay
      VirtualServiceName: s.local
      Spec: {Provider: {VirtualNode: {VirtualNodeName: !GetAtt One.Outputs.Node}}}
";
    let reading = stacks(&[("stacks/root.yaml", root), ("stacks/child.yaml", CHILD)], &Surroundings::default());
    let expected = [
        "mesh/quay",
        "mesh/quay/virtualNode/node-80",
        "mesh/quay/virtualNode/node-81",
        "mesh/quay/virtualService/s.local",
    ];
    assert_eq!(paths(&reading), expected);
    assert_eq!(reading.remarks, []);
    let ids: Vec<&str> = reading.resources.iter().map(|resource| resource.source.id.as_str()).collect();
    assert_eq!(ids, ["Mesh", "One.Node", "Two.Node", "Service"], "two stacks of one template are distinct");
    let provider = reading.resources[3].spec.to_json();
    assert_eq!(provider["provider"]["virtualNode"]["virtualNodeName"], "node-80");
    assert_eq!(reading.resources[1].source.file, "stacks/child.yaml");
}

#[test]
fn value_passes_through_a_chain_of_stacks() {
    let root = "
Resources:
  Core: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: core.yaml}}
  App: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: app.yaml, Parameters: {Mesh: !GetAtt Core.Outputs.MeshName}}}
";
    let app = "
Parameters: {Mesh: {Type: String}}
Resources:
  Child: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: child.yaml, Parameters: {MeshName: !Ref Mesh}}}
";
    let core = core("quay-mesh");
    let files = [("root.yaml", root), ("core.yaml", core.as_str()), ("app.yaml", app), ("child.yaml", CHILD)];
    assert_eq!(paths(&stacks(&files, &Surroundings::default())), ["mesh/quay", "mesh/quay/virtualNode/node-80"]);
}

#[test]
fn nested_stack_elsewhere_is_remarked_on_and_one_not_created_is_skipped() {
    let root = |condition: &str| {
        format!(
            "Conditions: {{No: !Equals [a, b]}}\nResources:\n  One: {{Type: AWS::CloudFormation::Stack{condition}, Properties: \
             {{TemplateURL: ./child.yaml, Parameters: {{MeshName: quay}}}}}}\n"
        )
    };
    let reading = stacks(&[("root.yaml", &root(""))], &Surroundings::default());
    let elsewhere = Note::NotRead { reason: Skipped::NestedElsewhere { template: "./child.yaml".to_owned() } };
    assert_eq!(reading.remarks[0].note, elsewhere);
    // Its template is then read as a separate one, without parameter values.
    let reading = stacks(&[("root.yaml", &root(", Condition: No")), ("child.yaml", CHILD)], &Surroundings::default());
    assert_eq!(paths(&reading), ["mesh/${MeshName}/virtualNode/node-80"]);
    let itself = "Resources: {A: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: ./a.yaml}}}";
    assert_eq!(paths(&stacks(&[("a.yaml", itself)], &Surroundings::default())), Vec::<String>::new());
}

#[test]
fn values_in_forms_of_the_cdk_are_read() {
    let nested = json!({"Resources": {"Nested": {"Type": "AWS::CloudFormation::Stack",
        "Properties": {"TemplateURL": {"Fn::Join": ["", ["https://s3.", {"Ref": "AWS::Region"}, ".", {"Ref": "AWS::URLSuffix"}, "/",
            {"Fn::Sub": "cdk-assets-${AWS::AccountId}"}, "/f00d.json"]]},
            "Parameters": {"referencetoRootMeshMeshName": "quay"}}}}})
    .to_string();
    let child = json!({"Parameters": {"referencetoRootMeshMeshName": {"Type": "String"}}, "Resources": {"Node":
        {"Type": "AWS::AppMesh::VirtualNode", "Properties": {"MeshName": {"Ref": "referencetoRootMeshMeshName"},
            "VirtualNodeName": "crate", "Spec": {}}}}})
    .to_string();
    let assets =
        json!({"version": "36.0.0", "files": {"f00d": {"source": {"path": "RootNested.nested.template.json"}}},
        "dockerImages": {}})
        .to_string();
    let files = [
        ("cdk.out/Root.template.json", nested.as_str()),
        ("cdk.out/RootNested.nested.template.json", &child),
        ("cdk.out/Root.assets.json", &assets),
    ];
    assert_eq!(paths(&stacks(&files, &Surroundings::default())), ["mesh/quay/virtualNode/crate"]);

    // Between regions a custom resource writes parameters, which another one reads.
    let writer = json!({"Resources": {"Mesh": {"Type": "AWS::AppMesh::Mesh", "Properties": {"MeshName": "quay"}},
        "Writer": {"Type": "Custom::CrossRegionExportWriter", "Properties": {"WriterProps": {"region": "eu-west-1",
            "exports": {"/cdk/exports/App/Mesh": {"Fn::GetAtt": ["Mesh", "MeshName"]}}}}}}})
    .to_string();
    let reader = json!({"Resources": {"Reader": {"Type": "Custom::CrossRegionExportReader", "Properties": {}},
        "Node": {"Type": "AWS::AppMesh::VirtualNode", "Properties": {"VirtualNodeName": "crate", "Spec": {},
            "MeshName": {"Fn::GetAtt": ["Reader", "/cdk/exports/App/Mesh"]}}}}})
    .to_string();
    let reading = stacks(&[("a.json", &writer), ("b.json", &reader)], &Surroundings::default());
    assert_eq!(paths(&reading), TOGETHER);

    // By a parameter of Systems Manager, as a parameter's type or in a text.
    let stored = "
Resources:
  Mesh: {Type: AWS::AppMesh::Mesh, Properties: {MeshName: quay}}
  Name: {Type: AWS::SSM::Parameter, Properties: {Name: /mesh/name, Value: !GetAtt Mesh.MeshName}}
";
    let by_type = "
Parameters: {Mesh: {Type: 'AWS::SSM::Parameter::Value<String>', Default: /mesh/name}}
Resources: {Node: {Type: AWS::AppMesh::VirtualNode, Properties: {MeshName: !Ref Mesh, VirtualNodeName: crate, Spec: {}}}}
";
    let by_text = by_type.replace("!Ref Mesh", "'{{resolve:ssm:/mesh/name:1}}'");
    for template in [by_type, &by_text] {
        assert_eq!(paths(&stacks(&[("a.yaml", stored), ("b.yaml", template)], &Surroundings::default())), TOGETHER);
    }
    // Without the template that writes the value, the name is unknown, and the resource is read.
    for reference in
        ["{{resolve:ssm:/mesh/other}}", "{{resolve:secretsmanager:mesh:SecretString:name}}", "a-{{resolve:ssm:/b}}"]
    {
        let template = by_type.replace("!Ref Mesh", &format!("'{reference}'"));
        let reading = stacks(&[("a.yaml", stored), ("b.yaml", &template)], &Surroundings::default());
        assert_eq!((reading.refusals.len(), reading.resources.len()), (0, 2), "{reference}: {:?}", reading.refusals);
    }
}

#[test]
fn a_cloud_assembly_names_its_stacks() {
    let manifest = json!({"version": "36.0.0", "artifacts": {"Core": {"type": "aws:cloudformation:stack",
        "properties": {"templateFile": "Core.template.json", "stackName": "prod-core"}}}})
    .to_string();
    let template = json!({"Resources": {"Mesh": {"Type": "AWS::AppMesh::Mesh",
        "Properties": {"MeshName": {"Fn::Sub": "${AWS::StackName}-mesh"}}}}})
    .to_string();
    let files = [("out/manifest.json", manifest.as_str()), ("out/Core.template.json", &template)];
    assert_eq!(paths(&stacks(&files, &Surroundings::default())), ["mesh/prod-core-mesh"]);
}
