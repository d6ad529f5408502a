//! The ADS stream as a state machine.
//!
//! ```text
//!   request (subscription, ACK, NACK) ─┐
//!                                      ├─▶ stream ──▶ responses, in the order that breaks nothing
//!   new snapshot ──────────────────────┘
//! ```
//!
//! An update is pushed type by type: clusters, endpoints, secrets, listeners, routes. A later type waits until all before
//! it are acknowledged or refused, so that a route never comes before its cluster. Endpoints and secrets don't wait for
//! the clusters, though: Envoy acknowledges clusters when they are warm, for which it needs just those, and without them
//! it gives up after fifteen seconds. What goes away goes last: clusters that the new routes no longer name are kept
//! until listeners and routes are acknowledged, and for as long as any of those is refused, since the proxy then still
//! uses its last good ones.
//!
//! What a client asks for it is given even if nothing changed, since it waits for that; in its type's turn, since a route
//! of a new snapshot may lead to a cluster that the client is only about to get.
//!
//! A refused version is not sent again; the next one that differs is.
//!
//! A client that comes back keeps what its routes use, too. By delta it says what it has. By state of the world it says
//! the version of its clusters and nothing more, so whoever ends a stream keeps what the client may have
//! ([`SotwStream::clusters`]) for the next one.

mod delta;
mod sotw;
mod status;

pub use delta::DeltaStream;
pub use sotw::{FormerClusters, SotwStream};
pub use status::{Nack, Status, TypeStatus};

use crate::resource::ResourceType;

/// Types whose resources may go only when nothing that was acknowledged can name them any more.
const fn goes_last(kind: ResourceType) -> bool {
    match kind {
        ResourceType::Cluster | ResourceType::Endpoint | ResourceType::Secret => true,
        ResourceType::Listener | ResourceType::Route => false,
    }
}

/// Types whose resources lead traffic to clusters, which have to be there, and warm.
const fn leads(kind: ResourceType) -> bool {
    match kind {
        ResourceType::Listener | ResourceType::Route => true,
        ResourceType::Cluster | ResourceType::Endpoint | ResourceType::Secret => false,
    }
}

/// The types whose resources a change of this one's makes Envoy wait for anew, though their own did not change: a
/// cluster that is replaced warms up until its endpoints come once more.
const fn awaited_after(kind: ResourceType) -> &'static [ResourceType] {
    match kind {
        ResourceType::Cluster => &[ResourceType::Endpoint, ResourceType::Secret],
        ResourceType::Listener => &[ResourceType::Route, ResourceType::Secret],
        ResourceType::Endpoint | ResourceType::Secret | ResourceType::Route => &[],
    }
}
