//! The answer to Lambda, by the event's source and the handler's outcome.
#![expect(
    clippy::unwrap_used,
    clippy::result_large_err,
    reason = "a test fails by panicking, and its closures are small"
)]

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use ports::Deadline;
use runner::events::Delivery;
use runner::{Decision, Emitter, FailedMessages, Handler, Invocation, Report, Retry};
use serde_json::{Value, json};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns a given outcome, and records its deliveries.
struct Scripted {
    outcome: fn() -> Result<Report, Retry>,
    given: Mutex<Vec<Delivery>>,
}

#[async_trait]
impl Handler for Scripted {
    async fn handle(&self, deliveries: Vec<Delivery>, deadline: Deadline) -> Result<Report, Retry> {
        assert!(Deadline::remaining().is_some_and(|left| left <= deadline.left() + Duration::from_millis(1)));
        self.given.lock().unwrap().extend(deliveries);
        (self.outcome)()
    }
}

fn shifted() -> Report {
    Report::new(vec![Decision {
        resource: "mesh/shop/virtualRouter/recommendations/route/all".into(),
        decision: "shift".into(),
        reason: "TargetInAlarm".into(),
        facts: json!({ "alarm": "shop-recommendations-v2-5xx" }),
        plan: None,
        outcome: Some(json!("Applied")),
    }])
}

async fn answer(
    event: &Value,
    outcome: fn() -> Result<Report, Retry>,
) -> (Result<Value, String>, Vec<Delivery>, String) {
    let handler = Scripted { outcome, given: Mutex::default() };
    let lines = Lines::default();
    let emitter = Emitter::to(lines.clone());
    let invocation =
        Invocation { function: "route-failover", request_id: "r-1", deadline: Deadline::after(Duration::from_secs(3)) };
    let answer = invocation.answer(&handler, &emitter, event).await.map_err(|error| error.to_string());
    let lines = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    (answer, handler.given.into_inner().unwrap(), lines)
}

fn alarm() -> Value {
    json!({ "AlarmName": "a", "NewStateValue": "ALARM" })
}

fn batch(bodies: &[Value]) -> Value {
    let record = |(n, body): (usize, &Value)| json!({ "eventSource": "aws:sqs", "messageId": format!("m{n}"), "body": body.to_string() });
    json!({ "Records": bodies.iter().enumerate().map(record).collect::<Vec<_>>() })
}

#[tokio::test]
async fn single_event_is_answered_with_the_report() {
    let (answer, given, lines) = answer(&alarm(), || Ok(shifted())).await;
    let answer = answer.unwrap();
    assert_eq!(answer["function"], "route-failover");
    assert_eq!(answer["wake"], json!([{ "kind": "alarm", "name": "a", "state": "ALARM" }]));
    assert_eq!(answer["decisions"][0]["reason"], "TargetInAlarm");
    assert_eq!(answer["decisions"][0]["outcome"], "Applied");
    assert!(answer["decisions"][0].get("plan").is_none());
    assert!(answer["tookMs"].is_u64());
    assert_eq!(given.len(), 1);
    assert!(lines.contains("\"message\":\"decision\""), "{lines}");
    assert!(lines.contains("\"Invocations\":1"), "{lines}");
}

#[tokio::test]
async fn transient_failure_is_an_error_and_reported() {
    let failed = || Err(Retry { report: Some(shifted()), ..Retry::all("the state table is throttled") });
    let (answer, _, lines) = answer(&alarm(), failed).await;
    assert_eq!(answer.unwrap_err(), "failed to handle the event: the state table is throttled");
    assert!(lines.contains("TargetInAlarm"), "{lines}");
}

#[tokio::test]
async fn unreadable_and_foreign_events_are_reported_and_not_handled() {
    let event = json!({ "AlarmName": "a" });
    let (unreadable, given, lines) = answer(&event, || panic!("nothing to handle")).await;
    let decision = &unreadable.unwrap()["decisions"][0];
    assert_eq!((&decision["decision"], &decision["reason"]), (&json!("hold"), &json!("UnreadableEvent")));
    assert_eq!(decision["facts"], json!({ "why": "missing field `NewStateValue`", "at": "the event" }));
    assert!(given.is_empty());
    assert!(lines.contains("UnreadableEvent"), "{lines}");

    let (foreign, _, _) = answer(&json!({ "hello": 1 }), || panic!("nothing to handle")).await;
    assert_eq!(foreign.unwrap()["decisions"][0]["reason"], "NotOurs");
}

