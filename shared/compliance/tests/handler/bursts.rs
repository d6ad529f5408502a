//! A burst of events is answered from one reading of the mesh, unless that reading may be too old.

use jiff::SignedDuration;
use rules::compliance::Topic;
use serde_json::Value;

use crate::shop::{POLICY, Shop, V1, V2};

fn about(shop: &Shop, path: &str, notified: &str) -> Value {
    let event = shop.event("config-change").to_string().replace(V2, path).replace("2026-11-20T10:03:58.101Z", notified);
    serde_json::from_str(&event).unwrap()
}

fn readings(shop: &Shop) -> usize {
    let nodes = |call: &ports_memory::Call| call.name == "list" && call.subject == "virtualNode of mesh/shop";
    shop.ports.faults.calls().iter().filter(|call| nodes(call)).count()
}

#[tokio::test(start_paused = true)]
async fn fifty_events_are_one_reading() {
    let shop = Shop::with(Topic::Tags, POLICY);
    let function = shop.start().await;
    for n in 0..50 {
        let path = if n % 2 == 0 { V1 } else { V2 };
        function.answer(&about(&shop, path, "2026-11-20T10:03:58.101Z")).await.unwrap();
        shop.ports.clock.advance(SignedDuration::from_secs(1));
    }
    assert_eq!((readings(&shop), shop.ports.config.answers().len()), (1, 50));
    shop.ports.clock.advance(SignedDuration::from_secs(10));
    function.answer(&about(&shop, V1, "2026-11-20T10:03:58.101Z")).await.unwrap();
    assert_eq!(readings(&shop), 2, "the mesh is read again after a minute");
}

#[tokio::test(start_paused = true)]
async fn event_newer_than_the_reading_causes_another_reading() {
    let shop = Shop::with(Topic::Tags, POLICY);
    let function = shop.start().await;
    function.answer(&about(&shop, V1, "2026-11-20T10:03:58.101Z")).await.unwrap();
    shop.untag(&[V2]);
    shop.ports.clock.advance(SignedDuration::from_secs(5));
    function.answer(&about(&shop, V2, "2026-11-20T10:04:03Z")).await.unwrap();
    assert_eq!((readings(&shop), shop.evaluated()[V2].0.as_str()), (2, "NON_COMPLIANT"));
}

#[tokio::test(start_paused = true)]
async fn scheduled_run_and_own_write_cause_another_reading() {
    let shop = Shop::with(Topic::Tags, POLICY);
    let function = shop.start().await;
    function.scheduled_run().await.unwrap();
    function.scheduled_run().await.unwrap();
    assert_eq!(readings(&shop), 2);
    shop.untag(&[V2]);
    shop.ports.clock.advance(SignedDuration::from_secs(5));
    function.answer(&about(&shop, V2, "2026-11-20T10:04:03Z")).await.unwrap();
    assert_eq!(shop.owner(V2).as_deref(), Some("platform"));
    shop.ports.clock.advance(SignedDuration::from_secs(1));
    function.answer(&about(&shop, V2, "2026-11-20T10:04:03Z")).await.unwrap();
    assert_eq!((readings(&shop), shop.evaluated()[V2].0.as_str()), (4, "COMPLIANT"));
}
