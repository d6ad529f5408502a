//! Two processes of the function at the same time: a second one runs in each gap between two calls of the first.

use ports::memory::{Fault, Gate};

use crate::shop::{DAY, Shop};

/// A shop with an imported certificate, one of a private CA and a bundle, all due for renewal.
async fn due_shop() -> Shop {
    let shop = Shop::open().await;
    shop.wait(DAY * 70);
    shop
}

/// The number of certificates that two processes issue. The second process runs before this call of the first, counted
/// from 0. `None` if the first process makes fewer calls.
async fn issuances_with_second_process_before(call: usize) -> Option<usize> {
    let shop = due_shop().await;
    let issued_before = shop.issuances();
    shop.ports.faults.reset();
    let gate = Gate::default();
    shop.ports.faults.once(move |found| found.number == call, Fault::Waits(gate.clone()));
    let first = async {
        let _ = shop.wake().await;
    };
    let second = async {
        gate.reached().await;
        // A conflict with the first process fails this run, and its delivery is repeated.
        let _ = shop.wake().await;
        gate.open();
    };
    tokio::select! {
        ((), ()) = async { tokio::join!(first, second) } => {}
        () = tokio::time::sleep(std::time::Duration::from_secs(600)) => return None,
    }
    Some(shop.issuances() - issued_before)
}

#[tokio::test(start_paused = true)]
async fn a_second_process_in_any_gap_issues_no_further_certificate() {
    let undisturbed = {
        let shop = due_shop().await;
        let before = shop.issuances();
        let _ = shop.wake().await;
        shop.issuances() - before
    };
    let mut gaps = 0;
    while let Some(issued) = issuances_with_second_process_before(gaps).await {
        assert_eq!(issued, undisturbed, "a second process before call {gaps}");
        gaps += 1;
    }
    assert!(gaps > 30, "{gaps}");
}
