//! Episodes that bug reports about other tools describe, played with the built function.

use aws_sdk_cloudwatch::types::StateValue;
use meshwarden_tests::faults::Fault;
use meshwarden_tests::stack::MiniStack;
use serde_json::{Value, json};

use crate::stage::{Stage, request};

const WRITE: &str = "PUT /v20190125/meshes/shop/virtualRouter/recs/routes/all";

async fn started(stack: &MiniStack, name: &str) -> Stage {
    let stage = Stage::open(stack, &format!("episode-{name}")).await;
    stage.run(&request(&stage.alarm(), "canary", &["25"])).await;
    assert_eq!(stage.weights().await, [6, 2]);
    stage
}

fn state(rollout: &Value) -> (&str, &str) {
    (rollout["state"].as_str().unwrap(), rollout["failure"]["code"].as_str().unwrap_or_default())
}

/// An alarm that is on at the start does not count as one that the new version turned on, and is not ignored.
#[tokio::test]
async fn rollout_is_refused_while_its_alarm_is_on() {
    let Some(stack) = MiniStack::start().await else { return };
    let stage = Stage::open(&stack, "episode-on").await;
    stage.turn(StateValue::Alarm).await;
    stage.run(&request(&stage.alarm(), "canary", &["25"])).await;
    assert_eq!(state(&stage.rollout().await), ("refused", "GateFailingBeforeStart"));
    assert_eq!((stage.weights().await, stage.way.pages().len()), (vec![8, 0], 0));
}

/// The newest write of an operator wins, and the rollout ends.
#[tokio::test]
async fn edit_of_an_operator_in_a_step_ends_the_rollout() {
    let Some(stack) = MiniStack::start().await else { return };
    let stage = started(&stack, "edit").await;
    stage.edit([4, 4]).await;
    let rollout = stage.tick().await;
    assert_eq!(
        (&rollout["failure"]["then"], stage.weights().await),
        (&json!("interrupted"), vec![4, 4]),
        "{rollout:#}"
    );
}

/// An answer that is lost after the write moves no weight twice, and a later rollback restores the exact split.
#[tokio::test]
async fn lost_answers_of_writes_change_nothing() {
    let Some(stack) = MiniStack::start().await else { return };
    let stage = Stage::open(&stack, "episode-lost").await;
    stage.way.inject_next(WRITE, Fault::LostAnswer, 1);
    stage.run(&request(&stage.alarm(), "canary", &["25"])).await;
    stage.tick().await;
    assert_eq!((stage.weights().await, stage.rollout().await["state"].clone()), (vec![6, 2], json!("watching")));
    stage.turn(StateValue::Alarm).await;
    stage.way.inject_next(WRITE, Fault::LostAnswer, 1);
    stage.tick().await;
    let rollout = stage.tick().await;
    assert_eq!((state(&rollout), stage.weights().await), (("rolled-back", "GateFailed"), vec![8, 0]), "{rollout:#}");
}

/// A clock that disagrees with the services is corrected within the run.
#[tokio::test]
async fn clock_skew_delays_neither_a_step_nor_a_rollback() {
    let Some(stack) = MiniStack::start().await else { return };
    let stage = Stage::open(&stack, "episode-skew").await;
    stage.way.inject_next(WRITE, Fault::SkewedClock, 1);
    stage.run(&request(&stage.alarm(), "canary", &["25"])).await;
    assert_eq!(stage.weights().await, [6, 2]);
    stage.turn(StateValue::Alarm).await;
    stage.way.inject_next("DescribeAlarms", Fault::SkewedClock, 1);
    stage.way.inject_next(WRITE, Fault::SkewedClock, 1);
    let rollout = stage.tick().await;
    assert_eq!((state(&rollout), stage.weights().await), (("rolled-back", "GateFailed"), vec![8, 0]), "{rollout:#}");
}

/// The second rollout on a route does not start, and the first one is not disturbed.
#[tokio::test]
async fn second_rollout_on_a_route_is_refused() {
    let Some(stack) = MiniStack::start().await else { return };
    let stage = started(&stack, "two").await;
    let mut second = request(&stage.alarm(), "canary", &["50"]);
    second["detail"]["id"] = json!("r2");
    stage.run(&second).await;
    let rollout = stage.tick().await;
    assert_eq!((state(&rollout).0, stage.weights().await), ("watching", vec![6, 2]), "{rollout:#}");
    stage.turn(StateValue::Alarm).await;
    let rollout = stage.tick().await;
    assert_eq!((state(&rollout).0, stage.weights().await), ("rolled-back", vec![8, 0]), "{rollout:#}");
    stage.tick().await;
    assert_eq!(stage.weights().await, [8, 0], "the second rollout does not start on a failing gate");
}

/// A gateway in front of the service is one more caller, and no obstacle.
#[tokio::test]
async fn gateway_in_front_is_a_caller() {
    let Some(stack) = MiniStack::start().await else { return };
    let stage = Stage::open(&stack, "episode-gateway").await;
    let listener = json!({ "portMapping": { "port": 8080, "protocol": "http" } });
    stage.put("virtualGateways", &json!({ "virtualGatewayName": "edge", "spec": { "listeners": [listener] } })).await;
    let target = json!({ "virtualService": { "virtualServiceName": "recs.shop.local" } });
    let rule = json!({ "httpRoute": { "action": { "target": target }, "match": { "prefix": "/" } } });
    stage.put("virtualGateway/edge/gatewayRoutes", &json!({ "gatewayRouteName": "all", "spec": rule })).await;
    stage.run(&request(&stage.alarm(), "canary", &["25"])).await;
    assert_eq!(stage.weights().await, [6, 2], "{:#}", stage.rollout().await);
    stage.turn(StateValue::Alarm).await;
    stage.tick().await;
    assert_eq!(stage.weights().await, [8, 0]);
}
