//! Follows the revocations of node tokens, so that streams of revoked tokens end.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;

use super::ads_stream::stopped;
use crate::state::Revocations;
use crate::store::Store;

/// The interval of looks at the state: a replica has the revocations of the others after its own poll of the store.
const INTERVAL: Duration = Duration::from_millis(250);

/// The revocations of the store, until the server stops.
pub(super) fn follow(store: &Arc<Store>, mut stop: watch::Receiver<bool>) -> watch::Receiver<Arc<Revocations>> {
    let current = store.inspect(|state| Arc::clone(state.revocations()));
    let (sender, receiver) = watch::channel(current);
    // The task must not hold the store: the next process may need its data.
    let store: Weak<Store> = Arc::downgrade(store);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = stopped(&mut stop) => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
            let Some(store) = store.upgrade() else { return };
            let current = store.inspect(|state| Arc::clone(state.revocations()));
            drop(store);
            sender.send_if_modified(|known| {
                let is_changed = !Arc::ptr_eq(known, &current);
                *known = current;
                is_changed
            });
        }
    });
    receiver
}
