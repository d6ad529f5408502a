//! Alarms that are on and lead to no decision, temporary and lasting failures, and the number of their pages.

use jiff::SignedDuration;
use mesh::alarm::{AlarmSource, AlarmState, Comparison, Condition, MissingData};
use mesh::name::{ResourcePath, VirtualServiceName};
use ports::StateKey;
use ports_memory::Failure;
use serde_json::{Value, json};

use crate::alarms::{alarm, errors_of, name, on_nothing, query};
use crate::shop::{POLICY, Shop, TWO_ROUTERS, alarm_event, decision, errors_event, event, mesh, route};

/// An alarm on a metric of a mesh without a virtual node.
fn on_service() -> AlarmSource {
    AlarmSource::Metric(vec![query("m1", &[("Service", "checkout")])])
}

/// An alarm without a mesh.
fn on_database() -> AlarmSource {
    let mut query = query("m1", &[("Database", "orders")]);
    if let mesh::alarm::MetricTerm::Stat { namespace, .. } = &mut query.term {
        "Orders".clone_into(namespace);
    }
    AlarmSource::Metric(vec![query])
}

/// The message of an alarm with a topic as its action.
fn notice_of(alarm: &str) -> Value {
    json!({ "AlarmName": alarm, "NewStateValue": "ALARM", "OldStateValue": "OK", "NewStateReason": "over the bound" })
}

fn subjects(shop: &Shop) -> Vec<String> {
    shop.pages().into_iter().map(|page| page.subject).collect()
}

