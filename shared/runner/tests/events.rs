//! Every sample event has the expected payload, and every malformed one reports the path of the error.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use mesh::alarm::{AlarmName, AlarmState};
use runner::events::{AlarmChannel, AlarmContributor, AlarmEvent, Delivery, Payload, is_batch, parse};
use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn names(folder: &Path) -> BTreeSet<String> {
    let files = fs::read_dir(folder).unwrap();
    files.map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

fn payloads(event: &Value) -> Vec<Payload> {
    let payloads = parse(event).into_iter().map(|delivery| match delivery.payload {
        // Another test checks the channel.
        Payload::Alarm(alarm) => Payload::Alarm(AlarmEvent { channel: AlarmChannel::Action, ..alarm }),
        other => other,
    });
    payloads.collect()
}

/// The alarm of the samples, which is the same in every envelope.
fn alarm(name: &str, state: AlarmState, at: &str) -> Payload {
    Payload::Alarm(AlarmEvent {
        name: AlarmName::parse(name).unwrap(),
        state,
        arn: Some(format!("arn:aws:cloudwatch:eu-west-1:123456789012:alarm:{name}")),
        region: Some("eu-west-1".into()),
        account: Some("123456789012".parse().unwrap()),
        at: Some(at.parse().unwrap()),
        contributor: None,
        channel: AlarmChannel::Action,
    })
}

/// A contributor of an alarm, for the virtual node `recommendations-v2`.
fn contributor(name: &str, id: &str, at: &str) -> Payload {
    let Payload::Alarm(trigger) = alarm(name, AlarmState::Alarm, at) else { unreachable!("{name} is an alarm") };
    let labels = [("mesh", "shop"), ("target_virtual_node", "recommendations-v2")];
    let attributes = labels.map(|(label, value)| (label.to_owned(), value.to_owned())).into();
    Payload::Alarm(AlarmEvent {
        contributor: Some(AlarmContributor { id: Some(id.to_owned()), attributes }),
        ..trigger
    })
}

#[test]
fn every_sample_event_is_read() {
    const AT: &str = "2026-11-20T10:04:00Z";
    let target = || vec![alarm("shop-recommendations-v2-5xx", AlarmState::Alarm, AT)];
    let composite = || vec![alarm("shop-recommendations-v2-down", AlarmState::Alarm, AT)];
    let table = [
        ("alarm-metric", target()),
        ("alarm-metric-ok", vec![alarm("shop-recommendations-v2-5xx", AlarmState::Ok, AT)]),
        ("alarm-metric-gateway", target()),
        ("alarm-contributor", vec![contributor("shop-5xx", "6d442278dba546f6", AT)]),
        ("alarm-metric-math", target()),
        ("alarm-anomaly", target()),
        ("alarm-daily-period", target()),
        ("alarm-composite", composite()),
        ("alarm-composite-suppressed", composite()),
        ("alarm-configuration-change", vec![Payload::Tick]),
        ("direct-metric", target()),
        ("direct-metric-math", target()),
        ("direct-anomaly", target()),
        ("direct-composite", composite()),
        ("sns-alarm", target()),
        ("sns-eventbridge", target()),
        ("sqs-alarm-raw", target()),
        ("sqs-alarm-in-sns", target()),
        ("sqs-eventbridge", target()),
        (
            "sqs-batch",
            vec![
                alarm("shop-recommendations-v2-5xx", AlarmState::Alarm, AT),
                alarm("shop-cart-v1-5xx", AlarmState::Alarm, AT),
                Payload::Unreadable {
                    why: "not JSON: expected ident at line 1 column 2".into(),
                    at: "Records[2].body".into(),
                },
                Payload::NotOurs { what: "`Order Placed` of `shop.orders`".into() },
            ],
        ),
        ("tick-rule", vec![Payload::Tick]),
        ("tick-scheduler", vec![Payload::Tick]),
        (
            "release-route",
            vec![Payload::Release(runner::events::Release {
                route: "shop/recommendations/all".parse().unwrap(),
                by: "dana".into(),
                at: Some("2026-11-20T10:04:00Z".parse().unwrap()),
            })],
        ),
        (
            "unreadable-alarm",
            vec![Payload::Unreadable { why: "missing field `value`".into(), at: "detail.state".into() }],
        ),
    ];
    let folder = root().join("events/route-failover");
    let known: BTreeSet<_> = table.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&folder), known, "every file has a row here");
    for (name, expected) in table {
        let event = read(&folder.join(format!("{name}.json")));
        assert_eq!(payloads(&event), expected, "{name}");
        assert_eq!(is_batch(&event), name.starts_with("sqs-"), "{name}");
    }
}

