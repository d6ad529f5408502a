//! The metrics of change events.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::Label;

/// What can become of an event: it was sent; it found its queue full; its receiver refused it; it was tried for too long.
const OUTCOMES: [&str; 4] = ["sent", "dropped", "refused", "given_up"];

/// Counted by the queues of events.
#[derive(Debug, Clone)]
pub(crate) struct EventMetrics(Family<[Label; 2], Counter>);

impl EventMetrics {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let events = Family::default();
        let help = "Change events, by receiver and by what became of them";
        registry.register("change_events", help, Family::clone(&events));
        Self(events)
    }

    /// Makes every series of a receiver be there, at 0.
    pub(crate) fn known(&self, receiver: &'static str) {
        for outcome in OUTCOMES {
            self.ended(receiver, outcome, 0);
        }
    }

    /// Counts what became of events.
    pub(crate) fn ended(&self, receiver: &'static str, outcome: &'static str, count: u64) {
        self.0.get_or_create(&[("receiver", receiver), ("outcome", outcome)]).inc_by(count);
    }
}
