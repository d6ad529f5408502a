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
    assert_eq!((state(&rollout).0, stage.weights().await), ("interrupted", vec![4, 4]), "{rollout:#}");
    // A failing gate afterwards moves nothing either.
    stage.turn(StateValue::Alarm).await;
    stage.tick().await;
    assert_eq!(stage.weights().await, [4, 4]);
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

/// Traffic that would reach no listener is not shifted.
#[tokio::test]
async fn rollout_to_a_node_without_a_listener_is_refused() {
    let Some(stack) = MiniStack::start().await else { return };
    let stage = Stage::open(&stack, "episode-listener").await;
    let dns = json!({ "dns": { "hostname": "recs-v2.shop.local" } });
    let listener = json!({ "portMapping": { "port": 9090, "protocol": "http" } });
    stage.put("virtualNodes/recs-v2", &json!({ "spec": { "listeners": [listener], "serviceDiscovery": dns } })).await;
    stage.run(&request(&stage.alarm(), "canary", &["25"])).await;
    let rollout = stage.rollout().await;
    assert_eq!((state(&rollout), stage.weights().await), (("refused", "Harmful"), vec![8, 0]), "{rollout:#}");
}

/// A step and a rollback on routes of other protocols change weights and nothing else.
#[tokio::test]
async fn grpc_and_tcp_routes_shift_and_roll_back() {
    let Some(stack) = MiniStack::start().await else { return };
    for (protocol, kind) in [("grpc", "grpcRoute"), ("tcp", "tcpRoute")] {
        let stage = Stage::open(&stack, &format!("episode-{protocol}")).await;
        let listener = json!({ "portMapping": { "port": 8080, "protocol": protocol } });
        for node in ["recs-v1", "recs-v2"] {
            let dns = json!({ "dns": { "hostname": format!("{node}.shop.local") } });
            let spec = json!({ "listeners": [listener], "serviceDiscovery": dns });
            stage.put(&format!("virtualNodes/{node}"), &json!({ "spec": spec })).await;
        }
        stage.put("virtualRouters/recs", &json!({ "spec": { "listeners": [listener] } })).await;
        let action = json!({ "weightedTargets": [
            { "virtualNode": "recs-v1", "weight": 8, "port": 8080 }, { "virtualNode": "recs-v2", "weight": 0, "port": 8080 } ] });
        let timeout = json!({ "idle": { "unit": "ms", "value": 30_000 } });
        let mut rule = json!({ "action": action, "timeout": timeout });
        if protocol == "grpc" {
            rule["match"] = json!({ "serviceName": "shop.Recs" });
        }
        let spec = json!({ kind: rule });
        stage.put("virtualRouter/recs/routes/all", &json!({ "spec": spec })).await;
        stage.run(&request(&stage.alarm(), "canary", &["25"])).await;
        let targets = |route: &Value| {
            let targets = route["spec"][kind]["action"]["weightedTargets"].as_array().unwrap().clone();
            targets.iter().map(|target| target["weight"].as_u64().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(targets(&stage.route().await), [6, 2], "{protocol}: {:#}", stage.rollout().await);
        stage.turn(StateValue::Alarm).await;
        let rollout = stage.tick().await;
        assert_eq!(stage.route().await["spec"], spec, "{protocol}: {rollout:#}");
    }
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
