//! What an invocation was woken for, all its deliveries together.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use lambda_kit::wake::{AlarmChannel, Delivery, Payload};
use mesh::alarm::AlarmName;
use mesh::name::RouteId;

/// Alarms that changed, routes that were released, or just the time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Wake {
    /// Alarms that an event named.
    pub(crate) alarms: BTreeSet<AlarmName>,
    /// Those of them that an action of the alarm named, and not the event bus alone.
    pub(crate) by_action: BTreeSet<AlarmName>,
    /// Routes that somebody gave back, each with the newest time at which it was asked for, if an event told.
    pub(crate) released: BTreeMap<RouteId, Option<Timestamp>>,
    /// Whether everything should be looked at.
    pub(crate) tick: bool,
}

impl Wake {
    pub(crate) fn of(deliveries: &[Delivery]) -> Self {
        let mut wake = Self::default();
        for delivery in deliveries {
            match &delivery.payload {
                Payload::Alarm(alarm) => {
                    wake.alarms.insert(alarm.name.clone());
                    if alarm.channel == AlarmChannel::Action {
                        wake.by_action.insert(alarm.name.clone());
                    }
                }
                Payload::Release(release) => {
                    let asked = wake.released.entry(release.route.clone()).or_default();
                    *asked = release.at.max(*asked);
                }
                Payload::Tick => wake.tick = true,
                // What says nothing of an alarm: the minute's wake sees what it changed. The last two were reported
                // before the handler is called.
                Payload::Config(_)
                | Payload::MeshWrite(_)
                | Payload::Certificate(_)
                | Payload::Sweep { .. }
                | Payload::NotOurs { .. }
                | Payload::Unreadable { .. } => {}
            }
        }
        wake
    }
}
