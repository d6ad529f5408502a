//! The process is killed at every request, before the request arrives and after it was executed, and another process
//! resumes: the end state is that of an undisturbed run.

use std::collections::BTreeMap;

use aws_sdk_cloudwatch::types::StateValue;
use meshwarden_tests::disturbed::difference;
use meshwarden_tests::way::Side;
use serde_json::Value;

use crate::stage::{Stage, Theatre, sample, spec};

/// The end state of a run, and the number of requests of its first process.
struct End {
    world: BTreeMap<String, Value>,
    requests: usize,
}

/// A new process handles the alarm's event, and is killed at this request if there is one. Then the event is delivered
/// again, and scheduled runs follow.
async fn end(theatre: &Theatre, name: &str, killed: Option<(usize, Side)>) -> End {
    let stage = Stage::set(theatre, name).await;
    stage.turn("cart-v1", StateValue::Alarm).await;
    let event = stage.event_of("cart-v1");
    let mut function = stage.build().start().await;
    if let Some((request, side)) = killed {
        stage.way.strike(request, side);
        function.die(&event, stage.way.struck()).await;
        stage.way.clear();
        function = stage.build().start().await;
        // The lease of the killed process may still be held.
        let _ = function.answer(&event).await;
        stage.let_leases_run_out().await;
    } else {
        function.answer(&event).await.unwrap();
    }
    let requests = stage.way.passed().len();
    let tick = sample("tick-rule");
    for _ in 0..2 {
        function.answer(&tick).await.unwrap();
    }
    let mut world = stage.world().await;
    // Without repeats: a run that is killed after a notice was sent leads to the same notice again.
    world.insert("notified".to_owned(), Value::from_iter(stage.way.subjects()));
    End { world, requests }
}

async fn killed_at_every_request(side: Side) {
    let Some(theatre) = Theatre::open().await else { return };
    let side_name = format!("{side:?}").to_lowercase();
    let undisturbed = end(&theatre, &format!("{side_name}-calm"), None).await;
    assert_eq!(undisturbed.world["spec"], spec([0, 100]));
    assert_eq!(undisturbed.world["budget"], "1");
    let subject = "act%3A%20Failover%20mesh%2Fshop%2FvirtualRouter%2Fcart%2Froute%2Fall";
    assert_eq!(undisturbed.world["notified"], Value::from_iter([subject]));
    assert!(undisturbed.requests > 10, "{} requests", undisturbed.requests);
    for request in 0..undisturbed.requests {
        let case = format!("killed {side:?} request {request} of {}", undisturbed.requests);
        let killed = end(&theatre, &format!("{side_name}-{request}"), Some((request, side))).await;
        assert_eq!(difference(&killed.world, &undisturbed.world), None, "{case}");
    }
    println!("killed {side:?} each of {} requests", undisturbed.requests);
}

#[tokio::test]
async fn killed_before_a_request_arrives() {
    killed_at_every_request(Side::Before).await;
}

#[tokio::test]
async fn killed_after_a_request_was_executed() {
    killed_at_every_request(Side::After).await;
}