#[test]
fn messages_of_a_batch_keep_their_ids() {
    let deliveries = parse(&read(&root().join("events/route-failover/sqs-batch.json")));
    let ids: Vec<_> = deliveries.iter().map(|delivery| delivery.message_id.as_deref().unwrap()).collect();
    let expected = [1, 2, 3, 4].map(|n| format!("2e1424d4-f796-459a-8184-9c92662be60{n}"));
    assert_eq!(ids, expected);
    let sns = parse(&read(&root().join("events/route-failover/sns-alarm.json")));
    assert_eq!(sns[0].message_id, None);
}

#[test]
fn every_event_of_the_corpus_is_read() {
    let folder = root().join("../shared/corpus/events");
    if !folder.is_dir() {
        println!("skipped: {} is not there", folder.display());
        return;
    }
    let (mut alarms, mut requested, mut written) = (0, 0, 0);
    for name in names(&folder) {
        let payloads = payloads(&read(&folder.join(format!("{name}.json"))));
        assert!(!payloads.is_empty(), "{name}");
        for payload in payloads {
            match payload {
                Payload::Alarm(alarm) => {
                    alarms += 1;
                    assert!(name.contains("alarm"), "{name}");
                    assert_eq!(alarm.state, AlarmState::Alarm, "{name}");
                    assert!(alarm.name.as_str().starts_with("colour-"), "{name}");
                    assert_eq!(alarm.region.as_deref(), Some("us-east-1"), "{name}");
                    assert_eq!(alarm.account.unwrap().as_str(), "123456789012", "{name}");
                    assert_eq!(alarm.at, Some("2026-10-05T12:00:00Z".parse().unwrap()), "{name}");
                }
                Payload::Certificate(_) => assert!(name.contains("acm") || name.starts_with("pca"), "{name}"),
                Payload::Tick => assert!(name.starts_with("schedule"), "{name}"),
                Payload::Config(message) => {
                    assert!(name.starts_with("config-"), "{name}");
                    assert_eq!(message.answers.unwrap().rule, "appmesh-tls-strict", "{name}");
                    assert_eq!(message.left_scope, name == "config-left-scope", "{name}");
                    requested += 1;
                }
                Payload::MeshWrite(write) => {
                    assert!(name.starts_with("cloudtrail-"), "{name}");
                    assert_eq!(write.by.unwrap(), "arn:aws:sts::123456789012:assumed-role/Deployer/deployer", "{name}");
                    assert_eq!(write.error.is_some(), name != "cloudtrail-update-route", "{name}");
                    assert_eq!(write.resource.is_none(), name.contains("null-params"), "{name}");
                    written += 1;
                }
                Payload::NotOurs { .. } => assert!(
                    !name.contains("alarm")
                        && !name.starts_with("acm")
                        && !name.starts_with("pca")
                        && !name.starts_with("sched"),
                    "{name}"
                ),
                Payload::Release(_)
                | Payload::Rollout(_)
                | Payload::Sweep { .. }
                | Payload::Drill(_)
                | Payload::Unreadable { .. } => {
                    panic!("{name}: {payload:?}")
                }
            }
        }
    }
    assert_eq!((alarms, requested, written), (8, 5, 3));
}

