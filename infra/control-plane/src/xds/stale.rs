//! What a replica serves while it cannot read its store.
//!
//! | proxy | while stale | once expired |
//! |-|-|-|
//! | connected | nothing new; its stream ends after some seconds, so that it finds a current replica | stream ends |
//! | returning with the versions of this replica | served | refused |
//! | returning with others | refused: it would go back, for example to weights before a failover | refused |
//! | new | served the last state | refused |

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tonic::Status;
use xds::ResourceType;

use super::AdsState;
use crate::store::Freshness;

/// How often the freshness is checked.
const CHECK: Duration = Duration::from_millis(250);

/// How long a stream stays open while the replica is stale.
const STREAM: Duration = Duration::from_secs(10);

/// Follows the freshness of the store until the server stops.
pub(super) async fn follow(state: &AdsState, fresh: watch::Sender<Freshness>) {
    let mut stop = state.stop.clone();
    let mut checks = interval(CHECK);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = checks.tick() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let (current, previous) = (state.registry.store().freshness(), *fresh.borrow());
        if current == previous {
            continue;
        }
        match current {
            Freshness::Current => tracing::info!("store can be read again; proxies are served the current state"),
            Freshness::Stale => tracing::warn!("store cannot be read; proxies are served nothing newer"),
            Freshness::Expired => tracing::error!("store could not be read for too long; streams of proxies end"),
        }
        fresh.send_replace(current);
    }
}

/// Waits for another freshness; for ever where it never changes.
pub(super) async fn changed(freshness: &mut watch::Receiver<Freshness>) {
    if freshness.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// When a stream that is open now ends because of the freshness; `None` if it does not.
pub(super) fn end_of_stream(freshness: Freshness, now: Instant) -> Option<Instant> {
    match freshness {
        Freshness::Current => None,
        Freshness::Stale => Some(now + STREAM),
        Freshness::Expired => Some(now),
    }
}

/// The end of a stream, or the refusal of one.
pub(super) fn refusal() -> Status {
    Status::unavailable("this replica of the control plane cannot read its store; connect to another one")
}

/// Whether a response to a client that reports an earlier version of this type would change it to the state of this
/// replica, which may be the older one. Secrets and endpoints do not come from the log.
pub(super) fn may_go_back(kind: Option<ResourceType>) -> bool {
    match kind {
        Some(ResourceType::Cluster | ResourceType::Listener | ResourceType::Route) => true,
        Some(ResourceType::Endpoint | ResourceType::Secret) | None => false,
    }
}
