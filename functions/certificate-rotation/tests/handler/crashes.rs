//! The function is killed at every call, before and after its effect, and another process goes on: the end is the same.

use mesh::certificates::Source;
use ports::memory::Fault;

use crate::shop::{DAY, Shop, root};

/// What is compared: kinds and counts, since keys are never the same twice.
#[derive(Debug, PartialEq)]
struct End {
    decisions: Vec<String>,
    issuers: Vec<(String, String)>,
    lost_at_most: usize,
}

async fn end(shop: &Shop, before: usize, least: usize) -> End {
    let report = shop.wake().await.unwrap();
    let mut issuers = Vec::new();
    for source in shop.sources().await {
        let name = match &source {
            // The ARN of one that was requested anew follows from how often anything was.
            Source::Acm(_) => "acm".to_owned(),
            other => other.to_string(),
        };
        issuers.push((name, shop.leaf(&source).await.leaf.issuer));
    }
    issuers.sort();
    let decisions = report.decisions.iter().map(|one| format!("{} {}", one.decision, one.reason));
    let mut decisions: Vec<String> = decisions.collect();
    decisions.sort();
    End { decisions, issuers, lost_at_most: (shop.issuances() - before).saturating_sub(least) }
}

/// Leaves of all kinds are due at once.
async fn due() -> Shop {
    let shop = Shop::open().await;
    shop.wait(DAY * 70);
    shop
}

#[tokio::test(start_paused = true)]
async fn renewals_killed_at_every_call() {
    let mut undisturbed = due().await;
    let before = undisturbed.issuances();
    let open = undisturbed.ports.faults.calls().len();
    undisturbed.wake().await.unwrap();
    let calls = undisturbed.ports.faults.calls().len() - open;
    undisturbed.deliver().await;
    undisturbed.go_on(6).await;
    let expected = end(&undisturbed, before, 3).await;
    assert_eq!(expected.lost_at_most, 0);
    assert!(calls > 30, "{calls}");
    for call in 0..calls {
        for fault in Fault::crashes() {
            let mut shop = due().await;
            let before = shop.issuances();
            shop.ports.faults.reset();
            shop.ports.faults.at(call, fault.clone());
            let faults = shop.ports.faults.clone();
            drop(faults.run(shop.wake()).await);
            shop.deliver().await;
            shop.go_on(8).await;
            let found = end(&shop, before, 3).await;
            let told = format!("{fault:?} at call {call} of {calls}");
            assert_eq!((&found.decisions, &found.issuers), (&expected.decisions, &expected.issuers), "{told}");
            assert!(found.lost_at_most <= 1, "{told}: {found:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn renewals_with_every_fault_at_every_fifth_call() {
    let mut undisturbed = due().await;
    let before = undisturbed.issuances();
    undisturbed.go_on(8).await;
    let expected = end(&undisturbed, before, 3).await;
    for call in (0..70).step_by(5) {
        for fault in Fault::every() {
            let mut shop = due().await;
            let before = shop.issuances();
            shop.ports.faults.reset();
            shop.ports.faults.at(call, fault.clone());
            drop(shop.wake().await);
            shop.deliver().await;
            shop.go_on(10).await;
            let found = end(&shop, before, 3).await;
            let told = format!("{fault:?} at call {call}");
            assert_eq!((&found.decisions, &found.issuers), (&expected.decisions, &expected.issuers), "{told}");
            assert!(found.lost_at_most <= 1, "{told}: {found:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollover_killed_again_and_again() {
    for seed in 0..6_usize {
        let mut shop = Shop::open().await;
        let new = root(&shop.ports, "new");
        shop.set_policy(&format!("  successions:\n    - {{from: '{}', to: '{new}'}}\n", shop.old));
        let before = shop.issuances();
        for round in 0..120_usize {
            shop.wait(jiff::SignedDuration::from_mins(5));
            let kill = (round * 7 + seed * 13) % 90;
            shop.ports.faults.reset();
            if round % 2 == 0 && round < 80 {
                shop.ports.faults.at(kill, Fault::crashes()[round % 4 / 2].clone());
            }
            let faults = shop.ports.faults.clone();
            drop(faults.run(shop.wake()).await);
            shop.ports.faults.reset();
            shop.deliver().await;
        }
        let found = end(&shop, before, 4).await;
        assert!(found.issuers.iter().all(|(_, issuer)| issuer.contains("new")), "{found:?}");
        assert!(found.decisions.iter().all(|one| one.starts_with("keep")), "{found:?}");
        assert!(found.lost_at_most <= 4, "{found:?}");
    }
}
