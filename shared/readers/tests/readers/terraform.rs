//! Terraform plans: modules, values known after apply, the provider's forms of an absent value.

use readers::{Note, Reading, Surroundings, read};
use serde_json::{Value, json};

fn plan(plan: &Value) -> Reading {
    read(&plan.to_string(), "plan.json", &Surroundings::default()).unwrap()
}

fn resource(address: &str, values: &Value) -> Value {
    let local = address.rsplit_once("aws_appmesh_").map_or(address, |(_, local)| local);
    let (kind, name) = local.split_once('.').unwrap();
    let name = name.split('[').next().unwrap();
    json!({"address": address, "mode": "managed", "type": format!("aws_appmesh_{kind}"), "name": name, "values": values})
}

fn node(extra: &Value) -> Value {
    let mut values = json!({
        "name": "orders", "mesh_name": "shop", "tags": null, "tags_all": {"team": "shop"}, "region": "eu-west-1",
        "spec": [{"backend": [], "backend_defaults": [], "listener": [], "logging": [], "service_discovery": []}],
    });
    values.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    values
}

fn planned(resources: &Value) -> Value {
    json!({"format_version": "1.2", "terraform_version": "1.9.5", "planned_values": {"root_module": {"resources": resources}}})
}

#[test]
fn blocks_are_objects_and_unset_arguments_are_absent() {
    let spec = json!([{
        "backend": [{"virtual_service": [{"virtual_service_name": "a.local", "client_policy": []}]}],
        "backend_defaults": [{"client_policy": [{"tls": [{"enforce": true, "ports": null, "certificate": [],
            "validation": [{"subject_alternative_names": [], "trust": [{"acm": [], "sds": [],
                "file": [{"certificate_chain": "/ca.pem"}]}]}]}]}]}],
        "listener": [{"port_mapping": [{"port": 8080, "protocol": "http"}], "tls": [], "timeout": [{"http": [
            {"idle": [{"unit": "s", "value": 1}], "per_request": []}], "grpc": [], "http2": [], "tcp": []}],
            "health_check": [{"path": "", "healthy_threshold": 2, "interval_millis": 5000, "port": 80.0,
            "protocol": "http", "timeout_millis": 2000, "unhealthy_threshold": 2}]}],
        "service_discovery": [{"aws_cloud_map": [{"attributes": {"z": "1", "a": "2"}, "namespace_name": "n",
            "service_name": "s"}], "dns": []}],
    }]);
    let reading = plan(&planned(&json!([resource("aws_appmesh_virtual_node.orders", &node(&json!({"spec": spec})))])));
    assert_eq!((reading.remarks, reading.refusals), (vec![], vec![]));
    let read = &reading.resources[0];
    assert_eq!(
        read.spec.to_json(),
        json!({
            "backendDefaults": {"clientPolicy": {"tls": {"enforce": true,
                "validation": {"trust": {"file": {"certificateChain": "/ca.pem"}}}}}},
            "backends": [{"virtualService": {"virtualServiceName": "a.local"}}],
            "listeners": [{
                "healthCheck": {"healthyThreshold": 2, "intervalMillis": 5000, "port": 80, "protocol": "http",
                    "timeoutMillis": 2000, "unhealthyThreshold": 2},
                "portMapping": {"port": 8080, "protocol": "http"},
                "timeout": {"http": {"idle": {"unit": "s", "value": 1}}},
            }],
            "serviceDiscovery": {"awsCloudMap": {"attributes": [{"key": "a", "value": "2"}, {"key": "z", "value": "1"}],
                "namespaceName": "n", "serviceName": "s"}},
        })
    );
    assert_eq!(read.tags.as_ref().unwrap().value("team"), Some("shop"), "also the provider's default tags");
}

#[test]
fn empty_grpc_match_is_read() {
    let table = [json!([]), json!([null]), json!([{}]), json!([{"port": null, "metadata": []}])];
    for matches in table {
        let values = json!({"name": "r", "mesh_name": "shop", "virtual_router_name": "v", "spec": [{"priority": null,
            "grpc_route": [{"match": matches, "action": [{"weighted_target": [{"virtual_node": "a", "weight": 1, "port": null}]}]}]}]});
        let reading = plan(&planned(&json!([resource("aws_appmesh_route.r", &values)])));
        let expected =
            json!({"grpcRoute": {"action": {"weightedTargets": [{"virtualNode": "a", "weight": 1}]}, "match": {}}});
        assert_eq!(reading.resources[0].spec.to_json(), expected, "{matches}");
    }
}