#[tokio::test(start_paused = true)]
async fn wired_alarm_without_a_node_pages_on_the_scheduled_run_and_is_counted() {
    let shop = Shop::with_routers(&TWO_ROUTERS, POLICY);
    let function = shop.start().await;
    shop.ports.alarms.put(alarm("checkout", AlarmState::Alarm, shop.now(), on_service()));
    let answer = function.scheduled_run().await.unwrap();
    assert!(answer.to_string().contains("NamesNoTarget"), "{answer:#}");
    assert_eq!(subjects(&shop), ["hold: NamesNoTarget alarm/checkout"]);
    assert!(shop.pages()[0].body.contains("bindings"), "{}", shop.pages()[0].body);
    assert_eq!(shop.metric("HoldsDuringAlarm"), 1);
    function.minutes(14).await;
    assert_eq!((shop.pages().len(), shop.metric("HoldsDuringAlarm")), (1, 1));
    // Another process reads the stored page.
    let function = shop.start().await;
    function.scheduled_run().await.unwrap();
    assert_eq!(shop.pages().len(), 1);
    function.minutes(1).await;
    assert_eq!(shop.pages().len(), 2, "paged again after a quarter of an hour");
    shop.ports.alarms.set_state(&name("checkout"), AlarmState::Ok, shop.now());
    function.minutes(30).await;
    assert_eq!((shop.pages().len(), shop.metric("HoldsDuringAlarm")), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn alarm_that_only_an_event_named_stays_a_hold_while_it_is_on_and_pages_once() {
    let shop = Shop::with_routers(&TWO_ROUTERS, POLICY);
    let function = shop.start().await;
    shop.ports.alarms.put(alarm("orders", AlarmState::Alarm, shop.now(), on_database()));
    function.minutes(2).await;
    assert_eq!(shop.pages(), [], "nothing ties it to the function");
    function.answer(&notice_of("orders")).await.unwrap();
    function.minutes(60).await;
    assert_eq!(subjects(&shop), ["hold: NamesNoTarget alarm/orders"]);
    assert_eq!(shop.metric("HoldsDuringAlarm"), 1);
    shop.ports.alarms.set_state(&name("orders"), AlarmState::Ok, shop.now());
    function.minutes(1).await;
    assert_eq!(shop.metric("HoldsDuringAlarm"), 0);
}

#[tokio::test(start_paused = true)]
async fn alarm_of_another_application_is_explained_and_never_pages() {
    let shop = Shop::with_routers(&TWO_ROUTERS, POLICY);
    let function = shop.start().await;
    let mut orders = alarm("orders", AlarmState::Alarm, shop.now(), on_database());
    orders.alarm_actions = Some(vec!["arn:aws:sns:eu-west-1:123456789012:orders-on-call".to_owned()]);
    shop.ports.alarms.put(orders);
    for _ in 0..3 {
        let answer = function.answer(&alarm_event("orders")).await.unwrap();
        let line = &answer["decisions"][0];
        assert_eq!((&line["decision"], &line["reason"]), (&json!("keep"), &json!("NamesNoTarget")), "{answer:#}");
        assert_eq!(line["facts"]["wiring"], "bus");
        assert_eq!(shop.metric("HoldsDuringAlarm"), 0);
        function.minutes(24 * 60).await;
    }
    assert_eq!(shop.pages(), []);
    // Once one of its actions leads to this function, it pages.
    function.answer(&notice_of("orders")).await.unwrap();
    assert_eq!(subjects(&shop), ["hold: NamesNoTarget alarm/orders"]);
}

#[tokio::test(start_paused = true)]
async fn muted_alarm_without_a_node_is_no_hold() {
    let shop = Shop::with_routers(&TWO_ROUTERS, POLICY);
    let mut muted = alarm("checkout", AlarmState::Alarm, shop.now(), on_service());
    muted.actions_enabled = false;
    shop.ports.alarms.put(muted);
    shop.start().await.minutes(30).await;
    assert_eq!((shop.pages().len(), shop.metric("HoldsDuringAlarm")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn bound_alarm_that_does_not_exist_is_paged_once_a_day() {
    let bound = "failover: {bindings: [{alarm: gone, mesh: shop, virtualNode: cart-v1}]}\n";
    let shop = Shop::with_routers(&TWO_ROUTERS, &format!("{POLICY}{bound}"));
    let function = shop.start().await;
    function.minutes(30).await;
    assert_eq!(subjects(&shop), ["hold: AlarmMissing alarm/gone"]);
    assert_eq!(shop.metric("HoldsDuringAlarm"), 0, "nothing is known to fail");
}

#[tokio::test(start_paused = true)]
async fn flap_budget_is_paged_once() {
    let shop = Shop::with_routers(&TWO_ROUTERS, &format!("{POLICY}failover: {{flaps: {{limit: 1, window: 4h}}}}\n"));
    let function = shop.start().await;
    for _ in 0..4 {
        shop.fails("cart-v1");
        function.minutes(1).await;
        shop.recovers("cart-v1");
        function.minutes(10).await;
        assert_eq!(decision(&function.scheduled_run().await.unwrap(), "cart")["reason"], "FlapBudget");
    }
    let flaps = subjects(&shop).into_iter().filter(|subject| subject.contains("FlapBudget"));
    assert_eq!(flaps.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn only_lasting_failure_pages() {
    let shop = Shop::with_routers(&TWO_ROUTERS, POLICY);
    let function = shop.start().await;
    function.minutes(1).await;
    for _ in 0..5 {
        shop.throttle("list alarms");
        shop.wait(1);
        function.scheduled_run().await.unwrap_err();
        shop.ports.faults.reset();
        function.minutes(1).await;
    }
    assert_eq!(shop.pages(), [], "each failure passed");
    shop.throttle("list alarms");
    for _ in 0..4 {
        shop.wait(1);
        function.scheduled_run().await.unwrap_err();
    }
    assert_eq!(subjects(&shop), ["route-failover: cannot access alarms: throttled"]);
    assert!(shop.pages()[0].body.contains("throttled"), "{}", shop.pages()[0].body);
}

#[tokio::test(start_paused = true)]
async fn denied_tags_of_a_failing_route_page_once() {
    let shop = Shop::with_routers(&TWO_ROUTERS, POLICY);
    let of_cart = |call: &ports_memory::Call| call.name == "list tags of" && call.subject.contains("/cart/");
    let denied = ports_memory::Fault::Fails(Failure::Denied, ports_memory::Effect::NotDone);
    shop.ports.faults.whenever(of_cart, denied);
    shop.fails("cart-v1");
    let function = shop.start().await;
    let answer = function.answer(&errors_event("cart-v1")).await.unwrap();
    assert!(answer.to_string().contains("RecordUnreadable"), "{answer:#}");
    function.minutes(14).await;
    assert_eq!(subjects(&shop), ["route-failover: cannot access mesh/shop/virtualRouter/cart/route/all: denied"]);
}

#[tokio::test(start_paused = true)]
async fn denied_read_pages_at_once() {
    let shop = Shop::with_routers(&TWO_ROUTERS, POLICY);
    let function = shop.start().await;
    shop.breaks("list alarms", Failure::Denied);
    function.scheduled_run().await.unwrap_err();
    assert_eq!(subjects(&shop), ["route-failover: cannot access alarms: denied"]);
}

#[tokio::test(start_paused = true)]
async fn denied_list_of_meshes_pages_once_a_day_and_fails_no_run() {
    let shop = Shop::with_routers(&TWO_ROUTERS, POLICY);
    let of_meshes = |call: &ports_memory::Call| call.name == "list" && call.subject == "meshes";
    let denied = ports_memory::Fault::Fails(Failure::Denied, ports_memory::Effect::NotDone);
    shop.ports.faults.whenever(of_meshes, denied);
    for _ in 0..60 {
        // Each run is a new process, which searches again.
        shop.start().await.minutes(1).await;
        assert_eq!(shop.metric("CallsDenied"), 1);
    }
    assert_eq!(subjects(&shop), ["route-failover: cannot access meshes: denied"]);
    shop.fails("cart-v1");
    shop.start().await.scheduled_run().await.unwrap();
    assert_eq!(shop.weights("cart"), [0, 100], "no alarm depends on the list of meshes");
}

/// Each permission of the role is removed in turn: the log makes an alarm fire, which needs no permission.
#[tokio::test(start_paused = true)]
async fn every_denied_call_is_counted_in_the_log() {
    let (mut denied, mut failed) = (Vec::new(), Vec::new());
    let calls = [
        "list alarms",
        "list mute rules",
        "list",
        "describe",
        "load state",
        "begin",
        "finish",
        "note",
        "update route",
        "tag",
        "notify",
        "put events",
    ];
    for call in calls {
        let shop = Shop::with_routers(&TWO_ROUTERS, POLICY);
        shop.breaks(call, Failure::Denied);
        shop.fails("cart-v1");
        let function = shop.start().await;
        let answer = function.scheduled_run().await;
        if shop.metric("CallsDenied") > 0 {
            denied.push(call);
        }
        if shop.metric("Invocations") == 0 {
            assert!(answer.is_err(), "{call}: {answer:?}");
            failed.push(call);
        }
        let moved = shop.weights("cart") == [0, 100];
        assert!(moved || answer.is_err() || shop.metric("HoldsDuringAlarm") > 0, "{call}: {answer:?}");
    }
    assert_eq!(denied, calls);
    assert_eq!(failed, ["list alarms", "list", "describe", "load state"]);
}

#[tokio::test(start_paused = true)]
async fn refused_act_during_an_alarm_is_counted_as_a_hold() {
    let shop = Shop::with_routers(&TWO_ROUTERS, POLICY);
    let function = shop.start().await;
    shop.breaks("update route", Failure::Denied);
    shop.fails("cart-v1");
    function.answer(&errors_event("cart-v1")).await.unwrap();
    assert_eq!(shop.metric("HoldsDuringAlarm"), 1);
}

#[tokio::test(start_paused = true)]
async fn alarm_that_ignores_missing_data_is_paged_with_the_remedy() {
    let shop = Shop::with_routers(&TWO_ROUTERS, POLICY);
    let function = shop.start().await;
    let mut stuck =
        alarm(errors_of("cart-v1").as_str(), AlarmState::Alarm, shop.now(), crate::alarms::on_node("cart-v1"));
    stuck.condition = Some(Condition {
        comparison: Comparison::GreaterThanThreshold,
        threshold: Some(1.0),
        band: None,
        evaluation_periods: Some(1),
        datapoints_to_alarm: None,
        missing_data: MissingData::Ignore,
    });
    shop.ports.alarms.put(stuck);
    function.minutes(59).await;
    assert_eq!((shop.weights("cart"), shop.pages().len()), (vec![0, 100], 0));
    function.minutes(3).await;
    assert_eq!(shop.pages().len(), 1);
    let page = &shop.pages()[0];
    assert!(page.subject.contains("AlreadyShifted") && page.body.contains("TreatMissingData: ignore"), "{}", page.body);
    function.minutes(10 * 60).await;
    assert_eq!(shop.pages().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn unreadable_metric_of_another_account_is_named_and_paged() {
    let shop = Shop::with_routers(&TWO_ROUTERS, POLICY);
    let function = shop.start().await;
    let AlarmSource::Metric(mut queries) = crate::alarms::on_node("cart-v1") else { panic!("a metric") };
    queries[0].account_id = Some("210987654321".to_owned());
    shop.ports.alarms.put(alarm(
        errors_of("cart-v1").as_str(),
        AlarmState::Ok,
        shop.now(),
        AlarmSource::Metric(queries),
    ));
    shop.ports.alarms.forbid_account("210987654321");
    shop.fails("cart-v1");
    function.answer(&errors_event("cart-v1")).await.unwrap();
    shop.recovers("cart-v1");
    function.minutes(10).await;
    let held = decision(&function.scheduled_run().await.unwrap(), "cart");
    assert_eq!(shop.weights("cart"), [5, 95]);
    assert_eq!(held["reason"], "Unproven", "{held:#}");
    assert_eq!(held["facts"]["missing"][0]["account"], "210987654321");
    assert_eq!(shop.pages().len(), 1, "{:?}", subjects(&shop));
    assert!(shop.pages()[0].body.contains("210987654321"), "{}", shop.pages()[0].body);
}

#[tokio::test(start_paused = true)]
async fn lease_that_is_never_released_pages_no_progress() {
    for is_warm in [true, false] {
        let shop = Shop::with_routers(&TWO_ROUTERS, POLICY);
        let mut function = shop.start().await;
        function.scheduled_run().await.unwrap();
        shop.fails("cart-v1");
        for _ in 0..8 {
            // Another process acquires the lease repeatedly, and never writes.
            let key = StateKey::route(&route("cart"));
            let lease = ports::Lease { holder: "another".to_owned(), until: shop.now() + SignedDuration::from_mins(2) };
            let stored = shop.ports.state.stored(&key).unwrap();
            shop.ports.state.put(&key, ports::Stored { lease: Some(lease), ..stored });
            shop.wait(1);
            if !is_warm {
                function = shop.start().await;
            }
            function.scheduled_run().await.unwrap();
        }
        assert_eq!(subjects(&shop), ["hold: NoProgress mesh/shop/virtualRouter/cart/route/all"], "{is_warm}");
        assert!(shop.pages()[0].body.contains("meshwarden"), "{}", shop.pages()[0].body);
        let plans = || {
            let document = shop.ports.state.stored(&StateKey::meshes("route-failover"))?.document;
            document.get("plans").cloned()
        };
        assert!(plans().is_some(), "{is_warm}");
        shop.wait(3);
        function.scheduled_run().await.unwrap();
        assert_eq!(shop.weights("cart"), [0, 100], "{is_warm}");
        assert_eq!(plans(), None, "forgotten once it is executed");
    }
}

#[tokio::test(start_paused = true)]
async fn document_of_a_newer_version_keeps_its_members_and_a_newer_format_holds() {
    let shop = Shop::with_routers(&TWO_ROUTERS, POLICY);
    let function = shop.start().await;
    function.minutes(1).await;
    let key = StateKey::route(&route("cart"));
    let rewrite = |change: &dyn Fn(&mut Value)| {
        let mut stored = shop.ports.state.stored(&key).unwrap();
        change(&mut stored.document);
        shop.ports.state.put(&key, stored);
    };
    rewrite(&|document| document["lastWriter"] = json!("0.9"));
    shop.fails("cart-v1");
    function.answer(&errors_event("cart-v1")).await.unwrap();
    assert_eq!(shop.weights("cart"), [0, 100], "an older version fails over all the same");
    assert_eq!(shop.ports.state.stored(&key).unwrap().document["lastWriter"], "0.9");

    rewrite(&|document| document["format"] = json!(7));
    let held = decision(&function.answer(&event("tick-rule")).await.unwrap(), "cart");
    assert_eq!(held["reason"], "RecordUnreadable");
    assert!(held["facts"]["why"].as_str().unwrap().contains("format 7"), "{held:#}");
}

#[tokio::test(start_paused = true)]
async fn alarm_without_a_mesh_is_reported_and_not_acted_on() {
    let shop = Shop::with_routers(&TWO_ROUTERS, POLICY);
    shop.ports.alarms.put(alarm("lb-5xx", AlarmState::Ok, shop.now(), on_nothing()));
    shop.start().await.answer(&alarm_event("lb-5xx")).await.unwrap();
    assert_eq!((shop.writes(), shop.pages().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn node_called_directly_by_a_service_pages_once_although_a_route_has_it() {
    let shop = Shop::with_routers(&TWO_ROUTERS, POLICY);
    let service = VirtualServiceName::parse("direct.shop.local").unwrap();
    let provider = json!({ "provider": { "virtualNode": { "virtualNodeName": "cart-v1" } } });
    shop.put(&ResourcePath::VirtualService(mesh(), service), &provider);
    let function = shop.start().await;
    shop.fails("cart-v1");
    function.minutes(14).await;
    assert_eq!(shop.weights("cart"), [0, 100], "what a route gives it is moved");
    assert_eq!(subjects(&shop), ["hold: NoRoute mesh/shop/virtualNode/cart-v1"]);
}
