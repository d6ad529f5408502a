//! Kills and faults at every call.

use jiff::SignedDuration;
use ports_memory::{Effect, Failure, Fault};
use serde_json::{Value, json};

use super::shop::{function, morning, put, remembered, shop, sweep, sweep_at};

/// A run is killed at every call, before and after the call's effect: the next process reaches the end state of an
/// undisturbed run. Operators may be notified twice, and at least once.
#[tokio::test(start_paused = true)]
async fn killed_run_is_completed_by_the_next() {
    let undisturbed = shop();
    sweep(&function(&undisturbed).await).await.unwrap();
    let calls = undisturbed.faults.calls().len();
    assert!(calls > 10, "{calls}");
    for call in 0..calls {
        for fault in Fault::crashes() {
            let ports = shop();
            let dying = function(&ports).await;
            ports.faults.at(call, fault.clone());
            let run = sweep_at(&dying, morning());
            assert!(ports.faults.run(run).await.is_none(), "{fault:?} at {call}");
            ports.clock.advance(SignedDuration::from_mins(1));
            sweep_at(&function(&ports).await, morning()).await.unwrap();
            let (is, should) = (remembered(&ports), remembered(&undisturbed));
            let ids = |document: &Value| document["findings"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
            assert_eq!(ids(&is), ids(&should), "{fault:?} at {call}");
            assert_eq!(ports.reports.stored().len(), undisturbed.reports.stored().len());
            assert!((1..=2).contains(&ports.notifier.sent().len()), "{fault:?} at {call}");
        }
    }
}

/// Every call fails in every way: unreadable resources are not judged, and transient failures are retried.
#[tokio::test(start_paused = true)]
async fn every_failure_is_reported_and_no_mesh_counts_as_empty() {
    let undisturbed = shop();
    sweep(&function(&undisturbed).await).await.unwrap();
    let calls = undisturbed.faults.calls().len();
    for call in 0..calls {
        for fault in Fault::every() {
            let ports = shop();
            let function = function(&ports).await;
            ports.faults.at(call, fault.clone());
            let (report, retried) = match sweep_at(&function, morning()).await {
                Ok(report) => (report, false),
                Err(retry) => (retry.report.unwrap(), true),
            };
            assert!(!report.decisions.is_empty(), "{fault:?} at {call}");
            if retried {
                ports.clock.advance(SignedDuration::from_mins(1));
                sweep_at(&function, morning()).await.unwrap();
                let kept = ports.reports.stored().len();
                assert_eq!(kept, undisturbed.reports.stored().len(), "{fault:?} at {call}: reports kept by the retry");
            }
            let expected = remembered(&undisturbed)["findings"].as_object().unwrap().len();
            // A stale read is judged as the state at that time.
            if !matches!(fault, Fault::StaleRead)
                && let Some(found) = remembered(&ports)["findings"].as_object()
            {
                assert_eq!(found.len(), expected, "{fault:?} at {call}: judged by a part");
            }
            ports.clock.advance(SignedDuration::from_hours(6));
            sweep(&function).await.unwrap();
            let found = remembered(&ports)["findings"].as_object().unwrap().len();
            assert_eq!(found, expected, "{fault:?} at {call}: the next sweep");
        }
    }
}

/// A notification that cannot be stored is not sent: each run would send it again. The metric `PagesWithheld` reports it.
#[tokio::test(start_paused = true)]
async fn without_writes_to_the_state_table_no_notification_is_sent() {
    let ports = shop();
    sweep(&function(&ports).await).await.unwrap();
    assert_eq!(ports.notifier.sent().len(), 1);
    put(&ports, "mesh/shop", &json!({"egressFilter": {"type": "DROP_ALL"}}));
    ports.faults.whenever(|call| call.name == "note", Fault::Fails(Failure::Denied, Effect::NotDone));
    for _ in 0..3 {
        ports.clock.advance(SignedDuration::from_hours(6));
        let report = sweep(&function(&ports).await).await.unwrap();
        assert_eq!((ports.notifier.sent().len(), report.signals.pages_withheld), (1, 1));
    }
    ports.faults.reset();
    for _ in 0..2 {
        let report = sweep(&function(&ports).await).await.unwrap();
        assert_eq!((ports.notifier.sent().len(), report.signals.pages_withheld), (2, 0));
    }
}
