//! The process is killed at its requests, before they arrive and after they were carried out, and another one goes on: the
//! end is the same as if nothing had happened, and at most one certificate more was issued.

use std::collections::BTreeMap;

use meshwarden_tests::disturbed::difference;
use meshwarden_tests::way::{Side, Way};
use serde_json::Value;

use crate::stage::{Kept, Stage, Theatre, sample};

/// What a run left behind, and what its first process asked for.
struct End {
    world: BTreeMap<String, Value>,
    operations: Vec<String>,
    issued: usize,
}

/// A cold process meets the event; killed at this request, or not at all. Then the event comes again, and the next wake.
async fn end(theatre: &Theatre, name: &str, kept: Kept, killed: Option<(usize, Side)>) -> End {
    let stage = Stage::set(theatre, name, kept).await;
    let mut function = stage.build().start().await;
    if let Some((request, side)) = killed {
        stage.way.strike(request, side);
        function.die(&stage.event(), stage.way.struck()).await;
        stage.way.clear();
        function = stage.build().start().await;
        // It may meet the lease of the one that died.
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

/// Kills at each request that `is_struck` names, each in a world of its own. Returns how many were issued, by request.
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
        let told = format!("{kept:?} killed {side:?} request {request}, {operation}");
        let after = end(&theatre, &format!("{name}-{request}"), kept, Some((request, side))).await;
        assert_eq!(difference(&after.world, &undisturbed.world), None, "{told}");
        // A key that was in memory only is gone, and its certificate with it. A secret keeps key and request, and the
        // private CA knows the order by its token.
        let ordered = (ordered, Side::After) <= (request, side);
        let placed = imported.is_some_and(|imported| (imported, Side::After) <= (request, side));
        let lost = !secret_is_it && ordered && !placed;
        assert_eq!(after.issued, 1 + usize::from(lost), "{told}");
        struck += 1;
    }
    assert!(struck > 10, "{struck} requests");
    println!("{kept:?}: killed {side:?} each of {struck} requests");
}

/// Everything that may leave a trace. Of the reads between two of them it makes no difference which is the last.
fn leaves_a_trace(operation: &str) -> bool {
    !operation.starts_with("GET ")
        && !["Describe", "Get", "List", "BatchGet"].iter().any(|read| operation.starts_with(read))
}

#[tokio::test]
async fn imported_before_it_arrives() {
    killed(Kept::Imported, Side::Before, |_| true).await;
}

#[tokio::test]
async fn imported_after_it_was_carried_out() {
    killed(Kept::Imported, Side::After, |_| true).await;
}

#[tokio::test]
async fn imported_with_its_key_before_it_arrives() {
    killed(Kept::ImportedWithKey, Side::Before, leaves_a_trace).await;
}

#[tokio::test]
async fn imported_with_its_key_after_it_was_carried_out() {
    killed(Kept::ImportedWithKey, Side::After, leaves_a_trace).await;
}

#[tokio::test]
async fn bundle_before_it_arrives() {
    killed(Kept::Secret, Side::Before, leaves_a_trace).await;
}

#[tokio::test]
async fn bundle_after_it_was_carried_out() {
    killed(Kept::Secret, Side::After, leaves_a_trace).await;
}
