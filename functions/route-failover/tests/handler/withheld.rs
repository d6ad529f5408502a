//! Pages that the state table cannot remember: each new process would send them again, so a metric reports them instead.

use ports::{StateKey, Stored};
use ports_memory::Failure;
use serde_json::json;

use crate::shop::{Shop, errors_event};

#[tokio::test(start_paused = true)]
async fn cold_processes_without_the_state_table_send_no_page_and_count_it() {
    for call in ["load state", "note"] {
        let shop = Shop::open();
        shop.breaks(call, Failure::Denied);
        shop.breaks("list", Failure::Denied);
        for run in 1..=4 {
            drop(shop.start().await.scheduled_run().await);
            assert_eq!((shop.pages().len(), shop.pages_withheld()), (0, run), "{call}");
            shop.wait(1);
        }
        shop.ports.faults.reset();
        shop.breaks("list", Failure::Denied);
        for _ in 0..4 {
            drop(shop.start().await.scheduled_run().await);
            assert_eq!((shop.pages().len(), shop.pages_withheld()), (1, 4), "{call}: once the table works");
            shop.wait(1);
        }
    }
}

/// While traffic stays on a failing node, a duplicate page is better than none.
#[tokio::test(start_paused = true)]
async fn page_about_a_failing_node_is_sent_without_the_state_table() {
    let shop = Shop::open();
    shop.start().await.scheduled_run().await.unwrap();
    shop.breaks("load state", Failure::Denied);
    shop.fails("cart-v1");
    drop(shop.start().await.answer(&errors_event("cart-v1")).await);
    assert_eq!((shop.pages().len(), shop.pages_withheld()), (1, 0));
}

/// The unreadable document pages once, and each run names it. Decisions about routes do not depend on it.
#[tokio::test(start_paused = true)]
async fn unreadable_memory_is_held_and_never_replaced_and_routes_still_fail_over() {
    for (document, reason) in [(json!({ "alarms": 5 }), "RecordUnreadable"), (json!({ "format": 9 }), "NewerFormat")] {
        let shop = Shop::open();
        let key = StateKey::meshes("route-failover");
        let stored = |document| Stored { revision: 3, epoch: 0, lease: None, document };
        shop.ports.state.put(&key, stored(document.clone()));
        for run in 1..=3 {
            let answer = shop.start().await.scheduled_run().await.unwrap();
            let decisions = answer["decisions"].as_array().unwrap();
            let held = decisions.iter().find(|decision| decision["resource"] == "document/route-failover").unwrap();
            assert_eq!((&held["decision"], &held["reason"]), (&json!("hold"), &json!(reason)));
            assert!(held["facts"]["remedy"].as_str().unwrap().contains("meshwarden forget route-failover"), "{held}");
            assert_eq!((shop.pages().len(), shop.pages_withheld()), (1, 0), "run {run}: {:?}", shop.pages());
            shop.wait(1);
        }
        // A failure that is due to be paged would be stored with the page.
        shop.breaks("list", Failure::Denied);
        drop(shop.start().await.scheduled_run().await);
        shop.ports.faults.reset();
        assert_eq!(shop.ports.state.stored(&key).unwrap(), stored(document), "{reason}");
        shop.fails("cart-v1");
        shop.start().await.answer(&errors_event("cart-v1")).await.unwrap();
        assert_eq!(shop.weights("cart"), [0, 100]);
        // `meshwarden forget` writes an empty document.
        shop.ports.state.put(&key, stored(json!({})));
        let withheld = shop.pages_withheld();
        shop.start().await.scheduled_run().await.unwrap();
        assert_eq!(shop.pages_withheld(), withheld);
    }
}
