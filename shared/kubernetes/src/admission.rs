//! Admission of objects and pods: `AdmissionReview` in, the same with a verdict out.
//!
//! ```text
//!   review ──▶ mutate:   awsName, meshRef, virtualGatewayRef of a new object ──▶ JSON patch, or a refusal
//!          ──▶ validate: spec, membership, immutable members, cut calls       ──▶ allowed with warnings, or a refusal
//! ```
//!
//! A refusal names the member and the remedy. A missing target refuses no object, since the objects of one `kubectl apply` arrive in
//! any order: it is a warning, and later the reason of a condition.

mod mutate;
mod review;
mod validate;

pub use mutate::mutate;
pub use review::{AdmissionVerdict, Operation, Review, ReviewError};
pub use validate::{HarmCheck, validate};

#[cfg(test)]
mod tests;
