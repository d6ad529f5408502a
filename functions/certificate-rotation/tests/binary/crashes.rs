//! A process is killed at its requests, before they arrive and after they were executed, and another process resumes. The
//! end state is that of an undisturbed run, with at most one more issued certificate.

use std::collections::BTreeMap;

use meshwarden_tests::disturbed::difference;
use meshwarden_tests::way::{Side, Way};
use serde_json::Value;

use crate::stage::{Kept, Stage, Theatre, sample};

/// The end state of a run, and the requests of its first process.
struct End {
    world: BTreeMap<String, Value>,
    operations: Vec<String>,
    issued: usize,
}

/// A new process handles the event, and is killed at this request if there is one. Then the event is delivered again,
/// and a scheduled run follows.
async fn end(theatre: &Theatre, name: &str, kept: Kept, killed: Option<(usize, Side)>) -> End {
    let stage = Stage::set(theatre, name, kept).await;
    let mut function = stage.build().start().await;
    if let Some((request, side)) = killed {
        stage.way.strike(request, side);
        function.die(&stage.event(), stage.way.struck()).await;
        stage.way.clear();
        function = stage.build().start().await;
        // The lease of the killed process may still be held.
        let _ = function.answer(&stage.event()).await;
        stage.let_leases_run_out().await;
    } else {
        function.answer(&stage.event()).await.unwrap();
    }
    let operations = operations(&stage.way);
    function.answer(&sample("tick-rule")).await.unwrap();
    End { world: stage.world().await, operations, issued: stage.issued() }
}

fn operations(way: &Way) -> Vec<String> {
    way.passed().into_iter().map(|passed| passed.operation).collect()
}

/// Kills a process at each request that `is_struck` selects, each in a separate fixture. Returns the number of issued
/// certificates by request.
async fn killed(kept: Kept, side: Side, is_struck: fn(&str) -> bool) {
    let Some(theatre) = Theatre::open().await else { return };
    let name = format!("{kept:?}-{side:?}").to_lowercase();
    let undisturbed = end(&theatre, &format!("{name}-calm"), kept, None).await;
    assert_eq!(undisturbed.issued, 1);
    let secret_is_it = kept != Kept::Imported;
    assert_eq!(undisturbed.world["AWSPREVIOUS"].is_null(), !secret_is_it, "{:?}", undisturbed.world);
    assert_eq!(undisturbed.world["pending alone"], 0);
    let position = |operation: &str| undisturbed.operations.iter().position(|one| one == operation);
    let ordered = position("IssueCertificate").unwrap();
    let imported = position("ImportCertificate");
    let mut struck = 0;
    for (request, operation) in undisturbed.operations.iter().enumerate().filter(|(_, one)| is_struck(one)) {
        let case = format!("{kept:?} killed {side:?} request {request}, {operation}");
        let after = end(&theatre, &format!("{name}-{request}"), kept, Some((request, side))).await;
        assert_eq!(difference(&after.world, &undisturbed.world), None, "{case}");
        // A key in memory is lost with its process, and the certificate with it. A secret keeps key and request, and the
        // private CA recognises the token of the order.
        let ordered = (ordered, Side::After) <= (request, side);
        let placed = imported.is_some_and(|imported| (imported, Side::After) <= (request, side));
        let lost = !secret_is_it && ordered && !placed;
        assert_eq!(after.issued, 1 + usize::from(lost), "{case}");
        struck += 1;
    }
    assert!(struck > 10, "{struck} requests");
    println!("{kept:?}: killed {side:?} each of {struck} requests");
}

/// Requests with an effect. Kills at two reads without an effect between them are equivalent.
fn leaves_a_trace(operation: &str) -> bool {
    !operation.starts_with("GET ")
        && !["Describe", "Get", "List", "BatchGet"].iter().any(|read| operation.starts_with(read))
}

#[tokio::test]
async fn imported_killed_before_a_request_arrives() {
    killed(Kept::Imported, Side::Before, |_| true).await;
}

#[tokio::test]
async fn imported_killed_after_a_request_was_executed() {
    killed(Kept::Imported, Side::After, |_| true).await;
}

#[tokio::test]
async fn imported_with_its_key_killed_before_a_request_arrives() {
    killed(Kept::ImportedWithKey, Side::Before, leaves_a_trace).await;
}

#[tokio::test]
async fn imported_with_its_key_killed_after_a_request_was_executed() {
    killed(Kept::ImportedWithKey, Side::After, leaves_a_trace).await;
}

#[tokio::test]
async fn bundle_killed_before_a_request_arrives() {
    killed(Kept::Secret, Side::Before, leaves_a_trace).await;
}

#[tokio::test]
async fn bundle_killed_after_a_request_was_executed() {
    killed(Kept::Secret, Side::After, leaves_a_trace).await;
}
