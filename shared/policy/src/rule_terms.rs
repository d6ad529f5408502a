//! The terms of rules that the policy and the pack share: ids, profiles, groups and severities.

mod group;
mod ids;
mod name;
mod profile;
mod severity;

pub use group::Group;
pub use ids::IDS;
pub use name::{RuleName, UnknownRule};
pub use profile::Profile;
pub use severity::Severity;
