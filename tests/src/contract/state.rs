//! The contract of [`StateStore`]: one writer at a time.

use jiff::{SignedDuration, Timestamp};
use ports::{
    Begin, Begun, BudgetWindow, Finish, JournalEntry, KillSwitch, Note, Refusal, Spend, StateKey, StateStore,
    StateView, StoreOutcome, Stored,
};
use serde_json::{Value, json};

/// Runs every check, each with separate documents. The last checks use the kill switch, which applies to
/// the whole table.
pub async fn all(store: &dyn StateStore) {
    unwritten_document_is_missing(store).await;
    begin_acquires_the_lease_and_finish_releases_it(store).await;
    lease_excludes_others_until_it_expires(store).await;
    late_holder_is_fenced(store).await;
    changed_revision_is_refused(store).await;
    begin_with_a_lost_response_is_granted_once(store).await;
    finish_with_a_lost_response_is_stored_once(store).await;
    same_holder_gets_its_lease_again(store).await;
    notes_need_the_revision_and_no_lease(store).await;
    note_over_an_expired_lease_fences_its_holder(store).await;
    budget_is_spent_up_to_its_cap(store).await;
    the_journal_is_read_newest_first(store).await;
    many_documents_are_read_at_once(store).await;
    the_kill_switch_refuses_every_begin(store).await;
    refusals_have_a_fixed_order(store).await;
}

/// The current time of all checks.
#[must_use]
pub fn now() -> Timestamp {
    "2026-11-20T10:00:00.25Z".parse().unwrap()
}

