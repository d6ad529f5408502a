//! Stacks that resolve each other's values, as people write them: `meshwarden check` reads them as one mesh.

mod folder;

use folder::{Files, Folder};

/// A mesh as the resource `Mesh`.
const MESH: &str =
    "Mesh: {Type: AWS::AppMesh::Mesh, Properties: {MeshName: shop, Spec: {EgressFilter: {Type: DROP_ALL}}}}";

/// A virtual node on port 8080, with values as they stand in a template.
fn node(id: &str, mesh: &str, name: &str) -> String {
    format!(
        "{id}: {{Type: AWS::AppMesh::VirtualNode, Properties: {{MeshName: {mesh}, VirtualNodeName: {name}, Spec: {{Listeners: \
         [{{PortMapping: {{Port: 8080, Protocol: http}}}}], ServiceDiscovery: {{DNS: {{Hostname: a.local}}}}}}}}}}"
    )
}

/// A virtual service that a node provides.
fn service(mesh: &str, provider: &str) -> String {
    format!(
        "Service: {{Type: AWS::AppMesh::VirtualService, Properties: {{MeshName: {mesh}, VirtualServiceName: a.local, Spec: \
         {{Provider: {{VirtualNode: {{VirtualNodeName: {provider}}}}}}}}}}}"
    )
}

/// A template: sections before the resources, the resources, and outputs.
fn template(head: &str, resources: &[String], outputs: &str) -> String {
    let resources: Vec<String> = resources.iter().map(|resource| format!("  {resource}\n")).collect();
    let outputs = if outputs.is_empty() { String::new() } else { format!("Outputs:\n{outputs}") };
    format!("{head}\nResources:\n{}{outputs}", resources.concat())
}

/// Asserts that the files are one mesh in which every reference has a target and no value is unknown.
fn resolve(name: &str, files: Files<'_>, resources: usize) {
    let (_, text) = Folder::new(files).check(&[".", "--all", "--remarks"]);
    // A template that only creates stacks is a file without resources.
    let read = format!(", {resources} resources, 1 mesh. Not read: ");
    let wrong = ["reference-dangling", "mesh-empty", "has no value here", "Undecided", "Refused", "with errors"];
    let wrong: Vec<&str> = wrong.into_iter().filter(|wrong| text.contains(wrong)).collect();
    assert!(text.contains(&read) && wrong.is_empty(), "{name}: {wrong:?}, expected {read}\n{text}");
}

fn exported(parameters: &str, name: &str) -> String {
    let outputs = format!("  Name: {{Value: !GetAtt Mesh.MeshName, Export: {{Name: {name}}}}}\n");
    template(parameters, &[MESH.to_owned()], &outputs)
}

fn importing(parameters: &str, import: &str) -> String {
    template(parameters, &[node("Node", import, "a"), service(import, "!GetAtt Node.VirtualNodeName")], "")
}

