//! The metrics of change events.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::label::Label;

/// The outcomes of an event: it was sent; its queue was full; its receiver refused it; its retries ran out.
const OUTCOMES: [&str; 4] = ["sent", "dropped", "refused", "given_up"];

/// Counted by the event queues.
#[derive(Debug, Clone)]
pub(crate) struct EventMetrics(Family<[Label; 2], Counter>);

impl EventMetrics {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let events = Family::default();
        let help = "Change events, by receiver and outcome";
        registry.register("change_events", help, Family::clone(&events));
        Self(events)
    }

    /// Creates every series of a receiver, with value 0.
    pub(crate) fn initialize(&self, receiver: &'static str) {
        for outcome in OUTCOMES {
            self.ended(receiver, outcome, 0);
        }
    }

    /// Counts events by their outcome.
    pub(crate) fn ended(&self, receiver: &'static str, outcome: &'static str, count: u64) {
        self.0.get_or_create(&[("receiver", receiver), ("outcome", outcome)]).inc_by(count);
    }
}
