//! Kills and faults at every call.

use std::time::Duration;

use change_audit::NAME;
use jiff::SignedDuration;
use ports::StateKey;
use ports_memory::Fault;
use serde_json::{Value, json};

use super::shop::{RECS, Shop, node, reasons, sample};

/// If two concurrent invocations find the same change, one of them reports it.
#[tokio::test(start_paused = true)]
async fn one_of_two_concurrent_invocations_reports() {
    let shop = Shop::open().await;
    shop.edit(RECS, &node(None));
    let event = sample("cloudtrail-update-virtual-node");
    let other = shop.answer_within(Duration::from_secs(59), &event);
    let (one, other) = tokio::join!(shop.answer(&event), other);
    let mut found = [reasons(&one.unwrap()), reasons(&other.unwrap())].concat();
    found.sort();
    assert_eq!(found, ["Unchanged", "Written"]);
    assert_eq!((shop.subjects().len(), shop.ports.bus.events().len(), shop.journal().await.len()), (1, 1, 2));
    assert_eq!(shop.document()["owed"], json!([]));
}

/// The end state of a run: its notifications and its journal, without duplicates.
async fn end(shop: &Shop) -> Value {
    let mut subjects = shop.subjects();
    subjects.dedup();
    let mut document = shop.document();
    // The times differ, because the second process started later.
    for times in ["seenAt", "readAgain"] {
        document.as_object_mut().unwrap().remove(times);
    }
    json!({ "subjects": subjects, "document": document, "journal": shop.journal().await.len() })
}

/// A run is killed at every call, before and after the call's effect, and the event is delivered again: the change is
/// reported once or twice, and journalled once.
#[tokio::test(start_paused = true)]
async fn killed_run_is_completed_by_the_next() {
    let undisturbed = Shop::open().await;
    undisturbed.edit(RECS, &node(None));
    let before = undisturbed.ports.faults.calls().len();
    undisturbed.invoke("cloudtrail-update-virtual-node").await.unwrap();
    let calls = undisturbed.ports.faults.calls().len() - before;
    assert!(calls > 6, "{calls}");
    for call in 0..calls {
        for fault in Fault::crashes() {
            let shop = Shop::open().await;
            shop.edit(RECS, &node(None));
            shop.ports.faults.at(before + call, fault.clone());
            assert!(
                shop.ports.faults.run(shop.invoke("cloudtrail-update-virtual-node")).await.is_none(),
                "{fault:?} at {call}"
            );
            shop.ports.clock.advance(SignedDuration::from_mins(5));
            shop.invoke("cloudtrail-update-virtual-node").await.unwrap();
            assert_eq!(end(&shop).await, end(&undisturbed).await, "{fault:?} at {call}");
            assert!((1..=2).contains(&shop.subjects().len()), "{fault:?} at {call}: {:?}", shop.subjects());
        }
    }
}

/// Every call fails in every way, and the event is delivered again if the run failed: the change is always reported.
#[tokio::test(start_paused = true)]
async fn failed_run_is_reported_and_no_change_is_lost() {
    let undisturbed = Shop::open().await;
    undisturbed.edit(RECS, &node(None));
    let before = undisturbed.ports.faults.calls().len();
    undisturbed.invoke("cloudtrail-update-virtual-node").await.unwrap();
    let calls = undisturbed.ports.faults.calls().len() - before;
    for call in 0..calls {
        for fault in Fault::every() {
            let shop = Shop::open().await;
            shop.edit(RECS, &node(None));
            shop.ports.faults.at(before + call, fault.clone());
            let first = shop.invoke("cloudtrail-update-virtual-node").await;
            shop.ports.clock.advance(SignedDuration::from_mins(5));
            if first.is_err() {
                shop.invoke("cloudtrail-update-virtual-node").await.unwrap();
            }
            // The next scheduled run is an hour later.
            shop.ports.clock.advance(SignedDuration::from_mins(60));
            shop.invoke("tick-rule").await.unwrap();
            assert!((1..=2).contains(&shop.subjects().len()), "{fault:?} at {call}: {:?}", shop.subjects());
            let (is, should) = (end(&shop).await, end(&undisturbed).await);
            assert_eq!(is, should, "{fault:?} at {call}");
        }
    }
}

/// Kills and faults at every call of the run that detects a deleted mesh: the deletion is reported once or twice, and the
/// mesh leaves the roster only afterwards.
#[tokio::test(start_paused = true)]
async fn deleted_mesh_is_reported_despite_faults() {
    let undisturbed = Shop::open().await;
    undisturbed.delete();
    let before = undisturbed.ports.faults.calls().len();
    undisturbed.invoke("tick-rule").await.unwrap();
    let calls = before..undisturbed.ports.faults.calls().len();
    assert!(calls.len() > 6, "{calls:?}");
    for call in calls {
        for fault in Fault::crashes().into_iter().chain(Fault::every()) {
            let shop = Shop::open().await;
            shop.delete();
            shop.ports.faults.at(call, fault.clone());
            drop(shop.ports.faults.run(shop.invoke("tick-rule")).await);
            for _ in 0..2 {
                shop.ports.clock.advance(SignedDuration::from_mins(60));
                shop.invoke("tick-rule").await.unwrap();
            }
            let reported = shop.ports.bus.events().len();
            assert!((1..=2).contains(&reported), "{fault:?} at {call}: {reported}");
            let stored = shop.ports.state.stored(&StateKey::meshes(NAME)).unwrap();
            assert_eq!(stored.document["meshes"], json!([]), "{fault:?} at {call}");
            assert_eq!(shop.document()["state"]["snapshot"]["resources"], json!({}), "{fault:?} at {call}");
        }
    }
}