#[test]
fn exports_are_found_by_whatever_names_them() {
    let stage = "Parameters: {Stage: {Type: String}}";
    let prod = "Parameters: {EnvironmentName: {Type: String, Default: prod}}";
    let mapped = "Mappings: {Names: {mesh: {export: shop-mesh}}}";
    let table = [
        ("by a literal", "", "shop-mesh", "", "!ImportValue shop-mesh"),
        (
            "by Fn::Sub",
            prod,
            "!Sub '${EnvironmentName}-mesh'",
            prod,
            "{'Fn::ImportValue': !Sub '${EnvironmentName}-mesh'}",
        ),
        (
            "by parameters of other names",
            stage,
            "!Sub '${Stage}-mesh'",
            prod,
            "{'Fn::ImportValue': !Sub '${EnvironmentName}-mesh'}",
        ),
        (
            "by a parameter that one of them lacks",
            prod,
            "!Sub '${EnvironmentName}-mesh'",
            stage,
            "{'Fn::ImportValue': !Sub '${Stage}-mesh'}",
        ),
        (
            "by the name of a stack",
            "",
            "!Sub '${AWS::StackName}:Mesh'",
            "Parameters: {Core: {Type: String, Default: core}}",
            "{'Fn::ImportValue': !Sub '${Core}:Mesh'}",
        ),
        (
            "by Fn::Join",
            prod,
            "!Join [':', [!Ref EnvironmentName, Mesh]]",
            prod,
            "{'Fn::ImportValue': !Join [':', [!Ref EnvironmentName, Mesh]]}",
        ),
        (
            "with values in Fn::Sub",
            prod,
            "!Sub ['${E}/mesh', {E: !Ref EnvironmentName}]",
            "",
            "{'Fn::ImportValue': prod/mesh}",
        ),
        (
            "by a mapping",
            mapped,
            "!FindInMap [Names, mesh, export]",
            mapped,
            "{'Fn::ImportValue': !FindInMap [Names, mesh, export]}",
        ),
        (
            "with the region",
            "",
            "!Sub 'mesh-${AWS::Region}-${AWS::AccountId}'",
            "",
            "{'Fn::ImportValue': !Sub 'mesh-${AWS::Region}-${AWS::AccountId}'}",
        ),
        ("in a text", "", "shop-mesh", "", "!Sub ['${M}', {M: !ImportValue shop-mesh}]"),
        (
            "as a part of a list",
            "",
            "shop-mesh",
            "",
            "!Select [1, !Split ['-', !Join ['-', [x, !ImportValue shop-mesh]]]]",
        ),
    ];
    for (name, exporting, export, own, import) in table {
        let (core, app) = (exported(exporting, export), importing(own, import));
        resolve(name, &[("core.yaml", &core), ("app.yaml", &app)], 3);
        resolve(name, &[("z-core.yaml", &core), ("app.yaml", &app)], 3);
    }
}

/// A reference to a resource is its ARN, of which people take the last part.
#[test]
fn a_name_is_the_last_part_of_an_arn() {
    let core = template(
        "",
        &[MESH.to_owned(), node("Node", "shop", "a")],
        "  Node: {Value: !Ref Node, Export: {Name: node}}\n",
    );
    let app = template("", &[service("shop", "!Select [3, !Split ['/', !ImportValue node]]")], "");
    resolve("the ARN of an export", &[("core.yaml", &core), ("app.yaml", &app)], 3);
}

#[test]
fn an_import_that_several_exports_fit_is_not_guessed() {
    let stage = "Parameters: {Stage: {Type: String}}";
    let (one, two) = (exported("", "prod-mesh"), exported("", "dev-mesh").replace("MeshName: shop,", "MeshName: dev,"));
    let app = importing(stage, "{'Fn::ImportValue': !Sub '${Stage}-mesh'}");
    let (_, text) = Folder::new(&[("a.yaml", &one), ("b.yaml", &two), ("c.yaml", &app)]).check(&[".", "--remarks"]);
    assert!(text.contains("3 meshes") && text.contains("has no value here"), "{text}");
}

#[test]
fn excluded_resource_is_neither_exported_nor_imported() {
    let conditions = "Parameters: {Mode: {Type: String, Default: own}}\nConditions: {IsOwn: !Equals [!Ref Mode, own]}";
    let import = "!If [IsOwn, !ImportValue shop-mesh, !Ref AWS::NoValue]";
    let owner = "Properties: {MeshOwner: !If [IsOwn, !Ref AWS::NoValue, '123456789012'],";
    let app = importing(conditions, import).replacen("Properties: {", &format!("{owner} "), 1);
    let core = exported("", "shop-mesh");
    resolve("an import in Fn::If", &[("core.yaml", &core), ("app.yaml", &app)], 3);

    let core = core
        .replace("Name: {Value", "Name: {Condition: No, Value")
        .replace("\nResources", "Conditions: {No: !Equals [a, b]}\nResources");
    let app = importing("", "!ImportValue shop-mesh");
    let (_, text) = Folder::new(&[("core.yaml", &core), ("app.yaml", &app)]).check(&[".", "--remarks"]);
    assert!(text.contains("2 meshes") && text.contains("Fn::ImportValue shop-mesh"), "{text}");
}

