//! The reasons why a change cannot be applied.

use thiserror::Error;

use crate::certificates::SpecLocation;
use crate::name::{ResourcePath, RouteId};
use crate::spec::{Port, RouteRule};
use crate::split::WeightSplit;

/// The reason why a change cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChangeError {
    /// The route does not exist in the mesh.
    #[error("route {route} does not exist")]
    NoRoute {
        /// The route.
        route: RouteId,
    },
    /// The route's targets differ from the targets of the weights.
    #[error("route {route} has the targets {current}, but the weights are for {given}")]
    TargetsDiffer {
        /// The route.
        route: RouteId,
        /// The targets of the route.
        current: WeightSplit,
        /// The targets of the weights.
        given: WeightSplit,
    },
    /// The kind of the route is unknown.
    #[error("route {route} has an unknown kind; known kinds are {}", known_kinds())]
    UnknownRouteKind {
        /// The route.
        route: RouteId,
    },
    /// The resource does not exist in the mesh, or lacks the changed member.
    #[error("failed to change {resource}: {problem}")]
    Impossible {
        /// The resource.
        resource: ResourcePath,
        /// The problem.
        problem: &'static str,
    },
    /// The resource does not exist in the mesh.
    #[error("{resource} does not exist")]
    NoResource {
        /// The resource.
        resource: ResourcePath,
    },
    /// The change does not apply to this kind of resource.
    #[error("the change does not apply to {resource}")]
    OtherKind {
        /// The resource.
        resource: ResourcePath,
    },
    /// The resource has no listener with an ACM certificate on this port.
    #[error("{resource} has no listener {port} with a certificate from ACM")]
    NoAcmListener {
        /// The resource.
        resource: ResourcePath,
        /// The port.
        port: Port,
    },
    /// The resource has no such policy, and cannot have one.
    #[error("{resource} has no place for this policy: {place}")]
    NoPlace {
        /// The resource.
        resource: ResourcePath,
        /// The location of the policy.
        place: SpecLocation,
    },
    /// The policy trusts files or a secret discovery service.
    #[error("the {place} of {resource} doesn't trust private CAs by their ARNs")]
    OtherTrust {
        /// The resource.
        resource: ResourcePath,
        /// The location of the policy.
        place: SpecLocation,
    },
    /// App Mesh permits one to three CAs.
    #[error("invalid number of private CAs for {resource}: expected 1 to 3, got {given}")]
    AuthorityLimit {
        /// The resource.
        resource: ResourcePath,
        /// The given number.
        given: usize,
    },
}

fn known_kinds() -> String {
    <RouteRule as crate::spec::wire::Union>::MEMBERS.join(", ")
}
