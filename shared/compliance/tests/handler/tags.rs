//! Tags: repairs, holds and their reasons.

use ports::KillSwitch;
use ports_memory::{Fault, Gate};
use rules::compliance::Topic;
use serde_json::json;

use crate::shop::{
    ALL, GATEWAY, GATEWAY_ROUTE, MESH, PAYMENTS, PAYMENTS_SERVICE, POLICY, ROUTE, ROUTER, SERVICE, Shop, V1, V2, arn,
    decision,
};

fn shop() -> Shop {
    Shop::new(Topic::Tags)
}

#[tokio::test(start_paused = true)]
async fn all_seven_kinds_inherit_the_tag_of_their_parents() {
    let shop = shop();
    shop.untag(&ALL[1..]);
    shop.owns(SERVICE, "recs");
    shop.owns(GATEWAY, "edge");
    let answer = shop.start().await.scheduled_run().await.unwrap();
    for (path, owner) in [
        (MESH, "platform"),
        (SERVICE, "recs"),
        (PAYMENTS_SERVICE, "platform"),
        (ROUTER, "recs"),
        (ROUTE, "recs"),
        (V1, "recs"),
        (V2, "recs"),
        (PAYMENTS, "platform"),
        (GATEWAY, "edge"),
        (GATEWAY_ROUTE, "edge"),
    ] {
        assert_eq!(shop.owner(path).as_deref(), Some(owner), "{path}");
    }
    assert_eq!(shop.spent(), 7);
    let repaired = decision(&answer, ROUTE);
    assert_eq!((&repaired["decision"], &repaired["reason"]), (&json!("act"), &json!("Mends")));
    assert_eq!(repaired["outcome"]["outcome"], "Applied");
    assert!(repaired["facts"]["rules"].as_array().unwrap().contains(&json!("tag-missing")), "{repaired:#}");

    let writes = shop.calls_of("tag");
    let again = shop.start().await.scheduled_run().await.unwrap();
    assert_eq!(shop.calls_of("tag"), writes, "a second run changes nothing");
    assert_eq!(again["decisions"].as_array().unwrap().len(), 1, "{again:#}");
    assert_eq!(again["decisions"][0]["facts"]["compliant"], 10);
}

#[tokio::test(start_paused = true)]
async fn other_tags_survive_and_values_of_the_wrong_case_are_corrected() {
    let shop = Shop::with(
        Topic::Tags,
        "version: 1\nmodes: {default: enforce}\ntags: {required: [{key: owner, values: [platform, recs]}]}\n",
    );
    shop.tags_are(V2, &[("owner", "Recs"), ("team", "x"), ("meshwarden:restore", "1.2.3.4")]);
    shop.start().await.scheduled_run().await.unwrap();
    let tags = shop.ports.mesh.tags_of(&arn(V2));
    assert_eq!(json!(tags), json!({ "owner": "recs", "team": "x", "meshwarden:restore": "1.2.3.4" }));
}

#[tokio::test(start_paused = true)]
async fn tag_with_different_parent_values_is_reported_and_not_set() {
    let shop = shop();
    let provider = json!({ "provider": { "virtualNode": { "virtualNodeName": "payments-v1" } } });
    shop.put("mesh/shop/virtualService/billing.shop.local", &provider);
    shop.owns("mesh/shop/virtualService/billing.shop.local", "billing");
    shop.owns(PAYMENTS_SERVICE, "payments");
    shop.untag(&[PAYMENTS]);
    let answer = shop.start().await.scheduled_run().await.unwrap();
    let held = decision(&answer, PAYMENTS);
    assert_eq!((&held["decision"], &held["reason"]), (&json!("hold"), &json!("TagConflict")));
    let values = json!({ "billing": "mesh/shop/virtualService/billing.shop.local", "payments": PAYMENTS_SERVICE });
    assert_eq!((&held["facts"]["key"], &held["facts"]["values"]), (&json!("owner"), &values));
    assert_eq!((shop.owner(PAYMENTS), shop.spent()), (None, 0));
    let notice = &shop.ports.notifier.sent()[0];
    assert!(notice.body.contains("`billing` by") && notice.body.contains("`payments` by"), "{}", notice.body);
}

#[tokio::test(start_paused = true)]
async fn new_resource_has_a_grace_period() {
    let shop = Shop::with(Topic::Tags, &POLICY.replace("}]}", "}], grace: 1h}"));
    // The samples were created on 2023-11-14.
    shop.ports.clock.set("2023-11-14T22:43:20Z".parse().unwrap());
    shop.untag(&[V2]);
    let function = shop.start().await;
    let answer = function.scheduled_run().await.unwrap();
    let held = decision(&answer, V2);
    assert_eq!((&held["reason"], &held["facts"]["until"]), (&json!("InsideGrace"), &json!("2023-11-14T23:13:20Z")));
    assert_eq!(held["facts"]["standing"], "NON_COMPLIANT");
    assert_eq!(shop.owner(V2), None);
    function.later(30).await;
    assert_eq!(shop.owner(V2).as_deref(), Some("platform"));
}

