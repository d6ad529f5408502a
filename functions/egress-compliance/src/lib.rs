//! Judges the egress of meshes for AWS Config, and restricts it where no traffic is cut off.
//!
//! ```text
//! AWS Config, CloudTrail, schedule ─▶ compliance (shared) over Topic::Egress ─▶ evaluations, UpdateMesh,
//!                                                                               UpdateVirtualNode
//! ```
//!
//! The policy and `rules::egress` define which egress is allowed and which traffic a repair would cut off. The crate
//! `compliance` implements the six steps. This crate writes only egress filters and backends.

use compliance::{Compliance, Ports};
use policy::{Policy, PolicyError};
use rules::compliance::Topic;
use runner::{PolicyKeeper, Runner};

/// The topic of the function.
pub const TOPIC: Topic = Topic::Egress;

/// The function's name, in reports and metrics.
pub const NAME: &str = compliance::name(TOPIC);

/// Creates the function from its ports and its policy.
#[must_use]
pub fn function(ports: Ports, policy: PolicyKeeper<Policy, PolicyError>) -> Runner<Compliance> {
    compliance::function(TOPIC, ports, policy)
}

#[cfg(test)]
mod tests {
    #[test]
    fn name_is_the_name_of_the_package() {
        assert_eq!(super::NAME, env!("CARGO_PKG_NAME"));
    }
}
