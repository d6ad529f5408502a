//! The requests to the state table, and the parsing of its refusals.

use crate::canned::{CannedResponse, CannedServer};
use jiff::{SignedDuration, Timestamp};
use ports::{
    Begin, Begun, BudgetWindow, Finish, JournalEntry, Note, PortErrorKind, Refusal, Spend, StateKey, StateStore,
    StoreOutcome,
};
use serde_json::{Value, json};

fn now() -> Timestamp {
    "2026-11-20T10:00:00Z".parse().unwrap()
}

fn key() -> StateKey {
    StateKey::route(&"shop/recommendations/all".parse().unwrap())
}

fn window() -> BudgetWindow {
    BudgetWindow { class: "failover".into(), start: now(), end: now() + SignedDuration::from_mins(60) }
}

fn entry() -> JournalEntry {
    JournalEntry { at: now(), id: "e-1".into(), body: json!({ "decision": "shift" }) }
}

fn begin() -> Begin {
    Begin {
        key: key(),
        revision: 4,
        holder: "r-1".into(),
        now: now(),
        lease: SignedDuration::from_secs(30),
        document: json!({ "intent": "shift" }),
        spend: Some(Spend { window: window(), cap: 5 }),
        journal: entry(),
    }
}

/// The document's item as the error of a cancelled transaction contains it.
fn item(revision: u64, epoch: u64, lease: Option<(&str, &str)>, document: &Value) -> Value {
    let mut item = json!({
        "pk": { "S": key().as_str() }, "sk": { "S": "document" },
        "revision": { "N": revision.to_string() }, "epoch": { "N": epoch.to_string() },
        "document": { "S": document.to_string() },
    });
    if let Some((holder, until)) = lease {
        item["holder"] = json!({ "S": holder });
        item["leaseUntil"] = json!({ "S": until });
    }
    item
}

fn cancelled(reasons: &[Value]) -> CannedResponse {
    let kind = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException";
    CannedResponse::error(400, kind, json!({ "Message": "cancelled", "CancellationReasons": reasons }))
}

fn none() -> Value {
    json!({ "Code": "None" })
}

fn failed(item: Option<Value>) -> Value {
    let mut reason = json!({ "Code": "ConditionalCheckFailed", "Message": "The conditional request failed" });
    if let Some(item) = item {
        reason["Item"] = item;
    }
    reason
}

#[tokio::test]
async fn begin_is_one_transaction_and_needs_no_response_for_its_epoch() {
    let server = CannedServer::start([CannedResponse::ok(json!({}))]).await;
    let begun = server.aws().await.state("meshwarden").begin(&begin()).await.unwrap();
    assert_eq!(begun, Begun::Granted { epoch: 5, revision: 5 });
    let body = server.requests()[0].json();
    assert!(body["ClientRequestToken"].is_string());
    let items = body["TransactItems"].as_array().unwrap();
    assert_eq!(items.len(), 4);
    assert_eq!(items[0]["ConditionCheck"]["Key"]["pk"]["S"], "kill-switch");
    assert_eq!(items[1]["Update"]["Key"]["pk"]["S"], "route/shop/recommendations/all");
    assert_eq!(items[1]["Update"]["ReturnValuesOnConditionCheckFailure"], "ALL_OLD");
    assert_eq!(items[2]["Update"]["Key"]["sk"]["S"], "window#2026-11-20T10:00:00.000000000Z");
    assert_eq!(items[3]["Put"]["Item"]["sk"]["S"], "journal#2026-11-20T10:00:00.000000000Z#e-1");
    let ninety_days_later = (now() + SignedDuration::from_hours(90 * 24)).as_second().to_string();
    assert_eq!(items[3]["Put"]["Item"]["expires"]["N"], ninety_days_later);
}

#[tokio::test]
async fn begin_refusals_have_a_fixed_order() {
    let document = json!({ "intent": "shift" });
    let ours = item(5, 5, Some(("r-1", "2026-11-20T10:00:30Z")), &document);
    let theirs = item(5, 5, Some(("r-2", "2026-11-20T10:00:30Z")), &document);
    let moved = item(6, 5, None, &json!({}));
    let granted = Begun::Granted { epoch: 5, revision: 5 };
    let refused = Begun::Refused;
    for (reasons, expected) in [
        ([failed(None), failed(Some(theirs.clone())), failed(None), none()], refused(Refusal::KillSwitchOn)),
        ([none(), failed(Some(theirs)), failed(None), none()], refused(Refusal::LeaseHeld)),
        ([none(), failed(Some(moved)), failed(None), none()], refused(Refusal::RevisionMoved)),
        ([none(), failed(None), none(), none()], refused(Refusal::RevisionMoved)),
        ([none(), none(), failed(None), none()], refused(Refusal::BudgetSpent)),
        // This client's own begin, with a lost response: it may have spent the budget.
        ([none(), failed(Some(ours)), failed(None), none()], granted),
    ] {
        let server = CannedServer::start([cancelled(&reasons)]).await;
        let begun = server.aws().await.state("meshwarden").begin(&begin()).await.unwrap();
        assert_eq!(begun, expected, "{reasons:?}");
        assert_eq!(server.requests().len(), 1, "a condition that did not hold is an answer, not a failure");
    }
}

