//! Pages that the state table cannot remember: each new process would send them again, so a metric reports them instead.

use ports::memory::Failure;

use crate::shop::{Shop, errors_event};

#[tokio::test(start_paused = true)]
async fn cold_processes_without_the_state_table_send_no_page_and_count_it() {
    for call in ["load state", "note"] {
        let shop = Shop::open();
        shop.breaks(call, Failure::Denied);
        shop.breaks("list", Failure::Denied);
        for run in 1..=4 {
            drop(shop.start().await.wake().await);
            assert_eq!((shop.pages().len(), shop.pages_withheld()), (0, run), "{call}");
            shop.wait(1);
        }
        shop.ports.faults.reset();
        shop.breaks("list", Failure::Denied);
        for _ in 0..4 {
            drop(shop.start().await.wake().await);
            assert_eq!((shop.pages().len(), shop.pages_withheld()), (1, 4), "{call}: once the table works");
            shop.wait(1);
        }
    }
}

/// While traffic stays on a failing node, one page too many is better than none.
#[tokio::test(start_paused = true)]
async fn page_about_a_failing_node_is_sent_without_the_state_table() {
    let shop = Shop::open();
    shop.start().await.wake().await.unwrap();
    shop.breaks("load state", Failure::Denied);
    shop.fails("cart-v1");
    drop(shop.start().await.answer(&errors_event("cart-v1")).await);
    assert_eq!((shop.pages().len(), shop.pages_withheld()), (1, 0));
}
