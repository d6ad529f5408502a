//! `dead-letters`: events that could not be delivered, handled or read.
//!
//! ```text
//! dead-letter queue ──▶ letters ──▶ list, show
//!                          ├──▶ redrive ──▶ the source's queue, then deleted here
//!                          └──▶ drop ─────▶ deleted
//! state table ◀── journal, before anything is sent or deleted ──▶ history
//! ```
//!
//! Reading hides a message from other readers for a minute. A command releases all messages that it did not delete. A
//! letter is deleted only after it was sent. An interrupt between the two sends it twice, and the functions recognise a
//! repeated event.

mod args;
mod desk;
mod error;
mod journal;
mod letter;
#[cfg(test)]
mod tests;
#[cfg(feature = "aws")]
mod wiring;
mod wording;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use jiff::{SignedDuration, SpanRound, Timestamp, Unit};
use ports::{PortError, QueueMessage};
use serde_json::{Value, json};

pub(crate) use args::{DeadLetters, DeadLettersArgs, QueueArgs};
use letter::{Letter, function_of_name};
#[cfg(feature = "aws")]
pub(crate) use wiring::run;

use crate::columns::columns;
use crate::people::Shape;
use desk::QueueContext;
use error::DeadLetterError;
use wording::{count, short};

/// The visibility timeout of a received message.
const HOLD: Duration = Duration::from_mins(1);

/// Consecutive empty receive calls after which a queue counts as empty. One empty answer may come from SQS servers that
/// store no message of the queue.
const EMPTY_RECEIPTS: usize = 2;

/// The received letters of a queue, hidden from other readers for this command.
struct ReceivedLetters {
    address: String,
    letters: Vec<(QueueMessage, Letter)>,
}

/// Executes a command, and returns its output.
pub(crate) async fn execute(desk: &QueueContext<'_>, command: &DeadLetters) -> Result<String, DeadLetterError> {
    let queue = match command {
        DeadLetters::List { queue, .. }
        | DeadLetters::Show { queue, .. }
        | DeadLetters::Redrive { queue, .. }
        | DeadLetters::Drop { queue, .. } => queue,
        DeadLetters::History { limit, .. } => return Ok(journal::history(desk.state, *limit).await?),
    };
    let mut received = ReceivedLetters { address: desk.queues.address(&queue.queue).await?, letters: Vec::new() };
    let result = match received.receive(desk, queue).await {
        Ok(()) => handle(desk, &mut received, command).await,
        Err(error) => Err(error.into()),
    };
    received.release(desk).await;
    result
}

async fn handle(
    desk: &QueueContext<'_>,
    received: &mut ReceivedLetters,
    command: &DeadLetters,
) -> Result<String, DeadLetterError> {
    match command {
        DeadLetters::List { format: Shape::Json, .. } => {
            let letters: Vec<Value> = received.letters.iter().map(|one| letter_json(one, false)).collect();
            pretty(&json!(letters))
        }
        DeadLetters::List { format: Shape::Table, .. } => Ok(table(received, desk.now)),
        DeadLetters::Show { ids, .. } => {
            let chosen = received.choose(ids)?;
            let letters: Vec<Value> = chosen
                .into_iter()
                .filter_map(|at| received.letters.get(at))
                .map(|letter| letter_json(letter, true))
                .collect();
            pretty(&json!(letters))
        }
        // `execute` returns the history before it opens a queue.
        DeadLetters::History { .. } => Ok(String::new()),
        DeadLetters::Redrive { ids, all, to, force, consent, .. } => {
            let chosen = if *all { (0..received.letters.len()).collect() } else { received.choose(ids)? };
            let options = RedriveOptions { to: to.as_deref(), force: *force, is_journalled: !consent.no_journal };
            redrive(desk, received, chosen, options).await
        }
        DeadLetters::Drop { ids, consent, .. } => {
            let chosen = received.choose(ids)?;
            let events: Vec<String> =
                chosen.iter().filter_map(|at| received.letters.get(*at)).map(|(_, letter)| summary(letter)).collect();
            confirm(desk, &format!("Delete {} permanently?\n  {}\n", count(chosen.len()), events.join("\n  ")))?;
            if !consent.no_journal {
                let letters =
                    chosen.iter().filter_map(|at| received.letters.get(*at)).map(|(_, letter)| (letter, None));
                journal::write(desk, "PersonDroppedLetters", &received.address, &letters.collect::<Vec<_>>()).await?;
            }
            let dropped = chosen.len();
            // Removal from the end keeps the earlier indexes valid.
            for at in chosen.into_iter().rev() {
                let Some((message, _)) = received.letters.get(at) else { continue };
                desk.queues.delete(&received.address, &message.receipt).await?;
                received.letters.remove(at);
            }
            Ok(format!("{} deleted\n", count(dropped)))
        }
    }
}

