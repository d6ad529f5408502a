//! Judges the tags of App Mesh resources for AWS Config, and repairs them by inheritance.
//!
//! ```text
//! AWS Config, CloudTrail, schedule ─▶ compliance (shared) over Topic::Tags ─▶ evaluations, TagResource
//! ```
//!
//! The policy and `rules::tags` define which tags are required and inherited, and when no repair is made. The crate
//! `compliance` implements the six steps. This crate writes only tags.

use compliance::{Compliance, Ports};
use policy::{Policy, PolicyError};
use rules::compliance::Topic;
use runner::{PolicyKeeper, Runner};

/// The topic of the function.
pub const TOPIC: Topic = Topic::Tags;

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
