//! The process is killed at every request it makes, before it arrives and after it was carried out, and another one
//! goes on: the end is the same as if nothing had happened.

use std::collections::BTreeMap;

use aws_sdk_cloudwatch::types::StateValue;
use meshwarden_tests::disturbed::difference;
use meshwarden_tests::way::Side;
use serde_json::Value;

use crate::stage::{Stage, Theatre, sample, spec};

/// What a run left behind, and how many requests its first process made.
struct End {
    world: BTreeMap<String, Value>,
    requests: usize,
}

/// A cold process meets the alarm's event; killed at this request, or not at all. Then the event comes again, and the
/// minute's wakes.
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
        // It may meet the lease of the one that died.
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
    // However often: killed after it was said, it is said again.
    world.insert("told of".to_owned(), Value::from_iter(stage.way.subjects()));
    End { world, requests }
}

async fn killed_at_every_request(side: Side) {
    let Some(theatre) = Theatre::open().await else { return };
    let side_name = format!("{side:?}").to_lowercase();
    let undisturbed = end(&theatre, &format!("{side_name}-calm"), None).await;
    assert_eq!(undisturbed.world["spec"], spec([0, 100]));
    assert_eq!(undisturbed.world["budget"], "1");
    let subject = "act%3A%20Failover%20mesh%2Fshop%2FvirtualRouter%2Fcart%2Froute%2Fall";
    assert_eq!(undisturbed.world["told of"], Value::from_iter([subject]));
    assert!(undisturbed.requests > 10, "{} requests", undisturbed.requests);
    for request in 0..undisturbed.requests {
        let told = format!("killed {side:?} request {request} of {}", undisturbed.requests);
        let killed = end(&theatre, &format!("{side_name}-{request}"), Some((request, side))).await;
        assert_eq!(difference(&killed.world, &undisturbed.world), None, "{told}");
    }
    println!("killed {side:?} each of {} requests", undisturbed.requests);
}

#[tokio::test]
async fn before_it_arrives() {
    killed_at_every_request(Side::Before).await;
}

#[tokio::test]
async fn after_it_was_carried_out() {
    killed_at_every_request(Side::After).await;
}
