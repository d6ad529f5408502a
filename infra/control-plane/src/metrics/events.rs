//! The metrics of change events.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::label::Label;

/// The outcomes of an event: it was sent; its queue was full; its receiver refused it; its retries ran out; the log lost its
/// entry before it was sent.
const OUTCOMES: [&str; 5] = ["sent", "dropped", "refused", "given_up", "expired"];

/// The label of a receiver, which has its name. The settings name few.
type ReceiverLabel = [(&'static str, String); 1];

/// Counted by the event queues and senders.
#[derive(Debug, Clone)]
pub(crate) struct EventMetrics {
    events: Family<[Label; 2], Counter>,
    backlog: Family<ReceiverLabel, Gauge>,
    sending: Family<ReceiverLabel, Gauge>,
}

impl EventMetrics {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self { events: Family::default(), backlog: Family::default(), sending: Family::default() };
        let help = "Change events, by receiver and outcome; of expired ones, their entries of the log";
        registry.register("change_events", help, metrics.events.clone());
        let help = "Entries of the shared log with change events that a receiver does not have yet";
        registry.register("change_events_backlog", help, metrics.backlog.clone());
        let help = "1 if this replica sends the change events of the shared log to a receiver";
        registry.register("change_events_sender", help, metrics.sending.clone());
        metrics
    }

    /// Creates every series of a receiver, with value 0.
    pub(crate) fn initialize(&self, receiver: &'static str) {
        for outcome in OUTCOMES {
            self.ended(receiver, outcome, 0);
        }
    }

    /// Counts events by their outcome.
    pub(crate) fn ended(&self, receiver: &'static str, outcome: &'static str, count: u64) {
        self.events.get_or_create(&[("receiver", receiver), ("outcome", outcome)]).inc_by(count);
    }

    /// Sets the number of entries of the log that a receiver lacks.
    pub(crate) fn backlog(&self, receiver: &str, entries: u64) {
        let label = [("receiver", receiver.to_owned())];
        self.backlog.get_or_create(&label).set(i64::try_from(entries).unwrap_or(i64::MAX));
    }

    /// Sets whether this replica sends to a receiver.
    pub(crate) fn sending(&self, receiver: &str, is_sender: bool) {
        self.sending.get_or_create(&[("receiver", receiver.to_owned())]).set(i64::from(is_sender));
    }
}
