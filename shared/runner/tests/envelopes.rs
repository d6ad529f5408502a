//! Unusual envelopes of events: each is read, named as foreign, or named as unreadable, and none is dropped.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use runner::events::{Payload, parse};
use serde_json::{Value, json};

/// A sample event of route-failover.
fn sample(name: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/route-failover").join(format!("{name}.json"));
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// The kind of each payload of an event.
fn kinds(event: &Value) -> Vec<&'static str> {
    let kind = |payload: Payload| match payload {
        Payload::Alarm(_) => "alarm",
        Payload::Tick => "tick",
        Payload::NotOurs { .. } => "foreign",
        Payload::Unreadable { .. } => "unreadable",
        Payload::Release(_)
        | Payload::Config(_)
        | Payload::MeshWrite(_)
        | Payload::Certificate(_)
        | Payload::Rollout(_)
        | Payload::Sweep { .. }
        | Payload::Drill(_) => "other",
    };
    parse(event).into_iter().map(|delivery| kind(delivery.payload)).collect()
}

fn queue(body: &Value) -> Value {
    json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "m", "body": body }] })
}

#[test]
fn each_envelope_is_read_or_named() {
    let alarm = sample("alarm-metric");
    let text = alarm.to_string();
    let topic =
        json!({ "Type": "Notification", "MessageId": "n", "TopicArn": "arn:aws:sns:eu-west-1:1:t", "Message": text });
    let half = &text[..text.len() / 2];
    let table: [(&str, Value, &[&str]); 22] = [
        ("a body with spaces around it", queue(&json!(format!("  {text}\n"))), &["alarm"]),
        ("a body with a byte order mark", queue(&json!(format!("\u{feff}{text}"))), &["alarm"]),
        ("a body that is an object", queue(&alarm), &["alarm"]),
        ("a body that is a text in a text", queue(&json!(json!(text).to_string())), &["alarm"]),
        ("a body with a list of two", queue(&json!(json!([alarm, alarm]).to_string())), &["alarm", "alarm"]),
        ("a topic in a queue", queue(&json!(topic.to_string())), &["alarm"]),
        ("a topic in a list of a pipe", json!([topic]), &["alarm"]),
        (
            "a topic with a cut message",
            queue(&json!(json!({ "Type": "Notification", "Message": half }).to_string())),
            &["unreadable"],
        ),
        ("an empty body", queue(&json!("")), &["unreadable"]),
        ("a body of spaces", queue(&json!("   ")), &["unreadable"]),
        ("a body without an event", queue(&json!("null")), &["unreadable"]),
        ("a number as a body", queue(&json!("42")), &["unreadable"]),
        // It has no event that could be lost.
        ("an empty list as a body", queue(&json!("[]")), &["foreign"]),
        (
            "a record without a body",
            json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "m" }] }),
            &["unreadable"],
        ),
        ("a cut body", queue(&json!(half)), &["unreadable"]),
        ("a body with two events", queue(&json!(format!("{text}{text}"))), &["unreadable"]),
        ("records of a pipe without their source", json!([{ "messageId": "m", "body": text }]), &["alarm"]),
        ("an event and a number in a list", json!([alarm, 7]), &["alarm", "foreign"]),
        ("a list in a list", json!([[alarm]]), &["alarm"]),
        ("an empty list", json!([]), &[]),
        ("no records", json!({ "Records": [] }), &[]),
        (
            "an event of another service",
            json!({ "source": "aws.s3", "detail-type": "Object Created", "detail": {} }),
            &["foreign"],
        ),
    ];
    let read: Vec<_> = table.iter().map(|(name, event, expected)| (*name, kinds(event), *expected)).collect();
    let wrong: Vec<_> = read.iter().filter(|(_, kinds, expected)| kinds != expected).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
