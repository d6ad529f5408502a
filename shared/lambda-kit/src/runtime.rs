//! The way from an event to an answer: parse, call the handler under a deadline, report, shape the answer.

use std::io;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;
use lambda_runtime::{LambdaEvent, service_fn};
use ports::Deadline;
use serde_json::{Value, json};

use crate::emit::Emitter;
use crate::report::{Decision, Report};
use crate::wake::{self, Delivery, Payload};

/// What is kept of an invocation's time for the log lines and the answer. Less, and a slow last call would be cut off
/// by Lambda instead of being reported by us.
pub const RESERVE: Duration = Duration::from_millis(500);

/// What a function does with a wake.
#[async_trait]
pub trait Handler: Send + Sync {
    /// Handles the deliveries of one invocation together: alarms, ticks and releases; what is unreadable or for others
    /// has been reported already. A failure that no retry can heal is a decision of the report.
    async fn handle(&self, deliveries: Vec<Delivery>, deadline: Deadline) -> Result<Report, Retry>;
}

/// A failure that may heal: the event should come again.
#[derive(Debug, thiserror::Error)]
#[error("handle the event: {why}")]
pub struct Retry {
    /// Why it failed, for people.
    pub why: String,
    /// What was decided and done before that, to be reported all the same.
    pub report: Option<Report>,
    /// Of an SQS batch, the messages that failed; empty: all that the handler was given.
    pub messages: Vec<String>,
}

impl Retry {
    /// A failure of everything that the handler was given.
    pub fn all(why: impl Into<String>) -> Self {
        Self { why: why.into(), report: None, messages: Vec::new() }
    }
}

/// Runs `handler` as the Lambda function `function`, until the runtime ends.
pub async fn run(function: &'static str, handler: impl Handler) -> Result<(), lambda_runtime::Error> {
    let emitter = Emitter::stdout();
    let (handler, emitter) = (&handler, &emitter);
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| async move {
        let deadline = Deadline::after(time_left(event.context.deadline).saturating_sub(RESERVE));
        let invocation = Invocation { function, request_id: &event.context.request_id, deadline };
        invocation.answer(handler, emitter, &event.payload).await
    }))
    .await
}

/// Who holds the leases of one invocation of a function: no two invocations share a name.
#[must_use]
pub fn holder(function: &str, deadline: Deadline, now: Timestamp) -> String {
    let process = std::process::id();
    format!("{function}-{process}-{}-{}", now.as_nanosecond(), deadline.left().as_nanos())
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

/// One event on its way through a function.
#[derive(Clone, Copy, Debug)]
pub struct Invocation<'a> {
    /// The function's name.
    pub function: &'a str,
    /// Lambda's id of the request. A retry of an asynchronous event has the same.
    pub request_id: &'a str,
    /// When the handler must be done.
    pub deadline: Deadline,
}

impl Invocation<'_> {
    /// Handles the event and gives what Lambda is to be answered: the report; for an SQS batch the messages that failed;
    /// an error where the event should come again.
    pub async fn answer(
        &self,
        handler: &impl Handler,
        emitter: &Emitter,
        event: &Value,
    ) -> Result<Value, lambda_runtime::Error> {
        let began = Instant::now();
        let deliveries = wake::parse(event);
        let wake: Vec<Payload> = deliveries.iter().map(|delivery| delivery.payload.clone()).collect();
        let (unusable, usable): (Vec<_>, Vec<_>) = deliveries
            .into_iter()
            .map(|delivery| (Decision::on_unusable(&delivery), delivery))
            .partition(|(d, _)| d.is_some());
        let usable: Vec<Delivery> = usable.into_iter().map(|(_, delivery)| delivery).collect();
        let outcome = if usable.is_empty() {
            Ok(Report::of(Vec::new()))
        } else {
            self.deadline.cover(handler.handle(usable.clone(), self.deadline)).await
        };
        let (report, retry) = match outcome {
            Ok(report) => (report, None),
            Err(mut retry) => (retry.report.take().unwrap_or_else(|| Report::of(Vec::new())), Some(retry)),
        };
        let mut report = Report {
            function: self.function.to_owned(),
            wake,
            took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            ..report
        };
        report.decisions.extend(unusable.into_iter().filter_map(|(decision, _)| decision));
        if let Some(retry) = &retry {
            tracing::error!(request_id = self.request_id, why = retry.why, "the event should come again");
        }
        emitter.emit(&report, self.request_id, Timestamp::now())?;

        if wake::is_batch(event) {
            return Ok(batch_failures(retry.as_ref(), &usable));
        }
        match retry {
            Some(retry) => Err(retry.into()),
            None => Ok(serde_json::to_value(report)?),
        }
    }
}

/// The partial failures of an SQS batch. A message without an id can't be named, and the queue keeps what is not named
/// as failed from coming again, so it is left to the report.
fn batch_failures(retry: Option<&Retry>, given: &[Delivery]) -> Value {
    let failed: Vec<&str> = match retry {
        None => Vec::new(),
        Some(retry) => given
            .iter()
            .filter_map(|delivery| delivery.message_id.as_deref())
            .filter(|id| retry.messages.is_empty() || retry.messages.iter().any(|failed| failed == id))
            .collect(),
    };
    let failures: Vec<_> = failed.into_iter().map(|id| json!({ "itemIdentifier": id })).collect();
    json!({ "batchItemFailures": failures })
}

/// From now to Lambda's deadline, which is in milliseconds since 1970.
fn time_left(deadline_ms: u64) -> Duration {
    let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0);
    Duration::from_millis(deadline_ms.saturating_sub(now))
}
