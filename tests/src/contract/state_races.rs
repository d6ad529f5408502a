//! The contract of [`StateStore`]: many writers at once.

use futures::future::join_all;
use ports::{Begin, Begun, Refusal, Spend, StateStore};

use super::state::{begin, now, view, window};

/// Runs every check, each with separate documents.
pub async fn all(store: &dyn StateStore) {
    of_many_who_begin_at_once_one_is_granted(store).await;
    a_budget_holds_when_many_spend_at_once(store).await;
}

async fn of_many_who_begin_at_once_one_is_granted(store: &dyn StateStore) {
    let begins: Vec<_> = (0..8).map(|n| begin("raced", 0, &format!("holder-{n}"), now())).collect();
    let begun = join_all(begins.iter().map(|begin| store.begin(begin))).await;
    let mut granted = 0;
    for outcome in begun {
        match outcome.unwrap() {
            Begun::Granted { epoch: 1, revision: 1 } => granted += 1,
            Begun::Refused(Refusal::LeaseHeld) => {}
            other => assert_eq!(other, Begun::Refused(Refusal::LeaseHeld)),
        }
    }
    assert_eq!(granted, 1);
}

async fn a_budget_holds_when_many_spend_at_once(store: &dyn StateStore) {
    let spend = || Some(Spend { window: window("raced"), cap: 3 });
    let begins: Vec<_> =
        (0..8).map(|n| Begin { spend: spend(), ..begin(&format!("raced-{n}"), 0, "a", now()) }).collect();
    let begun = join_all(begins.iter().map(|begin| store.begin(begin))).await;
    let granted = begun.into_iter().filter(|outcome| matches!(outcome, Ok(Begun::Granted { .. }))).count();
    assert_eq!(granted, 3);
    assert_eq!(view(store, "raced-0", "raced").await.budget.used, 3);
}
