//! The triggers of an invocation, all its deliveries together.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use mesh::alarm::AlarmName;
use mesh::name::RouteId;
use runner::events::{AlarmChannel, Delivery, Payload};

/// Alarms that changed, routes that were released, or a scheduled run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Trigger {
    /// The alarms that an event named.
    pub(crate) alarms: BTreeSet<AlarmName>,
    /// The subset of `alarms` that an action of the alarm named, not the event bus alone.
    pub(crate) by_action: BTreeSet<AlarmName>,
    /// The routes that an operator released, each with the latest time of the request; `None` if no event has a time.
    pub(crate) released: BTreeMap<RouteId, Option<Timestamp>>,
    /// Whether this is a scheduled run, which reads everything.
    pub(crate) tick: bool,
}

impl Trigger {
    pub(crate) fn new(deliveries: &[Delivery]) -> Self {
        let mut trigger = Self::default();
        for delivery in deliveries {
            match &delivery.payload {
                Payload::Alarm(alarm) => {
                    trigger.alarms.insert(alarm.name.clone());
                    if alarm.channel == AlarmChannel::Action {
                        trigger.by_action.insert(alarm.name.clone());
                    }
                }
                Payload::Release(release) => {
                    let requested = trigger.released.entry(release.route.clone()).or_default();
                    *requested = release.at.max(*requested);
                }
                Payload::Tick => trigger.tick = true,
                // These payloads carry no alarm; the next scheduled run reads their changes. The last two were reported
                // before the handler is called.
                Payload::Config(_)
                | Payload::MeshWrite(_)
                | Payload::Certificate(_)
                | Payload::Rollout(_)
                | Payload::Sweep { .. }
                | Payload::Drill(_)
                | Payload::NotOurs { .. }
                | Payload::Unreadable { .. } => {}
            }
        }
        trigger
    }
}