#[tokio::test(start_paused = true)]
async fn observe_mode_reports_changes_without_making_them() {
    let shop =
        Shop::with(Topic::Tags, "version: 1\nmodes: {rules: {tag-value: enforce}}\ntags: {required: [{key: owner}]}\n");
    shop.untag(&[V2]);
    let function = shop.start().await;
    let answer = function.scheduled_run().await.unwrap();
    let would = decision(&answer, V2);
    assert_eq!((&would["decision"], &would["outcome"]["outcome"]), (&json!("act"), &json!("WouldApply")));
    assert_eq!(would["plan"]["would"][0]["tags"], json!({ "owner": "platform" }));
    assert_eq!(would["plan"]["apply"], json!([]));
    assert_eq!((shop.owner(V2), shop.spent(), shop.calls_of("begin")), (None, 0, 0));
    let sent = shop.ports.notifier.sent().len();
    assert_eq!(sent, 1);
    function.later(5).await;
    assert_eq!(shop.ports.notifier.sent().len(), sent, "the same decision is not reported again");
    // The mode of the rule changes.
    shop.policy.set(POLICY);
    function.later(5).await;
    assert_eq!(shop.owner(V2).as_deref(), Some("platform"));
    assert_eq!(shop.ports.notifier.sent().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn waived_finding_is_neither_counted_nor_repaired() {
    let waiver = |rule: &str| {
        format!(
            "  - {{rule: {rule}, resource: \"mesh/shop/virtualNode/*\", owner: sre, reason: moving, until: 2027-01-01T00:00:00Z}}\n"
        )
    };
    let waivers = waiver("tag-missing") + &waiver("tag-none");
    let shop = Shop::with(Topic::Tags, &format!("{POLICY}waivers:\n{waivers}"));
    shop.untag(&[V2]);
    let answer = shop.start().await.sample("config-change").await.unwrap();
    assert_eq!(decision(&answer, V2)["reason"], "Waived");
    let (compliance, annotation) = &shop.evaluated()[V2];
    assert_eq!(compliance, "COMPLIANT");
    assert!(annotation.starts_with("waived for now: tag-"), "{annotation}");
    assert_eq!(shop.owner(V2), None);
}

#[tokio::test(start_paused = true)]
async fn spent_budget_blocks_changes_until_the_next_window() {
    let policy = POLICY.replace("}]}\n", "}], budget: {changes: 2, window: 1h}}\n");
    let shop = Shop::with(Topic::Tags, &policy);
    shop.untag(&[V1, V2, PAYMENTS]);
    let function = shop.start().await;
    let answer = function.scheduled_run().await.unwrap();
    let owned = || [V1, V2, PAYMENTS].iter().filter(|path| shop.owner(path).is_some()).count();
    assert_eq!((owned(), shop.spent()), (2, 2));
    let held: Vec<_> =
        answer["decisions"].as_array().unwrap().iter().filter(|line| line["reason"] == "BudgetSpent").collect();
    assert_eq!(held.len(), 1, "{answer:#}");
    assert_eq!((&held[0]["facts"]["used"], &held[0]["facts"]["cap"]), (&json!(2), &json!(2)));
    function.later(30).await;
    assert_eq!(owned(), 2);
    function.later(30).await;
    assert_eq!((owned(), shop.spent()), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn kill_switch_stops_repairs_and_not_answers() {
    let shop = shop();
    shop.untag(&[V2]);
    let switch = KillSwitch { by: "dana".into(), reason: "incident 7".into(), at: shop.now() };
    shop.ports.state.turn_kill_switch(Some(switch));
    let function = shop.start().await;
    let answer = function.sample("config-change").await.unwrap();
    assert_eq!(decision(&answer, V2)["reason"], "KillSwitchOn");
    assert_eq!(shop.evaluated()[V2].0, "NON_COMPLIANT");
    assert_eq!((shop.owner(V2), shop.metric("KillSwitchOn")), (None, 1));
    shop.ports.state.turn_kill_switch(None);
    function.later(1).await;
    assert_eq!((shop.owner(V2).as_deref(), shop.metric("KillSwitchOn")), (Some("platform"), 0));
}

#[tokio::test(start_paused = true)]
async fn tag_set_by_another_writer_in_between_is_kept() {
    let shop = shop();
    shop.untag(&[V2]);
    let function = shop.start().await;
    let gate = Gate::default();
    shop.ports.faults.once(|call| call.name == "begin", Fault::Waits(gate.clone()));
    let edit = async {
        gate.reached().await;
        shop.owns(V2, "dana");
        gate.open();
    };
    let event = shop.event("tick-rule");
    let (answer, ()) = tokio::join!(function.answer(&event), edit);
    let answer = answer.unwrap();
    assert_eq!(shop.owner(V2).as_deref(), Some("dana"));
    assert_eq!(shop.calls_of("tag"), 0);
    assert!(decision(&answer, V2).is_null(), "no line about it is left: {answer:#}");
}
