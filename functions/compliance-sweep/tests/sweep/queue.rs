//! Sweeps by queue: one message for each mesh.

use std::time::Duration;

use compliance_sweep::{ComplianceSweep, FanOut};
use jiff::SignedDuration;
use policy::BUILT_IN;
use ports::Deadline;
use ports_memory::{Call, Effect, Failure, Fault, MemoryPorts};
use runner::{Emitter, Invocation, Runner};
use serde_json::{Value, json};

use super::shop::{function, function_by, put, reasons, shop, sweep};

fn two_meshes() -> MemoryPorts {
    let ports = shop();
    put(&ports, "mesh/depot", &json!({"egressFilter": {"type": "ALLOW_ALL"}}));
    ports
}

/// The message that the template's rule makes of an event: its body is the EventBridge event.
fn message(id: usize, detail: &Value) -> Value {
    let body = json!({"version": "0", "id": "e", "detail-type": "Meshwarden Sweep Requested", "source": "meshwarden",
        "account": "123456789012", "time": "2026-11-21T06:00:00Z", "region": "eu-west-1", "resources": [], "detail": detail});
    json!({"messageId": format!("m{id}"), "eventSource": "aws:sqs", "body": body.to_string()})
}

/// Delivers a batch as Lambda does, and returns the ids of the failed messages.
async fn deliver(function: &Runner<ComplianceSweep>, records: Vec<Value>) -> Vec<String> {
    let deadline = Deadline::after(Duration::from_mins(1));
    let invocation = Invocation { function: "compliance-sweep", request_id: "r", deadline };
    let emitter = Emitter::stdout();
    let answer = invocation.answer(function, &emitter, &json!({ "Records": records })).await.unwrap();
    let failed = answer["batchItemFailures"].as_array().unwrap().iter();
    failed.map(|failure| failure["itemIdentifier"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn scheduled_run_requests_each_mesh_and_each_message_sweeps_one() {
    let ports = two_meshes();
    let function = function_by(&ports, BUILT_IN, FanOut::ByQueue).await;
    let report = sweep(&function).await.unwrap();
    assert_eq!(reasons(&report), ["AskedFor", "AskedFor"]);
    assert!(ports.reports.stored().is_empty(), "a scheduled run only requests the sweeps");
    let events = ports.bus.events();
    let requested: Vec<&Value> = events.iter().map(|event| &event.detail["mesh"]).collect();
    assert_eq!(requested, ["depot", "shop"]);

    let records = events.iter().enumerate().map(|(id, event)| message(id, &event.detail)).collect::<Vec<_>>();
    assert_eq!(deliver(&function, records.clone()).await, Vec::<String>::new());
    assert_eq!(ports.reports.stored().len(), 8);
    let written = ports.notifier.sent().len();
    assert_eq!(deliver(&function, records).await, Vec::<String>::new());
    assert_eq!(ports.notifier.sent().len(), written, "a message that comes twice sweeps once");
}

#[tokio::test(start_paused = true)]
async fn only_messages_of_failed_meshes_are_delivered_again() {
    let ports = two_meshes();
    let function = function_by(&ports, BUILT_IN, FanOut::ByQueue).await;
    let of_depot = |call: &Call| call.name.starts_with("list") && call.subject.contains("depot");
    ports.faults.whenever(of_depot, Fault::Fails(Failure::Unavailable, Effect::NotDone));
    let batch = || vec![message(1, &json!({"mesh": "depot"})), message(2, &json!({"mesh": "shop"}))];
    assert_eq!(deliver(&function, batch()).await, ["m1"]);
    assert_eq!(ports.reports.stored().len(), 4, "the other one is swept");
    ports.faults.reset();
    assert_eq!(deliver(&function, batch()).await, Vec::<String>::new());
    assert_eq!(ports.reports.stored().len(), 8);
}

#[tokio::test(start_paused = true)]
async fn deleted_mesh_is_done_and_unreadable_messages_reach_the_dead_letter_queue() {
    let ports = shop();
    let function = function(&ports).await;
    let batch = vec![message(1, &json!({"mesh": "gone"})), message(2, &json!({"mesh": ""})), message(3, &json!({}))];
    assert_eq!(deliver(&function, batch).await, ["m2", "m3"]);
}

/// One invocation has time for half of the meshes: they are done, and the next invocation sweeps the others.
#[tokio::test(start_paused = true)]
async fn next_invocation_sweeps_the_unfinished_meshes() {
    let ports = shop();
    for n in 0..9 {
        put(&ports, &format!("mesh/m{n}"), &json!({}));
    }
    ports.faults.set_latency(Duration::from_millis(20));
    let function = function(&ports).await;
    let batch = || (0..9).map(|n| message(n, &json!({"mesh": format!("m{n}")}))).collect::<Vec<_>>();
    let invocation = async |span: Duration| {
        let deadline = Deadline::after(span);
        let invocation = Invocation { function: "compliance-sweep", request_id: "r", deadline };
        let emitter = Emitter::stdout();
        let answer = invocation.answer(&function, &emitter, &json!({ "Records": batch() })).await.unwrap();
        answer["batchItemFailures"].as_array().unwrap().len()
    };
    let left = invocation(Duration::from_millis(900)).await;
    assert!((1..9).contains(&left), "{left}");
    let swept = ports.state.clone();
    assert!(swept.stored(&ports::StateKey::mesh("compliance-sweep", &"m0".parse().unwrap())).is_some());
    ports.clock.advance(SignedDuration::from_secs(60));
    assert_eq!(invocation(Duration::from_mins(1)).await, 0);
    assert_eq!(ports.notifier.sent().len(), 9, "one notice for each mesh");
}

/// A queue that delivers no message fails no call. It pages nevertheless.
#[tokio::test(start_paused = true)]
async fn requests_that_lead_to_no_sweep_page_once_a_day() {
    for delivers in [true, false] {
        let ports = two_meshes();
        for run in 0..8 {
            let function = function_by(&ports, BUILT_IN, FanOut::ByQueue).await;
            let before = ports.bus.events().len();
            sweep(&function).await.unwrap();
            if delivers {
                let events = ports.bus.events();
                let requested =
                    events.iter().skip(before).filter(|one| one.detail_type == "Meshwarden Sweep Requested");
                let records = requested.enumerate().map(|(id, event)| message(id, &event.detail)).collect::<Vec<_>>();
                assert_eq!(records.len(), 2);
                assert_eq!(deliver(&function, records).await, Vec::<String>::new());
            }
            let stuck: Vec<String> = ports.notifier.sent().into_iter().map(|notice| notice.subject).collect();
            let stuck = stuck.iter().filter(|subject| subject.contains("NoProgress")).count();
            let expected = if delivers { 0 } else { [0, 1, 1, 1, 1, 2, 2, 2][run] };
            assert_eq!(stuck, expected, "{delivers}, run {run}");
            ports.clock.advance(SignedDuration::from_hours(6));
        }
    }
}
