//! Change events: every accepted write is sent to the configured receivers, in the format of CloudTrail events.
//!
//! ```text
//!  write, stored --> event --> a bounded queue for each receiver --> bus or webhook, with retries
//!                                  |                                    |
//!                                  +------- full: dropped, counted -----+--- refused or given up: counted
//! ```
//!
//! A write never waits for an event and never fails because of one. So an event may be lost: in a full queue, at a
//! receiver that fails for longer than the retries, or in a killed process. It may arrive twice, after a lost response,
//! and may overtake another one. A receiver must re-read the state, and poll it as well if it must not miss a change.

mod admission_outcome;
mod queue;
mod receiver;
mod request_context;
mod trail;
mod webhook;

use jiff::Timestamp;
use ports::BusEvent;
use rules::pack::Finding;
use tokio::runtime::Handle;

use crate::metrics::Metrics;
use crate::state::{Realm, Resource, Write};
pub(crate) use admission_outcome::AdmissionOutcome;
use queue::EventQueue;
pub use receiver::{EventReceiver, ReceiverKind};
pub(crate) use request_context::RequestContext;
pub use webhook::{Webhook, WebhookError};

/// Sends change events to all receivers.
#[derive(Debug)]
pub(crate) struct Events {
    queues: Vec<EventQueue>,
}

impl Events {
    /// Starts a queue for each receiver.
    pub(crate) fn start(receivers: Vec<EventReceiver>, metrics: &Metrics) -> Self {
        let queue = |receiver: EventReceiver| EventQueue::start(receiver, metrics.events(), &Handle::current());
        Self { queues: receivers.into_iter().map(queue).collect() }
    }

    /// Whether no receiver is configured.
    pub(crate) fn has_no_receivers(&self) -> bool {
        self.queues.is_empty()
    }

    /// Sends the event of a stored write.
    pub(crate) fn changed(
        &self,
        request: &RequestContext,
        write: &Write,
        after: Option<&Resource>,
        realm: &Realm,
        now: Timestamp,
    ) {
        if !self.has_no_receivers() {
            self.send(&trail::call(request, write, trail::CallResult::Done(after), realm, now));
        }
    }

    /// Sends the event of an admission result. A refused write is also sent as a failed call.
    pub(crate) fn judged(
        &self,
        request: &RequestContext,
        write: &Write,
        outcome: AdmissionOutcome,
        findings: &[Finding],
        realm: &Realm,
        now: Timestamp,
    ) {
        if self.has_no_receivers() || findings.is_empty() {
            return;
        }
        if outcome == AdmissionOutcome::Denied {
            self.send(&trail::call(request, write, trail::CallResult::Refused(findings), realm, now));
        }
        self.send(&trail::admission(request, write, outcome, findings, realm, now));
    }

    fn send(&self, event: &BusEvent) {
        for queue in &self.queues {
            queue.push(event.clone());
        }
    }

    /// Sends the queued events once, for a short time only. No event may be queued afterwards.
    pub(crate) async fn drain(&self) {
        for queue in &self.queues {
            queue.drain().await;
        }
    }
}
