//! The ADS stream as a state machine.
//!
//! ```text
//!   request (subscription, ACK, NACK) ─┐
//!                                      ├─▶ stream ──▶ responses, in the order that breaks nothing
//!   new snapshot ──────────────────────┘
//! ```
//!
//! An update is sent type by type: clusters, endpoints, secrets, listeners, routes. A type waits until all earlier
//! types are acknowledged or refused, so that a route never arrives before its cluster. Endpoints and secrets do not
//! wait for the clusters. Envoy acknowledges clusters when they are warm, and needs the endpoints and secrets for that.
//! Without them it gives up after fifteen seconds. Removals come last. Clusters that the new routes no longer name are
//! kept until the client acknowledges listeners and routes, and then for a time that the caller measures: a worker thread
//! of the proxy may have a request or connection on its way to them. They are also kept while a listener or route is
//! refused, because the proxy then still uses its last good version.
//!
//! Route configurations are sent before the listeners while the client still holds one that none of its listeners names: a
//! listener that names it again would be active at once with the old content (see `idle_routes`).
//!
//! The route configurations of a virtual gateway are sent one after the other, because those of its ingress side lead to
//! the targets that its egress side has (see `route_steps`).
//!
//! A requested resource is sent even if it did not change, because the client waits for it. It is sent in the turn of
//! its type. A route of a new snapshot may lead to a cluster that the client does not have yet.
//!
//! A refused version is not sent again. The next different version is sent.
//!
//! A returning client also keeps the clusters that its routes use, and the targets of its gateway routes. In the delta
//! protocol it reports the versions of its resources. In the state-of-the-world protocol it reports only one version for
//! each type. The caller that ends a stream must therefore keep the resources that the client may have
//! ([`SotwStream::resources_for_next_stream`], [`DeltaStream::resources_for_next_stream`]) for the next stream.

mod delta;
mod idle_routes;
mod previous;
mod route_steps;
mod sotw;
mod status;

pub use delta::DeltaStream;
pub use previous::PreviousResources;
pub use sotw::SotwStream;
pub use status::{Nack, Status, TypeStatus};

use crate::resource::ResourceType;

/// Whether resources of this type are removed only when no acknowledged resource can name them any more.
const fn is_removed_last(kind: ResourceType) -> bool {
    match kind {
        ResourceType::Cluster | ResourceType::Endpoint | ResourceType::Secret => true,
        ResourceType::Listener | ResourceType::Route => false,
    }
}

/// Whether resources of this type send traffic to clusters, which must exist and be warm.
const fn uses_clusters(kind: ResourceType) -> bool {
    match kind {
        ResourceType::Listener | ResourceType::Route => true,
        ResourceType::Cluster | ResourceType::Endpoint | ResourceType::Secret => false,
    }
}

/// The types that Envoy waits for again after a change of this type, even if their own resources did not change. For
/// example, a replaced cluster warms up until its endpoints arrive again.
const fn awaited_after(kind: ResourceType) -> &'static [ResourceType] {
    match kind {
        ResourceType::Cluster => &[ResourceType::Endpoint, ResourceType::Secret],
        ResourceType::Listener => &[ResourceType::Route, ResourceType::Secret],
        ResourceType::Endpoint | ResourceType::Secret | ResourceType::Route => &[],
    }
}
