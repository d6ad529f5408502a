//! The alarms that a mesh needs for failover, and their comparison with the alarms of an account.
//!
//! ```text
//!   graph, policy ──▶ required ──▶ CloudFormation | Terraform
//!                         │
//!   the account's alarms ─┴──▶ check ──▶ targets without a usable alarm, and why
//! ```
//!
//! Each target of a weighted route has an alarm on the share of its requests that fail, one on its response time where
//! the policy has a bound, and a composite alarm over both that acts. They are on the dimensions `Mesh` and
//! `TargetVirtualNode`, under which the CloudWatch agent adds up what all callers see (`infra/deploy/cloudwatch-agent`):
//! one alarm for each target however many callers it has, and no `SEARCH`, which alarms can't have.
//!
//! Missing data is not breaching, on purpose: a target without a failed request has no metric of failures, and must be
//! `OK`, or it could never take over from another. A drained target is `OK` for the same reason, and that proves
//! nothing: its return is decided by data points of the metrics below the expression, which is why no expression fills
//! anything in.
//!
//! This module never decides the target of an alarm: it calls [`crate::failover`].

mod check;
mod cloudformation;
mod required;
mod terraform;

pub use check::{AccountAlarms, AlarmProblem, TargetCheck, Unprovable, check, rests_on_other_account, unprovable};
pub use cloudformation::{CloudFormationError, cloudformation};
pub use required::{AlarmKind, Metrics, NamedMetric, NodeAlarms, RequiredAlarm, required};
pub use terraform::terraform;