#[test]
fn names_known_after_apply_are_found_in_the_plan() {
    let mesh = resource("aws_appmesh_mesh.shop[0]", &json!({"name": "shop-eu", "spec": []}));
    let mut values = node(&json!({}));
    values.as_object_mut().unwrap().remove("mesh_name");
    let module = |reference: &Value| {
        json!({
            "terraform_version": "1.9.5",
            "planned_values": {"root_module": {"child_modules": [{"address": "module.m[\"a\"]", "resources": [
                resource("module.m[\"a\"].aws_appmesh_mesh.shop[0]", &mesh["values"]),
                resource("module.m[\"a\"].aws_appmesh_virtual_node.orders", &values)]}]}},
            "resource_changes": [{"address": "module.m[\"a\"].aws_appmesh_virtual_node.orders",
                "change": {"after_unknown": {"mesh_name": true, "mesh_owner": true, "arn": true, "tags_all": {}}}}],
            "configuration": {"root_module": {"module_calls": {"m": {"module": {"resources": [
                {"type": "aws_appmesh_virtual_node", "name": "orders", "expressions": {"mesh_name": {"references": reference}}}]}}}}},
        })
    };
    let found = json!(["aws_appmesh_mesh.shop[0].id", "aws_appmesh_mesh.shop[0]", "aws_appmesh_mesh.shop"]);
    let reading = plan(&module(&found));
    assert_eq!(reading.remarks, []);
    assert_eq!(reading.resources[1].path.to_string(), "mesh/shop-eu/virtualNode/orders");

    for (reference, stand_in) in [
        (json!(["var.mesh"]), "${var.mesh}"),
        (json!(["aws_appmesh_mesh.other.id", "aws_appmesh_mesh.other"]), "${aws_appmesh_mesh.other.id}"),
        (json!(["aws_appmesh_mesh.shop.id", "aws_appmesh_mesh.shop", "var.x"]), "${aws_appmesh_mesh.shop.id}"),
    ] {
        let reading = plan(&module(&reference));
        let node = reading.resources.iter().find(|resource| resource.path.name() == "orders").unwrap();
        assert_eq!(node.path.mesh().as_str(), stand_in);
        assert!(matches!(&reading.remarks[0].note, Note::Unresolved { expression } if expression == stand_in));
    }
}

#[test]
fn nested_values_known_after_apply_are_placeholders() {
    let values = node(&json!({"spec": [{"listener": [{"port_mapping": [{"port": 8080, "protocol": "http"}],
        "tls": [{"mode": "STRICT", "certificate": [{"acm": [{}]}]}]}]}]}));
    let mut document = planned(&json!([resource("aws_appmesh_virtual_node.orders", &values)]));
    document["resource_changes"] = json!([{"address": "aws_appmesh_virtual_node.orders", "change": {"after_unknown":
        {"spec": [{"listener": [{"port_mapping": [{}], "tls": [{"certificate": [{"acm": [{"certificate_arn": true}]}]}]}]}]}}}]);
    document["configuration"] = json!({"root_module": {"resources": [{"type": "aws_appmesh_virtual_node",
        "name": "orders", "expressions": {"spec": [{"listener": [{"tls": [{"certificate": [{"acm": [
            {"certificate_arn": {"references": ["aws_acm_certificate.a.arn", "aws_acm_certificate.a"]}}]}]}]}]}]}}]}});
    let reading = plan(&document);
    let tls = &reading.resources[0].spec.to_json()["listeners"][0]["tls"];
    assert_eq!(tls["certificate"]["acm"]["certificateArn"], "${aws_acm_certificate.a.arn}");
    assert_eq!(
        reading.remarks[0].to_string(),
        "plan.json: aws_appmesh_virtual_node.orders: spec.listeners[0].tls.certificate.acm.certificateArn: \
         `${aws_acm_certificate.a.arn}` has no value here and stands as text"
    );

    document["resource_changes"][0]["change"]["after_unknown"] =
        json!({"spec": [{"listener": [{"port_mapping": [{"port": true}]}]}]});
    let refusal = plan(&document).refusals[0].to_string();
    assert!(refusal.contains("spec.listeners[0].portMapping.port: depends on"), "{refusal}");
}

