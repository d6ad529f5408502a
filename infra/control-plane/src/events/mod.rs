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

mod queue;
mod trail;
mod webhook;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;
use mesh::pack::Finding;
use ports::{BusEvent, EventBus};
use tokio::runtime::Handle;

use crate::auth::Caller;
use crate::metrics::Metrics;
use crate::state::{Realm, Resource, Write};
use queue::EventQueue;
pub use webhook::{Webhook, WebhookError};

/// A receiver of change events.
#[derive(Debug, Clone)]
pub struct EventReceiver {
    /// The kind of receiver, for metrics.
    pub kind: ReceiverKind,
    /// The connection to the receiver.
    pub bus: Arc<dyn EventBus>,
}

/// The kinds of receivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiverKind {
    /// An EventBridge event bus.
    Bus,
    /// A web server.
    Webhook,
}

impl ReceiverKind {
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Bus => "bus",
            Self::Webhook => "webhook",
        }
    }
}

/// Sends change events to all receivers.
#[derive(Debug)]
pub(crate) struct Events {
    queues: Vec<EventQueue>,
}

/// The caller and the circumstances of a request.
#[derive(Debug, Clone)]
pub(crate) struct RequestContext {
    pub(crate) caller: Caller,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) agent: Option<String>,
    pub(crate) operation: &'static str,
    /// The request id, as in the response.
    pub(crate) id: String,
}

/// The result of admission for a write with findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AdmissionOutcome {
    /// The write was stored.
    Warned,
    /// The write was refused.
    Denied,
}

impl fmt::Display for AdmissionOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warned => "warned",
            Self::Denied => "denied",
        })
    }
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
