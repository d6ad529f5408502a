//! Repeated events, and new events shortly after others.

use std::time::Duration;

use compliance_sweep::{ComplianceSweep, FanOut};
use jiff::SignedDuration;
use policy::BUILT_IN;
use ports::Deadline;
use ports_memory::{Effect, Failure, Fault};
use runner::{Handler as _, Report, Runner, events};
use serde_json::{Value, json};

use super::shop::{function, function_by, morning, put, reasons, remembered, shop, sweep_at};

/// The request for a sweep of the shop, with this event id.
fn request(id: &str) -> Value {
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
    function.handle(events::parse(event), deadline).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn repeated_event_sweeps_once_after_any_time() {
    for later in [SignedDuration::ZERO, SignedDuration::from_mins(4), SignedDuration::from_hours(20)] {
        let ports = shop();
        let function = function(&ports).await;
        sweep_at(&function, morning()).await.unwrap();
        ports.clock.advance(later);
        let calls = ports.faults.calls().len();
        put(&ports, "mesh/shop", &json!({"egressFilter": {"type": "DROP_ALL"}}));
        assert_eq!(reasons(&sweep_at(&function, morning()).await.unwrap()), ["Swept"], "{later}");
        assert_eq!(ports.faults.calls().len() - calls, 3, "the list of meshes, the roster, and the state");
    }
}

#[tokio::test(start_paused = true)]
async fn new_event_sweeps_at_once() {
    let ports = shop();
    let function = function(&ports).await;
    sweep_at(&function, morning()).await.unwrap();
    put(&ports, "mesh/shop", &json!({"egressFilter": {"type": "DROP_ALL"}}));
    assert_eq!(reasons(&deliver(&function, &request("e1")).await), ["Changed"]);
    // Both events are recognised in any order.
    assert_eq!(reasons(&deliver(&function, &request("e1")).await), ["Swept"]);
    assert_eq!(reasons(&sweep_at(&function, morning()).await.unwrap()), ["Swept"]);
    assert_eq!(reasons(&deliver(&function, &request("e2")).await), ["Unchanged"]);
}

/// A batch leads to a sweep if one of its events is new.
#[tokio::test(start_paused = true)]
async fn batch_with_a_new_event_sweeps() {
    let ports = shop();
    let function = function(&ports).await;
    let [one, two, three] = ["e1", "e2", "e3"].map(request);
    for (events, expected) in [
        (vec![one.clone(), two.clone()], "Changed"),
        (vec![two.clone()], "Swept"),
        (vec![one.clone(), three.clone()], "Unchanged"),
        (vec![three, two, one], "Swept"),
    ] {
        assert_eq!(reasons(&deliver(&function, &batch(&events)).await), [expected]);
    }
}

/// An event without an id never counts as repeated.
#[tokio::test(start_paused = true)]
async fn event_without_an_id_always_sweeps() {
    let ports = shop();
    let function = function(&ports).await;
    let mut event = request("");
    event["detail-type"] = json!("Scheduled Event");
    assert_eq!(reasons(&deliver(&function, &event).await), ["Changed"]);
    assert_eq!(remembered(&ports)["wakes"], json!([]));
    assert_eq!(reasons(&deliver(&function, &event).await), ["Unchanged"]);
}

#[tokio::test(start_paused = true)]
async fn number_of_remembered_events_is_bounded() {
    let ports = shop();
    let function = function(&ports).await;
    for n in 0..30 {
        deliver(&function, &request(&format!("e{n}"))).await;
    }
    let ids = remembered(&ports)["wakes"].clone();
    assert_eq!((ids.as_array().unwrap().len(), &ids[0], &ids[19]), (20, &json!("e10"), &json!("e29")));
    assert_eq!(reasons(&deliver(&function, &request("e10")).await), ["Swept"]);
}

/// A repeated scheduled event requests every mesh again, and no mesh is swept again for it.
#[tokio::test(start_paused = true)]
async fn requests_have_the_id_of_the_scheduled_event() {
    let ports = shop();
    let function = function_by(&ports, BUILT_IN, FanOut::ByQueue).await;
    for (n, expected) in ["Changed", "Swept"].into_iter().enumerate() {
        sweep_at(&function, morning()).await.unwrap();
        let requested = ports.bus.events().pop().unwrap();
        let mut event = request(&format!("requested {n}"));
        event["detail"] = requested.detail;
        assert_eq!(reasons(&deliver(&function, &event).await), [expected]);
    }
    sweep_at(&function, morning() + SignedDuration::from_secs(1)).await.unwrap();
    let mut event = request("another");
    event["detail"] = ports.bus.events().pop().unwrap().detail;
    assert_eq!(reasons(&deliver(&function, &event).await), ["Unchanged"]);
}

/// An unsent notice is stored: the repeated event sends it, and it is sent once.
#[tokio::test(start_paused = true)]
async fn unsent_notice_is_sent_by_the_repeated_event() {
    let ports = shop();
    let function = function(&ports).await;
    let is_notification = |call: &ports_memory::Call| call.name == "publish" || call.name == "notify";
    ports.faults.once(is_notification, Fault::Fails(Failure::Unavailable, Effect::NotDone));
    let retry = sweep_at(&function, morning()).await.unwrap_err();
    assert_eq!(reasons(&retry.report.unwrap()), ["Changed", "NotTold"]);
    assert_eq!((ports.notifier.sent().len(), ports.bus.events().len()), (0, 1));
    assert_eq!(reasons(&sweep_at(&function, morning()).await.unwrap()), ["Unchanged"]);
    assert_eq!(reasons(&sweep_at(&function, morning()).await.unwrap()), ["Swept"]);
    assert_eq!((ports.notifier.sent().len(), ports.bus.events().len()), (1, 1));
}