fn later(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

/// The key of a route with this name.
pub(super) fn key(name: &str) -> StateKey {
    StateKey::route(&format!("shop/recs/{name}").parse().unwrap())
}

/// A budget of a class with this name.
pub(super) fn window(class: &str) -> BudgetWindow {
    BudgetWindow { class: class.to_owned(), start: now(), end: later(3600) }
}

pub(super) fn entry(at: Timestamp, id: &str) -> JournalEntry {
    JournalEntry { at, id: id.to_owned(), body: json!({ "entry": id }) }
}

/// A begin by `holder` that spends nothing.
pub(super) fn begin(name: &str, revision: u64, holder: &str, at: Timestamp) -> Begin {
    Begin {
        key: key(name),
        revision,
        holder: holder.to_owned(),
        now: at,
        lease: SignedDuration::from_secs(30),
        document: json!({ "intent": holder, "share": 0.05 }),
        spend: None,
        journal: entry(at, &format!("begin-{holder}")),
    }
}

fn finish(name: &str, epoch: u64, document: Value) -> Finish {
    Finish { key: key(name), epoch, document, journal: entry(later(1), "finish") }
}

fn note(name: &str, revision: u64, at: Timestamp, document: Value) -> Note {
    Note { key: key(name), revision, now: at, document, journal: Some(entry(at, "note")) }
}

pub(super) async fn view(store: &dyn StateStore, name: &str, class: &str) -> StateView {
    store.load(&[key(name)], &window(class)).await.unwrap()
}

async fn stored(store: &dyn StateStore, name: &str) -> Stored {
    view(store, name, "none").await.documents.remove(&key(name)).unwrap()
}

async fn journal(store: &dyn StateStore, name: &str) -> Vec<String> {
    let entries = store.journal(&key(name), 100).await.unwrap();
    entries.into_iter().map(|entry| entry.id).collect()
}

fn granted(epoch: u64) -> Begun {
    Begun::Granted { epoch, revision: epoch }
}

async fn unwritten_document_is_missing(store: &dyn StateStore) {
    assert_eq!(view(store, "never", "never").await, StateView::default());
    assert_eq!(journal(store, "never").await, Vec::<String>::new());
}

async fn begin_acquires_the_lease_and_finish_releases_it(store: &dyn StateStore) {
    assert_eq!(store.begin(&begin("cycle", 0, "a", now())).await.unwrap(), granted(1));
    let held = stored(store, "cycle").await;
    assert_eq!((held.revision, held.epoch), (1, 1));
    let lease = held.lease.unwrap();
    assert_eq!((lease.holder.as_str(), lease.until), ("a", later(30)));
    assert_eq!(held.document, json!({ "intent": "a", "share": 0.05 }));

    let done = json!({ "phase": "shifted" });
    assert_eq!(store.finish(&finish("cycle", 1, done.clone())).await.unwrap(), StoreOutcome::Stored);
    assert_eq!(stored(store, "cycle").await, Stored { revision: 2, epoch: 1, lease: None, document: done });
    assert_eq!(journal(store, "cycle").await, ["finish", "begin-a"]);
    assert_eq!(store.begin(&begin("cycle", 2, "b", later(2))).await.unwrap(), granted(3));
}

async fn lease_excludes_others_until_it_expires(store: &dyn StateStore) {
    store.begin(&begin("leased", 0, "a", now())).await.unwrap();
    for at in [now(), later(29)] {
        let begun = store.begin(&begin("leased", 1, "b", at)).await.unwrap();
        assert_eq!(begun, Begun::Refused(Refusal::LeaseHeld));
    }
    assert_eq!(journal(store, "leased").await, ["begin-a"], "a refusal stores nothing");
    assert_eq!(store.begin(&begin("leased", 1, "b", later(30))).await.unwrap(), granted(2));
}

async fn late_holder_is_fenced(store: &dyn StateStore) {
    store.begin(&begin("late", 0, "a", now())).await.unwrap();
    store.begin(&begin("late", 1, "b", later(31))).await.unwrap();
    assert_eq!(store.finish(&finish("late", 1, json!("a's"))).await.unwrap(), StoreOutcome::Overtaken);
    assert_eq!(stored(store, "late").await.document["intent"], "b");
    assert_eq!(store.finish(&finish("late", 2, json!("b's"))).await.unwrap(), StoreOutcome::Stored);
    assert_eq!(stored(store, "late").await.document, json!("b's"));
    assert_eq!(store.finish(&finish("nowhere", 1, json!(1))).await.unwrap(), StoreOutcome::Overtaken);
}

async fn changed_revision_is_refused(store: &dyn StateStore) {
    let moved = Begun::Refused(Refusal::RevisionMoved);
    assert_eq!(store.begin(&begin("moved", 3, "a", now())).await.unwrap(), moved, "the document does not exist");
    store.note(&note("moved", 0, now(), json!(1))).await.unwrap();
    assert_eq!(store.begin(&begin("moved", 0, "a", now())).await.unwrap(), moved);
    assert_eq!(store.begin(&begin("moved", 2, "a", now())).await.unwrap(), moved);
    assert_eq!(store.begin(&begin("moved", 1, "a", now())).await.unwrap(), granted(2));
}

async fn begin_with_a_lost_response_is_granted_once(store: &dyn StateStore) {
    let spend = Some(Spend { window: window("lost"), cap: 1 });
    let begin = Begin { spend, ..begin("lost", 0, "a", now()) };
    for _ in 0..3 {
        assert_eq!(store.begin(&begin).await.unwrap(), granted(1));
    }
    let view = view(store, "lost", "lost").await;
    assert_eq!((view.budget.used, view.documents[&key("lost")].revision), (1, 1));
    assert_eq!(journal(store, "lost").await, ["begin-a"]);
    // A begin with another plan is another one, which has to be based on the stored revision.
    let other = Begin { document: json!("another plan"), ..begin };
    assert_eq!(store.begin(&other).await.unwrap(), Begun::Refused(Refusal::RevisionMoved));
}

async fn finish_with_a_lost_response_is_stored_once(store: &dyn StateStore) {
    store.begin(&begin("finished", 0, "a", now())).await.unwrap();
    let finish = finish("finished", 1, json!("done"));
    for _ in 0..3 {
        assert_eq!(store.finish(&finish).await.unwrap(), StoreOutcome::Stored);
    }
    assert_eq!(stored(store, "finished").await.revision, 2);
    // A repeated finish does not overwrite a later note.
    store.note(&note("finished", 2, now(), json!("seen"))).await.unwrap();
    assert_eq!(store.finish(&finish).await.unwrap(), StoreOutcome::Overtaken);
    assert_eq!(stored(store, "finished").await.document, json!("seen"));
}

async fn same_holder_gets_its_lease_again(store: &dyn StateStore) {
    store.begin(&begin("again", 0, "a", now())).await.unwrap();
    assert_eq!(store.begin(&begin("again", 1, "a", later(10))).await.unwrap(), granted(2));
    assert_eq!(stored(store, "again").await.lease.unwrap().until, later(40));
    assert_eq!(store.finish(&finish("again", 1, json!(1))).await.unwrap(), StoreOutcome::Overtaken);
}

async fn notes_need_the_revision_and_no_lease(store: &dyn StateStore) {
    assert_eq!(store.note(&note("noted", 0, now(), json!(1))).await.unwrap(), StoreOutcome::Stored);
    assert_eq!(stored(store, "noted").await, Stored { revision: 1, epoch: 0, lease: None, document: json!(1) });
    assert_eq!(store.note(&note("noted", 0, now(), json!(2))).await.unwrap(), StoreOutcome::Overtaken);
    for _ in 0..2 {
        let again = Note { journal: None, ..note("noted", 1, now(), json!(3)) };
        assert_eq!(store.note(&again).await.unwrap(), StoreOutcome::Stored, "a repeated note after a lost response");
    }
    assert_eq!(stored(store, "noted").await.revision, 2);
    store.begin(&begin("noted", 2, "a", now())).await.unwrap();
    assert_eq!(store.note(&note("noted", 3, later(29), json!(4))).await.unwrap(), StoreOutcome::Overtaken);
    assert_eq!(journal(store, "noted").await, ["note", "begin-a"]);
}

async fn note_over_an_expired_lease_fences_its_holder(store: &dyn StateStore) {
    store.begin(&begin("lapsed", 0, "a", now())).await.unwrap();
    assert_eq!(store.note(&note("lapsed", 1, later(30), json!("seen"))).await.unwrap(), StoreOutcome::Stored);
    assert_eq!(store.finish(&finish("lapsed", 1, json!("late"))).await.unwrap(), StoreOutcome::Overtaken);
    assert_eq!(stored(store, "lapsed").await, Stored { revision: 2, epoch: 1, lease: None, document: json!("seen") });
}

async fn budget_is_spent_up_to_its_cap(store: &dyn StateStore) {
    let spending = |name: &str, class: &str, cap: u32| Begin {
        spend: Some(Spend { window: window(class), cap }),
        ..begin(name, 0, "a", now())
    };
    let spent = Begun::Refused(Refusal::BudgetSpent);
    assert_eq!(store.begin(&spending("spend-0", "zero", 0)).await.unwrap(), spent, "the budget is empty");
    assert_eq!(store.begin(&spending("spend-1", "two", 2)).await.unwrap(), granted(1));
    assert_eq!(store.begin(&spending("spend-2", "two", 2)).await.unwrap(), granted(1));
    assert_eq!(store.begin(&spending("spend-3", "two", 2)).await.unwrap(), spent);
    let view = view(store, "spend-3", "two").await;
    assert_eq!((view.budget.used, view.documents.len()), (2, 0), "a refusal stores nothing");
    assert_eq!(
        store.begin(&begin("spend-3", 0, "a", now())).await.unwrap(),
        granted(1),
        "a restore does not use the budget"
    );
    assert_eq!(
        store.begin(&spending("spend-4", "other", 2)).await.unwrap(),
        granted(1),
        "each class has a separate budget"
    );
}

async fn the_journal_is_read_newest_first(store: &dyn StateStore) {
    for (revision, (second, id)) in [(0, "a"), (0, "b"), (9, "c"), (10, "d")].into_iter().enumerate() {
        let at = later(second);
        let revision = u64::try_from(revision).unwrap();
        let note = Note { journal: Some(entry(at, id)), ..note("journal", revision, at, json!(id)) };
        store.note(&note).await.unwrap();
    }
    assert_eq!(journal(store, "journal").await, ["d", "c", "b", "a"]);
    let newest = store.journal(&key("journal"), 2).await.unwrap();
    assert_eq!(newest, [entry(later(10), "d"), entry(later(9), "c")]);
    assert_eq!(store.journal(&key("journal"), 0).await.unwrap(), []);
}

async fn many_documents_are_read_at_once(store: &dyn StateStore) {
    let names: Vec<_> = (0..130).map(|n| format!("many-{n}")).collect();
    for name in &names {
        store.note(&note(name, 0, now(), json!(name))).await.unwrap();
    }
    let keys: Vec<_> = names.iter().chain(&names).map(|name| key(name)).collect();
    let view = store.load(&keys, &window("none")).await.unwrap();
    assert_eq!(view.documents.len(), 130);
    assert!(names.iter().all(|name| view.documents[&key(name)].document == json!(name)));
}

fn switch() -> KillSwitch {
    KillSwitch { by: "dana".into(), reason: "maintenance".into(), at: now() }
}

async fn the_kill_switch_refuses_every_begin(store: &dyn StateStore) {
    store.set_kill_switch(Some(&switch())).await.unwrap();
    assert_eq!(view(store, "killed", "none").await.kill_switch, Some(switch()));
    let begun = store.begin(&begin("killed", 0, "a", now())).await.unwrap();
    assert_eq!(begun, Begun::Refused(Refusal::KillSwitchOn));
    assert_eq!(store.note(&note("killed", 0, now(), json!("held"))).await.unwrap(), StoreOutcome::Stored);
    for _ in 0..2 {
        store.set_kill_switch(None).await.unwrap();
    }
    assert_eq!(view(store, "killed", "none").await.kill_switch, None);
    assert_eq!(store.begin(&begin("killed", 1, "a", now())).await.unwrap(), granted(2));
}

async fn refusals_have_a_fixed_order(store: &dyn StateStore) {
    store.begin(&begin("order", 0, "a", now())).await.unwrap();
    let all_wrong = Begin { spend: Some(Spend { window: window("zero"), cap: 0 }), ..begin("order", 7, "b", now()) };
    let lapsed = Begin { now: later(30), ..all_wrong.clone() };
    let right_revision = Begin { revision: 1, ..lapsed.clone() };
    store.set_kill_switch(Some(&switch())).await.unwrap();
    assert_eq!(store.begin(&all_wrong).await.unwrap(), Begun::Refused(Refusal::KillSwitchOn));
    store.set_kill_switch(None).await.unwrap();
    assert_eq!(store.begin(&all_wrong).await.unwrap(), Begun::Refused(Refusal::LeaseHeld));
    assert_eq!(store.begin(&lapsed).await.unwrap(), Begun::Refused(Refusal::RevisionMoved));
    assert_eq!(store.begin(&right_revision).await.unwrap(), Begun::Refused(Refusal::BudgetSpent));
}