const CHILD: &str = "Parameters: {Mesh: {Type: String}, Name: {Type: String, Default: a}}";

fn child() -> String {
    template(CHILD, &[node("Node", "!Ref Mesh", "!Ref Name")], "  Node: {Value: !GetAtt Node.VirtualNodeName}\n")
}

fn nested(id: &str, url: &str, parameters: &str) -> String {
    format!(
        "{id}: {{Type: AWS::CloudFormation::Stack, Properties: {{TemplateURL: {url}, Parameters: {{{parameters}}}}}}}"
    )
}

#[test]
fn nested_stacks_are_read_with_their_parameters() {
    let mesh = || MESH.to_owned();
    let (node, by_output) = (child(), |id: &str| service("shop", &format!("!GetAtt {id}.Outputs.Node")));
    let root = template("", &[mesh(), nested("App", "node.yaml", "Mesh: !GetAtt Mesh.MeshName"), by_output("App")], "");
    resolve("an output of a nested stack", &[("root.yaml", &root), ("node.yaml", &node)], 3);

    let by_sub = root.replace("!GetAtt App.Outputs.Node", "!Sub '${App.Outputs.Node}'");
    resolve("an output in Fn::Sub", &[("root.yaml", &by_sub), ("node.yaml", &node)], 3);

    // A default applies where the parent gives no value.
    let default = root.replace("Mesh: !GetAtt Mesh.MeshName", "Mesh: shop, Name: !Ref AWS::NoValue");
    resolve("a default", &[("root.yaml", &default), ("node.yaml", &node)], 3);

    // Two stacks of one template, each with its own name.
    let name = "!Sub '${AWS::StackName}-node'";
    let twice = template(
        "",
        &[mesh(), nested("Blue", "node.yaml", "Mesh: shop"), nested("Green", "node.yaml", "Mesh: shop")],
        "",
    );
    let of_stack = node.replace("!Ref Name", name);
    let (_, text) = Folder::new(&[("root.yaml", &twice), ("node.yaml", &of_stack)]).check(&[".", "--remarks"]);
    assert!(text.contains("3 resources, 1 mesh") && !text.contains("is declared before"), "{text}");
}

#[test]
fn a_parent_decides_which_stacks_its_nested_ones_create() {
    let condition = "Parameters: {Mesh: {Type: String}, With: {Type: String, Default: 'no'}}\nConditions: {Is: !Equals [!Ref With, 'yes']}";
    let inner = nested("Inner", "node.yaml", "Mesh: !Ref Mesh").replace("Stack,", "Stack, Condition: Is,");
    let of_inner =
        service("!Ref Mesh", "!GetAtt Inner.Outputs.Node").replace("VirtualService,", "VirtualService, Condition: Is,");
    let (app, node) = (template(condition, &[inner, of_inner], ""), child());
    let root =
        |with: &str| template("", &[MESH.to_owned(), nested("App", "app.yaml", &format!("Mesh: shop{with}"))], "");
    let with = root(", With: 'yes'");
    resolve("a condition on a parameter", &[("root.yaml", &with), ("app.yaml", &app), ("node.yaml", &node)], 3);
    let without = root("");
    let (_, text) =
        Folder::new(&[("root.yaml", &without), ("app.yaml", &app), ("node.yaml", &node)]).check(&[".", "--remarks"]);
    assert!(text.contains("2 resources, 2 meshes") && !text.contains("reference-dangling"), "{text}");

    let by_url = "Parameters: {Url: {Type: String}, Mesh: {Type: String}}";
    let app = template(
        by_url,
        &[nested("Inner", "!Ref Url", "Mesh: !Ref Mesh"), service("!Ref Mesh", "!GetAtt Inner.Outputs.Node")],
        "",
    );
    let given = "Mesh: shop, Url: !Sub 'https://${AWS::AccountId}.s3.amazonaws.com/stacks/node.yaml'";
    let root = template("", &[MESH.to_owned(), nested("App", "app.yaml", given)], "");
    resolve("a template that is a parameter", &[("root.yaml", &root), ("app.yaml", &app), ("node.yaml", &node)], 3);
}

