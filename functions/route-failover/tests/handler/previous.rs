//! The function resumes from a document that the version before `records` stored.

use ports::{StateKey, Stored};
use serde_json::Value;

use crate::shop::{BEFORE, Shop, route};

/// The state table that the version wrote.
const TABLE: &str = include_str!("../../../../shared/records/tests/golden/format-0.json");

/// The document of the route after the failover of `cart-v1`, with an unsent notice.
fn drained() -> Value {
    let table: Value = serde_json::from_str(TABLE).unwrap();
    let key = StateKey::route(&route("cart"));
    let documents = table["documents"].as_array().unwrap().iter().filter(|stored| stored["key"] == key.as_str());
    let is_drained =
        |document: &&Value| document["told"]["code"] == "Failover" && document["owed"]["code"] == "Failover";
    documents.map(|stored| &stored["document"]).find(is_drained).unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn node_that_the_previous_version_drained_returns_in_steps() {
    let shop = Shop::open();
    let stored = Stored { revision: 3, epoch: 2, lease: None, document: drained() };
    shop.ports.state.put(&StateKey::route(&route("cart")), stored);
    // The weights that the previous version wrote.
    shop.edits("cart", &[0, 100]);
    shop.fails("cart-v1");
    shop.wait(3);
    shop.recovers("cart-v1");
    let function = shop.start().await;
    let mut seen = vec![shop.weights("cart")];
    for _ in 0..20 {
        shop.wait(1);
        function.scheduled_run().await.unwrap();
        if seen.last() != Some(&shop.weights("cart")) {
            seen.push(shop.weights("cart"));
        }
    }
    assert_eq!(seen, [vec![0, 100], vec![5, 95], vec![20, 80], vec![40, 60], BEFORE.to_vec()]);
    assert_eq!(shop.pages(), []);
    assert!(
        shop.notified_changes().iter().any(|subject| subject.contains("Failover")),
        "{:?}",
        shop.notified_changes()
    );
}
