//! `drill`: a request is stored for failover-drill, and shown.

use drills::RequestAction;
use mesh::name::MeshName;
use ports::StateKey;
use records::{DrillsRecord, read_record};

use serde_json::json;

use super::Shop;
use super::views::store;
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

#[tokio::test]
async fn active_drill_is_shown_with_its_progress_weights_alarms_and_requests() {
    let shop = Shop::open();
    let key = StateKey::mesh("failover-drill", &MeshName::parse("shop").unwrap());
    let split = |first: u8, second: u8| json!([{ "virtualNode": "cart-v1", "weight": first }, { "virtualNode": "cart-v2", "weight": second }]);
    let active = json!({
        "id": "d1", "request": "r1", "by": "dana", "phase": "running",
        "plan": { "name": "nightly", "mesh": "shop", "node": "cart-v1", "duration": "5m",
            "outcomeAlarms": ["cart-v2-5xx"], "blockingAlarms": ["deploys"], "comeBack": "at-once" },
        "accepted": "2026-11-20T10:03:00Z", "beginBy": "2026-11-20T10:18:00Z", "since": "2026-11-20T10:03:30Z",
        "started": "2026-11-20T10:03:10Z", "restoreBy": "2026-11-20T10:13:10Z",
        "routes": [{ "route": "shop/cart/all", "before": split(8, 2), "drained": split(0, 100) }],
    });
    store(&shop, key, json!({ "active": active }), None).await;
    shop.ports.metrics.add(
        "cart-v2",
        "envoy_cluster_upstream_rq_completed",
        "Sum",
        shop.now() - jiff::SignedDuration::from_secs(30),
        50.0,
    );
    let shown = shop.run("meshwarden drill status").await.unwrap();
    for part in [
        "running since 2026-11-20T10:03:30Z until 2026-11-20T10:08:30Z: cart-v1 is drained, requested by dana",
        "route cart/all: cart-v1:8 cart-v2:2 before, cart-v1:0 cart-v2:100 drained",
        "outcome alarm cart-v2-5xx: OK",
        "blocking alarm deploys: does not exist, or may not be read",
        "requests since 2026-11-20T10:03:00Z: cart-v1 0, 0 failed; cart-v2 50, 0 failed",
    ] {
        assert!(shown.contains(part), "{part} is not in:\n{shown}");
    }
    shop.ports.metrics.set_unreadable(Some("denied"));
    let shown = shop.run("meshwarden drill status").await.unwrap();
    assert!(shown.contains("cart-v1 unreadable (denied)"), "{shown}");
}
