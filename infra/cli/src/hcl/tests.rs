use std::collections::BTreeMap;

use readers::{Declared, Defect, Reading, Surroundings, read_with};
use serde_json::{Value, json};

use super::{Evaluated, Source, evaluate};

mod modules;

fn evaluated(files: &[(&str, &str)]) -> Evaluated {
    let files: Vec<Source<'_>> = files.iter().map(|(name, text)| Source { name, text }).collect();
    evaluate(&files, &BTreeMap::new())
}

fn reading(files: &[(&str, &str)]) -> Reading {
    let Evaluated { resources, errors, .. } = evaluated(files);
    assert!(errors.is_empty(), "{errors:?}");
    let (reading, _) = read_with(&[], &resources, &Surroundings::default());
    assert_eq!(reading.refusals, []);
    reading
}

/// The value of an expression in a module with the given declarations.
fn value(declarations: &str, expression: &str) -> Value {
    let text = format!("{declarations}\nresource \"aws_appmesh_mesh\" \"m\" {{\n  name = {expression}\n}}\n");
    let evaluated = evaluated(&[("v/main.tf", &text)]);
    assert!(evaluated.errors.is_empty(), "{:?}", evaluated.errors);
    evaluated.resources[0].values["name"].clone()
}

fn one<'r>(reading: &'r Reading, path: &str) -> &'r Declared {
    reading.resources.iter().find(|declared| declared.path.to_string() == path).unwrap_or_else(|| {
        panic!("{path}: {:?}", reading.resources.iter().map(|declared| declared.path.to_string()).collect::<Vec<_>>())
    })
}

