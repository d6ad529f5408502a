//! Holds: nothing is written although an alarm is on, and the reason is reported.

use jiff::SignedDuration;
use mesh::alarm::{AlarmSource, AlarmState};
use mesh::name::{ResourcePath, VirtualServiceName};
use ports::KillSwitch;
use serde_json::{Value, json};

use crate::alarms::{alarm, errors_of, name, on_node, on_nothing};
use crate::shop::{BEFORE, POLICY, Shop, alarm_event, decision, errors_event, event, mesh, route};

#[tokio::test(start_paused = true)]
async fn observe_mode_reports_the_change_once_and_writes_nothing_to_the_mesh() {
    let shop = Shop::with("version: 1\n");
    let function = shop.start().await;
    shop.fails("cart-v1");
    let would = function.decision(&errors_event("cart-v1"), "cart").await;
    assert_eq!((&would["reason"], &would["outcome"]["outcome"]), (&json!("Failover"), &json!("WouldApply")));
    assert_eq!(would["plan"]["to"][0]["weight"], 0);
    function.minutes(3).await;
    assert_eq!(shop.ports.notifier.sent().len(), 1);
    shop.edits("cart", &[50, 50]);
    function.minutes(1).await;
    assert_eq!((shop.weights("cart"), shop.spent()), (vec![50, 50], 0));
    let writes = ["tag", "untag", "update route", "begin"];
    assert!(shop.ports.faults.calls().iter().all(|call| !writes.contains(&call.name)));
}

#[tokio::test(start_paused = true)]
async fn mesh_switched_to_observe_during_a_failback_is_not_changed() {
    let shop = shifted().await;
    shop.policy.set("version: 1\n");
    shop.wait(1);
    let function = shop.start().await;
    shop.edits("cart", &[40, 60]);
    function.minutes(3).await;
    shop.recovers("cart-v1");
    function.minutes(20).await;
    assert_eq!((shop.weights("cart"), shop.writes()), (vec![40, 60], 1));
    assert!(shop.restore_tag("cart").is_some(), "a tag is part of the mesh, too");
}

#[tokio::test(start_paused = true)]
async fn kill_switch_stops_every_change() {
    let shop = shifted().await;
    let function = shop.start().await;
    let by = KillSwitch { by: "dana".to_owned(), reason: "an incident".to_owned(), at: shop.now() };
    shop.ports.state.turn_kill_switch(Some(by));
    shop.wait(3);
    shop.fails("ledger-v1");
    let held = function.decision(&errors_event("ledger-v1"), "ledger").await;
    assert_eq!((&held["decision"], &held["reason"]), (&json!("hold"), &json!("KillSwitchOn")));
    assert_eq!(held["facts"], json!({ "by": "dana", "why": "an incident" }));
    assert_eq!(shop.metric("KillSwitchOn"), 1);
    assert_eq!(shop.pages().len(), 1);
    shop.recovers("cart-v1");
    shop.edits("payments", &[1, 99]);
    function.minutes(20).await;
    assert_eq!((shop.weights("cart"), shop.writes()), (vec![0, 100], 1));

    shop.ports.state.turn_kill_switch(None);
    function.minutes(1).await;
    assert_eq!((shop.weights("ledger"), shop.weights("cart")), (vec![0, 100], vec![5, 95]));
    assert_eq!(shop.metric("KillSwitchOn"), 0);
}

#[tokio::test(start_paused = true)]
async fn kill_switch_is_counted_without_a_due_change() {
    let shop = Shop::open();
    let by = KillSwitch { by: "dana".to_owned(), reason: "a drill".to_owned(), at: shop.now() };
    shop.ports.state.turn_kill_switch(Some(by));
    shop.start().await.scheduled_run().await.unwrap();
    assert_eq!(shop.metric("KillSwitchOn"), 1);
}

#[tokio::test(start_paused = true)]
async fn edit_during_the_kill_switch_keeps_the_tag() {
    let shop = shifted().await;
    let by = KillSwitch { by: "dana".to_owned(), reason: "an incident".to_owned(), at: shop.now() };
    shop.ports.state.turn_kill_switch(Some(by));
    shop.edits("cart", &[50, 50]);
    shop.start().await.minutes(2).await;
    assert!(shop.restore_tag("cart").is_some());
}

#[tokio::test(start_paused = true)]
async fn spent_budget_holds_failovers_and_no_failback() {
    let shop = Shop::with(&format!("{POLICY}failover: {{budget: {{changes: 1, window: 1h}}}}\n"));
    let function = shop.start().await;
    shop.fails("cart-v1");
    function.answer(&errors_event("cart-v1")).await.unwrap();
    shop.wait(3);
    shop.fails("ledger-v1");
    let held = function.decision(&errors_event("ledger-v1"), "ledger").await;
    assert_eq!(held["reason"], "BudgetSpent");
    assert_eq!(held["facts"], json!({ "used": 1, "cap": 1 }));
    assert_eq!(shop.pages().len(), 1);
    shop.recovers("cart-v1");
    function.minutes(20).await;
    assert_eq!(shop.weights("cart"), BEFORE);
    // At eleven o'clock a new window begins.
    function.minutes(35).await;
    assert_eq!(shop.weights("ledger"), [0, 100]);
}

