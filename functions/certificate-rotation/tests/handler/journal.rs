//! Decisions are replayed from their journal entries.

use decisions::rotation::Recorded;
use ports::{JournalEntry, StateKey, StateStore as _};
use records::{JournalBody, RawObservation, Replay};
use serde_json::{Value, json};

use crate::shop::{DAY, Shop};

async fn entries(shop: &Shop, subject: &str) -> Vec<JournalEntry> {
    shop.ports.state.journal(&StateKey::certificate(subject), 100).await.unwrap()
}

/// Replays an entry, compares the decision, and returns it.
fn replay(body: &Value, observed: &Value) -> String {
    let again = again(body, observed);
    assert!(again.is_same(), "{again:?}");
    let recorded: Recorded = serde_json::from_value(observed.clone()).unwrap();
    let decided = recorded.decide();
    let decided = decided.iter().find(|one| one.subject.to_string() == body["resource"]).unwrap();
    assert_eq!(decided.verdict.plan().map_or(Value::Null, |plan| json!(plan)), body["plan"]);

    let mut changed = body.clone();
    changed["decision"] = json!("retire");
    assert!(!self::again(&changed, observed).is_same());
    format!("{} {}", again.recorded.decision.unwrap(), again.recorded.code)
}

/// Replays the decision of an entry.
fn again(body: &Value, observed: &Value) -> Replay {
    let body = JournalBody::read("", body).unwrap();
    let mut replays = records::replay(&body, &RawObservation::from(observed.clone())).unwrap();
    assert_eq!(replays.len(), 1, "{replays:?}");
    replays.remove(0)
}

#[tokio::test(start_paused = true)]
async fn recorded_observation_leads_to_the_same_decision() {
    let mut shop = Shop::open().await;
    shop.wait(DAY * 62);
    shop.go_on(3).await;
    let mut decided = Vec::new();
    for subject in [shop.imported().to_string(), "sds:pay".to_owned(), "mesh/shop".to_owned()] {
        for entry in entries(&shop, &subject).await {
            if !entry.body["observed"].is_null() {
                decided.push(replay(&entry.body, &entry.body["observed"]));
            }
        }
    }
    for expected in ["issue RenewalDue", "distribute NewLeaf"] {
        assert!(decided.iter().any(|one| one == expected), "{expected}: {decided:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn hold_is_recorded_once_and_replayed() {
    let mut shop = Shop::open().await;
    shop.wait(DAY * 62);
    shop.set_policy("  budget: {changes: 1, window: 1h}\n");
    shop.go_on(4).await;
    let mut held = Vec::new();
    for subject in ["sds:pay", "sds:web"] {
        for entry in entries(&shop, subject).await {
            if entry.body["reason"] == "BudgetSpent" {
                held.push(replay(&entry.body, &entry.body["observed"]));
            }
        }
    }
    assert!((1..=2).contains(&held.len()), "{held:?}");
}

#[tokio::test(start_paused = true)]
async fn large_observation_is_stored_in_the_reports_store() {
    let mut shop = Shop::open().await;
    for node in 0..200 {
        let listener = json!({ "portMapping": { "port": 8080, "protocol": "http" }, "tls": {
            "mode": "STRICT", "certificate": { "sds": { "secretName": "pay" } } } });
        shop.put(
            &format!("mesh/shop/virtualNode/copy-of-the-payments-node-{node}"),
            &json!({ "listeners": [listener] }),
        );
    }
    shop.deliver().await;
    shop.wait(DAY * 62);
    shop.invoke().await.unwrap();
    let entry = entries(&shop, "sds:pay").await.into_iter().rfind(|entry| entry.body["plan"].is_object()).unwrap();
    let place = entry.body["observed"]["at"].as_str().unwrap();
    let kept = shop.ports.reports.stored();
    let (_, body) = kept.iter().find(|(name, _)| place.ends_with(name.as_str())).unwrap();
    replay(&entry.body, &serde_json::from_slice(body).unwrap());
    assert!(kept.len() <= 6, "one a round, and not one a decision: {}", kept.len());
}
