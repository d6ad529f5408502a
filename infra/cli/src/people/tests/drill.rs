//! `drill`: a request is stored for failover-drill, and shown.

use drills::RequestAction;
use mesh::name::MeshName;
use ports::StateKey;
use records::{DrillsRecord, read_record};

use super::Shop;
use crate::people::error::Refusal;

const START: &str = "meshwarden drill start nightly --mesh shop --node cart-v1 --outcome-alarm cart-v2-5xx --for 5m";

#[tokio::test]
async fn requested_drill_is_stored_and_shown() {
    let shop = Shop::open();
    let said = shop.run(START).await.unwrap();
    assert!(said.contains("drill nightly of mesh shop is requested"), "{said}");
    let key = StateKey::mesh("failover-drill", &MeshName::parse("shop").unwrap());
    let stored = shop.ports.state.stored(&key).unwrap();
    let record: DrillsRecord = read_record(&key, &stored.document).unwrap();
    let [request] = record.state.requests.as_slice() else { panic!("{record:?}") };
    let RequestAction::Start { plan: Some(plan) } = &request.action else { panic!("{request:?}") };
    assert_eq!((request.by.as_str(), plan.virtual_node.as_str()), ("dana", "cart-v1"));
    for line in ["meshwarden drill status --mesh shop", "meshwarden status --mesh shop"] {
        let shown = shop.run(line).await.unwrap();
        assert!(shown.contains("nightly: requested"), "{line}: {shown}");
    }
    let story = shop.run("meshwarden explain mesh/shop").await.unwrap();
    assert!(story.contains("dana requests drill nightly"), "{story}");
}

#[tokio::test]
async fn unknown_or_inactive_drill_is_refused() {
    let shop = Shop::open();
    let unknown = shop.refuses("meshwarden drill start nightly").await;
    assert!(matches!(&unknown, Refusal::NoDrill { why, .. } if why.contains("drills.plans")), "{unknown:?}");
    let inactive = shop.refuses("meshwarden drill stop nightly --mesh shop").await;
    assert!(matches!(&inactive, Refusal::NoDrill { why, .. } if why.contains("not active")), "{inactive:?}");
    let shown = shop.run("meshwarden drill status").await.unwrap();
    assert!(shown.contains("no drill is planned"), "{shown}");
}
