//! The queue of events to one receiver.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ports::BusEvent;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::EventReceiver;
use crate::metrics::EventMetrics;

/// How many events wait for a receiver. At a thousand writes a second this covers an outage of a second, at one a
/// second an outage of a quarter of an hour. An event has a few kilobytes.
const QUEUE_LENGTH: usize = 1000;

/// How many events are sent at a time: the limit of one `PutEvents` call.
const BATCH: usize = 10;

/// The pauses between the attempts of a batch: about a minute in total. Other events wait behind it.
const PAUSES: [Duration; 8] = [
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(6),
    Duration::from_secs(12),
    Duration::from_secs(18),
    Duration::from_secs(20),
];

/// The timeout of an attempt.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long the server's shutdown waits for queued events.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// A queue and its worker task.
#[derive(Debug)]
pub(super) struct EventQueue {
    kind: &'static str,
    metrics: EventMetrics,
    sender: Mutex<Option<mpsc::Sender<BusEvent>>>,
    ending: watch::Sender<bool>,
    worker: Mutex<Option<JoinHandle<()>>>,
}

impl EventQueue {
    pub(super) fn start(receiver: EventReceiver, metrics: EventMetrics, runtime: &Handle) -> Self {
        let (sender, queued) = mpsc::channel(QUEUE_LENGTH);
        let (ending, ends) = watch::channel(false);
        let kind = receiver.kind.label();
        metrics.initialize(kind);
        let worker = runtime.spawn(work(receiver, queued, metrics.clone(), ends));
        Self { kind, metrics, sender: Mutex::new(Some(sender)), ending, worker: Mutex::new(Some(worker)) }
    }

    /// Queues an event, or drops it if the queue is full; never waits.
    pub(super) fn push(&self, event: BusEvent) {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let is_queued = sender.as_ref().is_some_and(|sender| sender.try_send(event).is_ok());
        drop(sender);
        if !is_queued {
            self.metrics.ended(self.kind, "dropped", 1);
        }
    }

    pub(super) async fn drain(&self) {
        drop(self.sender.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.ending.send_replace(true);
        let worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut worker) = worker else { return };
        if timeout(DRAIN_TIMEOUT, &mut worker).await.is_err() {
            worker.abort();
            tracing::warn!(receiver = self.kind, "stopped with unsent change events");
        }
    }
}

impl Drop for EventQueue {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.lock().unwrap_or_else(PoisonError::into_inner).take() {
            worker.abort();
        }
    }
}

async fn work(
    receiver: EventReceiver,
    mut queued: mpsc::Receiver<BusEvent>,
    metrics: EventMetrics,
    mut ends: watch::Receiver<bool>,
) {
    let kind = receiver.kind.label();
    let mut batch = Vec::new();
    while queued.recv_many(&mut batch, BATCH).await > 0 {
        let outcome = send(&receiver, &batch, &mut ends).await;
        metrics.ended(kind, outcome, u64::try_from(batch.len()).unwrap_or(u64::MAX));
        batch.clear();
    }
}

/// Sends a batch, with retries where these may help. Returns the outcome for the metrics.
async fn send(receiver: &EventReceiver, batch: &[BusEvent], ends: &mut watch::Receiver<bool>) -> &'static str {
    let kind = receiver.kind.label();
    let mut pauses = PAUSES.iter();
    let mut is_last = false;
    loop {
        let reason = match timeout(TIMEOUT, receiver.bus.put(batch)).await {
            Ok(Ok(())) => return "sent",
            Ok(Err(error)) if !error.kind.may_heal() => {
                tracing::error!(receiver = kind, %error, events = batch.len(), "receiver refused change events");
                return "refused";
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no response in time".to_owned(),
        };
        let pause = pauses.next().filter(|_| !is_last);
        let Some(pause) = pause else {
            tracing::error!(receiver = kind, reason, events = batch.len(), "gave up sending change events");
            return "given_up";
        };
        tracing::warn!(receiver = kind, reason, ?pause, "failed to send change events; retrying after a pause");
        // At shutdown one more attempt follows at once, also if the last one failed after the shutdown had begun.
        is_last = timeout(*pause, ends.wait_for(|ends| *ends)).await.is_ok();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;
    use ports::{EventBus, PortError, PortErrorKind};

    use super::*;
    use crate::events::ReceiverKind;

    /// A bus that begins the shutdown during its first attempts, and fails them.
    #[derive(Debug)]
    struct FailingBus {
        shutdown: watch::Sender<bool>,
        failures: Mutex<usize>,
    }

    #[async_trait]
    impl EventBus for FailingBus {
        async fn put(&self, _: &[BusEvent]) -> Result<(), PortError> {
            self.shutdown.send_replace(true);
            let mut failures = self.failures.lock().unwrap();
            if *failures == 0 {
                return Ok(());
            }
            *failures -= 1;
            Err(PortError::new("put events", PortErrorKind::Unavailable, "the test lets it fail"))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_follows_a_failure_at_shutdown() {
        for (failures, outcome) in [(0, "sent"), (1, "sent"), (2, "given_up")] {
            let (shutdown, mut ends) = watch::channel(false);
            let bus = Arc::new(FailingBus { shutdown, failures: Mutex::new(failures) });
            let receiver = EventReceiver { kind: ReceiverKind::Webhook, name: "webhook".to_owned(), bus };
            assert_eq!(send(&receiver, &[], &mut ends).await, outcome, "{failures} failures");
        }
    }
}