#[test]
fn expressions_have_their_values() {
    let declared = "
variable \"env\" { default = \"prod\" }
variable \"open\" {}
variable \"ports\" { default = [80, 81] }
variable \"service\" {
  type    = object({ name = string, port = optional(number, 8080), health = optional(object({ path = string })),
    ports = list(object({ number = number, protocol = optional(string, \"http\") })) })
  default = { name = \"pay\", ports = [{ number = 1 }] }
}
variable \"tags\" { default = { team = \"shop\", \"cost centre\" = 7 } }
locals {
  name = \"${var.env}-mesh\"
  deep = { a = { b = [local.name, \"x\"] } }
  loop = local.loop
}
";
    let table = [
        ("\"a\"", json!("a")),
        ("local.name", json!("prod-mesh")),
        ("\"${local.name}.${upper(var.env)}\"", json!("prod-mesh.PROD")),
        ("local.deep.a.b[1]", json!("x")),
        ("local.deep[\"a\"].b.0", json!("prod-mesh")),
        ("var.ports[0] + 1", json!(81)),
        ("var.tags[\"cost centre\"]", json!(7)),
        ("var.env == \"prod\" ? \"yes\" : \"no\"", json!("yes")),
        ("var.open == \"x\" ? \"same\" : \"same\"", json!("same")),
        ("!(1 > 2) && true", json!(true)),
        ("format(\"%s-%d\", var.env, 3)", json!("prod-3")),
        ("join(\",\", [\"a\", var.env])", json!("a,prod")),
        ("lookup(var.tags, \"none\", \"d\")", json!("d")),
        ("replace(\"a_b\", \"_\", \"-\")", json!("a-b")),
        ("substr(\"abcdef\", 1, 3)", json!("bcd")),
        ("trimsuffix(\"a.local\", \".local\")", json!("a")),
        ("element([\"a\", \"b\"], 3)", json!("b")),
        ("coalesce(\"\", \"b\")", json!("b")),
        ("try(var.tags.team, \"x\")", json!("shop")),
        ("try(var.tags.none, \"x\")", json!("x")),
        ("try(var.open.none, \"x\")", json!("${var.open.none}")),
        ("var.service.port", json!(8080)),
        ("var.service.name", json!("pay")),
        ("var.service.health == null", json!(true)),
        ("var.service.ports[0].protocol", json!("http")),
        ("[for p in var.ports : p * 2 if p > 80]", json!([162])),
        ("{ for k, v in { a = 1 } : upper(k) => v }", json!({"A": 1})),
        ("[{ n = 1 }, { n = 2 }][*].n", json!([1, 2])),
        ("merge({ a = 1 }, { b = var.env })", json!({"a": 1, "b": "prod"})),
        ("<<-E\n    text ${var.env}\n  E\n", json!("text prod\n")),
        ("max(1, 3, 2) - 1", json!(2)),
        ("1.5", json!(1.5)),
        ("null", json!(null)),
        // Unknown values are placeholder strings.
        ("var.open", json!("${var.open}")),
        ("\"x-${var.open}\"", json!("x-${var.open}")),
        ("data.aws_region.here.name", json!("${data.aws_region.here.name}")),
        ("module.net.mesh[0]", json!("${module.net.mesh[0]}")),
        ("upper(var.open)", json!("${upper(var.open)}")),
        ("local.loop", json!("${local.loop}")),
        ("local.none", json!("${local.none}")),
        ("uuid()", json!("${uuid()}")),
        ("var.open ? \"a\" : \"b\"", json!("${var.open ? \"a\" : \"b\"}")),
        ("format(\"%s-x\", var.open)", json!("${var.open}-x")),
    ];
    for (expression, expected) in table {
        assert_eq!(value(declared, expression), expected, "{expression}");
    }
}

const SHOP: &str = r#"
resource "aws_appmesh_mesh" "shop" {
  name = "${var.env}-shop"
}

resource "aws_appmesh_virtual_node" "orders" {
  name      = "orders"
  mesh_name = aws_appmesh_mesh.shop.id

  spec {
    listener {
      port_mapping {
        port     = var.port
        protocol = "http"
      }
      health_check {
        protocol            = "http"
        path                = "/ping"
        healthy_threshold   = 2
        unhealthy_threshold = 2
        timeout_millis      = 2000
        interval_millis     = 5000
      }
    }
    service_discovery {
      dns { hostname = "orders.${aws_service_discovery_private_dns_namespace.ns.name}" }
    }
  }
  tags = merge(var.tags, { Name = "orders" })
}

resource "aws_service_discovery_private_dns_namespace" "ns" {
  name = "shop.local"
  vpc  = data.aws_vpc.main.id
}

resource "aws_appmesh_virtual_service" "orders" {
  name      = "orders.shop.local"
  mesh_name = aws_appmesh_mesh.shop.name
  spec {
    provider {
      virtual_node { virtual_node_name = aws_appmesh_virtual_node.orders.name }
    }
  }
}
"#;

const VARIABLES: &str = "variable \"env\" {}\nvariable \"port\" { default = 1 }\nvariable \"tags\" { default = {} }\n";

#[test]
fn the_files_of_a_folder_are_one_module() {
    let files = [
        ("shop/main.tf", SHOP),
        ("shop/variables.tf", VARIABLES),
        ("shop/terraform.tfvars", "env = \"test\"\nport = \"8080\"\n"),
        ("shop/b.auto.tfvars", "env = \"prod\"\n"),
        ("shop/a.auto.tfvars", "env = \"early\"\n"),
        ("other/main.tf", "resource \"aws_appmesh_mesh\" \"shop\" { name = \"other\" }\n"),
    ];
    let reading = reading(&files);
    let node = one(&reading, "mesh/prod-shop/virtualNode/orders");
    let spec = node.spec.to_json();
    assert_eq!(spec["listeners"][0]["portMapping"]["port"], 8080);
    assert_eq!(spec["listeners"][0]["healthCheck"]["path"], "/ping");
    assert_eq!(spec["serviceDiscovery"]["dns"]["hostname"], "orders.shop.local");
    assert_eq!(node.tags.as_ref().unwrap().value("Name"), Some("orders"));
    assert_eq!((node.source.file.as_str(), node.line), ("shop/main.tf", 6));
    assert_eq!(node.lines.line_of("spec.listeners[0].healthCheck.path"), Some(18));
    let service = one(&reading, "mesh/prod-shop/virtualService/orders.shop.local");
    assert_eq!(service.spec.to_json()["provider"]["virtualNode"]["virtualNodeName"], "orders");
    one(&reading, "mesh/other");
    assert_eq!(reading.faults, [], "all of it is known");
}

#[test]
fn a_resource_that_is_not_wholly_known_is_read_in_part() {
    let reading = reading(&[("shop/main.tf", SHOP), ("shop/variables.tf", VARIABLES)]);
    let node = one(&reading, "mesh/${var.env}-shop/virtualNode/orders");
    let reported: Vec<(String, &Defect)> =
        reading.faults.iter().map(|fault| (fault.resource.to_string(), &fault.defect)).collect();
    let expected = Defect::PartlyRead { expressions: vec!["${var.env}".to_owned()] };
    assert!(reported.contains(&(node.path.to_string(), &expected)), "{reported:?}");
    assert_eq!(reported.len(), 3, "of each resource");
}

#[test]
fn attribute_assigned_by_aws_is_not_a_gap() {
    let text = r#"
resource "aws_acm_certificate" "c" { domain_name = "a.local" }
resource "aws_appmesh_virtual_gateway" "g" {
  name      = "g"
  mesh_name = "m"
  spec {
    listener {
      port_mapping {
        port     = 443
        protocol = "http"
      }
      tls {
        mode = "STRICT"
        certificate {
          acm { certificate_arn = aws_acm_certificate.c.arn }
        }
      }
    }
  }
}
"#;
    let reading = reading(&[("a/main.tf", text)]);
    assert_eq!(reading.faults, []);
    let tls = &reading.resources[0].spec.to_json()["listeners"][0]["tls"];
    assert_eq!(tls["certificate"]["acm"]["certificateArn"], "${aws_acm_certificate.c.arn}");
}

#[test]
fn a_misspelt_member_has_its_line() {
    let text = "resource \"aws_appmesh_virtual_node\" \"n\" {\n  name = \"n\"\n  mesh_name = \"m\"\n  spec {\n    listener {\n      \
                port_mapping {\n        port = 80\n        protocol = \"http\"\n      }\n      healthcheck {\n      }\n    }\n  }\n  colour = 1\n}\n";
    let reading = reading(&[("a/main.tf", text)]);
    let reported: Vec<(&str, usize)> = reading.faults.iter().map(|fault| (fault.part.as_str(), fault.line)).collect();
    assert_eq!(reported, [("colour", 14), ("spec.listener.healthcheck", 10)]);
}

#[test]
fn json_configurations_are_the_same() {
    let text = json!({
        "variable": {"env": {"default": "prod"}},
        "locals": {"mesh": "${var.env}-mesh"},
        "resource": {
            "aws_appmesh_mesh": {"m": {"name": "${local.mesh}"}},
            "aws_appmesh_virtual_router": {"r": {"name": "r", "mesh_name": "${aws_appmesh_mesh.m.name}",
                "spec": {"listener": {"port_mapping": {"port": 8080, "protocol": "http"}}}}},
            "aws_appmesh_virtual_node": {"n": [{"name": "n", "mesh_name": "${aws_appmesh_mesh.m.id}", "spec": [{
                "dynamic": {"backend": {"for_each": [], "content": {}}},
                "listener": [{"port_mapping": [{"port": 80, "protocol": "http"}]}]}]}]}}
    });
    let text = serde_json::to_string_pretty(&text).unwrap();
    let reading = reading(&[("a/main.tf.json", &text)]);
    let router = one(&reading, "mesh/prod-mesh/virtualRouter/r");
    assert_eq!(router.spec.to_json()["listeners"][0]["portMapping"]["port"], 8080);
    assert_eq!(text.lines().nth(router.line - 1).unwrap().trim(), "\"r\": {");
    let port = router.lines.line_of("spec.listeners[0].portMapping.port").unwrap();
    assert_eq!(text.lines().nth(port - 1).unwrap().trim(), "\"port\": 8080,");
    one(&reading, "mesh/prod-mesh/virtualNode/n");
    assert!(matches!(reading.faults[0].defect, Defect::Undecided { .. }));
}

#[test]
fn files_that_cannot_be_parsed_are_errors_where_app_mesh_is_spoken_of() {
    let broken = "resource \"aws_appmesh_mesh\" \"m\" {\n  name = \n}\n";
    let evaluated_one = evaluated(&[("a/main.tf", broken)]);
    let error = evaluated_one.errors[0].to_string();
    assert!(error.starts_with("a/main.tf: line "), "{error}");
    assert!(evaluated(&[("a/main.tf", "resource {")]).errors.is_empty());
}

/// Terraform and the check reject nested blocks on one line, but the check still judges their content.
#[test]
fn blocks_on_one_line_are_an_error_and_are_read() {
    let text = "resource \"aws_appmesh_mesh\" \"m\" { name = \"dock\" }\nresource \"aws_appmesh_virtual_router\" \"r\" {\n  \
                name = \"cargo\"\n  mesh_name = aws_appmesh_mesh.m.name\n  spec { listener { port_mapping {\n    port = 8080\n    \
                protocol = \"http\"\n  } } }\n}\n";
    let evaluated = evaluated(&[("a/main.tf", text)]);
    assert_eq!(evaluated.errors.len(), 1);
    let (reading, _) = read_with(&[], &evaluated.resources, &Surroundings::default());
    let router = one(&reading, "mesh/dock/virtualRouter/cargo");
    assert_eq!(router.spec.to_json()["listeners"][0]["portMapping"]["port"], 8080);
    assert_eq!(router.line, 2);
    assert_eq!(evaluated.resources[1].lines["spec[0].listener[0].port_mapping[0].protocol"], 7);
}

/// The evaluation of any file ends.
#[test]
fn circles_and_depth_end() {
    let deep = format!("locals {{\n a = {}1{}\n}}", "[".repeat(60), "]".repeat(60));
    assert!(value(&deep, "local.a").is_array());
    for doubled in [
        "\"${local.l@}${local.l@}\"",
        "concat(local.l@, local.l@)",
        "[local.l@, local.l@]",
        "{ a = local.l@, b = local.l@ }",
    ] {
        let first = if doubled.starts_with("concat") { "[1]" } else { "\"x\"" };
        let rest: Vec<String> =
            (1..100).map(|n| format!("  l{n} = {}\n", doubled.replace('@', &(n - 1).to_string()))).collect();
        let rest = rest.concat();
        drop(value(&format!("locals {{\n  l0 = {first}\n{rest}}}\n"), "local.l99"));
    }
    let (a, b) = ("aws_appmesh_mesh.a", "aws_appmesh_mesh.b");
    let circle = format!(
        "resource \"aws_appmesh_mesh\" \"a\" {{ name = {b}.name }}\nresource \"aws_appmesh_mesh\" \"b\" {{ name = {a}.name }}\n"
    );
    drop(value(&circle, "aws_appmesh_mesh.a.name"));
}
