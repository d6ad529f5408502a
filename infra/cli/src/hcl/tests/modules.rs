//! Tests of block copies, and of modules that are called with values.

use std::collections::BTreeSet;

use readers::{Defect, Note, Skipped};

use super::*;

/// The paths of the read resources, and the undecided parts.
fn outcome(files: &[(&str, &str)]) -> (BTreeSet<String>, Vec<String>) {
    let reading = reading(files);
    let undecided = reading.faults.iter().filter_map(|fault| match &fault.defect {
        Defect::Undecided { expressions } => Some(format!("{}: {}", fault.source.id, expressions.join(", "))),
        _ => None,
    });
    (reading.resources.iter().map(|declared| declared.path.to_string()).collect(), undecided.collect())
}

fn paths<const N: usize>(paths: [&str; N]) -> BTreeSet<String> {
    paths.map(str::to_owned).into_iter().collect()
}

#[test]
fn copies_are_read_one_by_one_where_their_number_is_known() {
    let node = |meta: &str, name: &str| {
        format!(
            "variable \"on\" {{ default = true }}\nvariable \"open\" {{}}\nresource \"aws_appmesh_virtual_node\" \"n\" {{\n  \
             {meta}\n  name = {name}\n  mesh_name = \"m\"\n  spec {{}}\n}}\n"
        )
    };
    let table: [(&str, &str, &[&str], &[&str]); 12] = [
        ("count = 1", "\"n\"", &["n"], &[]),
        ("count = var.on ? 1 : 0", "\"n\"", &["n"], &[]),
        ("count = var.on ? 0 : 1", "\"n\"", &[], &[]),
        ("count = \"2\"", "\"n-${count.index}\"", &["n-0", "n-1"], &[]),
        ("for_each = toset([])", "\"n\"", &[], &[]),
        ("for_each = toset([\"a\", \"b\"])", "each.key", &["a", "b"], &[]),
        (
            "for_each = { a = { v = \"x\" }, b = { v = \"y\" } }",
            "\"${each.key}-${each.value.v}\"",
            &["a-x", "b-y"],
            &[],
        ),
        // The keys are known, and a value is unknown.
        ("for_each = { a = var.open }", "each.key", &["a"], &[]),
        ("count = length(var.open)", "\"n\"", &["n"], &["aws_appmesh_virtual_node.n: count"]),
        ("for_each = var.open", "\"n\"", &["n"], &["aws_appmesh_virtual_node.n: for_each"]),
        ("for_each = toset([var.open])", "\"n\"", &["n"], &["aws_appmesh_virtual_node.n: for_each"]),
        ("count = 100000", "\"n\"", &["n"], &["aws_appmesh_virtual_node.n: count"]),
    ];
    for (meta, name, expected, undecided) in table {
        let text = node(meta, name);
        let (found, open) = outcome(&[("a/main.tf", &text)]);
        let expected: BTreeSet<String> = expected.iter().map(|name| format!("mesh/m/virtualNode/{name}")).collect();
        assert_eq!(
            (found, open.iter().map(String::as_str).collect::<Vec<_>>()),
            (expected, undecided.to_vec()),
            "{meta}"
        );
        let evaluated = evaluated(&[("a/main.tf", &text)]);
        assert_eq!(evaluated.notices.len(), usize::from(!evaluated.resources.is_empty()) + undecided.len(), "{meta}");
        // Resources that are certainly not created are reported too.
        let absent = evaluated.absent.iter().map(|remark| (&remark.source.id, &remark.note));
        let is_absent = |(id, note): (&String, &Note)| {
            id == "aws_appmesh_virtual_node.n"
                && matches!(note, Note::NotRead { reason: Skipped::ConditionFalse { .. } })
        };
        assert_eq!(absent.filter(|one| is_absent(*one)).count(), usize::from(evaluated.resources.is_empty()), "{meta}");
    }
}

