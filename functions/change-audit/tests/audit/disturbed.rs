//! Killed and disturbed at every call.

use std::time::Duration;

use change_audit::NAME;
use jiff::SignedDuration;
use ports::StateKey;
use ports::memory::Fault;
use serde_json::{Value, json};

use super::world::{RECS, Shop, node, reasons, sample};

/// Two invocations that see the same change at the same time: one tells it.
#[tokio::test(start_paused = true)]
async fn of_two_at_a_time_one_tells() {
    let shop = Shop::open().await;
    shop.edit(RECS, &node(None));
    let event = sample("cloudtrail-update-virtual-node");
    let other = shop.answer_within(Duration::from_secs(59), &event);
    let (one, other) = tokio::join!(shop.answer(&event), other);
    let mut told = [reasons(&one.unwrap()), reasons(&other.unwrap())].concat();
    told.sort();
    assert_eq!(told, ["Unchanged", "Written"]);
    assert_eq!((shop.subjects().len(), shop.ports.bus.events().len(), shop.journal().await.len()), (1, 1, 2));
    assert_eq!(shop.document()["owed"], json!([]));
}

/// What a run ends with: what was told and journalled, less what happens to be told twice.
async fn end(shop: &Shop) -> Value {
    let mut subjects = shop.subjects();
    subjects.dedup();
    let mut document = shop.document();
    // The times differ, since the second process came later.
    for times in ["seenAt", "readAgain"] {
        document.as_object_mut().unwrap().remove(times);
    }
    json!({ "subjects": subjects, "document": document, "journal": shop.journal().await.len() })
}

/// Killed at every call, before and after its effect, and the event once more: told, at most twice, and written down
/// once.
#[tokio::test(start_paused = true)]
async fn killed_anywhere_and_run_again() {
    let undisturbed = Shop::open().await;
    undisturbed.edit(RECS, &node(None));
    let before = undisturbed.ports.faults.calls().len();
    undisturbed.wake("cloudtrail-update-virtual-node").await.unwrap();
    let calls = undisturbed.ports.faults.calls().len() - before;
    assert!(calls > 6, "{calls}");
    for call in 0..calls {
        for fault in Fault::crashes() {
            let shop = Shop::open().await;
            shop.edit(RECS, &node(None));
            shop.ports.faults.at(before + call, fault.clone());
            assert!(
                shop.ports.faults.run(shop.wake("cloudtrail-update-virtual-node")).await.is_none(),
                "{fault:?} at {call}"
            );
            shop.ports.clock.advance(SignedDuration::from_mins(5));
            shop.wake("cloudtrail-update-virtual-node").await.unwrap();
            assert_eq!(end(&shop).await, end(&undisturbed).await, "{fault:?} at {call}");
            assert!((1..=2).contains(&shop.subjects().len()), "{fault:?} at {call}: {:?}", shop.subjects());
        }
    }
}

/// Every call failing in every way, and the event once more where it asked for that: told, never not at all.
#[tokio::test(start_paused = true)]
async fn every_failure_is_said_and_nothing_is_lost() {
    let undisturbed = Shop::open().await;
    undisturbed.edit(RECS, &node(None));
    let before = undisturbed.ports.faults.calls().len();
    undisturbed.wake("cloudtrail-update-virtual-node").await.unwrap();
    let calls = undisturbed.ports.faults.calls().len() - before;
    for call in 0..calls {
        for fault in Fault::every() {
            let shop = Shop::open().await;
            shop.edit(RECS, &node(None));
            shop.ports.faults.at(before + call, fault.clone());
            let first = shop.wake("cloudtrail-update-virtual-node").await;
            shop.ports.clock.advance(SignedDuration::from_mins(5));
            if first.is_err() {
                shop.wake("cloudtrail-update-virtual-node").await.unwrap();
            }
            // An hour later the schedule comes by in any case.
            shop.ports.clock.advance(SignedDuration::from_mins(60));
            shop.wake("tick-rule").await.unwrap();
            assert!((1..=2).contains(&shop.subjects().len()), "{fault:?} at {call}: {:?}", shop.subjects());
            let (is, should) = (end(&shop).await, end(&undisturbed).await);
            assert_eq!(is, should, "{fault:?} at {call}");
        }
    }
}

/// Killed or disturbed at every call while a mesh is missed: told, at most twice, and forgotten only then.
#[tokio::test(start_paused = true)]
async fn disturbed_while_a_mesh_is_missed() {
    let undisturbed = Shop::open().await;
    undisturbed.delete();
    let before = undisturbed.ports.faults.calls().len();
    undisturbed.wake("tick-rule").await.unwrap();
    let calls = before..undisturbed.ports.faults.calls().len();
    assert!(calls.len() > 6, "{calls:?}");
    for call in calls {
        for fault in Fault::crashes().into_iter().chain(Fault::every()) {
            let shop = Shop::open().await;
            shop.delete();
            shop.ports.faults.at(call, fault.clone());
            drop(shop.ports.faults.run(shop.wake("tick-rule")).await);
            for _ in 0..2 {
                shop.ports.clock.advance(SignedDuration::from_mins(60));
                shop.wake("tick-rule").await.unwrap();
            }
            let told = shop.ports.bus.events().len();
            assert!((1..=2).contains(&told), "{fault:?} at {call}: {told}");
            let stored = shop.ports.state.stored(&StateKey::meshes(NAME)).unwrap();
            assert_eq!(stored.document["meshes"], json!([]), "{fault:?} at {call}");
            assert_eq!(shop.document()["state"]["snapshot"]["resources"], json!({}), "{fault:?} at {call}");
        }
    }
}