#[test]
fn channel_distinguishes_events_of_a_bus_from_actions_of_the_alarm() {
    for (file, expected) in [
        ("alarm-metric", AlarmChannel::Bus),
        ("alarm-contributor", AlarmChannel::Bus),
        ("sns-eventbridge", AlarmChannel::Bus),
        ("sqs-eventbridge", AlarmChannel::Bus),
        ("direct-metric", AlarmChannel::Action),
        ("sns-alarm", AlarmChannel::Action),
        ("sqs-alarm-in-sns", AlarmChannel::Action),
        ("sqs-alarm-raw", AlarmChannel::Action),
    ] {
        let path = format!("{}/../../events/route-failover/{file}.json", env!("CARGO_MANIFEST_DIR"));
        let event = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let channels: Vec<AlarmChannel> = parse(&event)
            .into_iter()
            .filter_map(|delivery| match delivery.payload {
                Payload::Alarm(alarm) => Some(alarm.channel),
                _ => None,
            })
            .collect();
        assert!(!channels.is_empty() && channels.iter().all(|channel| *channel == expected), "{file}: {channels:?}");
    }
}

#[test]
fn only_name_and_state_are_required() {
    let bare = |name: &str, state: AlarmState| {
        vec![Payload::Alarm(AlarmEvent {
            name: AlarmName::parse(name).unwrap(),
            state,
            arn: None,
            region: None,
            account: None,
            at: None,
            contributor: None,
            channel: AlarmChannel::Action,
        })]
    };
    for event in [
        json!({ "detail-type": "CloudWatch Alarm State Change", "detail": { "alarmName": "a", "state": { "value": "OK" } } }),
        json!({ "alarmData": { "alarmName": "a", "state": { "value": "OK" } } }),
        json!({ "AlarmName": "a", "NewStateValue": "OK" }),
        json!({ "AlarmName": "a", "NewStateValue": "OK", "AlarmArn": "", "Region": 7, "AWSAccountId": "me", "StateChangeTime": "soon" }),
    ] {
        assert_eq!(payloads(&event), bare("a", AlarmState::Ok), "{event}");
    }
    let unheard_of = json!({ "AlarmName": "a", "NewStateValue": "PAUSED" });
    assert_eq!(payloads(&unheard_of), bare("a", AlarmState::Unrecognised("PAUSED".into())));
}

#[test]
fn events_that_the_type_of_the_crate_refuses_are_read() {
    let alarm = |event: &Value| match <[_; 1]>::try_from(payloads(event)).unwrap() {
        [Payload::Alarm(alarm)] => alarm,
        other => panic!("{event}: {other:?}"),
    };
    let whole = read(&root().join("events/route-failover/alarm-metric.json"));
    for (member, odd) in [
        ("source", json!(null)),
        ("time", json!("soon")),
        ("resources", json!(null)),
        ("resources", json!([7])),
        ("account", json!(123_456_789_012_u64)),
        ("region", json!([])),
        ("id", json!(7)),
        ("version", json!(0)),
    ] {
        let mut event = whole.clone();
        event[member] = odd;
        assert_eq!(alarm(&event).name, alarm(&whole).name, "{event}");
    }
    let message = json!({ "messageId": "m", "body": whole.to_string(), "attributes": [], "messageAttributes": 7 });
    assert_eq!(alarm(&json!({ "Records": [message] })).name, alarm(&whole).name);
    let failed = json!({ "version": "1.0", "requestContext": { "condition": "RetriesExhausted" },
        "requestPayload": whole, "responsePayload": { "errorType": "x" } });
    assert_eq!(alarm(&failed), alarm(&whole), "what Lambda writes about a failed asynchronous event");
    let twice = json!(whole.to_string()).to_string();
    assert_eq!(alarm(&json!([{ "messageId": "m", "body": twice }])), alarm(&whole), "JSON in a JSON text");
}

