//! Whole drills: by command, by the schedule, with every kind of end.

use drills::Measured;
use mesh::alarm::AlarmState;
use ports::{KillSwitch, Urgency};
use serde_json::json;

use crate::shop::{BEFORE, DRAINED, POLICY, Shop, event, stream};

const BOTH_BEFORE: [[u8; 2]; 2] = [BEFORE; 2];
const BOTH_DRAINED: [[u8; 2]; 2] = [DRAINED; 2];

#[tokio::test(start_paused = true)]
async fn drill_drains_the_node_and_restores_the_exact_weights() {
    let shop = Shop::open();
    let function = shop.start().await;
    let answer = function.answer(&event("direct-start")).await.unwrap();
    assert_eq!((&answer["state"], &answer["result"]), (&json!("confirming"), &json!("PENDING")), "{answer:#}");
    assert_eq!(shop.weights(), BOTH_DRAINED, "one invocation checks, starts and drains");
    assert_eq!(answer["restoreBy"], json!("2026-11-30T12:35:00Z"));
    function.minutes(1).await;
    assert_eq!(shop.phase(), "running");
    function.minutes(29).await;
    assert_eq!((shop.phase(), shop.weights()), ("running", BOTH_DRAINED.map(Vec::from)));
    function.minutes(1).await;
    assert_eq!((shop.phase(), shop.weights()), ("", BOTH_BEFORE.map(Vec::from)));
    assert_eq!(shop.last(), ("SUCCEEDED".to_owned(), "DurationOver".to_owned()));
    for (name, value) in shop.state() {
        let is_left = name.ends_with(" drill") && value != json!(false) || name.ends_with(" tag") && !value.is_null();
        assert!(!is_left, "{name}: {value}");
    }
    assert_eq!(shop.notices(Urgency::Page), Vec::<String>::new());
    assert_eq!(shop.notices(Urgency::Note).len(), 2, "start and end: {:?}", shop.notices(Urgency::Note));
    assert_eq!(shop.events(), ["checking", "draining", "confirming", "running", "restoring", "ended"]);
    let end = shop.record().plans.values().next().unwrap().last.clone().unwrap();
    assert_eq!((end.acknowledged_after, end.restored_after), (Some(60), Some(0)));
    assert!(end.peaks.values().all(|peak| *peak > 0.0) && !end.peaks.is_empty(), "{:?}", end.peaks);
    // The shop has one data point of 600 requests in each five minutes, and none of failures.
    let traffic = end.traffic.as_ref().unwrap();
    assert_eq!(traffic.requests(), Measured::Known(7.0 * 600.0), "{traffic:?}");
    assert_eq!(traffic.failures(), Measured::Missing("recs-v2: no data points".to_owned()), "missing data is not 0");
    let ended = shop.ports.bus.events().pop().unwrap().detail;
    assert_eq!(ended["measured"]["requests"], json!({ "known": 4200.0 }), "{ended:#}");
    assert_eq!(ended["measured"]["acknowledgedAfterSeconds"], 60);
    let notice = shop.ports.notifier.sent().pop().unwrap();
    let line = "Requests: 4200, failed: not known (recs-v2: no data points); peaks: recs-v2 10 a second; acknowledged after 60 s, \
                restored after 0 s, restore acknowledged after 0 s.";
    assert!(notice.body.contains(line), "{}", notice.body);
    let journal = shop.ports.state.journal_of(&crate::shop::key());
    let measured = |entry: &&ports::JournalEntry| entry.body.to_string().contains("acknowledgedAfterSeconds");
    assert_eq!(journal.iter().filter(measured).count(), 1, "the result is journalled once");
    let answer = function.answer(&event("direct-result")).await.unwrap();
    assert_eq!(answer["result"], "SUCCEEDED");
}

#[tokio::test(start_paused = true)]
async fn outcome_alarm_restores_within_the_run_and_pages() {
    let shop = Shop::open();
    let function = shop.start().await;
    function.answer(&event("direct-start")).await.unwrap();
    function.minutes(3).await;
    shop.set_alarm("checkout", AlarmState::Alarm);
    function.minutes(1).await;
    assert_eq!(shop.weights(), BOTH_BEFORE);
    assert_eq!(shop.last(), ("FAILED".to_owned(), "OutcomeAlarm".to_owned()));
    assert_eq!(shop.notices(Urgency::Page), ["Meshwarden: drill recs-v1 of shop: FAILED"]);
    assert_eq!(shop.metric_sum("DrillsFailed"), 1);
    let error = function.answer(&event("direct-result")).await.unwrap_err();
    assert!(error.contains("FAILED") && error.contains("checkout"), "{error}");
}