#[test]
fn copies_refer_to_copies() {
    let text = r#"
locals { nodes = { blue = 8080, green = 8081 } }
resource "aws_appmesh_virtual_node" "n" {
  for_each  = local.nodes
  name      = "app-${each.key}"
  mesh_name = "m"
  spec {
    listener {
      port_mapping {
        port     = each.value
        protocol = "http"
      }
    }
    service_discovery {
      dns { hostname = "${each.key}.local" }
    }
  }
}
resource "aws_appmesh_virtual_service" "s" {
  count     = 2
  name      = "${count.index}.local"
  mesh_name = "m"
  spec {
    provider {
      virtual_node { virtual_node_name = aws_appmesh_virtual_node.n[count.index == 0 ? "blue" : "green"].name }
    }
  }
}
resource "aws_appmesh_route" "all" {
  name                = "all"
  mesh_name           = "m"
  virtual_router_name = join("-", [for key, port in local.nodes : key])
  spec {
    http_route {
      match { prefix = "/" }
      action {
        dynamic "weighted_target" {
          for_each = local.nodes
          iterator = target
          content {
            virtual_node = aws_appmesh_virtual_node.n[target.key].name
            port         = target.value
            weight       = 50
          }
        }
      }
    }
  }
}
"#;
    let reading = reading(&[("a/main.tf", text)]);
    assert_eq!(reading.faults, []);
    let node = one(&reading, "mesh/m/virtualNode/app-green");
    assert_eq!(node.spec.to_json()["listeners"][0]["portMapping"]["port"], 8081);
    assert_eq!(node.source.id, "aws_appmesh_virtual_node.n[\"green\"]");
    let service = one(&reading, "mesh/m/virtualService/1.local");
    assert_eq!(service.spec.to_json()["provider"]["virtualNode"]["virtualNodeName"], "app-green");
    let route = one(&reading, "mesh/m/virtualRouter/blue-green/route/all");
    let targets = &route.spec.to_json()["httpRoute"]["action"]["weightedTargets"];
    assert_eq!((&targets[1]["virtualNode"], &targets[1]["port"]), (&json!("app-green"), &json!(8081)));
    assert_eq!(targets.as_array().unwrap().len(), 2);
    let port = route.lines.line_of("spec.httpRoute.action.weightedTargets[1].port").unwrap();
    assert_eq!(text.lines().nth(port - 1).unwrap().trim(), "port         = target.value");
}

#[test]
fn blocks_of_an_unknown_number_are_undecided() {
    let text = "variable \"all\" {}\nresource \"aws_appmesh_virtual_node\" \"n\" {\n  name = \"n\"\n  mesh_name = \"m\"\n  spec {\n    \
                dynamic \"backend\" {\n      for_each = var.all\n      content {}\n    }\n  }\n}\n";
    let (_, open) = outcome(&[("a/main.tf", text)]);
    assert_eq!(open, ["aws_appmesh_virtual_node.n: dynamic backend"]);
}

const NODE: &str = r#"
variable "mesh" {}
variable "name" { default = "unnamed" }
variable "backends" { default = [] }
resource "aws_appmesh_virtual_node" "this" {
  name      = var.name
  mesh_name = var.mesh
  spec {
    dynamic "backend" {
      for_each = var.backends
      content {
        virtual_service { virtual_service_name = backend.value }
      }
    }
  }
}
output "node" { value = aws_appmesh_virtual_node.this.name }
output "arn" { value = aws_appmesh_virtual_node.this.arn }
"#;

#[test]
fn modules_are_read_with_the_values_of_each_call() {
    let root = r#"
variable "env" { default = "prod" }
module "mesh" {
  source = "./modules/mesh"
  name   = "${var.env}-shop"
}
module "web" {
  source   = "./modules/node"
  mesh     = module.mesh.name
  name     = "web"
  backends = ["${module.svc["pay"].node}.local"]
}
module "svc" {
  for_each = toset(["pay", "stock"])
  source   = "./modules/node/"
  mesh     = module.mesh.name
  name     = each.key
}
"#;
    let mesh = "variable \"name\" {}\nresource \"aws_appmesh_mesh\" \"m\" { name = var.name }\noutput \"name\" { value = aws_appmesh_mesh.m.id }\n";
    // All spellings of the folder give the same result.
    for prefix in ["live", "./live", "/srv/live"] {
        let names = [
            format!("{prefix}/main.tf"),
            format!("{prefix}/modules/mesh/main.tf"),
            format!("{prefix}/modules/node/main.tf"),
        ];
        let files = [(names[0].as_str(), root), (names[1].as_str(), mesh), (names[2].as_str(), NODE)];
        let reading = reading(&files);
        assert_eq!(reading.faults, [], "{prefix}");
        let found: BTreeSet<String> = reading.resources.iter().map(|declared| declared.path.to_string()).collect();
        let expected = paths([
            "mesh/prod-shop",
            "mesh/prod-shop/virtualNode/pay",
            "mesh/prod-shop/virtualNode/stock",
            "mesh/prod-shop/virtualNode/web",
        ]);
        assert_eq!(found, expected);
        let web = one(&reading, "mesh/prod-shop/virtualNode/web");
        assert_eq!(
            (web.source.file.as_str(), web.source.id.as_str()),
            (names[2].as_str(), "module.web.aws_appmesh_virtual_node.this")
        );
        assert_eq!(web.spec.to_json()["backends"][0]["virtualService"]["virtualServiceName"], "pay.local");
        let evaluated = evaluated(&files);
        assert_eq!(evaluated.notices.len(), 1, "{:?}", evaluated.notices);
        assert!(evaluated.resources.iter().all(|resource| resource.via == names[0]));
    }
}

