//! `meshwarden check` on folders and files that are read in part or not at all: what was not understood is no success.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

/// A folder of its own, which is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("meshwarden-check-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text) in files {
            let file = folder.join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        Self(folder)
    }

    /// Checks paths in the folder: the exit code and all that was written.
    fn check(&self, args: &[&str]) -> (i32, String) {
        let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_meshwarden"))
            .arg("check")
            .args(args)
            .current_dir(&self.0)
            .output()
            .unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        (status.code().unwrap(), text)
    }

    fn json(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--format", "json", "--profile", "strict"]).collect();
        let (_, text) = self.check(&args);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// The files of a folder, each with its text.
type Files<'f> = &'f [(&'f str, &'f str)];

const CDK: &str = "import * as appmesh from \"aws-cdk-lib/aws-appmesh\"; // AWS::AppMesh::Mesh\n";
const MESH: &str = "Resources: {M: {Type: AWS::AppMesh::Mesh, Properties: {MeshName: m}}}\n";

#[test]
fn a_path_of_which_nothing_is_understood_is_no_success() {
    let table: [(Files<'_>, &str, i32, &str); 11] = [
        (&[], ".", 2, "give CloudFormation templates"),
        (&[("README.md", "# a")], ".", 2, "give CloudFormation templates"),
        (&[("package.json", "{\"name\": \"a\"}")], ".", 2, "give CloudFormation templates"),
        (&[("lib/stack.ts", CDK)], ".", 2, "cdk synth"),
        (&[("app.py", "from aws_cdk import aws_appmesh\n"), ("cdk.json", "{\"app\": \"x\"}")], ".", 2, "cdk synth"),
        (&[("lib/stack.ts", CDK)], "lib/stack.ts", 2, "cdk synth"),
        // Files that are read, and hold nothing of what the sources beside them make.
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
        // A template that is read and holds nothing of App Mesh has nothing wrong in it.
        (&[("s3.yaml", "Resources: {B: {Type: AWS::S3::Bucket}}")], ".", 0, "0 resources"),
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

#[test]
fn each_path_that_is_given_must_hold_something() {
    let folder = Folder::new(&[("a/mesh.yaml", MESH), ("b/notes.txt", "x")]);
    assert_eq!(folder.check(&["a", "--fail-on", "never"]).0, 0);
    let (status, text) = folder.check(&["a", "b", "--fail-on", "never"]);
    assert_eq!(status, 2, "{text}");
    assert!(text.contains("b: no App Mesh resource was read here"), "{text}");
}

#[test]
fn a_misspelt_member_is_a_finding_with_its_line() {
    let node = "apiVersion: appmesh.k8s.aws/v1beta2\nkind: VirtualNode\nmetadata: {name: orders, namespace: lab}\nspec:\n  \
                listeners:\n    - HealthCheck: {path: /}\n      portMapping: {port: 80, protocol: http}\n";
    let folder = Folder::new(&[("node.yaml", node)]);
    let (status, text) = folder.check(&["."]);
    assert_eq!(status, 1, "{text}");
    let told = folder.json(&["."]);
    let finding = told["findings"].as_array().unwrap().iter().find(|one| one["rule"] == "member-unknown").unwrap();
    assert_eq!((&finding["facts"]["line"], &finding["facts"]["suggestion"]), (&6.into(), &"healthCheck".into()));
    assert_eq!(finding["source"]["file"], "./node.yaml");
    let log: Value = serde_json::from_str(&folder.check(&[".", "--format", "sarif"]).1).unwrap();
    let results = log["runs"][0]["results"].as_array().unwrap();
    let result = results.iter().find(|result| result["ruleId"] == "member-unknown").unwrap();
    assert_eq!(result["locations"][0]["physicalLocation"]["region"]["startLine"], 6);
}

/// A gateway route that no gateway selects is not sure where the mesh itself is not among the files.
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
    let rules = |told: &Value, list: &str| {
        let findings = told[list].as_array().unwrap().clone();
        findings.into_iter().filter(|finding| finding["rule"] == "manifest-gateway-missing").count()
    };
    let told = folder.json(&["whole.yaml"]);
    assert_eq!((rules(&told, "findings"), rules(&told, "undecided")), (1, 0), "{told}");
    let told = folder.json(&["part.yaml"]);
    assert_eq!((rules(&told, "findings"), rules(&told, "undecided")), (0, 1), "{told}");
}

const ROUTER: &str = r#"
resource "aws_appmesh_mesh" "m" { name = "dock" }
resource "aws_appmesh_virtual_router" "r" {
  name      = "cargo"
  mesh_name = aws_appmesh_mesh.m.name
  spec {
    listener {
      port_mapping {
        port     = var.port
        protocol = "http"
      }
    }
  }
}
"#;

#[test]
fn terraform_configurations_are_evaluated() {
    let variable = "variable \"port\" { default = 8080 }\n";
    let folder = Folder::new(&[("main.tf", ROUTER), ("variables.tf", variable)]);
    for path in [".", "main.tf"] {
        let told = folder.json(&[path]);
        assert_eq!(told["resources"], 2, "{path}: {told}");
        let found: Vec<&str> =
            told["findings"].as_array().unwrap().iter().map(|one| one["rule"].as_str().unwrap()).collect();
        assert!(found.contains(&"router-unused"), "{path}: {found:?}");
        let notices = told["notices"].to_string();
        assert!(notices.contains("terraform show -json"), "{notices}");
    }
    let (status, text) = folder.check(&[".", "--fail-on", "high"]);
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("terraform show -json"), "{text}");
}

#[test]
fn what_only_terraform_evaluates_is_never_passed_over() {
    let module = "module \"mesh\" { source = \"git::https://example.com/mesh.git\" }\n";
    let loops = "variable \"all\" {}\nresource \"aws_appmesh_virtual_node\" \"n\" {\n  for_each = var.all\n  name = each.key\n  \
                 mesh_name = \"m\"\n  spec {}\n}\n";
    let table: [(Files<'_>, i32, &str); 7] = [
        // Nothing but a call of a module that is not here.
        (&[("main.tf", module)], 2, "git::https://example.com/mesh.git"),
        (&[("main.tf", loops)], 1, "resource-undecided"),
        // Terraform takes no block within a block on one line.
        (
            &[("main.tf", "resource \"aws_appmesh_mesh\" \"m\" { spec { egress_filter { type = \"DROP_ALL\" } } }\n")],
            2,
            "terraform show -json",
        ),
        // A variable without a value.
        (&[("main.tf", ROUTER)], 2, "depends on `${var.port}`"),
        (&[("main.tf", "resource \"aws_appmesh_mesh\" \"m\" {\n  name =\n}\n")], 2, "main.tf: line 2"),
        (&[("main.tf", "resource \"aws_appmesh_mash\" \"m\" { name = \"a\" }\n")], 2, "write `aws_appmesh_mesh`"),
        (&[("terragrunt.hcl", "# aws_appmesh_mesh\n")], 2, "terraform show -json"),
    ];
    for (files, code, expected) in table {
        let folder = Folder::new(files);
        let (status, text) = folder.check(&["."]);
        assert_eq!(status, code, "{files:?}: {text}");
        assert!(text.contains(expected), "{files:?}: {text}");
    }
    let folder = Folder::new(&[("terraform.tfvars", "a = 1\n")]);
    assert_eq!(folder.check(&["terraform.tfvars"]).0, 2);
}

/// Blocks that were not read may hold whatever a rule misses.
#[test]
fn what_rests_on_a_dynamic_block_is_undecided() {
    let text = r#"
variable "ports" {}
resource "aws_appmesh_mesh" "m" { name = "m" }
resource "aws_appmesh_virtual_node" "n" {
  name      = "n"
  mesh_name = aws_appmesh_mesh.m.name
  spec {
    dynamic "listener" {
      for_each = var.ports
      content {
        port_mapping {
          port     = listener.value
          protocol = "http"
        }
      }
    }
    service_discovery {
      dns { hostname = "n.local" }
    }
  }
}
resource "aws_appmesh_virtual_router" "r" {
  name      = "r"
  mesh_name = aws_appmesh_mesh.m.name
  spec {
    listener {
      port_mapping {
        port     = 80
        protocol = "http"
      }
    }
  }
}
resource "aws_appmesh_route" "all" {
  name                = "all"
  mesh_name           = aws_appmesh_mesh.m.name
  virtual_router_name = aws_appmesh_virtual_router.r.name
  spec {
    http_route {
      match { prefix = "/" }
      action {
        weighted_target {
          virtual_node = aws_appmesh_virtual_node.n.name
          weight       = 1
        }
      }
    }
  }
}
"#;
    let folder = Folder::new(&[("main.tf", text)]);
    let told = folder.json(&["."]);
    let rules = |list: &str| -> Vec<String> {
        told[list].as_array().unwrap().iter().map(|one| one["rule"].as_str().unwrap().to_owned()).collect()
    };
    let (found, open) = (rules("findings"), rules("undecided"));
    assert!(found.contains(&"resource-undecided".to_owned()), "{found:?}");
    assert!(!found.contains(&"route-target-not-listening".to_owned()), "{found:?}");
    assert!(open.contains(&"route-target-not-listening".to_owned()), "{open:?}");
}

/// A plan knows exactly what its configuration comes to.
#[test]
fn a_plan_among_the_files_wins() {
    let plan = r#"{"format_version": "1.2", "terraform_version": "1.11.4", "planned_values": {"root_module": {"resources": [
        {"address": "aws_appmesh_mesh.m", "mode": "managed", "type": "aws_appmesh_mesh", "name": "m",
         "values": {"name": "planned", "spec": []}}]}}}"#;
    let folder = Folder::new(&[
        ("main.tf", ROUTER),
        ("plan.json", plan),
        ("terraform.tfvars", "port = 80\n"),
        ("v.tf", "variable \"port\" {}\n"),
    ]);
    let told = folder.json(&["."]);
    assert_eq!(told["resources"], 2, "{told}");
    let text = told.to_string();
    assert!(text.contains("mesh/planned") && text.contains("mesh/dock/virtualRouter/cargo"), "{text}");
}

/// Files that are made to use up memory, time or the stack are errors with their line.
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
        let (status, told) = Folder::new(&[(name, text)]).check(&["."]);
        assert_eq!(status, 2, "{name}: {told}");
        assert!(told.contains(expected), "{name}: {told}");
    }
}

/// A pipe in a folder has no writer, and nothing waits for one.
#[test]
fn pipe_in_a_folder_is_passed_over() {
    let folder = Folder::new(&[("mesh.json", "{\"mesh\": {\"meshName\": \"m\", \"spec\": {}}}")]);
    let made = Command::new("mkfifo").arg(folder.0.join("pipe.yaml")).status().unwrap();
    assert!(made.success());
    let (status, told) = folder.check(&["."]);
    assert_ne!(status, 2, "{told}");
    assert!(told.contains("Read: 1 file"), "{told}");
}