/// The restored drill ends once the proxies acknowledge the weights, or with the next event.
#[tokio::test(start_paused = true)]
async fn restored_drill_ends_in_its_run_or_with_the_next_event() {
    for acknowledges in [true, false] {
        let shop = Shop::open();
        let function = shop.start().await;
        function.answer(&event("direct-start")).await.unwrap();
        function.minutes(2).await;
        shop.ports.certificates.proxies.set(vec![stream(false)]);
        shop.set_alarm("checkout", AlarmState::Alarm);
        let acknowledge = async {
            tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
            shop.ports.certificates.proxies.set(vec![stream(acknowledges)]);
        };
        let alarm = event("alarm-metric");
        let (answer, ()) = tokio::join!(function.answer(&alarm), acknowledge);
        answer.unwrap();
        assert_eq!(shop.weights(), BOTH_BEFORE);
        assert_eq!(shop.notices(Urgency::Page), ["Meshwarden: drill recs-v1 of shop: FAILED"]);
        assert_eq!(shop.phase(), if acknowledges { "" } else { "restoring" });
        function.answer(&alarm).await.unwrap();
        assert_eq!((shop.phase(), shop.last().0.as_str()), ("", "FAILED"));
        let end = shop.record().plans.values().next().unwrap().last.clone().unwrap();
        assert_eq!(end.restore_acknowledged_after.is_some(), acknowledges);
        assert_eq!(shop.notices(Urgency::Page).len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn event_of_an_alarm_ends_the_drill_between_two_scheduled_runs() {
    let shop = Shop::open();
    let function = shop.start().await;
    function.answer(&event("direct-start")).await.unwrap();
    assert_eq!(shop.weights(), BOTH_DRAINED);
    shop.set_alarm("checkout", AlarmState::Alarm);
    function.answer(&event("alarm-metric")).await.unwrap();
    assert_eq!(shop.weights(), BOTH_BEFORE);
    assert_eq!(shop.last(), ("FAILED".to_owned(), "OutcomeAlarm".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn receiver_edit_and_stop_end_the_drill() {
    // What happens, the result, and the weights of the first route afterwards.
    for (cause, outcome, code, first) in [
        ("receiver", "FAILED", "ReceiverFailing", BEFORE),
        ("edit", "INTERRUPTED", "LayerLost", [30, 70]),
        ("stop", "INTERRUPTED", "Stopped", BEFORE),
        ("block", "INTERRUPTED", "BlockingAlarm", BEFORE),
        ("proxies", "INTERRUPTED", "Unacknowledged", BEFORE),
    ] {
        let shop = Shop::open();
        let function = shop.start().await;
        if cause == "proxies" {
            shop.ports.certificates.proxies.set(vec![stream(false)]);
        }
        function.answer(&event("direct-start")).await.unwrap();
        assert_eq!(shop.weights(), BOTH_DRAINED, "{cause}");
        match cause {
            "receiver" => shop.set_alarm("errors-recs-v2", AlarmState::Alarm),
            "edit" => shop.edits("recs", &[30, 70]),
            "stop" => drop(function.answer(&event("stop")).await.unwrap()),
            "block" => shop.set_alarm("deploys", AlarmState::Alarm),
            _ => {}
        }
        function.minutes(4).await;
        assert_eq!(shop.last(), (outcome.to_owned(), code.to_owned()), "{cause}");
        assert_eq!(shop.weights(), [Vec::from(first), Vec::from(BEFORE)], "{cause}");
    }
}

#[tokio::test(start_paused = true)]
async fn drill_with_unready_standby_is_not_started() {
    let shop = Shop::open();
    shop.set_alarm("errors-recs-v2", AlarmState::InsufficientData);
    let function = shop.start().await;
    let answer = function.answer(&event("direct-start")).await.unwrap();
    assert_eq!((&answer["state"], &answer["reason"]), (&json!("checking"), &json!("ReceiverNotReady")), "{answer:#}");
    function.minutes(16).await;
    assert_eq!(shop.last(), ("NOT_STARTED".to_owned(), "ReceiverNotReady".to_owned()));
    assert_eq!((shop.weights(), shop.ports.mesh.updates().len()), (BOTH_BEFORE.map(Vec::from), 0));
}

#[tokio::test(start_paused = true)]
async fn capacity_comes_from_the_request_rates() {
    // The other node's rate in requests of five minutes; its peak is three times as high.
    for (rate, unreadable, outcome, code) in [
        (100.0, None, "CAPACITY_CHECK_FAILED", "CapacityExceeded"),
        (600.0, Some("forbidden"), "CAPACITY_CHECK_FAILED", "CapacityUnknown"),
    ] {
        let shop = Shop::open();
        shop.requests("recs-v2", rate);
        shop.ports.metrics.set_unreadable(unreadable);
        let function = shop.start().await;
        function.answer(&event("direct-start")).await.unwrap();
        function.minutes(16).await;
        assert_eq!(shop.last(), (outcome.to_owned(), code.to_owned()));
        assert_eq!(shop.ports.mesh.updates().len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn mode_observe_only_reports_the_start() {
    let shop = Shop::with(&POLICY.replace("enforce", "observe"));
    let function = shop.start().await;
    function.answer(&event("direct-start")).await.unwrap();
    let report = function.tick().await.unwrap();
    let decision = &report["decisions"][0];
    assert_eq!(
        (&decision["decision"], &decision["outcome"]["outcome"]),
        (&json!("start"), &json!("WouldApply")),
        "{report:#}"
    );
    function.minutes(16).await;
    assert_eq!(shop.last(), ("NOT_STARTED".to_owned(), "ObserveOnly".to_owned()));
    assert_eq!(shop.ports.mesh.updates().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn schedule_drills_in_the_window_and_repeats_after_the_period() {
    let shop =
        Shop::with(&POLICY.replace("drills:\n", "drills:\n  windows: ['Mon:12:00-Mon:13:00']\n  duration: 5m\n"));
    let function = shop.start().await;
    function.tick().await.unwrap();
    assert_eq!(shop.weights(), BOTH_DRAINED);
    function.minutes(6).await;
    assert_eq!((shop.last().0.as_str(), shop.weights()), ("SUCCEEDED", BOTH_BEFORE.map(Vec::from)));
    let writes = shop.ports.mesh.updates().len();
    function.minutes(60).await;
    assert_eq!(shop.ports.mesh.updates().len(), writes, "once a week");
}

#[tokio::test(start_paused = true)]
async fn kill_switch_keeps_the_weights_and_the_overdue_restore_pages() {
    let shop = Shop::open();
    let function = shop.start().await;
    function.answer(&event("direct-start")).await.unwrap();
    function.minutes(2).await;
    let switch = KillSwitch { by: "ada".to_owned(), reason: "test".to_owned(), at: shop.now() };
    shop.ports.state.turn_kill_switch(Some(switch));
    function.minutes(34).await;
    assert_eq!((shop.phase(), shop.weights()), ("restoring", BOTH_DRAINED.map(Vec::from)));
    assert_eq!(shop.notices(Urgency::Page), ["Meshwarden: drill recs-v1 of shop: INTERRUPTED"]);
    assert!(shop.metric_sum("RestoresOverdue") > 0);
    shop.ports.state.turn_kill_switch(None);
    function.minutes(1).await;
    assert_eq!((shop.last().1.as_str(), shop.weights()), ("KillSwitchOn", BOTH_BEFORE.map(Vec::from)));
}

#[tokio::test(start_paused = true)]
async fn successful_drill_hands_the_node_to_failback() {
    let shop = Shop::with(&POLICY.replace("drills:\n", "drills:\n  duration: 5m\n  comeBack: steps\n"));
    let function = shop.start().await;
    function.answer(&event("direct-start")).await.unwrap();
    function.minutes(7).await;
    assert_eq!(shop.last().0, "SUCCEEDED");
    assert_eq!(shop.weights(), BOTH_DRAINED, "failback returns the node, from its own phase");
    let stored = shop.ports.state.stored(&ports::StateKey::route(&crate::shop::route("recs"))).unwrap();
    assert_eq!(stored.document["shift"]["phases"]["recs-v1"]["phase"], "drained");
}

#[tokio::test(start_paused = true)]
async fn idle_run_makes_three_calls() {
    let shop = Shop::open();
    let function = shop.start().await;
    function.tick().await.unwrap();
    shop.ports.faults.reset();
    let before = shop.ports.faults.calls().len();
    function.minutes(1).await;
    let calls: Vec<String> = shop.ports.faults.calls().into_iter().skip(before).map(|call| call.to_string()).collect();
    assert!(calls.len() <= 3, "{calls:?}");
}
