//! The path from an event to an answer: parse, call the handler under a deadline, report, build the answer.
//!
//! | event | unreadable part | part that failed and may succeed later | part for another recipient |
//! |---|---|---|---|
//! | messages of a queue, by a mapping or a pipe | named in `batchItemFailures` | named in `batchItemFailures` | accepted, reported |
//! | list without message ids, by a pipe | the invocation fails | the invocation fails | accepted, reported |
//! | single event | reported; Lambda would only repeat it | the invocation fails | accepted, reported |
//!
//! So a queue never deletes an unreadable message. After its `maxReceiveCount` the message is in the dead-letter queue,
//! where `meshwarden dead-letters` shows it.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use aws_lambda_events::event::sqs::SqsBatchResponse;
use jiff::Timestamp;
use lambda_runtime::{LambdaEvent, service_fn};
use ports::{Deadline, DeniedCalls};
use serde_json::Value;

use crate::emit::Emitter;
use crate::events::{self, Delivery, Payload};
use crate::report::{Decision, Report};

/// The part of an invocation's time that is reserved for the log lines and the answer. With less, Lambda would cut off
/// a slow last call before the function could report it.
pub const RESERVE: Duration = Duration::from_millis(500);

/// Handles the triggers of one function.
#[async_trait]
pub trait Handler: Send + Sync {
    /// Reads an event. A function that is invoked with events of an undocumented form reads them itself.
    fn read(&self, event: &Value) -> Vec<Delivery> {
        events::parse(event)
    }

    /// Handles the readable deliveries of one invocation together. Unreadable deliveries and those for other recipients
    /// have already been reported. A failure that no retry can resolve is a decision in the report.
    async fn handle(&self, deliveries: Vec<Delivery>, deadline: Deadline) -> Result<Report, Retry>;
}

/// A failure that may be temporary: the event should be delivered again.
#[derive(Debug, thiserror::Error)]
#[error("failed to handle the event: {why}")]
pub struct Retry {
    /// The cause of the failure.
    pub why: String,
    /// The decisions and outcomes before the failure, which are reported too.
    pub report: Option<Report>,
    /// The messages of a queue that should be delivered again. Without a queue the whole event is delivered again.
    pub messages: FailedMessages,
}

/// The messages of a queue that a failure concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailedMessages {
    /// Every message that the handler received.
    All,
    /// The messages with these ids. The set is empty if the failure concerns work that no message requested and that
    /// the schedule repeats.
    Only(BTreeSet<String>),
}

impl FailedMessages {
    /// The messages with these ids, or every message for an empty list.
    #[must_use]
    pub fn named_or_all(messages: Vec<String>) -> Self {
        if messages.is_empty() { Self::All } else { Self::Only(messages.into_iter().collect()) }
    }

    fn contains(&self, id: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(ids) => ids.contains(id),
        }
    }
}

impl Retry {
    /// Creates a failure of every message that the handler received.
    pub fn all(why: impl Into<String>) -> Self {
        Self { why: why.into(), report: None, messages: FailedMessages::All }
    }
}

/// Unreadable messages without an id. They cannot be named as failed, so only a failed invocation preserves them.
#[derive(Debug, thiserror::Error)]
#[error("failed to read {count} parts of the event that have no message id; the first, at {at}: {why}")]
struct Unnamed {
    count: usize,
    at: String,
    why: String,
}

/// Runs `handler` as the Lambda function `function`, until the runtime ends. `emitter` writes its reports.
pub async fn run(function: &'static str, handler: impl Handler, emitter: Emitter) -> Result<(), lambda_runtime::Error> {
    let (handler, emitter) = (&handler, &emitter);
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| async move {
        let deadline = Deadline::after(time_left(event.context.deadline).saturating_sub(RESERVE));
        let invocation = Invocation { function, request_id: &event.context.request_id, deadline };
        invocation.answer(handler, emitter, &event.payload).await
    }))
    .await
}

/// The name under which one invocation of a function holds leases: no two invocations share it.
#[must_use]
pub fn holder(function: &str, deadline: Deadline, now: Timestamp) -> String {
    // The clock of a test stands still between two invocations.
    static INVOCATIONS: AtomicU64 = AtomicU64::new(0);
    let (process, number) = (std::process::id(), INVOCATIONS.fetch_add(1, Ordering::Relaxed));
    format!("{function}-{process}-{number}-{}-{}", now.as_nanosecond(), deadline.left().as_nanos())
}

/// Sends logs to the standard output as JSON lines; `directives` are those of [`crate::Config::log`].
pub fn log_to_stdout(directives: &str) {
    let filter = tracing_subscriber::EnvFilter::new(directives);
    let subscriber = tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(io::stdout).with_ansi(false);
    // A second call changes nothing: the first subscriber stays.
    if subscriber.try_init().is_err() {
        tracing::debug!("logging was set up before");
    }
}

/// One event that a function handles.
#[derive(Clone, Copy, Debug)]
pub struct Invocation<'a> {
    /// The function's name.
    pub function: &'a str,
    /// Lambda's id of the request. A retry of an asynchronous event has the same id.
    pub request_id: &'a str,
    /// The time by which the handler must be done.
    pub deadline: Deadline,
}

