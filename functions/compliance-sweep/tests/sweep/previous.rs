//! The function resumes from a document that the version before `records` stored.

use jiff::SignedDuration;
use ports::{StateKey, Stored};
use serde_json::Value;

use super::shop::{function, remembered, shop, sweep};

/// The state table that the version wrote.
const TABLE: &str = include_str!("../../../../shared/records/tests/golden/format-0.json");

/// The document of a mesh after a sweep with findings.
fn swept(key: &StateKey) -> Value {
    let table: Value = serde_json::from_str(TABLE).unwrap();
    let documents = table["documents"].as_array().unwrap().iter().filter(|stored| stored["key"] == key.as_str());
    let has_findings = |document: &&Value| document["findings"].as_object().is_some_and(|all| !all.is_empty());
    documents.map(|stored| &stored["document"]).find(has_findings).unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn findings_of_the_previous_version_keep_their_dates() {
    let ports = shop();
    let key = StateKey::mesh(compliance_sweep::NAME, &"shop".parse().unwrap());
    let document = swept(&key);
    let before = document["findings"].as_object().unwrap().clone();
    ports.state.put(&key, Stored { revision: 1, epoch: 0, lease: None, document });
    ports.clock.advance(SignedDuration::from_hours(6));
    sweep(&function(&ports).await).await.unwrap();
    let after = remembered(&ports);
    let after = after["findings"].as_object().unwrap();
    let kept: Vec<&String> = before.keys().filter(|id| after.contains_key(*id)).collect();
    assert!(!kept.is_empty(), "{after:?}");
    for id in kept {
        assert_eq!(after[id]["firstSeen"], before[id]["firstSeen"], "{id}");
    }
}
