//! Members that the target of a file drops or refuses: each form has its own spelling, and no other is read.

use readers::{Defect, Fault, Form, Reading, Surroundings, read};
use serde_json::{Value, json};

fn read_one(text: &str) -> Reading {
    read(text, "mesh", &Surroundings::default()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Each misspelt member with its line and the suggestion.
fn misspelt(reading: &Reading) -> Vec<(String, usize, Option<String>)> {
    let members = reading.faults.iter().filter_map(|Fault { part, line, defect, .. }| match defect {
        Defect::UnknownMember { suggestion, .. } => Some((part.clone(), *line, suggestion.clone())),
        _ => None,
    });
    members.collect()
}

fn owned(expected: &[(&str, usize, Option<&str>)]) -> Vec<(String, usize, Option<String>)> {
    expected.iter().map(|(part, line, name)| ((*part).to_owned(), *line, name.map(str::to_owned))).collect()
}

fn spec(reading: &Reading) -> Value {
    reading.resources[0].spec.to_json()
}

const NODE: &str = "
apiVersion: appmesh.k8s.aws/v1beta2
kind: VirtualNode
metadata: {name: orders, namespace: lab}
spec:
";

#[test]
fn manifests_use_the_spelling_of_the_custom_resources() {
    let pascal = format!(
        "{NODE}  listeners:\n    - HealthCheck: {{Path: /}}\n      portMapping: {{port: 80, protocol: http}}\n  \
         serviceDiscovery: {{awsCloudMap: {{namespaceName: lab, serviceName: s}}}}\n"
    );
    let reading = read_one(&pascal);
    assert_eq!(misspelt(&reading), owned(&[("spec.listeners[0].HealthCheck", 7, Some("healthCheck"))]));
    assert_eq!(spec(&reading)["listeners"], json!([{"portMapping": {"port": 80, "protocol": "http"}}]));

    let snake = format!("{NODE}  service_discovery: {{dns: {{hostname: a}}}}\n  podselector: {{}}\n  backend: []\n");
    let reading = read_one(&snake);
    let expected =
        [("spec.service_discovery", 6, Some("serviceDiscovery")), ("spec.podselector", 7, Some("podSelector"))];
    assert_eq!(misspelt(&reading)[..2], owned(&expected));
    assert_eq!(misspelt(&reading)[2..], owned(&[("spec.backend", 8, Some("backends"))]));
    assert_eq!(spec(&reading), json!({}));
}

#[test]
fn manifest_spellings_are_accepted_in_manifests_only() {
    let table = [
        // The custom resources have references, and ARN in capitals.
        (
            "provider: {virtualNode: {virtualNodeName: a}}",
            "VirtualService",
            "spec.provider.virtualNode.virtualNodeName",
        ),
        ("serviceDiscovery: {ipPreference: IPv4_ONLY}", "Mesh", "spec.serviceDiscovery"),
        (
            "listeners: [{portMapping: {port: 1, protocol: http}, tls: {mode: STRICT, certificate: {acm: {certificateArn: a}}}}]",
            "VirtualNode",
            "spec.listeners[0].tls.certificate.acm.certificateArn",
        ),
        ("podSelector: {matchlabels: {a: b}}", "VirtualNode", "spec.podSelector.matchlabels"),
        ("namespaceSelector: {labels: {a: b}}", "Mesh", "spec.namespaceSelector.labels"),
        (
            "routes: [{name: a, httpRoute: {match: {prefix: /}, action: {weightedTargets: [{virtualNode: a, weight: 1}]}}}]",
            "VirtualRouter",
            "spec.routes[0].httpRoute.action.weightedTargets[0].virtualNode",
        ),
    ];
    for (spec, kind, expected) in table {
        let text = format!(
            "apiVersion: appmesh.k8s.aws/v1beta2\nkind: {kind}\nmetadata: {{name: a, namespace: lab}}\nspec: {{{spec}}}\n"
        );
        let reading = read_one(&text);
        let in_faults = misspelt(&reading).iter().any(|(part, ..)| part == expected);
        let in_refusals = reading.refusals.iter().any(|refusal| refusal.to_string().contains(expected));
        assert!(in_faults || in_refusals, "{spec}: {:?} {:?}", reading.faults, reading.refusals);
    }
    let group = "apiVersion: appmesh.k8s.aws/v1beta2\nkind: BackendGroup\nmetadata: {name: a, namespace: lab}\n\
                 spec: {virtualServices: [{name: s}]}\n";
    let refusal = read_one(group).refusals[0].to_string();
    assert!(refusal.ends_with("spec.virtualServices: is not a member here: write `virtualservices`"), "{refusal}");
    let kind = NODE.replace("VirtualNode", "Virtualnode");
    let refusal = read_one(&kind).refusals[0].to_string();
    assert!(refusal.ends_with("write `VirtualNode`"), "{refusal}");
    let metadata = NODE.replace("namespace: lab", "namespace: lab, label: {a: b}");
    assert_eq!(misspelt(&read_one(&metadata)), owned(&[("metadata.label", 4, Some("labels"))]));
}

fn template(properties: &str) -> String {
    format!(
        "Resources:\n  Node:\n    Type: AWS::AppMesh::VirtualNode\n    Properties:\n      MeshName: lab\n{properties}"
    )
}

#[test]
fn templates_use_pascal_case() {
    let camel = "      VirtualNodeName: orders\n      Spec:\n        listeners:\n          - portMapping: {port: 80}\n        \
                 serviceDiscovery: {dns: {hostname: a}}\n";
    let reading = read_one(&template(camel));
    let expected = [("Spec.listeners", 8, Some("Listeners")), ("Spec.serviceDiscovery", 10, Some("ServiceDiscovery"))];
    assert_eq!(misspelt(&reading), owned(&expected));
    assert_eq!(spec(&reading), json!({}));

    let table = [
        ("      virtualNodeName: a\n", vec![("virtualNodeName", 6, Some("VirtualNodeName"))]),
        ("      spec: {}\n", vec![("spec", 6, Some("Spec"))]),
        ("      Spec: {Listener: []}\n", vec![("Spec.Listener", 6, Some("Listeners"))]),
        ("      Spec: {BackendDefault: {}}\n", vec![("Spec.BackendDefault", 6, Some("BackendDefaults"))]),
        (
            "      Spec: {ServiceDiscovery: {DNS: {Hostname: a, ResponseTyp: X}}}\n",
            vec![("Spec.ServiceDiscovery.DNS.ResponseTyp", 6, Some("ResponseType"))],
        ),
        ("      Spec: {Colour: blue}\n", vec![("Spec.Colour", 6, None)]),
        ("      Spec: {}\n      Tags: [{Key: a, Values: b}]\n", vec![("Tags[0].Values", 7, Some("Value"))]),
    ];
    for (properties, expected) in table {
        let reading = read_one(&template(properties));
        assert_eq!(misspelt(&reading), owned(&expected), "{properties}");
    }
    // A misspelt required member is also missing. The refusal reports both.
    let refused = read_one(&template("      Spec: {ServiceDiscovery: {Dns: {Hostname: a}}}\n"));
    let refusal = refused.refusals[0].to_string();
    assert!(refusal.contains("Spec.ServiceDiscovery.Dns: is not a member here: write `DNS`"), "{refusal}");
    assert_eq!(misspelt(&refused).len(), 1, "it is also a finding");
    let attribute = template("").replace("    Properties:\n      MeshName: lab\n", "    properties: {MeshName: lab}\n");
    let refusal = read_one(&attribute).refusals[0].to_string();
    assert!(refusal.contains("properties: is not a member here: write `Properties`"), "{refusal}");
    let kind = template("").replace("AWS::AppMesh::VirtualNode", "AWS::Appmesh::VirtualNode");
    assert!(read_one(&kind).refusals[0].to_string().contains("write `AWS::AppMesh::VirtualNode`"));
}

#[test]
fn plans_and_api_documents_have_a_spelling_each() {
    let plan = |spec: Value| {
        let values = json!({"name": "a", "mesh_name": "lab", "spec": [spec]});
        json!({"terraform_version": "1", "planned_values": {"root_module": {"resources": [{"mode": "managed",
            "address": "aws_appmesh_virtual_node.a", "type": "aws_appmesh_virtual_node", "name": "a", "values": values}]}}})
    };
    let mapping = json!([{"port": 80, "protocol": "http"}]);
    let table = [
        (json!({"listeners": [{"port_mapping": mapping}]}), "spec.listeners", Some("listener")),
        (
            json!({"listener": [{"port_mapping": mapping, "healthCheck": []}, {"port_mapping": mapping, "health_checks": [{}]}]}),
            "spec.listener[1].health_checks",
            Some("health_check"),
        ),
        (
            json!({"service_discovery": [{"dns": [{"hostname": "a", "host_name": "b"}]}]}),
            "spec.service_discovery.dns.host_name",
            None,
        ),
    ];
    for (spec, part, suggestion) in table {
        let reading = read_one(&plan(spec.clone()).to_string());
        let expected = owned(&[(part, 1, suggestion)]);
        assert_eq!(misspelt(&reading), expected, "{spec}");
    }
    let types = plan(json!({})).to_string().replace("aws_appmesh_virtual_node", "aws_appmesh_virtualnode");
    assert!(read_one(&types).refusals[0].to_string().contains("write `aws_appmesh_virtual_node`"));

    let api = json!({"meshName": "m", "virtualNodeName": "n", "meshowner": "1", "spec":
        {"Backends": [], "serviceDiscovery": {"dns": {"hostName": "a", "hostname": "b"}}, "future": {"a": 1}}});
    let reading = read_one(&api.to_string());
    let expected = [
        ("meshowner", 1, Some("meshOwner")),
        ("spec.Backends", 1, Some("backends")),
        ("spec.serviceDiscovery.dns.hostName", 1, None),
        ("spec.future", 1, None),
    ];
    assert_eq!(misspelt(&reading), owned(&expected));
    // A member that is reported for the file is not also refused in the spec.
    assert_eq!(spec(&reading), json!({"serviceDiscovery": {"dns": {"hostname": "b"}}}));
    assert!(matches!(reading.faults[0].defect, Defect::UnknownMember { form: Form::Api, .. }));
}

/// Configuration items record existing resources, in different spellings.
#[test]
fn configuration_items_have_no_wrong_case() {
    let item = json!({"resourceType": "AWS::AppMesh::VirtualNode", "configurationItemStatus": "OK", "configuration":
        {"MeshName": "m", "VirtualNodeName": "n", "Spec": {"ServiceDiscovery": {"Dns": {"Hostname": "a"}}, "More": 1}}});
    let reading = read_one(&item.to_string());
    assert_eq!((reading.faults.len(), reading.remarks.len()), (0, 1));
    assert_eq!(spec(&reading)["serviceDiscovery"], json!({"dns": {"hostname": "a"}}));
}
