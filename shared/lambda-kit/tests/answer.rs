//! What Lambda is answered, by the event's source and the handler's outcome.
#![expect(
    clippy::unwrap_used,
    clippy::result_large_err,
    reason = "a test fails by panicking, and its closures are small"
)]

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use lambda_kit::wake::Delivery;
use lambda_kit::{Decision, Emitter, Handler, Invocation, Report, Retry};
use ports::Deadline;
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

/// Answers as it is told, and keeps what it was given.
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
    Report::of(vec![Decision {
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
async fn a_plain_event_is_answered_with_the_report() {
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
async fn a_failure_that_may_heal_is_an_error_and_still_reported() {
    let failed = || Err(Retry { report: Some(shifted()), ..Retry::all("the state table is throttled") });
    let (answer, _, lines) = answer(&alarm(), failed).await;
    assert_eq!(answer.unwrap_err(), "handle the event: the state table is throttled");
    assert!(lines.contains("TargetInAlarm"), "{lines}");
}

#[tokio::test]
async fn what_is_unreadable_or_for_others_is_reported_and_not_handled() {
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
async fn of_a_batch_only_what_failed_comes_again() {
    let event = batch(&[alarm(), json!("no event"), alarm(), json!({ "hello": 1 })]);
    let items = |ids: &[&str]| json!({ "batchItemFailures": ids.iter().map(|id| json!({ "itemIdentifier": id })).collect::<Vec<_>>() });

    let (all_well, given, lines) = answer(&event, || Ok(shifted())).await;
    assert_eq!(all_well.unwrap(), items(&[]));
    assert_eq!(given.len(), 2);
    assert!(lines.contains("message/m1") && lines.contains("message/m3"), "{lines}");

    let (all_failed, _, _) = answer(&event, || Err(Retry::all("throttled"))).await;
    assert_eq!(all_failed.unwrap(), items(&["m0", "m2"]));

    let one = || Err(Retry { messages: vec!["m2".into()], ..Retry::all("throttled") });
    let (one_failed, _, _) = answer(&event, one).await;
    assert_eq!(one_failed.unwrap(), items(&["m2"]));
}