/// Rules with the input path `$.detail`, CloudTrail's log files, and destinations of failed events.
#[test]
fn events_without_their_envelope_and_in_another_one_are_read() {
    let whole = read(&root().join("events/route-failover/alarm-metric.json"));
    let name_of = |event: &Value| match <[_; 1]>::try_from(payloads(event)).unwrap() {
        [Payload::Alarm(alarm)] => alarm.name,
        other => panic!("{event}: {other:?}"),
    };
    let failed = |kind: &str| {
        json!({ "detail-type": format!("Lambda Function Invocation Result - {kind}"), "source": "lambda",
            "detail": { "requestContext": { "condition": "RetriesExhausted" }, "requestPayload": whole } })
    };
    let message =
        |body: &Value| json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "m", "body": body.to_string() }] });
    for event in [whole["detail"].clone(), message(&whole["detail"]), failed("Failure"), message(&failed("Failure"))] {
        assert_eq!(name_of(&event), name_of(&whole), "{event}");
    }
    assert!(matches!(payloads(&failed("Success"))[..], [Payload::NotOurs { .. }]));
    let broken = json!({ "alarmName": "a", "state": {} });
    let [Payload::Unreadable { at, .. }] = <[_; 1]>::try_from(payloads(&message(&broken))).unwrap() else { panic!() };
    assert_eq!(at, "Records[0].body.state");

    let call = read(&root().join("events/change-audit/cloudtrail-update-virtual-node.json"));
    let [Payload::MeshWrite(expected)] = <[_; 1]>::try_from(payloads(&call)).unwrap() else { panic!() };
    let mut record = call["detail"].clone();
    record["recipientAccountId"] = call["account"].clone();
    for event in [record.clone(), json!({ "Records": [record.clone()] }), message(&record)] {
        let [Payload::MeshWrite(write)] = <[_; 1]>::try_from(payloads(&event)).unwrap() else { panic!("{event}") };
        assert_eq!(write, expected, "{event}");
    }
}

/// The queue deletes a message for another recipient, and no service sends these.
#[test]
fn message_without_an_event_is_unreadable() {
    for body in ["null", "7", "true", "\"hello\"", "[null]"] {
        let event = json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "m", "body": body }] });
        assert!(matches!(payloads(&event)[..], [Payload::Unreadable { .. }]), "{body}: {:?}", payloads(&event));
    }
}

#[test]
fn contributor_has_its_alarm_and_its_labels() {
    let event = json!({
        "detail-type": "CloudWatch Alarm Contributor State Change", "source": "aws.cloudwatch",
        "account": "123456789012", "time": "2026-11-30T01:00:00Z", "region": "us-east-1",
        "resources": ["arn:aws:cloudwatch:us-east-1:123456789012:alarm:recs-fleet"],
        "detail": { "alarmName": "recs-fleet", "state": { "value": "ALARM" }, "configuration": {},
            "alarmContributor": { "id": "c1", "attributes": { "VirtualNode": "recs-v1", "Mesh": "shop", "n": 7 } } },
    });
    let [Payload::Alarm(alarm)] = <[_; 1]>::try_from(payloads(&event)).unwrap() else { panic!("{event}") };
    assert_eq!((alarm.name.as_str(), &alarm.state), ("recs-fleet", &AlarmState::Alarm));
    let contributor = alarm.contributor.unwrap();
    assert_eq!(contributor.id.as_deref(), Some("c1"));
    let labels = [("Mesh", "shop"), ("VirtualNode", "recs-v1")].map(|(name, value)| (name.into(), value.into()));
    assert_eq!(contributor.attributes, labels.into());
    let mut plain = event;
    plain["detail"].as_object_mut().unwrap().remove("alarmContributor");
    let [Payload::Alarm(alarm)] = <[_; 1]>::try_from(payloads(&plain)).unwrap() else { panic!("{plain}") };
    assert_eq!(alarm.contributor, None);
}

#[test]
fn notice_without_an_arn_has_region_and_account() {
    let event = json!({
        "AlarmName": "a", "NewStateValue": "ALARM", "AWSAccountId": "123456789012", "Region": "eu-west-1",
        "StateChangeTime": "2026-11-21T01:15:49Z", "Trigger": { "MetricName": "", "Unit": null },
    });
    let [Payload::Alarm(alarm)] = <[_; 1]>::try_from(payloads(&event)).unwrap() else { panic!() };
    assert_eq!((alarm.region.as_deref(), alarm.account.unwrap().as_str()), (Some("eu-west-1"), "123456789012"));
    assert_eq!(alarm.at, Some("2026-11-21T01:15:49Z".parse().unwrap()));
    assert_eq!(alarm.arn, None);
}