impl ReceivedLetters {
    async fn receive(&mut self, desk: &QueueContext<'_>, queue: &QueueArgs) -> Result<(), PortError> {
        let mut empty = 0;
        while empty < EMPTY_RECEIPTS && self.letters.len() < queue.limit {
            let received = desk.queues.receive(&self.address, HOLD).await?;
            empty = if received.is_empty() { empty + 1 } else { 0 };
            for message in received {
                // A message that outlives its visibility timeout is received again. Only the newer receipt is valid.
                self.letters.retain(|(known, _)| known.id != message.id);
                let letter = Letter::read(&message);
                self.letters.push((message, letter));
            }
        }
        self.letters.sort_by_key(|(message, _)| message.sent);
        Ok(())
    }

    /// Makes the remaining messages visible to other readers. SQS does so after a minute where a call fails.
    async fn release(&self, desk: &QueueContext<'_>) {
        for (message, _) in &self.letters {
            drop(desk.queues.release(&self.address, &message.receipt).await);
        }
    }

    /// The indexes of the letters with these ids.
    fn choose(&self, ids: &[String]) -> Result<Vec<usize>, DeadLetterError> {
        let place = |id: &String| self.letters.iter().position(|(message, _)| message.id == *id);
        let unknown: Vec<String> = ids.iter().filter(|id| place(id).is_none()).cloned().collect();
        if !unknown.is_empty() {
            return Err(DeadLetterError::Unknown { ids: unknown });
        }
        let mut chosen: Vec<usize> = ids.iter().filter_map(place).collect();
        chosen.sort_unstable();
        chosen.dedup();
        Ok(chosen)
    }
}

/// The options of a redrive.
#[derive(Clone, Copy)]
struct RedriveOptions<'a> {
    /// The destination queue from `--to`.
    to: Option<&'a str>,
    /// Whether unreadable letters are sent.
    force: bool,
    is_journalled: bool,
}

async fn redrive(
    desk: &QueueContext<'_>,
    received: &mut ReceivedLetters,
    chosen: Vec<usize>,
    options: RedriveOptions<'_>,
) -> Result<String, DeadLetterError> {
    let RedriveOptions { to, force, is_journalled } = options;
    let mut plan = Vec::new();
    let mut text = String::new();
    let is_unaddressed = |at: &usize| received.letters.get(*at).is_some_and(|(_, letter)| letter.queue.is_none());
    let sources = if to.is_none() && chosen.iter().any(is_unaddressed) {
        match desk.queues.sources(&received.address).await {
            Ok(sources) => sources,
            // The other letters name their queue, and `--to` works without the list.
            Err(error) => {
                let _ = writeln!(text, "failed to list the source queues: {error}");
                Vec::new()
            }
        }
    } else {
        Vec::new()
    };
    let all = chosen.len();
    for at in chosen {
        let Some((_, letter)) = received.letters.get(at) else { continue };
        match (&letter.unreadable, destination(letter, to, &sources)) {
            (Some(why), _) if !force => {
                let _ = writeln!(
                    text,
                    "{}: not sent, because it is unreadable and would become a dead letter again: {why}",
                    letter.id
                );
            }
            (_, Some(queue)) => plan.push((at, queue)),
            (_, None) => {
                let function = letter.function.unwrap_or("its function");
                let _ =
                    writeln!(text, "{}: not sent, because no queue of {function} is known; pass --to QUEUE", letter.id);
            }
        }
    }
    if !plan.is_empty() {
        let mut by_queue = BTreeMap::<&str, usize>::new();
        for (_, queue) in &plan {
            *by_queue.entry(queue).or_default() += 1;
        }
        let parts: Vec<String> = by_queue.iter().map(|(queue, n)| format!("{} to {queue}", count(*n))).collect();
        confirm(desk, &format!("Send {}?", parts.join(", ")))?;
        if is_journalled {
            let letter = |(at, queue): &'_ (usize, String)| Some((&received.letters.get(*at)?.1, Some(queue.clone())));
            let letters: Vec<_> = plan.iter().filter_map(letter).collect();
            journal::write(desk, "PersonRedroveLetters", &received.address, &letters).await?;
        }
    }
    let sent = plan.len();
    let mut addresses = BTreeMap::<String, String>::new();
    for (at, queue) in plan.into_iter().rev() {
        if !addresses.contains_key(&queue) {
            addresses.insert(queue.clone(), desk.queues.address(&queue).await?);
        }
        let Some(address) = addresses.get(&queue) else { continue };
        let Some((message, letter)) = received.letters.get(at).cloned() else { continue };
        desk.queues.send(address, &QueueMessage { body: letter.event, ..message.clone() }).await?;
        desk.queues.delete(&received.address, &message.receipt).await?;
        received.letters.remove(at);
        let _ = writeln!(text, "{}: sent to {address}", message.id);
    }
    if sent < all {
        return Err(DeadLetterError::Left { text, left: all - sent, all });
    }
    let _ = writeln!(text, "{} sent again", count(sent));
    Ok(text)
}