#[tokio::test]
async fn only_failed_messages_of_a_batch_are_delivered_again() {
    let event = batch(&[alarm(), json!({ "no": "event" }), alarm(), json!({ "hello": 1 })]);
    let items = |ids: &[&str]| json!({ "batchItemFailures": ids.iter().map(|id| json!({ "itemIdentifier": id })).collect::<Vec<_>>() });

    let (all_well, given, lines) = answer(&event, || Ok(shifted())).await;
    assert_eq!(all_well.unwrap(), items(&[]));
    assert_eq!(given.len(), 2);
    assert!(lines.contains("message/m1") && lines.contains("message/m3"), "{lines}");

    let (all_failed, _, _) = answer(&event, || Err(Retry::all("throttled"))).await;
    assert_eq!(all_failed.unwrap(), items(&["m0", "m2"]));

    let one = || {
        let messages = FailedMessages::named_or_all(vec!["m2".into()]);
        Err(Retry { messages, ..Retry::all("throttled") })
    };
    let (one_failed, _, _) = answer(&event, one).await;
    assert_eq!(one_failed.unwrap(), items(&["m2"]));

    let none =
        || Err(Retry { messages: FailedMessages::Only([].into()), ..Retry::all("work that no message requested") });
    let (none_failed, _, lines) = answer(&event, none).await;
    assert_eq!(none_failed.unwrap(), items(&[]));
    assert!(lines.contains("TargetInAlarm") || lines.contains("Invocations"), "{lines}");
}

/// A queue message with an unchanged body.
fn message(id: &str, body: &Value) -> Value {
    json!({ "eventSource": "aws:sqs", "messageId": id, "body": body, "attributes": {} })
}

fn failures(ids: &[&str]) -> Value {
    json!({ "batchItemFailures": ids.iter().map(|id| json!({ "itemIdentifier": id })).collect::<Vec<_>>() })
}

#[tokio::test]
async fn unreadable_messages_are_kept_for_the_dead_letter_queue() {
    let good = || json!(alarm().to_string());
    let cut = r#"{"detail-type":"CloudWatch Alarm State Change","detail":{"alarmName":"recs-v1"#;
    let notification = |message: &str| json!({ "Type": "Notification", "Message": message }).to_string();
    let event = |kind: &str, source: &str, detail: Value| {
        json!({ "detail-type": kind, "source": source, "detail": detail }).to_string()
    };
    let deep = (0..6).fold(alarm(), |inner, _| json!({ "Type": "Notification", "Message": inner.to_string() }));
    for body in [
        json!(cut),
        json!("hello world"),
        json!(""),
        json!("   "),
        json!("null"),
        json!("\"a text\""),
        Value::Null,
        json!(7),
        json!("{"),
        json!("\u{feff}{"),
        json!(notification(cut)),
        json!(notification("")),
        json!(json!({ "Type": "Notification" }).to_string()),
        json!(deep.to_string()),
        json!(event("CloudWatch Alarm State Change", "aws.cloudwatch", json!({ "state": { "value": "ALARM" } }))),
        json!(event("CloudWatch Alarm State Change", "aws.cloudwatch", Value::Null)),
        json!(event("CloudWatch Alarm Contributor State Change", "aws.cloudwatch", json!({ "alarmName": "a" }))),
        json!(event("AWS API Call via CloudTrail", "aws.appmesh", json!({ "eventName": "UpdateRoute" }))),
        json!(event("Meshwarden Release Route", "meshwarden", json!({ "mesh": "shop" }))),
        json!(event("ACM Certificate Expired", "aws.acm", json!({}))),
        json!(json!({ "AlarmName": "a" }).to_string()),
        json!(json!({ "alarmData": {} }).to_string()),
        json!(json!({ "invokingEvent": "{", "resultToken": "t" }).to_string()),
        json!(json!([alarm(), { "AlarmName": "a" }]).to_string()),
    ] {
        let (kept, bad) = (message("good", &good()), message("bad", &body));
        let mut missing = message("none", &json!(null));
        missing.as_object_mut().unwrap().remove("body");
        let batch = json!({ "Records": [bad, kept, missing] });
        let (answer, given, lines) = answer(&batch, || Ok(shifted())).await;
        assert_eq!(answer.unwrap(), failures(&["bad", "none"]), "{body}");
        assert!(given.iter().any(|delivery| delivery.message_id.as_deref() == Some("good")), "{body}");
        assert!(lines.contains("message/bad") && lines.contains("UnreadableEvent"), "{body}: {lines}");
    }
}

