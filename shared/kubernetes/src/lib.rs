//! App Mesh objects of a Kubernetes cluster: the resources that they declare, their conditions, admission and sidecars.
//!
//! ```text
//!   objects, namespaces ──▶ Declarations ──▶ reconcile ──▶ steps of `import` + deletions ──▶ (writes) ──▶ statuses
//!                                └──▶ admission: defaults, refusals with member and remedy
//!   pod ──▶ injection: redirect rules, bootstrap and Envoy as a JSON patch, or a refusal
//! ```
//!
//! The objects are read by the readers of manifests, so that a cluster and the same files in `check` or `import` lead to the
//! same resources.
//!
//! This crate never makes a call. It never deletes a resource that no object of the cluster created, and never one because an
//! object is absent from a list.

pub mod admission;
mod cluster;
mod declared;
mod deletions;
#[cfg(test)]
mod fixture;
pub mod injection;
mod object;
mod owner;
mod problem;
mod reconcile;
mod reconciliation;
mod status;
mod weights;

pub use cluster::ClusterObjects;
pub use declared::Declarations;
pub use object::{API_VERSION, MEMBERS_FINALIZER, Object, ObjectError, ObjectKey, ObjectKind, RESOURCES_FINALIZER};
pub use owner::{ADOPT_ANNOTATION, ClusterName, ClusterNameError, OWNER_TAG};
pub use problem::{Problem, ProblemCode};
pub use reconcile::{meshes, reconcile};
pub use reconciliation::{OwnedStep, Reconciliation};
pub use status::{ACTIVE_REASON, statuses};
pub use weights::WEIGHTS_TAG;
