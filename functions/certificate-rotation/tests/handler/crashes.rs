//! A run is killed at every call, before and after the call's effect, and another process resumes: the end state is the
//! same.

use mesh::certificates::CertificateSource as Source;
use ports_memory::{Call, Effect, Fault};

use crate::shop::{DAY, Shop, root};

/// The compared end state: kinds and counts, because each run creates other keys.
#[derive(Debug, PartialEq)]
struct End {
    decisions: Vec<String>,
    issuers: Vec<(String, String)>,
    lost_at_most: usize,
}

async fn end(shop: &Shop, before: usize, least: usize) -> End {
    let report = shop.invoke().await.unwrap();
    let mut issuers = Vec::new();
    for source in shop.sources().await {
        let name = match &source {
            // The ARN of a requested certificate depends on the number of requests.
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

/// A shop in which leaves of all kinds are due.
async fn due() -> Shop {
    let shop = Shop::open().await;
    shop.wait(DAY * 70);
    shop
}

/// The same shop, with the key of the imported certificate in a secret.
async fn due_with_a_twin() -> Shop {
    let mut shop = Shop::open().await;
    shop.bind_orders(&shop.orders.clone());
    shop.wait(DAY * 70);
    shop
}

/// An undisturbed run: its end state, and the number of calls of its first invocation.
async fn undisturbed(mut shop: Shop) -> (End, usize) {
    let before = shop.issuances();
    let open = shop.ports.faults.calls().len();
    shop.invoke().await.unwrap();
    let calls = shop.ports.faults.calls().len() - open;
    shop.deliver().await;
    shop.go_on(6).await;
    let expected = end(&shop, before, 3).await;
    assert_eq!(expected.lost_at_most, 0);
    assert!(calls > 30, "{calls}");
    (expected, calls)
}

/// A fault at one call of the first invocation: the end state is that of an undisturbed run.
async fn disturbed(mut shop: Shop, call: usize, fault: Fault, expected: &End) {
    let before = shop.issuances();
    shop.ports.faults.reset();
    shop.ports.faults.at(call, fault.clone());
    let faults = shop.ports.faults.clone();
    drop(faults.run(shop.invoke()).await);
    shop.deliver().await;
    shop.go_on(6).await;
    let found = end(&shop, before, 3).await;
    let case = format!("{fault:?} at call {call}");
    assert_eq!((&found.decisions, &found.issuers), (&expected.decisions, &expected.issuers), "{case}");
    assert!(found.lost_at_most <= 1, "{case}: {found:?}");
}

/// A kill at every call: before the effect at every second one, after it at the others.
#[tokio::test(start_paused = true)]
async fn renewals_killed_before_their_calls() {
    let (expected, calls) = undisturbed(due().await).await;
    for call in (0..calls).step_by(2) {
        disturbed(due().await, call, Fault::Crash(Effect::NotDone), &expected).await;
    }
}

#[tokio::test(start_paused = true)]
async fn renewals_killed_after_their_calls() {
    let (expected, calls) = undisturbed(due().await).await;
    for call in (1..calls).step_by(2) {
        disturbed(due().await, call, Fault::Crash(Effect::Done), &expected).await;
    }
}

/// Kills before and after every write, where most can be lost.
#[tokio::test(start_paused = true)]
async fn renewals_in_two_places_killed_at_every_write() {
    let (expected, _) = undisturbed(due_with_a_twin().await).await;
    let shop = due_with_a_twin().await;
    shop.ports.faults.reset();
    shop.invoke().await.unwrap();
    let secret = |call: &&Call| call.writes && (call.subject.contains("orders") || call.subject.contains("acm"));
    let writes: Vec<usize> = shop.ports.faults.calls().iter().filter(secret).map(|call| call.number).collect();
    assert!(writes.len() > 6, "{writes:?}");
    for call in writes {
        for fault in Fault::crashes() {
            disturbed(due_with_a_twin().await, call, fault, &expected).await;
        }
    }
}

/// A fault at every second call; the seed selects the calls and the faults.
async fn with_faults(seed: usize) {
    let (expected, calls) = undisturbed(due().await).await;
    let faults = Fault::every();
    for call in (seed % 2..calls).step_by(2) {
        let fault = faults[(call / 2 * 3 + seed) % faults.len()].clone();
        disturbed(due().await, call, fault, &expected).await;
    }
}

#[tokio::test(start_paused = true)]
async fn renewals_with_faults_at_even_calls() {
    with_faults(0).await;
}

#[tokio::test(start_paused = true)]
async fn renewals_with_faults_at_odd_calls() {
    with_faults(3).await;
}

#[tokio::test(start_paused = true)]
async fn rollover_killed_repeatedly() {
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
            drop(faults.run(shop.invoke()).await);
            shop.ports.faults.reset();
            shop.deliver().await;
        }
        let found = end(&shop, before, 4).await;
        assert!(found.issuers.iter().all(|(_, issuer)| issuer.contains("new")), "{found:?}");
        assert!(found.decisions.iter().all(|one| one.starts_with("keep")), "{found:?}");
        assert!(found.lost_at_most <= 4, "{found:?}");
    }
}