#[tokio::test]
async fn messages_for_others_are_accepted_and_counted() {
    for body in [
        json!({ "hello": 1 }).to_string(),
        "{}".to_owned(),
        "[]".to_owned(),
        json!({ "detail-type": "Order Placed", "source": "shop", "detail": {} }).to_string(),
        json!({ "Type": "SubscriptionConfirmation", "Message": "You have chosen to subscribe" }).to_string(),
        json!({ "Records": [{ "eventSource": "aws:s3", "s3": {} }] }).to_string(),
    ] {
        let batch = json!({ "Records": [message("m", &json!(body))] });
        let (answer, _, lines) = answer(&batch, || panic!("nothing to handle")).await;
        assert_eq!(answer.unwrap(), failures(&[]), "{body}");
        assert!(lines.contains("\"Reason\":\"NotOurs\""), "{body}: {lines}");
    }
}

#[tokio::test]
async fn lists_of_pipes_are_read_item_by_item() {
    let throttled = || Err(Retry::all("throttled"));
    let body = json!(alarm().to_string());
    let fine = json!([message("m0", &body), message("m1", &json!("{"))]);
    let (answered, given, _) = answer(&fine, || Ok(shifted())).await;
    assert_eq!((answered.unwrap(), given.len()), (failures(&["m1"]), 1));
    assert_eq!(answer(&fine, throttled).await.0.unwrap(), failures(&["m0", "m1"]));

    // A single record, and bodies that an input template has parsed or left as texts.
    assert_eq!(answer(&message("m0", &body), throttled).await.0.unwrap(), failures(&["m0"]));
    assert_eq!(answer(&message("m0", &alarm()), throttled).await.0.unwrap(), failures(&["m0"]));
    let (answered, given, _) = answer(&json!([alarm(), { "hello": 1 }, alarm()]), || Ok(shifted())).await;
    assert_eq!((answered.unwrap()["decisions"][1]["reason"].clone(), given.len()), (json!("NotOurs"), 2));
    answer(&json!([alarm()]), throttled).await.0.unwrap_err();

    // Without an id, only a failed invocation preserves an unreadable delivery.
    let error = answer(&json!([alarm(), { "AlarmName": "a" }]), || Ok(shifted())).await.0.unwrap_err();
    assert!(error.contains("1 parts") && error.contains("at [1]: missing field `NewStateValue`"), "{error}");
    let nameless = json!({ "Records": [{ "eventSource": "aws:sqs", "body": "{" }, message("m", &body)] });
    let error = answer(&nameless, || Ok(shifted())).await.0.unwrap_err();
    assert!(error.contains("Records[0].body: not JSON"), "{error}");
    let nameless = json!({ "Records": [{ "eventSource": "aws:sqs", "body": body }] });
    assert!(answer(&nameless, throttled).await.0.unwrap_err().contains("throttled"));
}

#[tokio::test]
async fn run_that_observed_nothing_fails_and_counts_no_invocation() {
    let blind = || {
        let mut report = shifted();
        report.signals.observed_nothing = true;
        Ok(report)
    };
    let (answer, _, lines) = self::answer(&alarm(), blind).await;
    assert_eq!(answer.unwrap_err(), "failed to handle the event: nothing could be observed");
    let (answer, _, _) = self::answer(&alarm(), || {
        let mut report = shifted();
        report.signals.observed_nothing = true;
        report.decisions[0].facts = json!({ "call": "list alarms", "kind": "denied", "message": "no permission" });
        Ok(report)
    })
    .await;
    let named = "failed to handle the event: nothing could be observed: failed to list alarms: denied: no permission";
    assert_eq!(answer.unwrap_err(), named);
    assert!(lines.contains("\"Invocations\":0"), "{lines}");
    let (answer, _, _) = self::answer(&batch(&[alarm(), alarm()]), blind).await;
    let failed = json!([{ "itemIdentifier": "m0" }, { "itemIdentifier": "m1" }]);
    assert_eq!(answer.unwrap()["batchItemFailures"], failed);
}
