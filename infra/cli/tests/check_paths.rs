//! `meshwarden check` on partly readable and unreadable paths: a check that read nothing must not succeed.

mod folder;

use folder::{Files, Folder};

const CDK: &str = "import * as appmesh from \"aws-cdk-lib/aws-appmesh\"; // AWS::AppMesh::Mesh\n";
const BUCKET: &str = "Resources: {B: {Type: AWS::S3::Bucket}}\n";
const OFF: &str = "Conditions: {Off: !Equals [a, b]}\nResources: {M: {Type: AWS::AppMesh::Mesh, Condition: Off, Properties: {MeshName: m}}}\n";
const MESH: &str = "Resources: {M: {Type: AWS::AppMesh::Mesh, Properties: {MeshName: m}}}\n";

#[test]
fn a_path_of_which_nothing_is_understood_is_no_success() {
    let table: [(Files<'_>, &str, i32, &str); 27] = [
        (&[], ".", 2, "give CloudFormation templates"),
        (&[("README.md", "# a")], ".", 2, "give CloudFormation templates"),
        (&[("package.json", "{\"name\": \"a\"}")], ".", 2, "give CloudFormation templates"),
        (&[("lib/stack.ts", CDK)], ".", 2, "cdk synth"),
        (&[("app.py", "from aws_cdk import aws_appmesh\n"), ("cdk.json", "{\"app\": \"x\"}")], ".", 2, "cdk synth"),
        (&[("lib/stack.ts", CDK)], "lib/stack.ts", 2, "cdk synth"),
        // Readable files that do not contain the resources of the sources next to them.
        (&[("lib/stack.ts", CDK), ("queue.yaml", "Resources: {Q: {Type: AWS::SQS::Queue}}")], ".", 2, "cdk synth"),
        (&[("Chart.yaml", "name: a\n"), ("templates/a.txt", "x")], ".", 2, "helm template"),
        (
            &[
                ("lib/stack.ts", CDK),
                (
                    "cdk.out/A.template.json",
                    "{\"Resources\": {\"M\": {\"Type\": \"AWS::AppMesh::Mesh\", \"Properties\": {\"MeshName\": \"m\"}}}}",
                ),
            ],
            ".",
            0,
            "1 resource",
        ),
        // Files in known formats without a mesh do not count as checked.
        (&[("s3.yaml", BUCKET)], ".", 2, "`--allow-empty`"),
        (&[("s3.yaml", BUCKET)], "s3.yaml", 2, "`--allow-empty`"),
        (&[("s3.yaml", BUCKET), ("mesh.yaml", MESH)], ".", 0, "1 resource"),
        (
            &[("plan.json", "{\"terraform_version\": \"1.9.0\", \"planned_values\": {\"root_module\": {}}}")],
            ".",
            2,
            "`--allow-empty`",
        ),
        (&[("list.json", "{\"virtualNodes\": []}")], ".", 2, "`--allow-empty`"),
        (&[("main.tf", "resource \"aws_s3_bucket\" \"b\" {}\n")], ".", 2, "`--allow-empty`"),
        (&[("item.json", "{\"resourceType\": \"AWS::S3::Bucket\", \"configuration\": {}}")], ".", 2, "`--allow-empty`"),
        // A declared resource counts as checked, even if it is not created.
        (&[("off.yaml", OFF)], ".", 0, "0 resources"),
        (
            &[("main.tf", "resource \"aws_appmesh_mesh\" \"m\" {\n  count = 0\n  name  = \"m\"\n}\n")],
            ".",
            0,
            "0 resources",
        ),
        // Sources and files that a tool must convert before the check.
        (&[("index.ts", "import * as aws from \"@pulumi/aws\"; new aws.appmesh.Mesh(\"m\");\n")], ".", 2, "Pulumi"),
        (
            &[("Pulumi.yaml", "name: a\nruntime: yaml\nresources: {m: {type: \"aws:appmesh:Mesh\"}}\n")],
            ".",
            2,
            "Pulumi",
        ),
        (&[("stack.cs", "using Amazon.CDK.AWS.AppMesh;\n"), ("s3.yaml", BUCKET)], ".", 2, "cdk synth"),
        (&[("kustomization.yaml", "resources: [mesh.txt]\n")], ".", 2, "kustomize build"),
        (&[("main.tf", "module \"mesh\" {\n  source = \"org/mesh/aws\"\n}\n")], ".", 2, "terraform show -json"),
        (&[("terragrunt.hcl", "terraform { source = \"../mesh\" }\n")], ".", 2, "`--allow-empty`"),
        (&[("1_Config_eu-west-1_ConfigHistory_AWS::AppMesh::Mesh_1.json.gz", "x")], ".", 2, "gunzip"),
        (
            &[("terraform.tfstate", "{\"resources\": [{\"type\": \"aws_appmesh_mesh\"}]}")],
            ".",
            2,
            "terraform show -json",
        ),
        (
            &[(
                "root.yaml",
                "Resources: {A: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: ./mesh.yaml}}}",
            )],
            ".",
            2,
            "nested stacks",
        ),
    ];
    for (files, path, code, expected) in table {
        let folder = Folder::new(files);
        let (status, text) = folder.check(&[path, "--fail-on", "never"]);
        assert_eq!(status, code, "{files:?}: {text}");
        assert!(text.contains(expected), "{files:?}: {text}");
    }
}

/// Programs next to readable files describe other resources, unless the files have the form of their output.
#[test]
fn sources_next_to_readable_files_are_not_passed_over() {
    const CONFIGURATION: &str = "resource \"aws_appmesh_mesh\" \"m\" {\n  name = \"m\"\n}\n";
    const CHART: &str = "import { Chart } from \"cdk8s\"; const version = \"appmesh.k8s.aws/v1beta2\";\n";
    const SCRIPT: &str = "TYPES = [\"AWS::AppMesh::Mesh\", \"aws_appmesh_mesh\"]\n";
    const OBJECT: &str =
        "apiVersion: appmesh.k8s.aws/v1beta2\nkind: Mesh\nmetadata: {name: m}\nspec: {namespaceSelector: {}}\n";
    let table: [(Files<'_>, i32, &str); 6] = [
        (&[("main.tf", CONFIGURATION), ("lib/stack.ts", CDK)], 2, "cdk synth"),
        (&[("mesh.yaml", OBJECT), ("lib/stack.ts", CDK)], 2, "cdk synth"),
        (&[("main.tf", CONFIGURATION), ("chart.ts", CHART)], 2, "cdk8s synth"),
        (&[("mesh.yaml", OBJECT), ("chart.ts", CHART)], 0, "1 resource"),
        (&[("mesh.yaml", MESH), ("lib/stack.ts", CDK)], 0, "1 resource"),
        (&[("main.tf", CONFIGURATION), ("audit.py", SCRIPT)], 0, "1 resource"),
    ];
    for (files, code, expected) in table {
        let (status, text) = Folder::new(files).check(&[".", "--fail-on", "never"]);
        assert_eq!(status, code, "{files:?}: {text}");
        assert!(text.contains(expected), "{files:?}: {text}");
    }
}

#[test]
fn each_path_that_is_given_must_hold_something() {
    let folder = Folder::new(&[("a/mesh.yaml", MESH), ("b/notes.txt", "x")]);
    assert_eq!(folder.check(&["a", "--fail-on", "never"]).0, 0);
    let (status, text) = folder.check(&["a", "b", "--fail-on", "never"]);
    assert_eq!(status, 2, "{text}");
    assert!(text.contains("b: no App Mesh resource was read here"), "{text}");
}

/// `--allow-empty` permits paths without a mesh, but never unread files.
#[test]
fn allow_empty_flag_accepts_paths_without_resources() {
    let table: [(Files<'_>, i32); 8] = [
        (&[], 0),
        (&[("README.md", "# a")], 0),
        (&[("s3.yaml", BUCKET)], 0),
        (&[("cdk.json", "{}"), ("s3.yaml", BUCKET)], 0),
        (&[("lib/stack.ts", CDK)], 2),
        (&[("lib/stack.ts", CDK), ("s3.yaml", BUCKET)], 2),
        (&[("mesh.yaml", "Resources: {M: {Type: AWS::AppMesh::Mesh, Properties: [")], 2),
        (&[("main.tf", "module \"mesh\" {\n  source = \"org/mesh/aws\"\n}\n")], 2),
    ];
    for (files, code) in table {
        let (status, text) = Folder::new(files).check(&[".", "--allow-empty"]);
        assert_eq!(status, code, "{files:?}: {text}");
    }
    let folder = Folder::new(&[("a/s3.yaml", BUCKET), ("b/s3.yaml", BUCKET)]);
    let (status, text) = folder.check(&["a", "b"]);
    assert!(status == 2 && text.contains("a: no App Mesh resource was read here, nor in another path"), "{text}");
    assert_eq!(folder.check(&["a", "b", "--allow-empty"]).0, 0);
    assert_eq!(folder.check(&["vanished", "--allow-empty"]).0, 2);
}

/// PowerShell redirects output in UTF-16, and editors write a byte order mark.
#[test]
fn texts_are_read_in_each_encoding_with_a_mark() {
    let folder = Folder::new(&[("mark.yaml", &format!("\u{feff}{MESH}"))]);
    let wide: Vec<u8> = [0xff, 0xfe].into_iter().chain(MESH.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    std::fs::write(folder.0.join("wide.yaml"), wide).unwrap();
    for file in ["mark.yaml", "wide.yaml"] {
        assert_eq!(folder.json(&[file])["resources"], 1, "{file}");
    }
    // A file in another encoding is an error if it mentions App Mesh, and ignored otherwise.
    std::fs::write(folder.0.join("old.yaml"), b"Name: caf\xe9\n").unwrap();
    assert_eq!(folder.check(&[".", "--fail-on", "never"]).0, 0);
    std::fs::write(folder.0.join("old.yaml"), b"# caf\xe9\nResources: {M: {Type: AWS::AppMesh::Mesh}}\n").unwrap();
    let (status, text) = folder.check(&[".", "--fail-on", "never"]);
    assert!(status == 2 && text.contains("old.yaml: line 1: is not UTF-8"), "{text}");
}

/// A link to a file is read, a link to a folder is listed, and a broken link is an error.
#[cfg(unix)]
#[test]
fn links_are_followed_to_files() {
    use std::os::unix::fs::symlink;
    let folder = Folder::new(&[("store/mesh.yaml", MESH), ("stack/README.md", "# a"), ("x.tf/mesh.yaml", MESH)]);
    symlink("../store/mesh.yaml", folder.0.join("stack/mesh.yaml")).unwrap();
    assert_eq!(folder.json(&["stack"])["resources"], 1);
    assert_eq!(folder.json(&["x.tf"])["resources"], 1, "a folder may be called as files are");
    symlink("../store", folder.0.join("stack/more")).unwrap();
    symlink("..", folder.0.join("store/back")).unwrap();
    let output = folder.json(&["stack"]);
    assert!(output["notices"].to_string().contains("stack/more: a link to a folder"), "{output}");
    symlink("gone.yaml", folder.0.join("stack/lost.yaml")).unwrap();
    let (status, text) = folder.check(&["stack"]);
    assert!(status == 2 && text.contains("stack/lost.yaml"), "{text}");
}

/// Query exports have one JSON document on each line, and `jq` writes several documents in sequence.
#[test]
fn several_documents_of_json_are_read_from_one_file() {
    let item = |name: &str| {
        format!(
            "{{\"resourceType\": \"AWS::AppMesh::VirtualNode\", \"configuration\": {{\"meshName\": \"m\", \"virtualNodeName\": \"{name}\",\n \"spec\": {{}}}}}}\n"
        )
    };
    let spread = format!("{}{}", item("a"), item("b"));
    let lines = [item("a").replace('\n', ""), item("b").replace('\n', "")].join("\n");
    let folder = Folder::new(&[("spread.json", &spread), ("lines.jsonl", &lines)]);
    for (file, line) in [("spread.json", 4), ("lines.jsonl", 2)] {
        let output = folder.json(&[file]);
        assert_eq!(output["resources"], 2, "{output}");
        let findings = output["findings"].as_array().unwrap();
        let of_b = findings.iter().find(|one| one["resource"] == "mesh/m/virtualNode/b").unwrap();
        assert_eq!(of_b["source"]["line"], line, "{of_b}");
    }
    let broken = Folder::new(&[("a.jsonl", &format!("{lines}\n{{\"resourceType\": \"AWS::AppMesh::Mesh\""))]);
    assert_eq!(broken.check(&["."]).0, 2);
}

/// Macros may add resources that seem to be missing from a template.
#[test]
fn resource_that_a_macro_may_add_is_not_missing() {
    let service = "Resources: {S: {Type: AWS::AppMesh::VirtualService, Properties: {MeshName: m, VirtualServiceName: s.local, \
                   Spec: {Provider: {VirtualNode: {VirtualNodeName: gone}}}}}, M: {Type: AWS::AppMesh::Mesh, Properties: {MeshName: m}}}\n";
    for (transform, is_sure) in [
        ("", true),
        ("Transform: AWS::Serverless-2016-10-31\n", true),
        ("Transform: [AWS::LanguageExtensions, Nodes]\n", false),
    ] {
        let folder = Folder::new(&[("a.yaml", &format!("{transform}{service}"))]);
        let output = folder.json(&["."]);
        let list = if is_sure { "findings" } else { "undecided" };
        assert!(folder::rules(&output, list).contains(&"reference-dangling".to_owned()), "{transform}: {output}");
    }
    let only = "Resources: {\"Fn::Transform\": {Name: AWS::Include, Parameters: {Location: \"s3://a/mesh.yaml\"}}}\nAWSTemplateFormatVersion: 2010-09-09\n";
    assert_eq!(Folder::new(&[("a.yaml", only)]).check(&["."]).0, 2);
}
