//! Messages of AWS Config and writes to a mesh have the expected payloads, in every envelope.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ports::{ConfigItem, ConfigResource, ItemStatus, ResultToken};
use rules::audit::{ApiCaller as Caller, Who};
use runner::events::{ConfigMessage, ConfigSubject, MeshWrite, Payload, RuleInvocation, parse};
use serde_json::{Value, json};

const ARN: &str = "arn:aws:appmesh:eu-west-1:123456789012:";
const NODE: &str = "mesh/shop/virtualNode/recommendations-v2";
const TOKEN: &str = "eyJlbmNyeXB0ZWREYXRhIjpbLTQyLDEyXX0=";

fn folder(function: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events").join(function)
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn payloads(event: &Value) -> Vec<Payload> {
    parse(event).into_iter().map(|delivery| delivery.payload).collect()
}

fn item(kind: &str, path: &str, status: ItemStatus) -> ConfigItem {
    let resource = ConfigResource { resource_type: format!("AWS::{kind}"), resource_id: format!("{ARN}{path}") };
    ConfigItem::new(resource, None, status, "2026-11-20T10:03:50.512Z".parse().unwrap())
}

fn node(status: ItemStatus) -> ConfigItem {
    item("AppMesh::VirtualNode", NODE, status)
}

fn message(subject: ConfigSubject) -> ConfigMessage {
    ConfigMessage { answers: None, notified: "2026-11-20T10:03:58.101Z".parse().unwrap(), left_scope: false, subject }
}

fn rule_invocation(rule: &str, subject: ConfigSubject) -> ConfigMessage {
    let invocation = RuleInvocation { rule: rule.to_owned(), token: ResultToken::new(TOKEN) };
    ConfigMessage { answers: Some(invocation), ..message(subject) }
}

fn written(operation: &str, resource: &str) -> MeshWrite {
    MeshWrite {
        operation: operation.to_owned(),
        resource: Some(resource.parse().unwrap()),
        error: None,
        by: Some("arn:aws:sts::123456789012:assumed-role/Deployer/deployer".to_owned()),
        at: Some("2026-11-20T10:03:50Z".parse().unwrap()),
        region: Some("eu-west-1".to_owned()),
        account: Some("123456789012".parse().unwrap()),
        named_owner: None,
        version: None,
        id: Some("e3c6f4ce-0000-4000-8000-000000000001".to_owned()),
        caller: Caller {
            who: Who::RoleSession { role: "Deployer".to_owned(), session: "deployer".to_owned(), source: None },
            account: Some("123456789012".to_owned()),
            through: None,
            address: Some("192.0.2.10".to_owned()),
            agent: Some("aws-cli/2.31.0".to_owned()),
        },
    }
}

fn check(function: &str, table: Vec<(&str, Vec<Payload>)>) {
    let files = fs::read_dir(folder(function)).unwrap();
    let found: BTreeSet<_> =
        files.map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    let known: BTreeSet<_> = table.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(found, known, "every file has a row here");
    for (name, expected) in table {
        assert_eq!(payloads(&read(&folder(function).join(format!("{name}.json")))), expected, "{name}");
    }
}

#[test]
fn every_sample_event_of_tag_compliance_is_read() {
    let rule = |subject| rule_invocation("meshwarden-tags", subject);
    let changed = || ConfigSubject::Item(node(ItemStatus::Ok));
    let token = |token: &str| RuleInvocation { rule: "meshwarden-tags".into(), token: ResultToken::new(token) };
    let certificate = ConfigItem {
        resource: ConfigResource {
            resource_type: "AWS::ACM::Certificate".into(),
            resource_id: "arn:aws:acm:eu-west-1:123456789012:certificate/11111111-2222-3333-4444-555555555555".into(),
        },
        arn: None,
        ..node(ItemStatus::Ok)
    };
    let denied =
        MeshWrite { resource: None, error: Some("AccessDenied".to_owned()), ..written("TagResource", "mesh/shop") };
    check(
        "tag-compliance",
        vec![
            ("config-change", vec![Payload::Config(rule(changed()))]),
            ("config-oversized", vec![Payload::Config(rule(ConfigSubject::OversizedItem(node(ItemStatus::Ok))))]),
            ("config-deleted", vec![Payload::Config(rule(ConfigSubject::Item(node(ItemStatus::ResourceDeleted))))]),
            ("config-left-scope", vec![Payload::Config(ConfigMessage { left_scope: true, ..rule(changed()) })]),
            ("config-scheduled", vec![Payload::Config(rule(ConfigSubject::Scheduled))]),
            ("config-snapshot-delivered", vec![Payload::Config(rule(ConfigSubject::SnapshotDelivered))]),
            (
                "config-test-mode",
                vec![Payload::Config(ConfigMessage { answers: Some(token("TESTMODE")), ..message(changed()) })],
            ),
            ("config-certificate", vec![Payload::Config(rule(ConfigSubject::Item(certificate)))]),
            ("eventbridge-config-change", vec![Payload::Config(message(changed()))]),
            ("sns-config-change", vec![Payload::Config(message(changed()))]),
            ("sqs-config-rule", vec![Payload::Config(rule(changed()))]),
            ("cloudtrail-create-virtual-node", vec![Payload::MeshWrite(written("CreateVirtualNode", NODE))]),
            ("cloudtrail-untag-resource", vec![Payload::MeshWrite(written("UntagResource", NODE))]),
            ("cloudtrail-denied", vec![Payload::MeshWrite(denied)]),
            ("control-plane-tag-resource", vec![Payload::MeshWrite(written("TagResource", NODE))]),
            ("sns-cloudtrail", vec![Payload::MeshWrite(written("UntagResource", NODE))]),
            (
                "sqs-mesh-writes",
                vec![
                    Payload::MeshWrite(written("CreateVirtualNode", NODE)),
                    Payload::MeshWrite(written("UpdateMesh", "mesh/shop")),
                    Payload::Unreadable {
                        why: "missing field `virtualRouterName`".into(),
                        at: "Records[2].body.detail.requestParameters".into(),
                    },
                ],
            ),
            ("tick-rule", vec![Payload::Tick]),
        ],
    );
}

#[test]
fn every_sample_event_of_egress_compliance_is_read() {
    let rule = |subject| Payload::Config(rule_invocation("meshwarden-egress", subject));
    let mesh = |status| ConfigSubject::Item(item("AppMesh::Mesh", "mesh/shop", status));
    let changed = || ConfigSubject::Item(node(ItemStatus::Ok));
    // The event contains the response, and with it the version.
    let named_owner = Some("123456789012".parse().unwrap());
    let update = MeshWrite { version: Some(2), named_owner, ..written("UpdateMesh", "mesh/shop") };
    check(
        "egress-compliance",
        vec![
            ("config-change-mesh", vec![rule(mesh(ItemStatus::Ok))]),
            ("config-change-node", vec![rule(changed())]),
            ("config-oversized", vec![rule(ConfigSubject::OversizedItem(node(ItemStatus::Ok)))]),
            ("config-deleted", vec![rule(mesh(ItemStatus::ResourceDeletedNotRecorded))]),
            ("config-scheduled", vec![rule(ConfigSubject::Scheduled)]),
            ("sqs-config-rule", vec![rule(mesh(ItemStatus::Ok)), rule(changed())]),
            ("cloudtrail-update-mesh", vec![Payload::MeshWrite(update)]),
            (
                "control-plane-delete-virtual-service",
                vec![Payload::MeshWrite(written(
                    "DeleteVirtualService",
                    "mesh/shop/virtualService/payments.shop.local",
                ))],
            ),
            ("tick-rule", vec![Payload::Tick]),
        ],
    );
}

#[test]
fn every_write_names_its_resource() {
    let parameters = json!({
        "meshName": "m", "virtualNodeName": "n", "virtualGatewayName": "g", "virtualRouterName": "r",
        "virtualServiceName": "s.local", "routeName": "a", "gatewayRouteName": "b",
    });
    for (kind, path) in [
        ("Mesh", "mesh/m"),
        ("VirtualNode", "mesh/m/virtualNode/n"),
        ("VirtualGateway", "mesh/m/virtualGateway/g"),
        ("VirtualRouter", "mesh/m/virtualRouter/r"),
        ("Route", "mesh/m/virtualRouter/r/route/a"),
        ("VirtualService", "mesh/m/virtualService/s.local"),
        ("GatewayRoute", "mesh/m/virtualGateway/g/gatewayRoute/b"),
    ] {
        for verb in ["Create", "Update", "Delete"] {
            let event = json!({ "detail-type": "AWS API Call via CloudTrail", "source": "aws.appmesh",
                "detail": { "eventName": format!("{verb}{kind}"), "requestParameters": parameters } });
            let [Payload::MeshWrite(write)] = <[_; 1]>::try_from(payloads(&event)).unwrap() else { panic!("{event}") };
            assert_eq!(write.resource.unwrap().to_string(), path, "{verb}{kind}");
        }
    }
}

/// A call as CloudTrail reports it, with these members in its detail.
fn recorded(name: &str, members: &Value) -> Value {
    let mut detail = json!({ "eventName": name, "eventSource": "appmesh.amazonaws.com", "awsRegion": "eu-west-1" });
    let members = members.as_object().unwrap().clone();
    detail.as_object_mut().unwrap().extend(members);
    json!({ "detail-type": "AWS API Call via CloudTrail", "source": "aws.appmesh", "account": "123456789012",
        "detail": detail })
}

fn write(event: &Value) -> MeshWrite {
    match <[_; 1]>::try_from(payloads(event)).unwrap() {
        [Payload::MeshWrite(write)] => write,
        other => unreachable!("{event}: {other:?}"),
    }
}

#[test]
fn write_without_parameters_names_its_resource_in_the_response() {
    let metadata = json!({ "arn": format!("{ARN}{NODE}"), "version": 3 });
    let node = json!({ "meshName": "shop", "virtualNodeName": "recommendations-v2", "metadata": metadata, "spec": {} });
    let unnamed = json!({ "metadata": metadata });
    let (wrapped, bare) = (json!({ "virtualNode": node }), node.clone());
    let omitted = json!({ "omitted": true, "originalSize": 120_000, "reason": "requestParameters too large" });
    for parameters in [json!({}), json!(null), omitted, json!({ "meshName": "shop" }), json!({ "meshName": null })] {
        for answer in [&wrapped, &bare, &unnamed, &json!({ "virtualNode": unnamed })] {
            let event =
                recorded("UpdateVirtualNode", &json!({ "requestParameters": parameters, "responseElements": answer }));
            let write = write(&event);
            assert_eq!((write.resource.unwrap().to_string().as_str(), write.version), (NODE, Some(3)), "{event}");
        }
    }
    let absent = recorded("UpdateVirtualNode", &json!({ "responseElements": wrapped }));
    assert_eq!(write(&absent).resource.unwrap().to_string(), NODE);
    // The response to a change of tags is empty; the record lists the resource.
    for member in ["ARN", "arn"] {
        let listed = json!([{ "type": "AWS::AppMesh::VirtualNode", member: format!("{ARN}{NODE}") }]);
        let event = recorded("TagResource", &json!({ "requestParameters": null, "resources": listed }));
        assert_eq!(write(&event).resource.unwrap().to_string(), NODE);
    }
    // Neither the parameters nor the response name a resource of the operation's kind.
    let other = json!({ "responseElements": { "mesh": { "metadata": { "arn": format!("{ARN}mesh/shop") } } } });
    let [Payload::Unreadable { .. }] = <[_; 1]>::try_from(payloads(&recorded("UpdateRoute", &other))).unwrap() else {
        panic!("a route that is named nowhere")
    };
}

#[test]
fn owner_of_a_shared_mesh_is_in_the_response_or_the_parameters() {
    let (ours, other) = ("123456789012", "210987654321");
    let metadata = |owner: &str| json!({ "mesh": { "metadata": { "meshOwner": owner, "version": 2 } } });
    let parameters = |owner: &str| json!({ "meshName": "shop", "meshOwner": owner });
    for (answer, parameters, expected) in [
        (metadata(other), parameters(other), Some(other)),
        (metadata(other), json!({ "meshName": "shop" }), Some(other)),
        (json!(null), parameters(other), Some(other)),
        (metadata(ours), json!({ "meshName": "shop" }), Some(ours)),
        (json!(null), json!({ "meshName": "shop" }), None),
    ] {
        let members = json!({ "requestParameters": parameters, "responseElements": answer });
        let write = write(&recorded("UpdateMesh", &members));
        assert_eq!(write.named_owner, expected.map(|owner| owner.parse().unwrap()), "{members}");
        assert_eq!(write.account, Some(ours.parse().unwrap()), "{members}");
    }
}

#[test]
fn refused_write_needs_no_parameters() {
    for parameters in [json!(null), json!({}), json!({ "meshName": "a/b" }), json!({ "resourceArn": "x" })] {
        for name in ["UpdateRoute", "TagResource", "CreateMesh"] {
            let members = json!({ "errorCode": "AccessDenied", "requestParameters": parameters });
            let write = write(&recorded(name, &members));
            assert_eq!((write.error.as_deref(), write.resource), (Some("AccessDenied"), None), "{name} {parameters}");
        }
    }
}

#[test]
fn every_kind_of_writer_is_named() {
    let parameters = json!({ "meshName": "shop" });
    let role = "arn:aws:sts::210987654321:assumed-role/AWSReservedSSO_Admin_0123/ann@example.com";
    for (identity, by, who) in [
        (json!({ "type": "Root", "arn": "arn:aws:iam::1:root" }), "arn:aws:iam::1:root", "root user"),
        (
            json!({ "type": "AssumedRole", "arn": role, "sessionContext": { "sessionIssuer": {} }, "accountId": "2" }),
            role,
            "ann@example.com in role AWSReservedSSO_Admin_0123 (account 2)",
        ),
        (json!({ "type": "AssumedRole", "principalId": "AROAX:ci" }), "AROAX:ci", "ci in role"),
        (json!({ "type": "IAMUser", "userName": "bob" }), "bob", "user bob"),
        (
            json!({ "type": "AWSService", "invokedBy": "cloudformation.amazonaws.com" }),
            "cloudformation.amazonaws.com",
            "the service cloudformation.amazonaws.com",
        ),
        (
            json!({ "type": "FederatedUser", "arn": "arn:aws:sts::1:federated-user/eve", "sessionContext": {} }),
            "arn:aws:sts::1:federated-user/eve",
            "federated user eve",
        ),
        (
            json!({ "type": "AWSAccount", "principalId": "AIDAX", "accountId": "2" }),
            "AIDAX",
            "another account (account 2)",
        ),
        (json!({ "type": "Unknown" }), "Unknown", "unknown"),
    ] {
        let members = json!({ "requestParameters": parameters, "userIdentity": identity });
        let write = write(&recorded("UpdateMesh", &members));
        assert_eq!(write.by.as_deref(), Some(by), "{identity}");
        assert!(write.caller.to_string().contains(who), "{identity}: {}", write.caller);
    }
    let anonymous = write(&recorded("UpdateMesh", &json!({ "requestParameters": parameters })));
    assert_eq!(anonymous.by, None);
}

#[test]
fn connecting_proxy_is_reported_with_its_node() {
    let event = json!({
        "detail-type": "AWS Service Event via CloudTrail", "source": "aws.appmesh",
        "detail": { "eventName": "StreamAggregatedResources", "eventType": "AwsServiceEvent",
            "serviceEventDetails": { "connectionId": "c", "nodeArn": format!("{ARN}{NODE}"),
                "eventStatus": "ConnectionEstablished" } },
    });
    let what = format!("`StreamAggregatedResources` of App Mesh, {ARN}{NODE}, ConnectionEstablished");
    assert_eq!(payloads(&event), [Payload::NotOurs { what }]);
}

#[test]
fn event_without_a_write_is_foreign() {
    let call = |source: &str, name: &str| {
        json!({ "detail-type": "AWS API Call via CloudTrail", "source": source,
            "detail": { "eventName": name, "requestParameters": { "meshName": "m" } } })
    };
    for (event, what) in [
        (call("aws.appmesh", "DescribeMesh"), "`DescribeMesh` of App Mesh"),
        (call("aws.appmesh", "ListVirtualNodes"), "`ListVirtualNodes` of App Mesh"),
        (call("aws.appmesh", "UpdateEverything"), "`UpdateEverything` of App Mesh"),
        (call("aws.ec2", "UpdateMesh"), "`AWS API Call via CloudTrail` of `aws.ec2`"),
        (call("me", "UpdateMesh"), "`AWS API Call via CloudTrail` of `me`"),
        (
            json!({ "messageType": "ComplianceChangeNotification", "notificationCreationTime": "2026-11-20T10:00:00Z" }),
            "`ComplianceChangeNotification` of AWS Config",
        ),
    ] {
        assert_eq!(payloads(&event), [Payload::NotOurs { what: what.into() }], "{event}");
    }
}

#[test]
fn error_names_the_path_of_the_invalid_member() {
    let rule = |message: &Value| json!({ "invokingEvent": message.to_string(), "resultToken": "t" });
    let scheduled =
        json!({ "messageType": "ScheduledNotification", "notificationCreationTime": "2026-11-20T10:00:00Z" });
    let with = |member: &str, value: Value| {
        let mut message = scheduled.clone();
        message[member] = value;
        message
    };
    let change = with("messageType", json!("ConfigurationItemChangeNotification"));
    let mut headless = change.clone();
    headless["configurationItem"] = json!({ "resourceType": "AWS::AppMesh::Mesh", "resourceId": "x" });
    let call = |name: &str, parameters: Value| {
        json!({ "detail-type": "AWS API Call via CloudTrail", "source": "meshwarden.appmesh",
            "detail": { "eventName": name, "requestParameters": parameters } })
    };
    for (event, at, why) in [
        (json!({ "invokingEvent": scheduled.to_string() }), "the event", "missing field `resultToken`"),
        (json!({ "invokingEvent": 7, "resultToken": "t" }), "invokingEvent", "found a number"),
        (json!({ "invokingEvent": "{", "resultToken": "t" }), "invokingEvent", "not JSON"),
        (rule(&json!({})), "invokingEvent", "missing field `messageType`"),
        (rule(&with("notificationCreationTime", json!("soon"))), "invokingEvent.notificationCreationTime", "year"),
        (rule(&change), "invokingEvent", "missing field `configurationItem`"),
        (rule(&headless), "invokingEvent.configurationItem", "missing field `configurationItemStatus`"),
        (
            json!({ "detail-type": "Config Configuration Item Change", "source": "aws.config" }),
            "the event",
            "missing field `detail`",
        ),
        (call("UpdateMesh", json!({})), "detail.requestParameters", "missing field `meshName`"),
        (call("UpdateMesh", json!({ "meshName": "a/b" })), "detail.requestParameters.meshName", "can't contain"),
        (call("TagResource", json!({ "resourceArn": "x" })), "detail.requestParameters.resourceArn", "invalid ARN"),
        (call("UpdateRoute", json!(null)), "detail.requestParameters", "missing field `meshName`"),
    ] {
        let [Payload::Unreadable { why: said, at: place }] = <[_; 1]>::try_from(payloads(&event)).unwrap() else {
            panic!("{event}: {:?}", payloads(&event))
        };
        assert_eq!(place, at, "{event}");
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn report_has_the_triggers_without_the_token() {
    let requests = payloads(&read(&folder("tag-compliance").join("config-change.json")));
    let text = serde_json::to_string(&requests).unwrap();
    let expected = json!([{ "kind": "config", "rule": "meshwarden-tags", "notified": "2026-11-20T10:03:58.101Z",
        "leftScope": false, "message": "item", "resourceType": "AWS::AppMesh::VirtualNode",
        "resourceId": format!("{ARN}{NODE}"), "arn": format!("{ARN}{NODE}"), "status": "OK",
        "capturedAt": "2026-11-20T10:03:50.512Z" }]);
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
    assert!(!text.contains(TOKEN));
}
