//! Config items and API documents: every accepted shape, and the refused ones.

use readers::{Form, Note, ReadError, Reading, Skipped, Surroundings, detect, read};
use serde_json::{Value, json};

fn reading(document: &Value) -> Reading {
    read(&document.to_string(), "in/orders.json", &Surroundings::default()).unwrap()
}

fn item() -> Value {
    json!({
        "resourceType": "AWS::AppMesh::VirtualNode",
        "arn": "arn:aws:appmesh:eu-west-1:123456789012:mesh/shop/virtualNode/orders",
        "configurationItemStatus": "OK",
        "tags": {"team": "shop"},
        "configuration": {"MeshName": "shop", "VirtualNodeName": "orders", "MeshOwner": "123456789012", "Spec": {
            "Backends": [],
            "Listeners": [{"PortMapping": {"Port": 8080, "Protocol": "http"},
                "Tls": {"Mode": "STRICT", "Certificate": {"Acm": {"CertificateArn": "arn"}}},
                "Timeout": {"Http2": {"PerRequest": {"Unit": "ms", "Value": 5}}}}],
            "ServiceDiscovery": {"AWSCloudMap": {"NamespaceName": "n", "ServiceName": "s"}}}},
    })
}

#[test]
fn config_items_are_read_wherever_they_are() {
    let item = item();
    let mut as_text = item.clone();
    as_text["configuration"] = json!(item["configuration"].to_string());
    let message = json!({"messageType": "ConfigurationItemChangeNotification", "configurationItem": item});
    let mut only_arn = item.clone();
    only_arn["configuration"].as_object_mut().unwrap().retain(|name, _| name == "Spec" || name == "MeshOwner");
    let upper = item
        .to_string()
        .replace("\"Tls\"", "\"TLS\"")
        .replace("\"Acm\"", "\"ACM\"")
        .replace("AWSCloudMap", "AwsCloudMap");
    for document in [
        item.clone(),
        as_text.clone(),
        only_arn,
        serde_json::from_str(&upper).unwrap(),
        json!({"invokingEvent": message.to_string(), "resultToken": "t"}),
        json!({"detail": message, "detail-type": "Config Configuration Item Change"}),
        json!({"configurationItems": [as_text.clone()], "nextToken": "t"}),
        json!({"baseConfigurationItems": [as_text.clone()]}),
        json!({"Results": [item.to_string()], "QueryInfo": {}}),
        json!([item]),
    ] {
        let reading = reading(&document);
        assert_eq!((&reading.remarks[..], &reading.refusals[..]), (&[][..], &[][..]), "{document}");
        let [node] = reading.resources.as_slice() else { panic!("{document}") };
        assert_eq!(node.path.to_string(), "mesh/shop/virtualNode/orders");
        assert_eq!(
            node.spec.to_json(),
            json!({"backends": [], "listeners": [{"portMapping": {"port": 8080, "protocol": "http"},
                "timeout": {"http2": {"perRequest": {"unit": "ms", "value": 5}}},
                "tls": {"certificate": {"acm": {"certificateArn": "arn"}}, "mode": "STRICT"}}],
                "serviceDiscovery": {"awsCloudMap": {"namespaceName": "n", "serviceName": "s"}}})
        );
        assert_eq!(node.tags.as_ref().unwrap().value("team"), Some("shop"));
        assert_eq!(node.mesh_owner.as_ref().unwrap().as_str(), "123456789012");
    }
}

#[test]
fn items_without_a_resource_are_skipped_with_a_remark() {
    let mut deleted = item();
    deleted["configurationItemStatus"] = json!("ResourceDeletedNotRecorded");
    let mut summary = item();
    summary.as_object_mut().unwrap().remove("configuration");
    let mut other = item();
    other["resourceType"] = json!("AWS::ACM::Certificate");
    let table = [
        (deleted, Skipped::Deleted),
        (json!({"configurationItemSummary": summary}), Skipped::Oversized),
        (other, Skipped::OtherType { kind: "AWS::ACM::Certificate".to_owned() }),
    ];
    for (document, reason) in table {
        let reading = reading(&document);
        assert!(reading.resources.is_empty());
        assert_eq!(reading.remarks[0].note, Note::NotRead { reason });
    }
}

#[test]
fn api_documents_are_read_in_every_shape() {
    let spec = json!({"provider": {"virtualNode": {"virtualNodeName": "a"}}});
    let whole = json!({"meshName": "shop", "virtualServiceName": "a.local", "spec": spec, "tags": [{"key": "k", "value": "v"}]});
    for document in [
        whole.clone(),
        json!({"virtualService": whole}),
        json!([whole]),
        json!([{"virtualService": whole}]),
        json!({"virtualServices": [whole]}),
        json!({"resources": [whole]}),
    ] {
        let reading = reading(&document);
        assert_eq!(reading.remarks, [], "{document}");
        assert_eq!(reading.resources.len(), 1, "{document}");
        assert_eq!(reading.resources[0].path.to_string(), "mesh/shop/virtualService/a.local");
        assert_eq!(reading.resources[0].spec.to_json(), spec);
        assert_eq!(reading.resources[0].tags.as_ref().unwrap().value("k"), Some("v"));
    }
    let list = json!({"virtualServices": [{"arn": "a", "meshName": "shop", "virtualServiceName": "a.local"}]});
    assert_eq!(reading(&list).remarks[0].note, Note::NotRead { reason: Skipped::NoSpec });
    let mesh = reading(&json!({"meshName": "shop"}));
    assert_eq!(mesh.resources[0].path.to_string(), "mesh/shop");
    assert_eq!(mesh.resources[0].tags, None, "the tags of an answer without any are unknown");
}

