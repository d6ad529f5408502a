//! A wake that comes again, and another one that comes as soon.

use std::time::Duration;

use compliance_sweep::{ComplianceSweep, FanOut};
use jiff::SignedDuration;
use mesh::policy::BUILT_IN;
use ports::Deadline;
use ports::memory::{Effect, Failure, Fault};
use runner::{Handler as _, Report, Runner, wake};
use serde_json::{Value, json};

use super::world::{function, function_by, morning, put, reasons, remembered, shop, sweep_at};

/// Somebody asks for a sweep of the shop.
fn asked(id: &str) -> Value {
    json!({"version": "0", "id": id, "detail-type": "Meshwarden Sweep Requested", "source": "meshwarden",
        "account": "123456789012", "time": "2026-11-21T06:00:00Z", "region": "eu-west-1", "resources": [],
        "detail": {"mesh": "shop"}})
}

fn batch(events: &[Value]) -> Value {
    let record = |event: &Value| json!({"messageId": "m", "eventSource": "aws:sqs", "body": event.to_string()});
    json!({"Records": events.iter().map(record).collect::<Vec<_>>()})
}

async fn deliver(function: &Runner<ComplianceSweep>, event: &Value) -> Report {
    let deadline = Deadline::after(Duration::from_mins(1));
    function.handle(wake::parse(event), deadline).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_same_wake_sweeps_once_however_late_it_comes_again() {
    for later in [SignedDuration::ZERO, SignedDuration::from_mins(4), SignedDuration::from_hours(20)] {
        let ports = shop();
        let function = function(&ports).await;
        sweep_at(&function, morning()).await.unwrap();
        ports.clock.advance(later);
        let calls = ports.faults.calls().len();
        put(&ports, "mesh/shop", &json!({"egressFilter": {"type": "DROP_ALL"}}));
        assert_eq!(reasons(&sweep_at(&function, morning()).await.unwrap()), ["Swept"], "{later}");
        assert_eq!(ports.faults.calls().len() - calls, 3, "the list of meshes, those that are known, and the state");
    }
}

#[tokio::test(start_paused = true)]
async fn another_wake_sweeps_however_soon_it_comes() {
    let ports = shop();
    let function = function(&ports).await;
    sweep_at(&function, morning()).await.unwrap();
    put(&ports, "mesh/shop", &json!({"egressFilter": {"type": "DROP_ALL"}}));
    assert_eq!(reasons(&deliver(&function, &asked("e1")).await), ["Changed"]);
    // Each of the two is known again, in whatever order they come.
    assert_eq!(reasons(&deliver(&function, &asked("e1")).await), ["Swept"]);
    assert_eq!(reasons(&sweep_at(&function, morning()).await.unwrap()), ["Swept"]);
    assert_eq!(reasons(&deliver(&function, &asked("e2")).await), ["Unchanged"]);
}

/// A batch is swept once, and while any of it is new.
#[tokio::test(start_paused = true)]
async fn a_batch_is_served_as_long_as_one_of_it_was_not() {
    let ports = shop();
    let function = function(&ports).await;
    let [one, two, three] = ["e1", "e2", "e3"].map(asked);
    for (events, expected) in [
        (vec![one.clone(), two.clone()], "Changed"),
        (vec![two.clone()], "Swept"),
        (vec![one.clone(), three.clone()], "Unchanged"),
        (vec![three, two, one], "Swept"),
    ] {
        assert_eq!(reasons(&deliver(&function, &batch(&events)).await), [expected]);
    }
}

/// A wake that nothing tells from others is never taken for one that was served.
#[tokio::test(start_paused = true)]
async fn a_wake_without_a_name_always_sweeps() {
    let ports = shop();
    let function = function(&ports).await;
    let mut event = asked("");
    event["detail-type"] = json!("Scheduled Event");
    assert_eq!(reasons(&deliver(&function, &event).await), ["Changed"]);
    assert_eq!(remembered(&ports)["wakes"], json!([]));
    assert_eq!(reasons(&deliver(&function, &event).await), ["Unchanged"]);
}

#[tokio::test(start_paused = true)]
async fn wakes_that_are_remembered_are_bounded() {
    let ports = shop();
    let function = function(&ports).await;
    for n in 0..30 {
        deliver(&function, &asked(&format!("e{n}"))).await;
    }
    let wakes = remembered(&ports)["wakes"].clone();
    assert_eq!((wakes.as_array().unwrap().len(), &wakes[0], &wakes[19]), (20, &json!("e10"), &json!("e29")));
    assert_eq!(reasons(&deliver(&function, &asked("e10")).await), ["Swept"]);
}

/// The schedule's wake that comes again asks for every mesh again, and nothing is swept for it.
#[tokio::test(start_paused = true)]
async fn what_is_handed_on_is_for_the_wake_that_asked_for_it() {
    let ports = shop();
    let function = function_by(&ports, BUILT_IN, FanOut::ByQueue).await;
    for (n, expected) in ["Changed", "Swept"].into_iter().enumerate() {
        sweep_at(&function, morning()).await.unwrap();
        let handed = ports.bus.events().pop().unwrap();
        let mut event = asked(&format!("handed on {n}"));
        event["detail"] = handed.detail;
        assert_eq!(reasons(&deliver(&function, &event).await), [expected]);
    }
    sweep_at(&function, morning() + SignedDuration::from_secs(1)).await.unwrap();
    let mut event = asked("another");
    event["detail"] = ports.bus.events().pop().unwrap().detail;
    assert_eq!(reasons(&deliver(&function, &event).await), ["Unchanged"]);
}

/// A notice that could not be sent is kept: the same wake sends it, and it is sent once.
#[tokio::test(start_paused = true)]
async fn notice_that_could_not_be_sent_is_sent_when_the_wake_comes_again() {
    let ports = shop();
    let function = function(&ports).await;
    let telling = |call: &ports::memory::Call| call.name == "publish" || call.name == "notify";
    ports.faults.once(telling, Fault::Fails(Failure::Unavailable, Effect::NotDone));
    let retry = sweep_at(&function, morning()).await.unwrap_err();
    assert_eq!(reasons(&retry.report.unwrap()), ["Changed", "NotTold"]);
    assert_eq!((ports.notifier.sent().len(), ports.bus.events().len()), (0, 1));
    assert_eq!(reasons(&sweep_at(&function, morning()).await.unwrap()), ["Unchanged"]);
    assert_eq!(reasons(&sweep_at(&function, morning()).await.unwrap()), ["Swept"]);
    assert_eq!((ports.notifier.sent().len(), ports.bus.events().len()), (1, 1));
}
