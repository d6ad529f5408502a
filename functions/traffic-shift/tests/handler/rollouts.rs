//! Rollouts from their request to their end.

use mesh::alarm::AlarmState;
use ports::FunctionAnswer;
use rollouts::RolloutState;
use serde_json::json;

use crate::shop::{Shop, requested, short};

#[tokio::test(start_paused = true)]
async fn requested_rollout_is_promoted() {
    let shop = Shop::open();
    let function = shop.start().await;
    function.answer(&short()).await.unwrap();
    assert_eq!((shop.weights("all"), shop.weights("beta")), (vec![6, 2], vec![6, 2]));
    assert_eq!(shop.record("r1").unwrap().state, RolloutState::Watching);
    function.minutes(2).await;
    assert_eq!(shop.weights("all"), [0, 8]);
    function.minutes(3).await;
    let record = shop.record("r1").unwrap();
    assert_eq!((record.state, record.messages.len()), (RolloutState::Promoted, 0));
    let route = shop.route_record("all").unwrap();
    assert_eq!((route.declared().weights(), route.layers.rollout, route.intent), (vec![0, 8], None, None));
    function.minutes(1).await;
    let index = shop.index();
    assert!(index.active.is_empty() && index.ended.contains_key("shop/r1"), "{index:?}");
    assert_eq!(shop.pages(), Vec::<String>::new());
    let kinds: Vec<String> = shop.ports.bus.events().into_iter().map(|event| event.detail_type).collect();
    assert!(kinds.iter().all(|kind| kind == "Meshwarden Rollout Changed") && kinds.len() >= 3, "{kinds:?}");
}

#[tokio::test(start_paused = true)]
async fn failing_gate_restores_the_exact_integers_and_pages_once() {
    let shop = Shop::open();
    let function = shop.start().await;
    function.answer(&short()).await.unwrap();
    shop.set_alarm(AlarmState::Alarm);
    function.minutes(3).await;
    assert_eq!((shop.weights("all"), shop.weights("beta")), (vec![8, 0], vec![8, 0]));
    let record = shop.record("r1").unwrap();
    assert_eq!((record.state, record.failure.unwrap().code.as_str()), (RolloutState::RolledBack, "GateFailed"));
    assert_eq!(shop.pages(), ["traffic-shift: rollout r1 rolling-back: GateFailed"]);
}

#[tokio::test(start_paused = true)]
async fn same_request_again_is_the_same_rollout() {
    let shop = Shop::open();
    let function = shop.start().await;
    function.answer(&short()).await.unwrap();
    let before = shop.ports.mesh.updates().len();
    function.answer(&short()).await.unwrap();
    shop.start().await.answer(&short()).await.unwrap();
    assert_eq!(shop.ports.mesh.updates().len(), before);
    function.minutes(6).await;
    assert_eq!(shop.record("r1").unwrap().state, RolloutState::Promoted);
    let before = shop.ports.mesh.updates().len();
    function.answer(&short()).await.unwrap();
    function.minutes(5).await;
    assert_eq!(shop.ports.mesh.updates().len(), before, "an ended rollout does not start again");
}

#[tokio::test(start_paused = true)]
async fn rollout_of_the_policy_runs_on_all_routes_of_a_service() {
    let policy = "version: 1\nmodes: {default: enforce}\nrollouts:\n  declared:\n    - {id: p1, mesh: shop, routes: \
                  {virtualService: recs.shop.local}, moves: [{from: recs-v1, to: recs-v2}], strategy: blue-green, bake: 1m, \
                  gates: {alarms: [recs-checkout]}}\n";
    let shop = Shop::with(policy);
    let function = shop.start().await;
    function.minutes(1).await;
    assert_eq!((shop.weights("all"), shop.weights("beta")), (vec![0, 8], vec![0, 8]));
    function.minutes(3).await;
    assert_eq!(shop.record("p1").unwrap().state, RolloutState::Promoted);
}

