//! Two processes of the function at the same time: a second one runs in each gap between two calls of the first.

use std::time::Duration;

use ports_memory::{Fault, Gate};
use runner::{Report, Retry};

use crate::shop::{DAY, Shop};

/// A shop with an imported certificate, one of a private CA and a bundle, all due for renewal.
async fn due_shop() -> Shop {
    let shop = Shop::open().await;
    shop.wait(DAY * 70);
    shop
}

/// The effects of two processes.
#[derive(Debug, PartialEq)]
struct Effects {
    /// The number of issued certificates.
    issued: usize,
    /// Certificates that a process took for moved back by an operator. None was.
    moved_back: usize,
}

fn moved_back(run: Result<Report, Retry>) -> usize {
    // A conflict with the other process fails a run, and its delivery is repeated.
    let report = run.map_or_else(|retry| retry.report, Some);
    report.iter().flat_map(|report| &report.decisions).filter(|decision| decision.reason == "MovedBack").count()
}

/// Runs a second process before this call of the first, counted from 0. `None` if the first process makes fewer calls.
async fn run_second_process_before(call: usize) -> Option<Effects> {
    let shop = due_shop().await;
    let issued_before = shop.issuances();
    shop.ports.faults.reset();
    let gate = Gate::default();
    shop.ports.faults.once(move |found| found.number == call, Fault::Waits(gate.clone()));
    let second = async {
        gate.reached().await;
        let run = shop.invoke().await;
        gate.open();
        run
    };
    let both = tokio::time::timeout(Duration::from_mins(10), async { tokio::join!(shop.invoke(), second) });
    let (first, second) = both.await.ok()?;
    Some(Effects { issued: shop.issuances() - issued_before, moved_back: moved_back(first) + moved_back(second) })
}

#[tokio::test(start_paused = true)]
async fn a_second_process_in_any_gap_changes_no_effect() {
    // An imported certificate and two bundles are due.
    let undisturbed = Effects { issued: 3, moved_back: 0 };
    let mut gaps = 0;
    // The first pass, and the changes of the second.
    while let Some(effects) = run_second_process_before(gaps).await
        && gaps < 60
    {
        assert_eq!(effects, undisturbed, "a second process before call {gaps}");
        gaps += 1;
    }
    assert!(gaps > 30, "{gaps}");
}
