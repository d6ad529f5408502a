//! The context of an observation.

use jiff::Timestamp;
use policy::FailoverPolicy;
use ports::BudgetWindow;

use crate::trigger::Trigger;

/// The context of one observation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadContext<'a> {
    /// The triggers of the invocation.
    pub(crate) trigger: &'a Trigger,
    /// The policy by which alarms are read.
    pub(crate) policy: &'a FailoverPolicy,
    /// The budget window.
    pub(crate) window: &'a BudgetWindow,
    /// The time of the observation.
    pub(crate) now: Timestamp,
}
