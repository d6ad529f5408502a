//! Commands of services: FIS by a document of Systems Manager, ARC Region switch by its custom action, operators by the
//! event bus.

use failover_drill::ArcAction;
use serde_json::json;

use crate::shop::{POLICY, Shop, event};

#[tokio::test(start_paused = true)]
async fn request_delivered_twice_is_one_drill() {
    let shop = Shop::open();
    let function = shop.start().await;
    for _ in 0..2 {
        function.answer(&event("direct-start")).await.unwrap();
    }
    let id = shop.record().active.unwrap().id;
    function.minutes(33).await;
    let answer = function.answer(&event("direct-start")).await.unwrap();
    assert_eq!((&answer["drillId"], &answer["result"]), (&json!(id), &json!("SUCCEEDED")), "the same request again");
    assert!(shop.record().active.is_none());
}

#[tokio::test(start_paused = true)]
async fn event_of_the_bus_starts_a_drill() {
    let shop = Shop::open();
    let function = shop.start().await;
    let report = function.answer(&event("start")).await.unwrap();
    assert_eq!(report["function"], "failover-drill", "the answer of an event is not read: {report:#}");
    assert_eq!(shop.phase(), "confirming");
    assert_eq!(shop.record().active.unwrap().by, "ada");
}

#[tokio::test(start_paused = true)]
async fn unknown_or_ambiguous_plan_is_an_error_of_a_direct_invocation() {
    let shop = Shop::open();
    let function = shop.start().await;
    let unknown = json!({ "action": "start", "drill": "none" });
    let error = function.answer(&unknown).await.unwrap_err();
    assert!(error.contains("drills.plans"), "{error}");
    let twice = POLICY.to_owned() + "    - {name: recs-v1, mesh: bank, virtualNode: a, outcomeAlarms: [checkout]}\n";
    let function = Shop::with(&twice).start().await;
    let error = function.answer(&event("direct-start")).await.unwrap_err();
    assert!(error.contains("bank, ") || error.contains("shop, bank"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn result_of_a_running_drill_is_an_error() {
    let shop = Shop::open();
    let function = shop.start().await;
    function.answer(&event("direct-start")).await.unwrap();
    let error = function.answer(&event("direct-result")).await.unwrap_err();
    assert!(error.contains("in progress"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn region_switch_repeats_its_action_until_the_drill_has_succeeded() {
    let shop = Shop::open();
    let arc = ArcAction::parse("drill:recs-v1").unwrap();
    let action = shop.start_with(Some(arc)).await;
    let schedule = shop.start().await;
    let mut errors = 0;
    for _ in 0..40 {
        match action.answer(&event("arc-region-switch")).await {
            Ok(answer) => {
                assert_eq!(answer["result"], "SUCCEEDED");
                break;
            }
            Err(error) => {
                assert!(error.contains("in progress"), "{error}");
                errors += 1;
            }
        }
        schedule.minutes(1).await;
    }
    assert_eq!(errors, 31, "each repetition sees the same drill");
    assert_eq!(shop.ports.mesh.updates().len(), 4, "two routes, drained and restored once");
}

#[test]
fn invalid_custom_action_is_one_line_with_what_is_expected() {
    for value in ["recs-v1", "drill:", "drill:a b", "start:recs-v1"] {
        let line = ArcAction::parse(value).unwrap_err().to_string();
        assert!(line.starts_with("invalid MESHWARDEN_ACTION") && line.contains("drill:NAME"), "{line}");
    }
}