/// The destination queue of a letter: the queue from `--to`, the letter's queue, or the only source queue
/// of its function.
fn destination(letter: &Letter, to: Option<&str>, sources: &[String]) -> Option<String> {
    if let Some(queue) = to.map(str::to_owned).or_else(|| letter.queue.clone()) {
        return Some(queue);
    }
    let function = letter.function?;
    let mut of_function = sources.iter().filter(|source| function_of_name(source) == Some(function));
    let only = of_function.next()?;
    of_function.next().is_none().then(|| only.clone())
}

fn confirm(desk: &QueueContext<'_>, question: &str) -> Result<(), DeadLetterError> {
    if (desk.prompt)(question).map_err(DeadLetterError::Prompt)? { Ok(()) } else { Err(DeadLetterError::Declined) }
}

fn summary(letter: &Letter) -> String {
    format!("{} {}", letter.id, letter.events.join(", "))
}

fn letter_json((message, letter): &(QueueMessage, Letter), with_body: bool) -> Value {
    let mut value = json!(letter);
    if let Some(members) = value.as_object_mut() {
        members.insert("sent".to_owned(), json!(message.sent));
        members.insert("received".to_owned(), json!(message.received));
        if with_body {
            let event = serde_json::from_str(&letter.event).unwrap_or_else(|_| json!(letter.event));
            members.insert("event".to_owned(), event);
            let attributes = message.attributes.iter().map(|(name, attribute)| match &attribute.value {
                ports::QueueValue::Text(text) => (name.clone(), json!(text)),
                ports::QueueValue::Binary(bytes) => (name.clone(), json!({ "bytes": bytes.len() })),
            });
            members.insert("attributes".to_owned(), Value::Object(attributes.collect()));
        }
    }
    value
}

fn pretty(value: &Value) -> Result<String, DeadLetterError> {
    let mut text = serde_json::to_string_pretty(value).map_err(DeadLetterError::Output)?;
    text.push('\n');
    Ok(text)
}

fn table(received: &ReceivedLetters, now: Timestamp) -> String {
    let header = ["ID", "AGE", "FUNCTION", "SOURCE", "REASON", "EVENT"].map(str::to_owned);
    let row = |(message, letter): &(QueueMessage, Letter)| {
        let source = letter.source.as_deref().map_or("-", |arn| arn.rsplit([':', '/']).next().unwrap_or(arn));
        let reason =
            letter.unreadable.as_ref().map_or_else(|| letter.reason.clone(), |why| format!("unreadable: {why}"));
        [
            letter.id.clone(),
            message.sent.map_or_else(|| "-".to_owned(), |sent| age(now.duration_since(sent))),
            letter.function.unwrap_or("-").to_owned(),
            source.to_owned(),
            short(&reason),
            short(&letter.events.join(", ")),
        ]
    };
    let rows: Vec<[String; 6]> = std::iter::once(header).chain(received.letters.iter().map(row)).collect();
    let mut text = if received.letters.is_empty() { String::new() } else { columns(&rows, 0) };
    let _ = writeln!(text, "{}", count(received.letters.len()));
    text
}

/// A duration in human-readable form, rounded to seconds.
fn age(length: SignedDuration) -> String {
    let options = SpanRound::new().largest(Unit::Day).smallest(Unit::Second).days_are_24_hours();
    let span = jiff::Span::try_from(length).and_then(|span| span.round(options));
    span.map_or_else(|_| length.to_string(), |span| format!("{span:#}"))
}
