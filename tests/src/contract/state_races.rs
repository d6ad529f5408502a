//! The contract of [`StateStore`]: many writers at once.

use futures::future::join_all;
use ports::{Begin, Begun, Refusal, Spend, StateStore};

use super::state::{begin, now, view, window};

/// Runs every check, each with separate documents.
pub async fn all(store: &dyn StateStore) {
    one_of_many_concurrent_begins_is_granted(store).await;
    budget_holds_with_many_concurrent_spends(store).await;
}

async fn one_of_many_concurrent_begins_is_granted(store: &dyn StateStore) {
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

async fn budget_holds_with_many_concurrent_spends(store: &dyn StateStore) {
    let spend = || Some(Spend { window: window("raced"), cap: 3 });
    let begins: Vec<_> =
        (0..8).map(|n| Begin { spend: spend(), ..begin(&format!("raced-{n}"), 0, "a", now()) }).collect();
    let begun = join_all(begins.iter().map(|begin| store.begin(begin))).await;
    let granted = begun.into_iter().filter(|outcome| matches!(outcome, Ok(Begun::Granted { .. }))).count();
    assert_eq!(granted, 3);
    assert_eq!(view(store, "raced-0", "raced").await.budget.used, 3);
}
