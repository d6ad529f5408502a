//! The function is killed at every call, before and after its effect, and every call fails in every way.

use ports_memory::{Call, Effect, Fault};
use serde_json::Value;

use crate::toy::{RESOURCES, Shop, WANTED, failed};

const GROUPS: [&str; 2] = ["nodes", "routers"];

/// The end of a run that was disturbed once: the documents, and the calls of the first invocation.
async fn end(wrong: Option<(usize, Fault)>) -> (Shop, Vec<Call>) {
    let shop = Shop::new();
    let killed = matches!(wrong, Some((_, Fault::Crash(_))));
    if let Some((call, fault)) = wrong {
        shop.ports.faults.at(call, fault);
    }
    let process = shop.start().await;
    let first = shop.ports.faults.run(process.answer(&GROUPS)).await;
    assert_eq!(first.is_none(), killed);
    let calls = shop.ports.faults.calls();
    // A killed process is replaced, and its messages are visible again once its lease has ended.
    let process = if killed { shop.start().await } else { process };
    let again: Vec<String> = match first {
        Some(Ok(answer)) => failed(&answer).into_iter().collect(),
        Some(Err(_)) | None => GROUPS.iter().map(|group| (*group).to_owned()).collect(),
    };
    shop.ports.clock.advance(jiff::SignedDuration::from_mins(2));
    if !again.is_empty() {
        let groups: Vec<&str> = again.iter().map(String::as_str).collect();
        let answer = process.answer(&groups).await.unwrap();
        assert!(failed(&answer).is_empty(), "{answer}");
    }
    // Scheduled runs.
    for _ in 0..2 {
        shop.ports.clock.advance(jiff::SignedDuration::from_mins(5));
        process.answer(&GROUPS).await.unwrap();
    }
    (shop, calls)
}

fn can_happen(fault: &Fault, call: &Call) -> bool {
    match fault {
        Fault::Fails(_, Effect::Done) => call.writes,
        Fault::StaleRead => !call.writes,
        Fault::Fails(_, Effect::NotDone) | Fault::Crash(_) => true,
        Fault::Waits(_) => false,
    }
}

async fn every_disturbance(faults: fn() -> Vec<Fault>) {
    let (undisturbed, calls) = end(None).await;
    let documents = |shop: &Shop| -> Vec<Option<Value>> { GROUPS.iter().map(|group| shop.document(group)).collect() };
    assert!(calls.len() > 15, "{calls:?}");
    for call in calls {
        for fault in faults().into_iter().filter(|fault| can_happen(fault, &call)) {
            let case = format!("{fault:?} at call {}: {call}", call.number);
            let (shop, _) = end(Some((call.number, fault))).await;
            assert_eq!(documents(&shop), documents(&undisturbed), "{case}");
            for (_, resource) in RESOURCES {
                assert_eq!(shop.owner(resource).as_deref(), Some(WANTED), "{case}");
                let notices = shop.notices(resource).len();
                assert!((1..=2).contains(&notices), "{case}: {notices} notices about {resource}");
                let about = |event: &ports::BusEvent| event.detail["resource"] == resource;
                let events = shop.ports.bus.events().iter().filter(|event| about(event)).count();
                // An event without room in the document is sent before the document is stored.
                assert!((1..=2).contains(&events), "{case}: {events} events about {resource}");
            }
            assert_eq!(shop.spent(), 3, "{case}: a resumed plan is not charged again");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn run_that_is_killed_at_any_call_is_resumed() {
    every_disturbance(|| Fault::crashes().to_vec()).await;
}

#[tokio::test(start_paused = true)]
async fn run_with_any_failed_call_is_resumed() {
    every_disturbance(Fault::every).await;
}
