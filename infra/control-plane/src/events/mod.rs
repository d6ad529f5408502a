//! Change events: every accepted write is sent to the configured receivers, in the format of CloudTrail events.
//!
//! ```text
//!  shared store:  write and event, one entry of the log --> sender of the replica that owns the cursor --> bus or webhook
//!
//!  otherwise:     write, stored --> event --> a bounded queue for each receiver --> bus or webhook, with retries
//!                                                 |                                    |
//!                                                 +------- full: dropped, counted -----+--- refused, given up: counted
//! ```
//!
//! A write never waits for the delivery of an event and never fails because of one.
//!
//! With a shared store, an accepted write and its events are one entry, so each event is sent at least once, also if the
//! replica that accepted the write ends before: see [`sender`]. Its id follows from its position in the log.
//!
//! Otherwise, and for refused writes, which the log does not have, an event may be lost: in a full queue, at a receiver
//! that fails for longer than the retries, or in a killed process. It may arrive twice, after a lost response, and may
//! overtake another one. Such a receiver must re-read the state, and poll it as well if it must not miss a change.

mod admission_outcome;
mod batch;
mod queue;
mod receiver;
mod request_context;
mod sender;
mod trail;
mod webhook;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use mesh::name::ResourcePath;
use ports::BusEvent;
use rules::pack::Finding;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use uuid::Uuid;

use crate::metrics::Metrics;
use crate::state::{Answer, Realm, Resource, Write};
use crate::storage::LogError;
use crate::store::{EventDraft, Store};
pub(crate) use admission_outcome::AdmissionOutcome;
use batch::LoggedEvent;
use queue::EventQueue;
pub use receiver::{EventReceiver, ReceiverKind};
pub(crate) use request_context::RequestContext;
use sender::EventSender;
pub use webhook::{Webhook, WebhookError};

/// How long the server's shutdown waits for a sender.
const SENDER_END: Duration = Duration::from_secs(5);

/// Sends change events to all receivers.
#[derive(Debug)]
pub(crate) struct Events {
    queues: Vec<EventQueue>,
    /// The senders of the events of a shared log.
    senders: Mutex<Vec<JoinHandle<()>>>,
    is_logged: bool,
    ending: watch::Sender<bool>,
}

impl Events {
    /// Starts a queue for each receiver, and a sender where replicas share the store. Fails if the cursor of a receiver
    /// cannot be stored: its events would be lost with this process.
    pub(crate) async fn start(
        receivers: Vec<EventReceiver>,
        metrics: &Metrics,
        store: &Store,
        realm: &Realm,
    ) -> Result<Self, LogError> {
        let (ending, ends) = watch::channel(false);
        let mut senders = Vec::new();
        let log = store.event_log();
        let is_logged = log.is_some() && !receivers.is_empty();
        for receiver in log.iter().flat_map(|log| receivers.iter().map(move |receiver| (log, receiver))) {
            let (log, receiver) = receiver;
            let sender = EventSender {
                receiver: receiver.clone(),
                log: Arc::clone(&log.log),
                cursors: Arc::clone(&log.cursors),
                replica: log.replica,
                realm: realm.clone(),
                head: log.head.clone(),
                metrics: metrics.events(),
                ends: ends.clone(),
                #[cfg(test)]
                mistake: None,
            };
            sender.begin().await?;
            senders.push(tokio::spawn(sender.run()));
        }
        let queue = |receiver: EventReceiver| EventQueue::start(receiver, metrics.events(), &Handle::current());
        let queues = receivers.into_iter().map(queue).collect();
        Ok(Self { queues, senders: Mutex::new(senders), is_logged, ending })
    }

    /// Whether no receiver is configured.
    pub(crate) fn has_no_receivers(&self) -> bool {
        self.queues.is_empty()
    }

    /// The events that have to be stored with an accepted write, if the log has them.
    pub(crate) fn draft(&self, request: &RequestContext, write: &Write, realm: &Realm) -> Option<EventDraft> {
        if !self.is_logged {
            return None;
        }
        let (request, write, realm) = (request.clone(), write.clone(), realm.clone());
        Some(EventDraft::new(move |answer, created, now| {
            let call = trail::call(&request, &write, trail::CallResult::Done(after(answer)), &realm, now);
            let mut events = vec![logged(&write.path, call)];
            if !created.is_empty() {
                let warned = trail::admission(&request, &write, AdmissionOutcome::Warned, created, &realm, now);
                events.push(logged(&write.path, warned));
            }
            events
        }))
    }

    /// Sends the events of a stored write, unless the log has them.
    pub(crate) fn changed(
        &self,
        request: &RequestContext,
        write: &Write,
        answer: &Answer,
        created: &[Finding],
        realm: &Realm,
        now: Timestamp,
    ) {
        if self.is_logged || self.has_no_receivers() {
            return;
        }
        self.send(trail::call(request, write, trail::CallResult::Done(after(answer)), realm, now));
        if !created.is_empty() {
            self.send(trail::admission(request, write, AdmissionOutcome::Warned, created, realm, now));
        }
    }

    /// Sends the events of a write that admission refused: a failed call, and the admission result.
    pub(crate) fn denied(
        &self,
        request: &RequestContext,
        write: &Write,
        findings: &[Finding],
        realm: &Realm,
        now: Timestamp,
    ) {
        if self.has_no_receivers() || findings.is_empty() {
            return;
        }
        self.send(trail::call(request, write, trail::CallResult::Refused(findings), realm, now));
        self.send(trail::admission(request, write, AdmissionOutcome::Denied, findings, realm, now));
    }

    fn send(&self, event: BusEvent) {
        let event = BusEvent { detail: batch::with_id(event.detail, Uuid::new_v4()), ..event };
        for queue in &self.queues {
            queue.push(event.clone());
        }
    }

    /// Sends the queued events once, for a short time only, and ends the senders. No event may be queued afterwards.
    pub(crate) async fn drain(&self) {
        self.ending.send_replace(true);
        let senders = std::mem::take(&mut *self.senders.lock().unwrap_or_else(PoisonError::into_inner));
        for mut sender in senders {
            if timeout(SENDER_END, &mut sender).await.is_err() {
                sender.abort();
                tracing::warn!("stopped while change events were sent; another replica sends them again");
            }
        }
        for queue in &self.queues {
            queue.drain().await;
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        for sender in self.senders.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            sender.abort();
        }
    }
}

/// The written resource, if the answer has it.
fn after(answer: &Answer) -> Option<&Resource> {
    match answer {
        Answer::Resource(resource) => Some(&**resource),
        Answer::Resources { .. } | Answer::Tags { .. } | Answer::Nothing => None,
    }
}

/// The document of an event in the log.
fn logged(path: &ResourcePath, event: BusEvent) -> String {
    let BusEvent { detail_type, detail, resources } = event;
    let event = LoggedEvent { resource: path.to_string(), detail_type, detail, resources };
    // Serialising a document of texts and JSON values cannot fail; an empty text would be reported as a lost event.
    serde_json::to_string(&event).unwrap_or_default()
}
