//! The process is killed at every request, before the request arrives and after it was executed, and another process
//! resumes: each state of a drill ends with the weights and the result of an undisturbed run.

use aws_sdk_cloudwatch::types::StateValue;
use futures::stream::{self, StreamExt as _};
use meshwarden_tests::stack::{MiniStack, let_leases_run_out};
use meshwarden_tests::way::Side;
use serde_json::Value;

use crate::stage::{BEFORE, Stage, event};

/// The invocation that is killed.
#[derive(Clone, Copy, Debug)]
enum Killed {
    /// The node is drained.
    Drain,
    /// The proxies have not acknowledged the weights yet.
    Confirm,
    /// An outcome alarm ends the drill.
    Fail,
    /// An operator stops the drill.
    Stop,
}

/// The weights, the phase of an active drill, and the last outcome at the end.
type End = (Vec<u64>, String, String);

/// The end, and the number of requests of the invocation.
async fn end(stack: &MiniStack, killed: Killed, at: Option<(usize, Side)>) -> (End, usize) {
    let name = at.map_or_else(|| "calm".to_owned(), |(request, side)| format!("{request}-{side:?}"));
    let stage = Stage::set(stack, &format!("kill-{killed:?}-{name}").to_lowercase()).await;
    let trigger = match killed {
        Killed::Drain => event("direct-start"),
        Killed::Confirm | Killed::Fail => event("tick-rule"),
        Killed::Stop => event("stop"),
    };
    if !matches!(killed, Killed::Drain) {
        stage.build().start().await.answer(&event("direct-start")).await.unwrap();
    }
    let skipped = stage.way.passed().len();
    let mut function = stage.build().start().await;
    match at {
        Some((request, side)) => {
            stage.way.strike(request, side);
            function.die(&trigger, stage.way.struck()).await;
            stage.way.clear();
            function = stage.build().start().await;
            // The lease of the killed process may still be held.
            let _ = function.answer(&trigger).await;
            let_leases_run_out(&stage.table(), &stage.name).await;
        }
        None => drop(function.answer(&trigger).await.unwrap()),
    }
    let requests = stage.way.passed().len() - skipped;
    for _ in 0..2 {
        function.answer(&event("tick-rule")).await.unwrap();
    }
    let record = stage.drills().await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let end =
        (stage.weights().await, text(&record["active"]["phase"]), text(&record["plans"]["recs-v1"]["last"]["outcome"]));
    (end, requests)
}

async fn killed_at_every_request(killed: Killed, expected: (Vec<u64>, &str, &str)) {
    let Some(stack) = MiniStack::start().await else { return };
    let (undisturbed, requests) = if matches!(killed, Killed::Fail) {
        // The drill starts while the alarm is off, and the stack has one alarm: one case after the other.
        fail(&stack, None).await
    } else {
        end(&stack, killed, None).await
    };
    assert_eq!((undisturbed.0.clone(), undisturbed.1.as_str(), undisturbed.2.as_str()), expected);
    let cases = (0..requests).flat_map(|request| [(request, Side::Before), (request, Side::After)]);
    let (stack, undisturbed) = (&stack, &undisturbed);
    let at_a_time = if matches!(killed, Killed::Fail) { 1 } else { 4 };
    let wrong: Vec<String> = stream::iter(cases)
        .map(|at| async move {
            let (found, _) = match killed {
                Killed::Fail => fail(stack, Some(at)).await,
                Killed::Drain | Killed::Confirm | Killed::Stop => end(stack, killed, Some(at)).await,
            };
            (found != *undisturbed).then(|| format!("{at:?} of {requests}: {found:?}"))
        })
        .buffer_unordered(at_a_time)
        .filter_map(async |wrong| wrong)
        .collect()
        .await;
    assert!(wrong.is_empty(), "{killed:?}, expected {undisturbed:?}:\n{}", wrong.join("\n"));
}

/// A drill that its outcome alarm ends.
async fn fail(stack: &MiniStack, at: Option<(usize, Side)>) -> (End, usize) {
    let name = at.map_or_else(|| "calm".to_owned(), |(request, side)| format!("{request}-{side:?}"));
    let stage = Stage::set(stack, &format!("kill-fail-{name}").to_lowercase()).await;
    stage.build().start().await.answer(&event("direct-start")).await.unwrap();
    stage.turn("checkout", StateValue::Alarm).await;
    let trigger = event("alarm-metric");
    let skipped = stage.way.passed().len();
    let mut function = stage.build().start().await;
    match at {
        Some((request, side)) => {
            stage.way.strike(request, side);
            function.die(&trigger, stage.way.struck()).await;
            stage.way.clear();
            function = stage.build().start().await;
            let _ = function.answer(&trigger).await;
            let_leases_run_out(&stage.table(), &stage.name).await;
        }
        None => drop(function.answer(&trigger).await.unwrap()),
    }
    let requests = stage.way.passed().len() - skipped;
    // The alarm is off again: the verdict of the killed process counts.
    stage.turn("checkout", StateValue::Ok).await;
    let restored = stage.weights().await == BEFORE.map(u64::from);
    if !restored {
        stage.turn("checkout", StateValue::Alarm).await;
    }
    for _ in 0..2 {
        function.answer(&event("tick-rule")).await.unwrap();
    }
    stage.turn("checkout", StateValue::Ok).await;
    let record = stage.drills().await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let end =
        (stage.weights().await, text(&record["active"]["phase"]), text(&record["plans"]["recs-v1"]["last"]["outcome"]));
    (end, requests)
}

#[tokio::test]
#[ignore = "long: a process for each request and side takes minutes"]
async fn killed_while_the_node_is_drained() {
    killed_at_every_request(Killed::Drain, (vec![0, 100], "confirming", "")).await;
}

#[tokio::test]
#[ignore = "long: a process for each request and side takes minutes"]
async fn killed_during_the_confirmation() {
    killed_at_every_request(Killed::Confirm, (vec![0, 100], "confirming", "")).await;
}

#[tokio::test]
#[ignore = "long: a process for each request and side takes minutes"]
async fn killed_during_the_restore_of_a_failed_drill() {
    killed_at_every_request(Killed::Fail, (BEFORE.map(u64::from).into(), "", "FAILED")).await;
}

#[tokio::test]
#[ignore = "long: a process for each request and side takes minutes"]
async fn killed_during_the_restore_of_a_stopped_drill() {
    killed_at_every_request(Killed::Stop, (BEFORE.map(u64::from).into(), "", "INTERRUPTED")).await;
}