#[test]
fn data_sources_and_other_types_are_skipped_and_states_are_read() {
    let mut data = resource("aws_appmesh_mesh.there", &json!({"name": "there", "spec": []}));
    data["mode"] = json!("data");
    let other = json!({"address": "aws_vpc.a", "mode": "managed", "type": "aws_vpc", "name": "a", "values": {}});
    let shop = resource(
        "aws_appmesh_mesh.shop",
        &json!({"name": "shop", "spec": [], "mesh_owner": "123456789012", "colour": "blue"}),
    );
    let state = json!({"terraform_version": "1.9.5", "values": {"root_module": {"resources": [data, other, shop]}}});
    let reading = plan(&state);
    assert_eq!(reading.resources.len(), 1);
    assert_eq!(reading.resources[0].mesh_owner.as_ref().unwrap().as_str(), "123456789012");
    assert_eq!((reading.faults[0].part.as_str(), reading.faults.len()), ("colour", 1));
}

/// A state has zeros and empty texts for unset values; a plan has `null`.
#[test]
fn zeros_of_a_state_count_as_unset() {
    let route = |priority: Value, port: Value| {
        json!({"name": "r", "mesh_name": "shop", "virtual_router_name": "v", "spec": [{"priority": priority,
            "http_route": [{"match": [{"prefix": "/", "port": port, "method": "", "scheme": "", "header": [], "path": []}],
            "action": [{"weighted_target": [{"virtual_node": "a", "weight": 0, "port": port}]}], "timeout": []}]}]})
    };
    let state = |values: &Value| {
        json!({"format_version": "1.0", "terraform_version": "1.11.4", "values": {"root_module": {"resources":
            [resource("aws_appmesh_route.r", values)]}}})
    };
    let unset = json!({"httpRoute": {"action": {"weightedTargets": [{"virtualNode": "a", "weight": 0}]},
        "match": {"prefix": "/"}}});
    let with_priority = |priority: u64| {
        let mut spec = unset.clone();
        spec["priority"] = json!(priority);
        spec
    };
    let plan_of = |values: &Value| planned(&json!([resource("aws_appmesh_route.r", values)]));
    let table = [
        (state(&route(json!(0), json!(0))), unset.clone()),
        (state(&route(json!(null), json!(null))), unset.clone()),
        (state(&route(json!(3), json!(0))), with_priority(3)),
        (plan_of(&route(json!(null), json!(null))), unset.clone()),
        (plan_of(&route(json!(null), json!(0))), unset.clone()),
        (plan_of(&route(json!(0), json!(0))), with_priority(0)),
    ];
    for (document, expected) in table {
        let reading = plan(&document);
        assert_eq!(reading.refusals, [], "{document}");
        assert_eq!(reading.resources[0].spec.to_json(), expected, "{document}");
    }

    let listener = json!([{"listener": [{"port_mapping": [{"port": 8080, "protocol": "http"}],
        "connection_pool": [{"http": [{"max_connections": 5, "max_pending_requests": 0}], "tcp": []}],
        "health_check": [{"path": "/", "healthy_threshold": 2, "interval_millis": 5000, "port": 0, "protocol": "http",
            "timeout_millis": 2000, "unhealthy_threshold": 2}]}]}]);
    let node = node(&json!({"spec": listener}));
    let reading = plan(&state_of("aws_appmesh_virtual_node.orders", &node));
    let listener = &reading.resources[0].spec.to_json()["listeners"][0];
    assert_eq!(listener["connectionPool"], json!({"http": {"maxConnections": 5}}));
    assert_eq!(listener["healthCheck"].get("port"), None);
}

fn state_of(address: &str, values: &Value) -> Value {
    json!({"terraform_version": "1.11.4", "values": {"root_module": {"resources": [resource(address, values)]}}})
}

#[test]
fn required_port_of_zero_is_refused() {
    let node = node(&json!({"spec": [{"listener": [{"port_mapping": [{"port": 0, "protocol": "http"}]}]}]}));
    let refusal = plan(&state_of("aws_appmesh_virtual_node.orders", &node)).refusals[0].to_string();
    assert!(refusal.contains("portMapping.port: "), "{refusal}");
}