#[tokio::test(start_paused = true)]
async fn mode_observe_writes_nothing() {
    let shop = Shop::with("version: 1\n");
    let function = shop.start().await;
    let answer = function.answer(&short()).await.unwrap();
    function.minutes(2).await;
    assert_eq!((shop.ports.mesh.updates().len(), shop.route_record("all")), (0, None));
    assert!(answer.to_string().contains("ModeObserve"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn hooks_are_invoked_and_their_answers_count() {
    let shop = Shop::open();
    let function = shop.start().await;
    let answers = [json!({ "hookStatus": "IN_PROGRESS", "callBackDelay": 30 }), json!({ "hookStatus": "SUCCEEDED" })];
    shop.ports.functions.answer("check", answers.map(FunctionAnswer::Returned));
    let mut event = short();
    event["detail"]["hooks"] = json!([{ "stage": "before", "function": "check" }]);
    function.answer(&event).await.unwrap();
    assert_eq!(shop.weights("all"), [8, 0]);
    function.minutes(1).await;
    assert_eq!(shop.weights("all"), [6, 2]);
    let invocations = shop.ports.functions.invocations();
    assert_eq!(invocations.len(), 2);
    assert_eq!(invocations[0].1["hookId"], invocations[1].1["hookId"]);
    assert_eq!((&invocations[0].1["stage"], &invocations[0].1["rolloutId"]), (&json!("before"), &json!("r1")));
}

#[tokio::test(start_paused = true)]
async fn header_route_goes_first() {
    let shop = Shop::open();
    let function = shop.start().await;
    let mut event = short();
    event["detail"]["first"] = json!({ "routes": ["recs/beta"] });
    function.answer(&event).await.unwrap();
    assert_eq!((shop.weights("all"), shop.weights("beta")), (vec![8, 0], vec![0, 8]));
    function.minutes(2).await;
    assert_eq!((shop.weights("all"), shop.weights("beta")), (vec![6, 2], vec![0, 8]));
}

#[tokio::test(start_paused = true)]
async fn edit_of_an_operator_ends_the_rollout_and_stays() {
    let shop = Shop::open();
    let function = shop.start().await;
    function.answer(&short()).await.unwrap();
    let route = crate::shop::route("all");
    let mut spec = serde_json::to_value(shop.ports.mesh.route(&route).unwrap().spec).unwrap();
    spec["httpRoute"]["action"]["weightedTargets"][0]["weight"] = json!(50);
    shop.ports.mesh.edit(&route, serde_json::from_value(spec).unwrap());
    function.minutes(3).await;
    assert_eq!((shop.weights("all"), shop.weights("beta")), (vec![50, 2], vec![8, 0]));
    assert_eq!(shop.record("r1").unwrap().state, RolloutState::Interrupted);
}

#[tokio::test(start_paused = true)]
async fn second_rollout_of_a_route_is_refused() {
    let shop = Shop::open();
    let function = shop.start().await;
    function.answer(&short()).await.unwrap();
    let mut other = short();
    other["detail"]["id"] = json!("r2");
    function.answer(&other).await.unwrap();
    let record = shop.record("r2").unwrap();
    assert_eq!((record.state, record.failure.unwrap().code.as_str()), (RolloutState::Refused, "RolloutActive"));
    assert_eq!(shop.weights("all"), [6, 2]);
}

#[tokio::test(start_paused = true)]
async fn invalid_request_is_reported_with_its_member() {
    let shop = Shop::open();
    let function = shop.start().await;
    let answer = function.answer(&requested(&json!({ "steps": [50, 25] }))).await.unwrap();
    assert!(answer.to_string().contains("detail.steps[1]"), "{answer}");
    assert!(shop.index().active.is_empty());
}

#[tokio::test(start_paused = true)]
async fn rollout_that_replaces_another_starts_after_its_rollback() {
    let shop = Shop::open();
    let function = shop.start().await;
    function.answer(&short()).await.unwrap();
    let mut other = short();
    other["detail"]["id"] = json!("r2");
    other["detail"]["replace"] = json!(true);
    other["detail"]["steps"] = json!([50]);
    function.answer(&other).await.unwrap();
    function.minutes(1).await;
    let record = shop.record("r1").unwrap();
    assert_eq!((record.state, record.failure.unwrap().code.as_str()), (RolloutState::RolledBack, "Aborted"));
    assert_eq!((shop.weights("all"), shop.record("r2").unwrap().state), (vec![4, 4], RolloutState::Watching));
}

/// Each caller has a separate series, as App Mesh's Envoy publishes them: a failure that only one of two callers sees
/// fails the gate by the sum.
#[tokio::test(start_paused = true)]
async fn metric_gate_adds_up_the_series_of_the_callers() {
    for (failed, promoted) in [(0.0, true), (30.0, false)] {
        let shop = Shop::open();
        let backend = json!({ "virtualService": { "virtualServiceName": "recs.shop.local" } });
        let listener = json!({ "portMapping": { "port": 8080, "protocol": "http" } });
        let dns = json!({ "dns": { "hostname": "batch.shop.local" } });
        shop.add_node("batch", &json!({ "listeners": [listener], "serviceDiscovery": dns, "backends": [backend] }));
        for minute in 0..20 {
            let at = shop.now() + jiff::SignedDuration::from_mins(minute);
            for (caller, errors) in [("web", 0.0), ("batch", failed)] {
                let add = |metric: &str, value| {
                    shop.ports.metrics.add_for_caller(caller, "recs-v2", metric, "Sum", at, value);
                };
                add("envoy_cluster_upstream_rq_completed", 100.0);
                add("envoy_cluster_upstream_rq_5xx", errors);
            }
        }
        let gates = json!({ "metrics": [{ "errorRatio": { "max": "10%" }, "minRequests": 150, "failAfter": 1 }] });
        let mut request = short();
        request["detail"]["gates"] = gates;
        let function = shop.start().await;
        function.answer(&request).await.unwrap();
        function.minutes(8).await;
        let record = shop.record("r1").unwrap();
        let expected = if promoted { RolloutState::Promoted } else { RolloutState::RolledBack };
        assert_eq!(record.state, expected, "{failed}: {:?} {:?}", record.gates, record.failure);
        if let Some(failure) = record.failure {
            assert!(failure.text.contains("15.00 %"), "{}", failure.text);
        }
    }
}