#[tokio::test(start_paused = true)]
async fn operators_edit_is_respected_for_four_hours() {
    let shop = shifted().await;
    let function = shop.start().await;
    shop.edits("cart", &[60, 40]);
    function.minutes(1).await;
    assert_eq!(shop.restore_tag("cart"), None);
    let held = function.decision(&errors_event("cart-v1"), "cart").await;
    assert_eq!(held["reason"], "PersonEdited");
    function.minutes(238).await;
    assert_eq!(shop.weights("cart"), [60, 40]);
    function.minutes(2).await;
    assert_eq!(shop.weights("cart"), [0, 100], "the alarm is still on");
    shop.recovers("cart-v1");
    function.minutes(20).await;
    assert_eq!(shop.weights("cart"), [60, 40], "the operator's weights are the declared weights");
}

#[tokio::test(start_paused = true)]
async fn released_edit_ends_at_once() {
    let shop = Shop::open();
    let function = shop.start().await;
    shop.fails("recommendations-v2");
    function.answer(&errors_event("recommendations-v2")).await.unwrap();
    shop.edits("recommendations", &[50, 50]);
    function.minutes(1).await;
    assert_eq!(shop.weights("recommendations"), [50, 50]);
    function.answer(&event("release-route")).await.unwrap();
    assert_eq!(shop.weights("recommendations"), [100, 0]);
}

#[tokio::test(start_paused = true)]
async fn edit_of_other_members_is_kept_and_does_not_hold() {
    let shop = shifted().await;
    let function = shop.start().await;
    let mut edited = shop.spec("cart");
    edited["priority"] = json!(999);
    edited["http2Route"]["timeout"]["idle"]["value"] = json!(1);
    shop.ports.mesh.edit(&route("cart"), serde_json::from_value(edited.clone()).unwrap());
    shop.recovers("cart-v1");
    function.unchecked_minutes(20).await;
    edited["http2Route"]["action"]["weightedTargets"][0]["weight"] = json!(BEFORE[0]);
    edited["http2Route"]["action"]["weightedTargets"][1]["weight"] = json!(BEFORE[1]);
    assert_eq!(shop.spec("cart"), edited);
}

#[tokio::test(start_paused = true)]
async fn invalid_policy_keeps_the_last_good_one_and_is_counted() {
    let shop = Shop::open();
    let function = shop.start().await;
    shop.policy.set("version: 1\nmodes: {default: observing}\n");
    shop.wait(2);
    shop.fails("cart-v1");
    function.answer(&errors_event("cart-v1")).await.unwrap();
    assert_eq!(shop.weights("cart"), [0, 100]);
    assert_eq!(shop.metric("PolicyRejected"), 1);
    shop.policy.set(POLICY);
    function.minutes(2).await;
    assert_eq!(shop.metric("PolicyRejected"), 0);
}

#[tokio::test(start_paused = true)]
async fn unreadable_event_is_reported_and_not_acted_on() {
    let shop = Shop::open();
    shop.fails("recommendations-v2");
    let answer = shop.start().await.answer(&event("unreadable-alarm")).await.unwrap();
    assert_eq!(answer["decisions"][0]["reason"], "UnreadableEvent");
    assert_eq!(shop.writes(), 0);
}

#[tokio::test(start_paused = true)]
async fn unreadable_alarm_makes_no_node_healthy() {
    let shop = Shop::with(&format!(
        "{POLICY}failover: {{bindings: [{{alarm: shop-cart-v2-5xx, mesh: shop, virtualNode: cart-v2}}]}}\n"
    ));
    let odd = AlarmSource::Unreadable("a metric of a kind that is not known".to_owned());
    shop.ports.alarms.put(alarm("shop-cart-v2-5xx", AlarmState::Ok, shop.now(), odd));
    shop.fails("cart-v1");
    let held = shop.start().await.decision(&errors_event("cart-v1"), "cart").await;
    assert_eq!(held["reason"], "NothingEligible");
    assert_eq!(held["facts"]["others"][0]["why"], json!({ "obstacle": "not-known-ready", "unknown": "unreadable" }));
    assert_eq!((shop.writes(), shop.pages().len()), (0, 1));
    assert_eq!(shop.metric("HoldsDuringAlarm"), 1);
}

