//! Parsing any event terminates, returns at least one delivery for each queue message, and never panics.
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use runner::events::{Payload, parse};
use serde_json::{Value, json};

/// The pieces that events are composed of: random bytes alone would hardly ever be an event.
const PIECES: [&str; 30] = [
    "detail-type",
    "detail",
    "source",
    "Records",
    "Sns",
    "Message",
    "body",
    "eventSource",
    "aws:sqs",
    "AlarmName",
    "NewStateValue",
    "alarmData",
    "alarmName",
    "state",
    "value",
    "CloudWatch Alarm State Change",
    "Type",
    "Notification",
    "invokingEvent",
    "resultToken",
    "messageType",
    "notificationCreationTime",
    "ConfigurationItemChangeNotification",
    "configurationItem",
    "resourceType",
    "AWS API Call via CloudTrail",
    "aws.appmesh",
    "eventName",
    "UpdateRoute",
    "requestParameters",
];

#[test]
fn any_bytes() {
    bolero::check!().for_each(|bytes: &[u8]| {
        if let Ok(event) = serde_json::from_slice::<Value>(bytes) {
            check(&event);
        }
        // The same text within a notification, and within a queue message.
        let text = String::from_utf8_lossy(bytes);
        check(&json!({ "Records": [{ "EventSource": "aws:sns", "Sns": { "Message": text } }] }));
        check(&json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "m", "body": text }] }));
    });
}

#[test]
fn any_tree_of_known_words() {
    bolero::check!().with_type::<Vec<u8>>().for_each(|bytes| check(&tree(&mut bytes.iter().copied(), 0)));
}

fn tree(bytes: &mut impl Iterator<Item = u8>, depth: u8) -> Value {
    let piece = |byte: u8| PIECES[usize::from(byte) % PIECES.len()];
    match bytes.next() {
        None => Value::Null,
        Some(byte) if depth > 6 => json!(piece(byte)),
        Some(byte) => match byte % 6 {
            0 => json!(byte),
            1 | 2 => json!(piece(byte / 6)),
            3 => (0..byte % 4).map(|_| tree(bytes, depth + 1)).collect(),
            4 => json!(tree(bytes, depth + 1).to_string()),
            _ => Value::Object(
                (0..=byte % 5).map(|_| (piece(bytes.next().unwrap_or(0)).into(), tree(bytes, depth + 1))).collect(),
            ),
        },
    }
}

fn check(event: &Value) {
    let deliveries = parse(event);
    let records = event.get("Records").and_then(Value::as_array);
    if records.is_none() && !event.is_array() {
        assert!(!deliveries.is_empty(), "{event}");
    }
    // Every message of a queue has a delivery.
    for record in records.into_iter().flatten().filter(|record| record["eventSource"] == "aws:sqs") {
        let id = record["messageId"].as_str().filter(|id| !id.is_empty());
        assert!(deliveries.iter().any(|delivery| delivery.message_id.as_deref() == id), "{event}");
    }
    for delivery in deliveries {
        if let Payload::Unreadable { why, at } = delivery.payload {
            assert!(!why.is_empty() && !at.is_empty(), "{event}");
        }
    }
}
