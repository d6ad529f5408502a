//! Tags of App Mesh resources: judged for AWS Config, and mended by inheritance.
//!
//! ```text
//! AWS Config, CloudTrail, schedule ─▶ compliance (shared) over Topic::Tags ─▶ evaluations, TagResource
//! ```
//!
//! What is required, what is handed down and when nothing is done is the policy's and `mesh::tags`'s business; the six
//! steps are those of the crate `compliance`. This crate never writes anything but tags.

use compliance::{Compliance, Ports};
use lambda_kit::PolicyKeeper;
use mesh::compliance::Topic;
use mesh::policy::{Policy, PolicyError};

/// What the function is about.
pub const TOPIC: Topic = Topic::Tags;

/// The function's name, in reports and metrics.
pub const NAME: &str = compliance::name(TOPIC);

/// Puts the function together.
#[must_use]
pub fn function(ports: Ports, policy: PolicyKeeper<Policy, PolicyError>) -> Compliance {
    Compliance::new(TOPIC, ports, policy)
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_called_like_its_folder() {
        assert_eq!(super::NAME, env!("CARGO_PKG_NAME"));
    }
}