/// A data source of App Mesh is looked up by name, so its name is known.
#[test]
fn names_of_data_sources_are_known() {
    let text = "data \"aws_appmesh_mesh\" \"shared\" {\n  name = \"prod\"\n}\nresource \"aws_appmesh_virtual_node\" \"n\" {\n  name = \
                \"n\"\n  mesh_name = data.aws_appmesh_mesh.shared.id\n  spec {}\n}\n";
    assert_eq!(outcome(&[("a/main.tf", text)]).0, paths(["mesh/prod/virtualNode/n"]));
    let json = json!({
        "data": {"aws_appmesh_mesh": {"shared": {"name": "prod"}}},
        "resource": {"aws_appmesh_virtual_node": {"n": {"name": "n", "mesh_name": "${data.aws_appmesh_mesh.shared.name}", "spec": {}}}}
    });
    assert_eq!(outcome(&[("a/main.tf.json", &json.to_string())]).0, paths(["mesh/prod/virtualNode/n"]));
}

#[test]
fn modules_from_elsewhere_are_listed_and_open_calls_are_undecided() {
    let root = "variable \"open\" {}\nmodule \"vpc\" {\n  source = \"terraform-aws-modules/vpc/aws\"\n}\nmodule \"node\" {\n  source = \
                \"../node\"\n  for_each = var.open\n  mesh = module.vpc.name\n}\nmodule \"off\" {\n  source = \"../node\"\n  count = \
                0\n  mesh = \"m\"\n}\n";
    let files = [("a/live/main.tf", root), ("a/node/main.tf", NODE)];
    let result = evaluated(&files);
    let notices = result.notices.join("\n");
    let unread: Vec<String> = result.unread_modules.iter().map(ToString::to_string).collect();
    assert_eq!(unread, ["a/live/main.tf:2: module.vpc: `terraform-aws-modules/vpc/aws` was not read"]);
    assert!(notices.contains("for_each of module.node was not evaluated"), "{notices}");
    assert!(notices.contains("terraform show -json"), "{notices}");
    assert_eq!(result.calls_elsewhere.iter().collect::<Vec<_>>(), ["a/live/main.tf"]);
    assert_eq!(result.absent[0].source.id, "module.off");
    let (_, open) = outcome(&files);
    assert_eq!(open, ["module.node.aws_appmesh_virtual_node.this: for_each of module.node"]);
}

/// A module that calls itself, modules that call each other, and a module without a caller.
#[test]
fn calls_in_circles_end() {
    let this = "module \"again\" { source = \"./\" }\nresource \"aws_appmesh_mesh\" \"m\" { name = \"m\" }\n";
    assert!(!evaluated(&[("a/main.tf", this)]).resources.is_empty());
    let one = "module \"b\" {\n  source = \"../b\"\n  name = module.b.name\n}\nvariable \"name\" { default = \"x\" }\nresource \
               \"aws_appmesh_mesh\" \"m\" { name = var.name }\noutput \"name\" { value = var.name }\n";
    let other = one.replace("../b", "../a").replace("\"b\"", "\"a\"").replace("module.b", "module.a");
    let read = evaluated(&[("a/main.tf", one), ("b/main.tf", &other)]);
    assert!(
        read.resources.iter().any(|resource| resource.address == "aws_appmesh_mesh.m"),
        "each folder is a root module"
    );
    let (found, _) =
        outcome(&[("node/main.tf", &NODE.replace("variable \"mesh\" {}", "variable \"mesh\" { default = \"m\" }"))]);
    assert_eq!(found, paths(["mesh/m/virtualNode/unnamed"]));
}
