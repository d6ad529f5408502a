//! What leaves a mesh: judged for AWS Config, and closed where that cuts nothing.
//!
//! ```text
//! AWS Config, CloudTrail, schedule ─▶ compliance (shared) over Topic::Egress ─▶ evaluations, UpdateMesh, UpdateVirtualNode
//! ```
//!
//! What is allowed and what a repair would cut is the policy's and `mesh::egress`'s business; the six steps are those of
//! the crate `compliance`. This crate never writes anything but egress filters and backends.

use compliance::{Compliance, Ports};
use lambda_kit::PolicyKeeper;
use mesh::compliance::Topic;
use mesh::policy::{Policy, PolicyError};

/// What the function is about.
pub const TOPIC: Topic = Topic::Egress;

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
