//! The input for the target of each alarm.

use std::collections::BTreeMap;

use jiff::Timestamp;

use mesh::alarm::{Alarm, AlarmName};
use policy::FailoverPolicy;

/// Tags of alarms by the alarm's name.
pub type AlarmTags = BTreeMap<AlarmName, BTreeMap<String, String>>;

/// The input for the target of each alarm.
pub(super) struct Context<'a> {
    pub(super) by_name: BTreeMap<&'a AlarmName, &'a Alarm>,
    pub(super) tags: &'a AlarmTags,
    pub(super) policy: &'a FailoverPolicy,
    pub(super) now: Timestamp,
}