impl Invocation<'_> {
    /// Handles the event and returns the answer for Lambda. The answer is the report, or for messages of a queue the
    /// failed ones. An error makes the sender deliver the event again.
    pub async fn answer(
        &self,
        handler: &impl Handler,
        emitter: &Emitter,
        event: &Value,
    ) -> Result<Value, lambda_runtime::Error> {
        let began = Instant::now();
        let deliveries = handler.read(event);
        let triggers: Vec<Payload> = deliveries.iter().map(|delivery| delivery.payload.clone()).collect();
        let (unusable, usable): (Vec<_>, Vec<_>) = deliveries
            .into_iter()
            .map(|delivery| (Decision::on_unusable(&delivery), delivery))
            .partition(|(d, _)| d.is_some());
        let usable: Vec<Delivery> = usable.into_iter().map(|(_, delivery)| delivery).collect();
        let unreadable: Vec<Delivery> = unusable
            .iter()
            .map(|(_, delivery)| delivery)
            .filter(|delivery| flaw(delivery).is_some())
            .cloned()
            .collect();
        let denied = DeniedCalls::default();
        let outcome = if usable.is_empty() {
            Ok(Report::new(Vec::new()))
        } else {
            denied.cover(self.deadline.cover(handler.handle(usable.clone(), self.deadline))).await
        };
        let (mut report, mut retry) = match outcome {
            Ok(report) => (report, None),
            Err(mut retry) => (retry.report.take().unwrap_or_else(|| Report::new(Vec::new())), Some(retry)),
        };
        if report.signals.observed_nothing && retry.is_none() {
            retry = Some(Retry::all(observed_nothing(&report)));
        }
        report.signals.calls_denied = denied.count();
        let mut report = Report {
            function: self.function.to_owned(),
            triggers,
            took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            ..report
        };
        report.decisions.extend(unusable.into_iter().filter_map(|(decision, _)| decision));
        if let Some(retry) = &retry {
            tracing::error!(request_id = self.request_id, why = retry.why, messages = ?retry.messages, "failed to handle the event");
        }
        emitter.emit(&report, self.request_id, Timestamp::now())?;

        if events::is_batch(event) {
            return Ok(serde_json::to_value(batch_answer(retry, &usable, &unreadable)?)?);
        }
        if let Some(retry) = retry {
            return Err(retry.into());
        }
        if events::is_bare_list(event)
            && let Some(unnamed) = Unnamed::count(&unreadable)
        {
            return Err(unnamed.into());
        }
        match report.answer.take() {
            Some(answer) => Ok(answer),
            None => Ok(serde_json::to_value(report)?),
        }
    }
}

/// The error of an invocation that observed nothing: the first call that failed, with the class of its error.
fn observed_nothing(report: &Report) -> String {
    let failed = report.decisions.iter().find_map(|decision| {
        let text = |name: &str| decision.facts.get(name).and_then(Value::as_str);
        Some(format!(": failed to {}: {}: {}", text("call")?, text("kind")?, text("message")?))
    });
    format!("nothing could be observed{}", failed.unwrap_or_default())
}

impl Unnamed {
    /// Counts the unreadable deliveries that have no message id; `None` without any.
    fn count(unreadable: &[Delivery]) -> Option<Self> {
        let mut flaws = unreadable.iter().filter(|delivery| delivery.message_id.is_none()).filter_map(flaw);
        let (at, why) = flaws.next()?;
        Some(Self { count: 1 + flaws.count(), at: at.to_owned(), why: why.to_owned() })
    }
}

/// The path and the cause of an unreadable delivery.
fn flaw(delivery: &Delivery) -> Option<(&str, &str)> {
    match &delivery.payload {
        Payload::Unreadable { why, at } => Some((at, why)),
        Payload::Alarm(_)
        | Payload::Tick
        | Payload::Release(_)
        | Payload::Config(_)
        | Payload::MeshWrite(_)
        | Payload::Certificate(_)
        | Payload::Rollout(_)
        | Payload::Sweep { .. }
        | Payload::Drill(_)
        | Payload::NotOurs { .. } => None,
    }
}

/// The partial failures of a queue's batch: messages that failed, and unreadable messages. A message without an id
/// cannot be named, and a queue deletes messages that are not named. In that case the whole batch fails.
fn batch_answer(
    retry: Option<Retry>,
    given: &[Delivery],
    unreadable: &[Delivery],
) -> Result<SqsBatchResponse, lambda_runtime::Error> {
    if let Some(unnamed) = Unnamed::count(unreadable) {
        return Err(unnamed.into());
    }
    let mut failed = BTreeSet::new();
    if let Some(retry) = retry {
        if retry.messages == FailedMessages::All && given.iter().any(|delivery| delivery.message_id.is_none()) {
            return Err(retry.into());
        }
        let ids = given.iter().filter_map(|delivery| delivery.message_id.as_deref());
        failed.extend(ids.filter(|id| retry.messages.contains(id)).map(str::to_owned));
    }
    failed.extend(unreadable.iter().filter_map(|delivery| delivery.message_id.clone()));
    let mut answer = SqsBatchResponse::default();
    answer.set_failures(failed);
    Ok(answer)
}

/// The time until Lambda's deadline, which is in milliseconds since 1970.
fn time_left(deadline_ms: u64) -> Duration {
    let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0);
    Duration::from_millis(deadline_ms.saturating_sub(now))
}
