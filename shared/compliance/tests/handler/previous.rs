//! The functions resume from a document that the version before `records` stored.

use ports::{StateKey, Stored};
use rules::compliance::Topic;
use serde_json::Value;

use crate::shop::{Shop, V1, V2};

/// The state table that the version wrote.
const TABLE: &str = include_str!("../../../records/tests/golden/format-0.json");

/// The record of the mesh after findings of two nodes were reported.
fn reported(key: &StateKey) -> Value {
    let table: Value = serde_json::from_str(TABLE).unwrap();
    let documents = table["documents"].as_array().unwrap().iter().filter(|stored| stored["key"] == key.as_str());
    let has_both = |document: &&Value| [V1, V2].iter().all(|node| document["told"].get(*node).is_some());
    documents.map(|stored| &stored["document"]).find(has_both).unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn findings_that_the_previous_version_reported_are_resolved() {
    let shop = Shop::new(Topic::Tags);
    let stored = Stored { revision: 2, epoch: 0, lease: None, document: reported(&shop.key()) };
    shop.ports.state.put(&shop.key(), stored);
    // The nodes have their tags by now.
    shop.start().await.scheduled_run().await.unwrap();
    let sent = shop.ports.notifier.sent();
    let subjects: Vec<&str> = sent.iter().map(|notice| notice.subject.as_str()).collect();
    assert_eq!(subjects, ["tag-compliance: mesh/shop: 0 remediated, 0 not compliant, 2 compliant again"]);
}