#[test]
fn spec_alone_determines_its_kind() {
    let target = json!({"target": {"virtualService": {"virtualServiceName": "s"}}});
    let targets = json!({"weightedTargets": [{"virtualNode": "a", "weight": 1}]});
    let listener = json!({"portMapping": {"port": 1, "protocol": "http"}});
    let table = [
        (json!({"egressFilter": {"type": "DROP_ALL"}}), "mesh/${mesh}"),
        (
            json!({"httpRoute": {"match": {"prefix": "/"}, "action": targets}}),
            "mesh/${mesh}/virtualRouter/${virtualRouterName}/route/orders",
        ),
        (
            json!({"httpRoute": {"match": {"prefix": "/"}, "action": target}}),
            "mesh/${mesh}/virtualGateway/${virtualGatewayName}/gatewayRoute/orders",
        ),
        (json!({"provider": {"virtualNode": {"virtualNodeName": "a"}}}), "mesh/${mesh}/virtualService/orders"),
        (
            json!({"listeners": [listener], "serviceDiscovery": {"dns": {"hostname": "h"}}}),
            "mesh/${mesh}/virtualNode/orders",
        ),
        (json!({"listeners": [listener], "backendDefaults": {}}), "mesh/${mesh}/virtualGateway/orders"),
        (json!({"listeners": [listener]}), "mesh/${mesh}/virtualRouter/orders"),
    ];
    for (spec, path) in table {
        for document in [spec.clone(), json!({"spec": spec})] {
            let reading = reading(&document);
            assert_eq!(reading.resources[0].path.to_string(), path, "{document}");
            assert!(reading.remarks.iter().any(|remark| matches!(remark.note, Note::KindAssumed { .. })));
        }
    }
}

#[test]
fn broken_resource_lists_every_member_and_does_not_affect_others() {
    let document = json!({"virtualNodes": [
        {"meshName": "shop", "virtualNodeName": "a/b", "spec": {"listeners": [{"portMapping": {"port": "80", "protocol": "http"}}]}},
        {"meshName": "shop", "virtualNodeName": "b", "spec": {}, "meshOwner": "12"}]});
    let reading = reading(&document);
    assert_eq!(
        reading.refusals[0].to_string(),
        "in/orders.json:1: virtualNode a/b: virtualNodeName: a virtual node name can't contain '/': remove it from `a/b`; \
         spec.listeners[0].portMapping.port: must be a whole number, not a string"
    );
    assert_eq!(reading.resources[0].path.name(), "b");
    assert_eq!(reading.resources[0].mesh_owner, None);
    assert_eq!(reading.remarks[0].note, Note::OwnerUnknown { given: "12".to_owned() });
}

#[test]
fn unreadable_files_say_where() {
    let table = [
        ("{\"a\": 1,\n \"a\": 2}", "a.json: line 2: `a` is given twice: remove one"),
        ("{\"meshName\": ", "a.json: line 1: EOF while parsing a value"),
        ("a: 1\nb: [\n", "a.json: line 2: "),
    ];
    for (text, expected) in table {
        let error = read(text, "a.json", &Surroundings::default()).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
    }
    for text in ["", "a text", "{}", "[]", "null", "a: b", "{\"configurationItem\": {}}"] {
        let error = read(text, "a", &Surroundings::default()).unwrap_err();
        assert_eq!(error, ReadError::NoForm { file: "a".to_owned(), remedy: "" }, "{text}");
    }
    for text in ["{\"spec\": {}}", "{\"spec\": null}", "{\"spec\": {\"provider\": 3}, \"meshname\": \"m\"}"] {
        let error = read(text, "a", &Surroundings::default()).unwrap_err();
        assert_eq!(error, ReadError::NoKind { file: "a".to_owned() }, "{text}");
    }
    let other = read("{\"kind\": \"Pod\", \"spec\": {}}", "a", &Surroundings::default()).unwrap_err();
    assert_eq!(other, ReadError::NoForm { file: "a".to_owned(), remedy: "" });
    assert_eq!(detect("{\"Resources\": {\"A\": {\"Type\": \"AWS::SNS::Topic\"}}}", "a"), Ok(Form::CloudFormation));
    let empty = read("Resources: {A: {Type: 'AWS::SNS::Topic'}}", "a", &Surroundings::default()).unwrap();
    assert!(empty.is_empty(), "a template without App Mesh resources has no result");
}

#[test]
fn harmless_looking_mistakes_are_refused() {
    let state = r#"{"version": 4, "terraform_version": "1.9", "resources": [{"type": "aws_appmesh_mesh"}]}"#;
    let table = [
        (state, "a: state: resources: is Terraform's own form: give what `terraform show -json` writes"),
        (
            "Resources: {A: {Type: 'AWS::AppMesh::VirtualNod', Properties: {}}}",
            "a: A: Type: `AWS::AppMesh::VirtualNod` is not a resource type of App Mesh: write `AWS::AppMesh::VirtualNode`",
        ),
    ];
    for (text, expected) in table {
        let reading = read(text, "a", &Surroundings::default()).unwrap();
        let refusals: Vec<String> = reading.refusals.iter().map(ToString::to_string).collect();
        assert_eq!(refusals, [expected]);
    }
    let included = "Resources: {Fn::Transform: {Name: 'AWS::Include'}, A: {Type: 'AWS::SNS::Topic'}}";
    let reading = read(included, "a", &Surroundings::default()).unwrap();
    assert_eq!(reading.remarks[0].note, Note::LeftOut { expression: "${Fn::Transform}".to_owned() });
    let helm = read("apiVersion: x\nname: {{ .Values.name }}\n  - {{- end }}", "a.yaml", &Surroundings::default());
    assert!(helm.unwrap_err().to_string().ends_with("a template is to be rendered first"));
}
