//! Hooks of the built function: a Lambda endpoint with functions that answer as a hook may.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use meshwarden_tests::faults::Fault;
use meshwarden_tests::function::sample;
use meshwarden_tests::stack::{ACCOUNT, MiniStack, REGION};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::stage::{Stage, request};

/// The answer of a hook, and the events that it received.
#[derive(Default)]
struct Hook {
    answer: Value,
    /// Whether the function raises an error in place of an answer.
    fails: bool,
    events: Vec<Value>,
}

/// Lambda with one hook.
struct Lambda {
    endpoint: String,
    hook: Arc<Mutex<Hook>>,
    serving: JoinHandle<()>,
}

impl Drop for Lambda {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Lambda {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let hook = Arc::<Mutex<Hook>>::default();
        let app = Router::new().fallback(any(invoke)).with_state(Arc::clone(&hook));
        Self { endpoint, hook, serving: tokio::spawn(async move { axum::serve(listener, app).await.unwrap() }) }
    }

    fn answers(&self, answer: Value) {
        let mut hook = self.hook.lock().unwrap();
        (hook.answer, hook.fails) = (answer, false);
    }

    fn fails(&self) {
        self.hook.lock().unwrap().fails = true;
    }

    fn events(&self) -> Vec<Value> {
        self.hook.lock().unwrap().events.clone()
    }
}

async fn invoke(State(hook): State<Arc<Mutex<Hook>>>, body: Bytes) -> Response {
    let mut hook = hook.lock().unwrap();
    hook.events.push(serde_json::from_slice(&body).unwrap());
    if hook.fails {
        let error = json!({ "errorType": "Error", "errorMessage": "smoke test crashed" });
        return (StatusCode::OK, [("x-amz-function-error", "Unhandled")], error.to_string()).into_response();
    }
    hook.answer.to_string().into_response()
}

/// A requested rollout with a hook at this stage, and the state after its first run.
async fn requested(stack: &MiniStack, lambda: &Lambda, name: &str, stage_of_hook: &str) -> (Stage, Value) {
    let replaced = [("AWS_ENDPOINT_URL_LAMBDA", lambda.endpoint.as_str())];
    let stage = Stage::with_alarm(stack, name, &replaced).await;
    let mut event = request(&stage.alarm(), "canary", &["25"]);
    let function = format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:meshwarden-hook-smoke");
    event["detail"]["hooks"] = json!([{ "stage": stage_of_hook, "function": function, "timeout": "15m" }]);
    stage.run(&event).await;
    let rollout = stage.rollout().await;
    (stage, rollout)
}

#[tokio::test]
async fn hook_that_succeeds_lets_the_rollout_proceed() {
    let Some(stack) = MiniStack::start().await else { return };
    let lambda = Lambda::start().await;
    lambda.answers(json!({ "hookStatus": "IN_PROGRESS", "callBackDelay": 30, "hookDetails": { "job": 7 } }));
    let (stage, rollout) = requested(&stack, &lambda, "hook-progress", "before").await;
    assert_eq!((rollout["state"].as_str(), stage.weights().await), (Some("before"), vec![8, 0]), "{rollout:#}");
    // Before its delay is over, the hook is not invoked again.
    stage.tick().await;
    assert_eq!(lambda.events().len(), 1);
    lambda.answers(json!({ "hookStatus": "SUCCEEDED" }));
    stage.pass(1).await;
    let rollout = stage.tick().await;
    assert_eq!(stage.weights().await, [6, 2], "{rollout:#}");
    let events = lambda.events();
    assert_eq!(events.len(), 2, "{events:#?}");
    assert_eq!(events[0]["hookId"], events[1]["hookId"], "a second call is recognizable");
    assert_eq!(events[1]["hookDetails"], json!({ "job": 7 }), "{:#}", events[1]);
    assert_eq!((&events[0]["stage"], &events[0]["rolloutId"]), (&json!("before"), &json!("r1")));
    // A hook that has succeeded is not invoked again.
    stage.tick().await;
    assert_eq!(lambda.events().len(), 2);
}

#[tokio::test]
async fn hook_that_fails_refuses_the_start_and_rolls_a_step_back() {
    let Some(stack) = MiniStack::start().await else { return };
    for (stage_of_hook, state, page) in [("before", "refused", false), ("step", "rolled-back", true)] {
        let lambda = Lambda::start().await;
        lambda.answers(json!({ "hookStatus": "FAILED", "reason": "smoke test red" }));
        let (stage, rollout) = requested(&stack, &lambda, &format!("hook-fails-{stage_of_hook}"), stage_of_hook).await;
        assert_eq!((rollout["state"].as_str(), stage.weights().await), (Some(state), vec![8, 0]), "{rollout:#}");
        assert_eq!(rollout["failure"]["code"], "HookFailed", "{rollout:#}");
        assert!(rollout["failure"]["text"].as_str().unwrap().contains("smoke test red"), "{rollout:#}");
        assert_eq!(stage.way.pages().iter().any(|subject| subject.contains("HookFailed")), page);
    }
}

/// Errors, unreadable answers and denied calls are repeated until the time limit, which is a failure.
#[tokio::test]
async fn hook_without_an_answer_times_out() {
    let Some(stack) = MiniStack::start().await else { return };
    for case in ["error", "unreadable", "denied"] {
        let lambda = Lambda::start().await;
        match case {
            "error" => lambda.fails(),
            _ => lambda.answers(json!("done")),
        }
        let (stage, rollout) = requested(&stack, &lambda, &format!("hook-{case}"), "step").await;
        assert_eq!((rollout["state"].as_str(), stage.weights().await), (Some("watching"), vec![6, 2]), "{rollout:#}");
        if case == "denied" {
            stage.way.deny("lambda:InvokeFunction");
        }
        stage.pass(5).await;
        let rollout = stage.tick().await;
        assert_eq!((rollout["state"].as_str(), stage.weights().await), (Some("watching"), vec![6, 2]), "{rollout:#}");
        stage.pass(11).await;
        let rollout = stage.tick().await;
        assert_eq!(stage.weights().await, [8, 0], "{case}: {rollout:#}");
        assert_eq!(rollout["failure"]["code"], "HookTimedOut", "{case}: {rollout:#}");
        let ids: Vec<Value> = lambda.events().into_iter().map(|event| event["hookId"].clone()).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }
}

/// A lost answer invokes the hook again with the same id, in the same invocation or in the next one.
#[tokio::test]
async fn hook_that_is_called_twice_moves_the_rollout_once() {
    let Some(stack) = MiniStack::start().await else { return };
    let lambda = Lambda::start().await;
    lambda.answers(json!({ "hookStatus": "IN_PROGRESS", "callBackDelay": 1 }));
    let (stage, _) = requested(&stack, &lambda, "hook-twice", "before").await;
    lambda.answers(json!({ "hookStatus": "SUCCEEDED" }));
    stage.way.inject_next("/invocations", Fault::LostAnswer, 1);
    stage.pass(1).await;
    let mut function = stage.build().start().await;
    for _ in 0..3 {
        function.answer(&sample("traffic-shift", "tick-rule")).await.unwrap();
        stage.pass(1).await;
    }
    let events = lambda.events();
    assert!(events.len() >= 3, "the lost answer was not requested again: {events:#?}");
    assert!(events.iter().all(|event| event["hookId"] == events[0]["hookId"]));
    assert_eq!(stage.weights().await, [6, 2]);
    let writes =
        stage.way.passed().into_iter().filter(|call| call.operation.starts_with("PUT /v20190125/meshes/shop/"));
    assert_eq!(writes.count(), 1, "one write of weights");
}