#[test]
fn siblings_get_values_through_their_parent() {
    let core = template(
        "",
        &[MESH.to_owned()],
        "  Mesh: {Value: !GetAtt Mesh.MeshName}\n  Names: {Value: !Join [',', [x, a]]}\n",
    );
    let list = "Parameters: {Mesh: {Type: String}, Names: {Type: CommaDelimitedList}}";
    let app = template(list, &[node("Node", "!Ref Mesh", "!Select [1, !Ref Names]"), service("!Ref Mesh", "a")], "");
    let given = "Mesh: !GetAtt Core.Outputs.Mesh, Names: !GetAtt Core.Outputs.Names";
    let root = template("", &[nested("App", "app.yaml", given), nested("Core", "core.yaml", "")], "");
    resolve("an output as a parameter", &[("root.yaml", &root), ("app.yaml", &app), ("core.yaml", &core)], 3);

    // A nested stack exports what another root imports.
    let core = exported("Parameters: {Env: {Type: String}}", "!Sub '${Env}-mesh'");
    let root = template("", &[nested("Core", "core.yaml", "Env: prod")], "");
    let app = importing("", "!ImportValue prod-mesh");
    resolve("an export of a nested stack", &[("root.yaml", &root), ("core.yaml", &core), ("app.yaml", &app)], 3);
}

#[test]
fn parameters_of_systems_manager_carry_values_by_their_name() {
    let stored = "Name: {Type: AWS::SSM::Parameter, Properties: {Type: String, Name: !Sub '/${Env}/mesh', Value: !GetAtt Mesh.MeshName}}";
    let env = "Parameters: {Env: {Type: String, Default: prod}}";
    let core = template(env, &[MESH.to_owned(), stored.to_owned()], "");
    let typed = "Parameters: {Name: {Type: 'AWS::SSM::Parameter::Value<String>', Default: /prod/mesh}}";
    let table = [
        ("a typed parameter", typed, "!Ref Name"),
        ("a dynamic reference", "", "'{{resolve:ssm:/prod/mesh}}'"),
        ("one with a version", "", "'{{resolve:ssm:/prod/mesh:3}}'"),
        ("one in Fn::Sub", env, "!Sub '{{resolve:ssm:/${Env}/mesh}}'"),
        ("one in Fn::Join", env, "!Join ['', ['{{resolve:ssm:/', !Ref Env, '/mesh}}']]"),
    ];
    for (name, parameters, mesh) in table {
        let app = importing(parameters, mesh);
        resolve(name, &[("core.yaml", &core), ("app.yaml", &app)], 3);
    }
    // The reference to a parameter is its name, which a nested stack gets as the value of a typed one.
    let child = importing("Parameters: {Mesh: {Type: 'AWS::SSM::Parameter::Value<String>'}}", "!Ref Mesh");
    let root = template(env, &[MESH.to_owned(), stored.to_owned(), nested("App", "app.yaml", "Mesh: !Ref Name")], "");
    resolve("a parameter by reference", &[("root.yaml", &root), ("app.yaml", &child)], 3);

    // One that no template writes is not known.
    let (_, text) =
        Folder::new(&[("app.yaml", &importing("", "'{{resolve:ssm:/other/mesh}}'"))]).check(&[".", "--remarks"]);
    assert!(text.contains("has no value here") && !text.contains("Refused"), "{text}");
}

#[test]
fn loop_exports_its_resources() {
    let nodes = node("'Node${Name}'", "shop", "!Sub 'n-${Name}'");
    let resources = [MESH.to_owned(), format!("'Fn::ForEach::Nodes': [Name, [a, b], {{{nodes}}}]")];
    let outputs = "  'Fn::ForEach::Outputs': [Name, [a, b], {'Out${Name}': {Value: !Sub 'n-${Name}', Export: {Name: !Sub 'node-${Name}'}}}]\n";
    let core = template("Transform: AWS::LanguageExtensions", &resources, outputs);
    let app = template("", &[service("shop", "!ImportValue node-b")], "");
    resolve("a loop over outputs", &[("core.yaml", &core), ("app.yaml", &app)], 4);
}