#[test]
fn error_names_the_path_of_the_invalid_member() {
    let sns = |message: &str| json!({ "Records": [{ "EventSource": "aws:sns", "Sns": { "Message": message } }] });
    let sqs = |body: &Value| json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "m", "body": body }] });
    let wrapped = (0..6).fold(json!({}), |inner, _| json!({ "Type": "Notification", "Message": inner.to_string() }));
    for (event, at, why) in [
        (json!({ "detail-type": "CloudWatch Alarm State Change" }), "the event", "missing field `detail`"),
        (json!({ "detail-type": 7 }), "detail-type", "invalid type"),
        (
            json!({ "detail-type": "CloudWatch Alarm State Change", "detail": { "state": { "value": "OK" } } }),
            "detail",
            "missing field `alarmName`",
        ),
        (
            json!({ "detail-type": "CloudWatch Alarm State Change", "detail": { "alarmName": "", "state": { "value": "OK" } } }),
            "detail.alarmName",
            "an alarm's name is empty",
        ),
        (
            json!({ "alarmData": { "alarmName": "a", "state": { "value": ["OK"] } } }),
            "alarmData.state.value",
            "did not match",
        ),
        (json!({ "AlarmName": "a" }), "the event", "missing field `NewStateValue`"),
        (json!({ "NewStateValue": "OK", "AlarmName": {} }), "AlarmName", "invalid type"),
        (sns("hello"), "Records[0].Sns.Message", "not JSON"),
        (sns("{\"AlarmName\":1,\"NewStateValue\":\"OK\"}"), "Records[0].Sns.Message.AlarmName", "invalid type"),
        (json!({ "Records": [{ "EventSource": "aws:sns", "Sns": {} }] }), "Records[0].Sns", "missing field `Message`"),
        (sqs(&json!(7)), "Records[0].body", "expected JSON in a text, found a number"),
        (sqs(&json!(null)), "Records[0]", "missing field `body`"),
        (json!(["{\"AlarmName\": "]), "[0]", "not JSON"),
        (sqs(&json!(wrapped.to_string())), "Records[0].body.Message.Message.Message.Message", "wrapped too many times"),
        (
            json!({ "detail-type": "Meshwarden Release Route", "source": "meshwarden", "detail": { "mesh": "shop" } }),
            "detail",
            "missing field `virtualRouter`",
        ),
        (
            json!({ "detail-type": "Meshwarden Release Route", "source": "meshwarden",
                "detail": { "mesh": "shop", "virtualRouter": "a/b", "route": "r", "by": "x" } }),
            "detail.virtualRouter",
            "can't contain",
        ),
    ] {
        let [Payload::Unreadable { why: said, at: place }] = <[_; 1]>::try_from(payloads(&event)).unwrap() else {
            panic!("{event}: {:?}", payloads(&event))
        };
        assert_eq!(place, at, "{event}");
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn foreign_event_is_described() {
    for (event, expected) in [
        (json!(null), "null"),
        (json!([1]), "a number"),
        (json!("hello"), "a text"),
        (json!({}), "an empty object"),
        (json!({ "hello": 1, "you": 2 }), "an object with `hello`, `you`"),
        (json!({ "detail-type": "AWS Health Event", "source": "aws.health" }), "`AWS Health Event` of `aws.health`"),
        (json!({ "detail-type": "Meshwarden Release Route", "source": "me" }), "`Meshwarden Release Route` of `me`"),
        (json!({ "Records": [{ "eventSource": "aws:s3" }] }), "a record of `aws:s3`"),
        (json!({ "Records": [7] }), "a number"),
    ] {
        assert_eq!(payloads(&event), [Payload::NotOurs { what: expected.into() }], "{event}");
    }
    assert_eq!(parse(&json!({ "Records": [] })), Vec::<Delivery>::new());
}
