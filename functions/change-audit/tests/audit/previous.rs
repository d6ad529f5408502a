//! The function resumes from a document that the version before `records` stored.

use change_audit::NAME;
use jiff::SignedDuration;
use ports::{StateKey, Stored};
use serde_json::Value;

use super::shop::{ROUTE, Shop, happen, route};

/// The state table that the version wrote.
const TABLE: &str = include_str!("../../../../shared/records/tests/golden/format-0.json");

/// The document of the mesh after its route was read again.
fn read(key: &StateKey) -> Value {
    let table: Value = serde_json::from_str(TABLE).unwrap();
    let documents = table["documents"].as_array().unwrap().iter().filter(|stored| stored["key"] == key.as_str());
    let has_route = |document: &&Value| document["readAgain"].get(ROUTE).is_some();
    documents.map(|stored| &stored["document"]).find(has_route).unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn change_is_compared_with_the_snapshot_of_the_previous_version() {
    let shop = Shop::new();
    let key = StateKey::mesh(NAME, &"shop".parse().unwrap());
    shop.ports.state.put(&key, Stored { revision: 1, epoch: 0, lease: None, document: read(&key) });
    // The version of the route in the snapshot.
    shop.edit(ROUTE, &route("recs-v1"));
    shop.ports.clock.advance(SignedDuration::from_mins(10));
    happen(&shop, "cloudtrail-update-virtual-node");
    let reasons = shop.invoke("cloudtrail-update-virtual-node").await.unwrap();
    assert_eq!(reasons, ["Written"]);
    // The event that the previous version could not send, and the one about this change.
    assert_eq!(shop.ports.bus.events().len(), 2);
}
