//! Change events: every accepted write is told to whoever wants to know, in the shape of the events that CloudTrail sent.
//!
//! ```text
//!  write, done --> event --> a bounded queue for each receiver --> bus or webhook, again for a while
//!                                  |                                    |
//!                                  +------- full: dropped, counted -----+--- refused or given up: counted
//! ```
//!
//! A write never waits for an event and never fails by one. So an event may be lost (a queue that is full, a receiver
//! that is away for longer than is tried, a process that is killed), may come twice (an answer that was lost), and may
//! overtake another. Whoever acts on one reads the state; whoever must miss nothing looks at it by the clock as well.

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
use queue::Queue;
pub use webhook::{Webhook, WebhookError};

/// Who is told of changes.
#[derive(Debug, Clone)]
pub struct EventReceiver {
    /// What sort of receiver it is, in the metrics.
    pub kind: ReceiverKind,
    /// Takes the events.
    pub bus: Arc<dyn EventBus>,
}

/// The sorts of receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiverKind {
    /// An event bus of EventBridge.
    Bus,
    /// Whatever takes an HTTP request.
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

/// Tells changes.
#[derive(Debug)]
pub(crate) struct Events {
    queues: Vec<Queue>,
}

/// Who made a request, and how.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) caller: Caller,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) agent: Option<String>,
    pub(crate) operation: &'static str,
    /// The request's id, as its answer has it.
    pub(crate) id: String,
}

/// What admission said of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was done.
    Warned,
    /// It was refused.
    Denied,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warned => "warned",
            Self::Denied => "denied",
        })
    }
}

impl Events {
    /// Starts telling these.
    pub(crate) fn start(receivers: Vec<EventReceiver>, metrics: &Metrics) -> Self {
        let queue = |receiver: EventReceiver| Queue::start(receiver, metrics.events(), &Handle::current());
        Self { queues: receivers.into_iter().map(queue).collect() }
    }

    /// Whether nobody wants to know.
    pub(crate) fn are_off(&self) -> bool {
        self.queues.is_empty()
    }

    /// Tells that a write was done.
    pub(crate) fn changed(
        &self,
        asked: &Asked,
        write: &Write,
        after: Option<&Resource>,
        realm: &Realm,
        now: Timestamp,
    ) {
        if !self.are_off() {
            self.tell(&trail::call(asked, write, trail::Ended::Done(after), realm, now));
        }
    }

    /// Tells what admission said of a write; a write that it refused is also told as a failed call.
    pub(crate) fn judged(
        &self,
        asked: &Asked,
        write: &Write,
        outcome: Outcome,
        findings: &[Finding],
        realm: &Realm,
        now: Timestamp,
    ) {
        if self.are_off() || findings.is_empty() {
            return;
        }
        if outcome == Outcome::Denied {
            self.tell(&trail::call(asked, write, trail::Ended::Refused(findings), realm, now));
        }
        self.tell(&trail::admission(asked, write, outcome, findings, realm, now));
    }

    fn tell(&self, event: &BusEvent) {
        for queue in &self.queues {
            queue.push(event.clone());
        }
    }

    /// Tells what is queued, once, and for a short time only. Nothing may be pushed any more.
    pub(crate) async fn drain(&self) {
        for queue in &self.queues {
            queue.drain().await;
        }
    }
}