#[tokio::test(start_paused = true)]
async fn alarm_without_a_target_is_reported() {
    let shop = Shop::open();
    shop.ports.alarms.put(alarm("lb-5xx", AlarmState::Alarm, shop.now(), on_nothing()));
    let function = shop.start().await;
    let said = |answer: Value| {
        let decisions = answer["decisions"].as_array().unwrap().clone();
        decisions.into_iter().find(|decision| decision["resource"] == "alarm/lb-5xx").unwrap_or_default()
    };
    assert_eq!(said(function.answer(&alarm_event("lb-5xx")).await.unwrap())["reason"], "NamesNoTarget");
    shop.ports.alarms.remove(&name("lb-5xx"));
    assert_eq!(said(function.answer(&alarm_event("lb-5xx")).await.unwrap())["reason"], "AlarmMissing");
    assert_eq!(shop.writes(), 0);
}

#[tokio::test(start_paused = true)]
async fn alarm_gets_its_target_from_its_tags() {
    let shop = Shop::open();
    let by_tags = alarm("lb-5xx", AlarmState::Alarm, shop.now(), on_nothing());
    let tags = [("meshwarden:mesh", "shop"), ("meshwarden:virtual-node", "cart-v1")];
    let tags = tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    shop.ports.alarms.set_tags(&by_tags.arn, tags);
    shop.ports.alarms.put(by_tags);
    shop.start().await.answer(&alarm_event("lb-5xx")).await.unwrap();
    assert_eq!(shop.weights("cart"), [0, 100]);
}

#[tokio::test(start_paused = true)]
async fn drained_node_stays_drained_without_its_alarm_and_is_reported() {
    for warm in [true, false] {
        let shop = shifted().await;
        let mut function = shop.start().await;
        function.minutes(1).await;
        for router in crate::shop::ROUTERS {
            for version in ["v1", "v2"] {
                shop.ports.alarms.remove(&errors_of(&format!("{router}-{version}")));
            }
        }
        if !warm {
            function = shop.start().await;
        }
        shop.wait(1);
        let held = decision(&function.scheduled_run().await.unwrap(), "cart");
        assert_eq!(held["reason"], "NoVerdict", "warm: {warm}");
        function.minutes(30).await;
        assert_eq!(shop.weights("cart"), [0, 100]);
    }
}

#[tokio::test(start_paused = true)]
async fn several_failures_at_once_are_held_as_common_cause() {
    let shop = Shop::open();
    let function = shop.start().await;
    shop.fails("cart-v1");
    shop.fails("ledger-v1");
    for router in ["cart", "ledger"] {
        let held = function.decision(&errors_event(&format!("{router}-v1")), router).await;
        assert_eq!(held["reason"], "CommonCause");
        assert_eq!(held["facts"]["failing"], json!(["cart-v1", "ledger-v1"]));
    }
    assert_eq!((shop.writes(), shop.pages().len()), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn node_without_a_route_is_held_with_its_services() {
    let shop = Shop::open();
    shop.add_node("images-v1", "http");
    let service = VirtualServiceName::parse("images.shop.local").unwrap();
    let provider = json!({ "provider": { "virtualNode": { "virtualNodeName": "images-v1" } } });
    shop.put(&ResourcePath::VirtualService(mesh(), service), &provider);
    shop.fails("images-v1");
    shop.ports.alarms.put(alarm(
        "shop-ghost-5xx",
        AlarmState::Alarm,
        shop.now() - SignedDuration::from_mins(9),
        on_node("ghost"),
    ));
    let answer = shop.start().await.answer(&errors_event("images-v1")).await.unwrap();
    let reasons: Vec<(&str, &str)> = answer["decisions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|decision| (decision["resource"].as_str().unwrap(), decision["reason"].as_str().unwrap()))
        .collect();
    assert!(reasons.contains(&("mesh/shop/virtualNode/images-v1", "NoRoute")), "{reasons:?}");
    assert!(reasons.contains(&("mesh/shop/virtualNode/ghost", "NodeMissing")), "{reasons:?}");
    assert_eq!(shop.writes(), 0);
}

#[tokio::test(start_paused = true)]
async fn harmful_change_is_held() {
    let shop = Shop::open();
    let deaf = json!({ "listeners": [{ "portMapping": { "port": 9999, "protocol": "http2" } }] });
    shop.put(&ResourcePath::VirtualNode(mesh(), crate::shop::node("cart-v2")), &deaf);
    // The target's traffic was lost before; more traffic to it is a harm of this change.
    shop.fails("cart-v1");
    let held = shop.start().await.decision(&errors_event("cart-v1"), "cart").await;
    assert_eq!(held["reason"], "Harmful", "{held:#}");
    assert_eq!((shop.writes(), shop.pages().len()), (0, 1));
}

/// A shop in which the first target of the cart has failed and is drained.
async fn shifted() -> Shop {
    let shop = Shop::open();
    shop.fails("cart-v1");
    shop.start().await.answer(&errors_event("cart-v1")).await.unwrap();
    assert_eq!(shop.weights("cart"), [0, 100]);
    shop
}