#[tokio::test]
async fn transaction_conflict_is_retried_by_the_sdk() {
    let conflict = || json!({ "Code": "TransactionConflict", "Message": "Transaction is ongoing for the item" });
    let busy = || cancelled(&[none(), none(), conflict(), none()]);
    let server = CannedServer::start([busy(), CannedResponse::ok(json!({}))]).await;
    let begun = server.aws().await.state("meshwarden").begin(&begin()).await.unwrap();
    assert_eq!(begun, Begun::Granted { epoch: 5, revision: 5 });
    let requests = server.requests();
    assert_eq!(requests[0].json()["ClientRequestToken"], requests[1].json()["ClientRequestToken"]);

    let server = CannedServer::start([busy(), busy(), busy()]).await;
    let error = server.aws().await.state("meshwarden").begin(&begin()).await.unwrap_err();
    assert_eq!((error.kind, server.requests().len()), (PortErrorKind::Conflict, 3));
}

#[tokio::test]
async fn repeated_finish_is_stored_and_a_different_one_is_overtaken() {
    let document = json!({ "phase": "shifted" });
    let finish = Finish { key: key(), epoch: 5, document: document.clone(), journal: entry() };
    for (found, expected) in [
        (Some(item(6, 5, None, &document)), StoreOutcome::Stored),
        (Some(item(6, 5, None, &json!({ "phase": "seen" }))), StoreOutcome::Overtaken),
        (Some(item(7, 5, None, &document)), StoreOutcome::Overtaken),
        (Some(item(6, 6, Some(("r-2", "2026-11-20T10:00:30Z")), &document)), StoreOutcome::Overtaken),
        (None, StoreOutcome::Overtaken),
    ] {
        let server = CannedServer::start([cancelled(&[failed(found.clone()), none()])]).await;
        let outcome = server.aws().await.state("meshwarden").finish(&finish).await.unwrap();
        assert_eq!(outcome, expected, "{found:?}");
    }
}

#[tokio::test]
async fn repeated_note_is_stored_and_a_different_one_is_overtaken() {
    let document = json!({ "seen": "edit" });
    let note = Note { key: key(), revision: 5, now: now(), document: document.clone(), journal: None };
    for (found, expected) in [
        (Some(item(6, 5, None, &document)), StoreOutcome::Stored),
        (Some(item(5, 5, Some(("r-2", "2026-11-20T10:00:30Z")), &document)), StoreOutcome::Overtaken),
        (Some(item(7, 5, None, &document)), StoreOutcome::Overtaken),
    ] {
        let server = CannedServer::start([cancelled(&[failed(found.clone())])]).await;
        let outcome = server.aws().await.state("meshwarden").note(&note).await.unwrap();
        assert_eq!(outcome, expected, "{found:?}");
    }
}

#[tokio::test]
async fn load_is_one_consistent_read_and_repeats_unprocessed_keys() {
    let left = json!({ "meshwarden": { "Keys": [{ "pk": { "S": key().as_str() }, "sk": { "S": "document" } }] } });
    let budget = json!({ "pk": { "S": "budget/failover" }, "sk": { "S": "window#2026-11-20T10:00:00.000000000Z" }, "used": { "N": "3" } });
    let document = item(4, 2, Some(("r-9", "2026-11-20T09:59:00.25Z")), &json!({ "phase": "normal" }));
    let server = CannedServer::start([
        CannedResponse::ok(json!({ "Responses": { "meshwarden": [budget] }, "UnprocessedKeys": left })),
        CannedResponse::ok(json!({ "Responses": { "meshwarden": [document] }, "UnprocessedKeys": {} })),
    ])
    .await;
    let view = server.aws().await.state("meshwarden").load(&[key(), key()], &window()).await.unwrap();
    assert_eq!((view.budget.used, view.kill_switch), (3, None));
    let stored = &view.documents[&key()];
    assert_eq!((stored.revision, stored.epoch), (4, 2));
    assert_eq!(stored.lease.as_ref().unwrap().until, "2026-11-20T09:59:00.25Z".parse().unwrap());
    let first = &server.requests()[0].json()["RequestItems"]["meshwarden"];
    assert_eq!((first["Keys"].as_array().unwrap().len(), &first["ConsistentRead"]), (3, &json!(true)));
}

#[tokio::test]
async fn batch_without_any_processed_key_is_throttled() {
    let left = json!({ "meshwarden": { "Keys": [
        { "pk": { "S": "kill-switch" }, "sk": { "S": "state" } },
        { "pk": { "S": "budget/failover" }, "sk": { "S": "window#2026-11-20T10:00:00.000000000Z" } },
    ] } });
    let server = CannedServer::start([CannedResponse::ok(json!({ "Responses": {}, "UnprocessedKeys": left }))]).await;
    let error = server.aws().await.state("meshwarden").load(&[], &window()).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Throttled);
}

#[tokio::test]
async fn unreadable_document_is_an_error_with_its_name() {
    let mut broken = item(4, 2, None, &json!({}));
    broken["document"] = json!({ "S": "{" });
    let server = CannedServer::start([CannedResponse::ok(json!({ "Responses": { "meshwarden": [broken] } }))]).await;
    let error = server.aws().await.state("meshwarden").load(&[key()], &window()).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Other);
    assert!(error.message.contains("`route/shop/recommendations/all document`"), "{error}");
}
