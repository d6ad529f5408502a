//! Weights that an infrastructure-as-code key declares in a control plane that authenticates its callers: the function reads
//! the caller of each version from the control plane.

use aws_sdk_cloudwatch::types::StateValue;
use meshwarden_tests::function::Function;
use meshwarden_tests::stack::{ACCOUNT, ControlPlane};
use serde_json::{Value, json};

use crate::stage::{BEFORE, Stage, Theatre, sample};

const TERRAFORM: &str = "AKIDTERRAFORM";
const OPERATOR: &str = "AKIDOPERATOR";

const POLICY: &str = "weights: { declaredBy: [AKIDTERRAFORM] }\n";

/// A shop in a control plane with keys of the function, of Terraform and of an operator.
async fn shop<'a>(theatre: &'a Theatre, name: &str) -> (Stage<'a>, Function) {
    let plane = ControlPlane::with_keys(&[ACCOUNT, TERRAFORM, OPERATOR]).await;
    let stage = Stage::with_plane(theatre, name, plane, POLICY).await;
    let function = stage.build_with_direct_plane().start().await;
    (stage, function)
}

/// Makes a scheduled run, and returns the decision about the route.
async fn run(function: &mut Function) -> Value {
    let report = function.answer(&sample("tick-rule")).await.unwrap();
    let decisions = report["decisions"].as_array().unwrap();
    let of_route = |decision: &&Value| decision["resource"].as_str().is_some_and(|name| name.contains("/route/"));
    decisions.iter().find(of_route).cloned().unwrap_or_default()
}

#[tokio::test]
async fn declared_weights_during_a_failover_are_the_new_base_and_the_drain_is_written_again() {
    let Some(theatre) = Theatre::open().await else { return };
    let (stage, mut function) = shop(&theatre, "declared").await;
    run(&mut function).await;
    stage.turn("cart-v1", StateValue::Alarm).await;
    function.answer(&stage.event_of("cart-v1")).await.unwrap();
    assert_eq!(stage.weights().await, [0, 100]);

    stage.declare(TERRAFORM, [70, 30]).await;
    let decision = run(&mut function).await;
    assert_eq!(decision["reason"], "Reapplied", "{decision:#}");
    assert_eq!(stage.weights().await, [0, 100]);
    let world = stage.world().await;
    let record = &world["route/shop/cart/all document"];
    let restored: Vec<&Value> = record["shift"]["restore"]["split"].as_array().unwrap().iter().collect();
    let weights: Vec<&Value> = restored.iter().map(|target| &target["weight"]).collect();
    assert_eq!(weights, [70, 30], "the failback restores the declared weights: {record:#}");
    assert_eq!(record["edit"], Value::Null, "a declaration is no edit");

    // Two more reverts within the hour are a fight, which pages; the drain is still written again.
    for expected in ["Reapplied", "Reapplied"] {
        stage.declare(TERRAFORM, [70, 30]).await;
        let decision = run(&mut function).await;
        assert_eq!(decision["reason"], expected, "{decision:#}");
        assert_eq!(stage.weights().await, [0, 100]);
    }
    // The write comes before the page, which the next run sends.
    run(&mut function).await;
    let subjects = stage.way.subjects();
    assert!(subjects.iter().any(|subject| subject.contains("WritersFighting")), "{subjects:?}");
}

#[tokio::test]
async fn weights_of_another_key_are_an_edit() {
    let Some(theatre) = Theatre::open().await else { return };
    let (stage, mut function) = shop(&theatre, "edited").await;
    run(&mut function).await;
    stage.turn("cart-v1", StateValue::Alarm).await;
    function.answer(&stage.event_of("cart-v1")).await.unwrap();
    stage.declare(OPERATOR, [70, 30]).await;
    let decision = run(&mut function).await;
    assert_eq!(decision["reason"], "PersonEdited", "{decision:#}");
    assert_eq!(stage.weights().await, [70, 30]);
}

#[tokio::test]
async fn split_from_before_a_promotion_is_overwritten_until_the_promoted_one_was_declared() {
    let Some(theatre) = Theatre::open().await else { return };
    let (stage, mut function) = shop(&theatre, "promoted").await;
    let [before, promoted] = [BEFORE, [1, 9]];
    stage.declare(TERRAFORM, promoted).await;
    run(&mut function).await;
    // As traffic-shift stores a promotion.
    let split = |weights: [u8; 2]| {
        let target = |(node, weight): (&str, u8)| json!({ "virtualNode": node, "port": 8080, "weight": weight });
        ["cart-v1", "cart-v2"].into_iter().zip(weights).map(target).collect::<Value>()
    };
    let promotion = json!({ "before": split(before), "promoted": split(promoted), "at": "2026-11-20T10:00:00Z" });
    stage.change_record(|record| record["layers"] = json!({ "promoted": promotion })).await;

    stage.declare(TERRAFORM, before).await;
    let decision = run(&mut function).await;
    assert_eq!(decision["reason"], "StaleDeclaration", "{decision:#}");
    assert_eq!(stage.weights().await, promoted.map(u64::from));
    let subjects = stage.way.subjects();
    assert!(subjects.iter().any(|subject| subject.contains("StaleDeclaration")), "{subjects:?}");

    // From the first declaration of the promoted split on, another declaration stands.
    stage.declare(TERRAFORM, promoted).await;
    run(&mut function).await;
    assert_eq!(stage.weights().await, promoted.map(u64::from));
    stage.declare(TERRAFORM, before).await;
    run(&mut function).await;
    assert_eq!(stage.weights().await, before.map(u64::from));
}
