//! The process is killed at every request, before the request arrives and after it was executed, and another process
//! resumes: each state of a rollout ends with the weights of an undisturbed run.

use aws_sdk_cloudwatch::types::StateValue;
use futures::stream::{self, StreamExt as _};
use meshwarden_tests::function::sample;
use meshwarden_tests::stack::{MiniStack, let_leases_run_out};
use meshwarden_tests::way::Side;
use serde_json::{Value, json};

use crate::stage::{Stage, request};

/// The invocation that is killed.
#[derive(Clone, Copy, Debug)]
enum Killed {
    /// The first step is written.
    Step,
    /// The new version has all traffic, and is watched.
    Bake,
    /// A gate has failed.
    Rollback,
    /// The bake time is over.
    Promote,
}

/// The weights, the state and the cause at the end.
type End = (Vec<u64>, Value, Value);

/// The end, and the number of requests of the invocation.
async fn end(stack: &MiniStack, killed: Killed, at: Option<(usize, Side)>) -> (End, usize) {
    let name = at.map_or_else(|| "calm".to_owned(), |(request, side)| format!("{request}-{side:?}"));
    let stage = Stage::open(stack, &format!("kill-{killed:?}-{name}").to_lowercase()).await;
    let (strategy, steps): (_, &[&str]) = match killed {
        Killed::Step | Killed::Rollback => ("canary", &["25"]),
        Killed::Bake | Killed::Promote => ("blue-green", &[]),
    };
    let mut event = request(&stage.alarm(), strategy, steps);
    event["detail"]["interval"] = json!(if steps.is_empty() { "0s" } else { "1h" });
    event["detail"]["bake"] = json!("30m");
    let tick = sample("traffic-shift", "tick-rule");
    match killed {
        Killed::Step => {}
        Killed::Bake => drop(stage.run(&event).await),
        Killed::Rollback => {
            stage.run(&event).await;
            stage.turn(StateValue::Alarm).await;
        }
        Killed::Promote => {
            stage.run(&event).await;
            stage.run(&tick).await;
            stage.pass(31).await;
        }
    }
    let event = if matches!(killed, Killed::Step) { event } else { tick.clone() };
    let skipped = stage.way.passed().len();
    let mut function = stage.build().start().await;
    match at {
        Some((request, side)) => {
            stage.way.strike(request, side);
            function.die(&event, stage.way.struck()).await;
            stage.way.clear();
            function = stage.build().start().await;
            // The lease of the killed process may still be held.
            let _ = function.answer(&event).await;
            let_leases_run_out(&stage.table(), stage.name()).await;
        }
        None => drop(function.answer(&event).await.unwrap()),
    }
    let requests = stage.way.passed().len() - skipped;
    for _ in 0..2 {
        function.answer(&tick).await.unwrap();
    }
    let rollout = stage.rollout().await;
    ((stage.weights().await, rollout["state"].clone(), rollout["failure"]["code"].clone()), requests)
}

async fn killed_at_every_request(killed: Killed, expected: ([u64; 2], &str)) {
    let Some(stack) = MiniStack::start().await else { return };
    let (undisturbed, requests) = end(&stack, killed, None).await;
    assert_eq!((undisturbed.0.as_slice(), &undisturbed.1), (&expected.0[..], &json!(expected.1)), "{undisturbed:?}");
    let cases = (0..requests).flat_map(|request| [(request, Side::Before), (request, Side::After)]);
    let (stack, undisturbed) = (&stack, &undisturbed);
    let wrong: Vec<String> = stream::iter(cases)
        .map(|at| async move {
            let (found, _) = end(stack, killed, Some(at)).await;
            (found != *undisturbed).then(|| format!("{at:?} of {requests}: {found:?}"))
        })
        .buffer_unordered(4)
        .filter_map(async |wrong| wrong)
        .collect()
        .await;
    assert!(wrong.is_empty(), "{killed:?}, expected {undisturbed:?}:\n{}", wrong.join("\n"));
}

#[tokio::test]
#[ignore = "long: a process for each request and side takes minutes"]
async fn killed_during_a_step() {
    killed_at_every_request(Killed::Step, ([6, 2], "watching")).await;
}

#[tokio::test]
#[ignore = "long: a process for each request and side takes minutes"]
async fn killed_during_the_bake_time() {
    killed_at_every_request(Killed::Bake, ([0, 8], "bake")).await;
}

#[tokio::test]
#[ignore = "long: a process for each request and side takes minutes"]
async fn killed_during_a_rollback() {
    killed_at_every_request(Killed::Rollback, ([8, 0], "rolled-back")).await;
}

#[tokio::test]
#[ignore = "long: a process for each request and side takes minutes"]
async fn killed_during_the_promotion() {
    killed_at_every_request(Killed::Promote, ([0, 8], "promoted")).await;
}
