//! `meshwarden check` on Terraform configurations.

mod folder;

use std::path::{Path, PathBuf};

use folder::{Files, Folder, rules};

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
        let output = folder.json(&[path]);
        assert_eq!(output["resources"], 2, "{path}: {output}");
        let found: Vec<&str> =
            output["findings"].as_array().unwrap().iter().map(|one| one["rule"].as_str().unwrap()).collect();
        assert!(found.contains(&"router-unused"), "{path}: {found:?}");
        let notices = output["notices"].to_string();
        assert!(notices.contains("terraform show -json"), "{notices}");
    }
    let (status, text) = folder.check(&[".", "--fail-on", "high"]);
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("terraform show -json"), "{text}");
}

#[test]
fn value_that_only_terraform_evaluates_is_reported() {
    let module = "module \"mesh\" { source = \"git::https://example.com/mesh.git\" }\n";
    let loops = "variable \"all\" {}\nresource \"aws_appmesh_virtual_node\" \"n\" {\n  for_each = var.all\n  name = each.key\n  \
                 mesh_name = \"m\"\n  spec {}\n}\n";
    let table: [(Files<'_>, i32, &str); 7] = [
        // Only a call of a module that is not available.
        (&[("main.tf", module)], 2, "git::https://example.com/mesh.git"),
        (&[("main.tf", loops)], 1, "resource-undecided"),
        // Terraform rejects nested blocks on one line.
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

/// Unread blocks may contain the member that a rule misses.
#[test]
fn finding_that_depends_on_a_dynamic_block_is_undecided() {
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
    let output = folder.json(&["."]);
    let (found, open) = (rules(&output, "findings"), rules(&output, "undecided"));
    assert!(found.contains(&"resource-undecided".to_owned()), "{found:?}");
    assert!(!found.contains(&"route-target-not-listening".to_owned()), "{found:?}");
    assert!(open.contains(&"route-target-not-listening".to_owned()), "{open:?}");
}

/// A plan contains the exact values of its configuration.
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
    let output = folder.json(&["."]);
    assert_eq!(output["resources"], 2, "{output}");
    let text = output.to_string();
    assert!(text.contains("mesh/planned") && text.contains("mesh/dock/virtualRouter/cargo"), "{text}");
}

/// A called module is read even outside the checked path.
#[test]
fn module_outside_the_path_is_followed() {
    let mesh = "variable \"name\" {}\nresource \"aws_appmesh_mesh\" \"m\" {\n  name = var.name\n}\n";
    let root = "module \"mesh\" {\n  source = \"../modules/mesh\"\n  name   = \"dock\"\n}\n";
    let folder = Folder::new(&[("live/main.tf", root), ("modules/mesh/main.tf", mesh)]);
    for path in ["live", "live/main.tf", "."] {
        let output = folder.json(&[path]);
        assert_eq!(
            (&output["resources"], &output["unreadable"]),
            (&1.into(), &serde_json::json!([])),
            "{path}: {output}"
        );
        assert!(output.to_string().contains("mesh/dock"), "{output}");
        assert_eq!(output["findings"][0]["source"]["id"], "module.mesh.aws_appmesh_mesh.m");
    }
}

/// Every App Mesh `resource` block in the recorded configurations next to the repository is accounted for. It is read,
/// refused, certainly not created, or in a file with an error.
#[test]
fn every_block_of_the_recorded_configurations_is_accounted_for() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let mut blocks = 0;
    for file in ["corpus", "cases"].iter().flat_map(|folder| configurations(&shared.join(folder))) {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(&file).unwrap();
        let folder = Folder::new(&[("main.tf", &text)]);
        let output = folder.json(&["."]);
        let listed = output.to_string();
        for line in text.lines().filter(|line| line.trim_start().starts_with("resource \"aws_appmesh_")) {
            let labels: Vec<&str> = line.split('"').collect();
            let address = format!("{}.{}", labels[1], labels[3]);
            let is_read = listed.contains(&address) || output["filesRead"].to_string().contains("main.tf");
            assert!(is_read, "{name}: {address} is neither read nor listed: {listed}");
            blocks += 1;
        }
        let counted = output["resources"].as_u64().unwrap();
        let in_text = text.matches("\nresource \"aws_appmesh_").count()
            + usize::from(text.starts_with("resource \"aws_appmesh_"));
        let has_gaps =
            !output["unreadable"].as_array().unwrap().is_empty() || !output["refusals"].as_array().unwrap().is_empty();
        assert!(counted >= in_text as u64 || has_gaps, "{name}: {counted} of {in_text} blocks were read: {output}");
    }
    if !shared.is_dir() {
        println!("skipped: the folder of recorded configurations does not exist");
        return;
    }
    assert!(blocks > 0, "no block was counted");
}

fn configurations(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.extend(configurations(&path));
        } else if path.extension().is_some_and(|ending| ending == "tf") {
            all.push(path);
        }
    }
    all
}
