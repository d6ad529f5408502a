//! The envelopes: SQS messages, SNS notifications, lists of either, and failure records of Lambda.
//!
//! The types are those of `aws_lambda_events`. They refuse events of stand-ins and older services that lack members
//! which this crate does not need. A refused event is read again with only the required members.

use aws_lambda_events::event::sns::SnsMessage;
use aws_lambda_events::event::sqs::SqsMessage;
use serde::Deserialize as _;
use serde_json::Value;

use super::reading::{Flaw, described, join, shortened};
use super::{Delivery, Payload, alarm, config, drill, eventbridge, identity, mesh_write};

/// The maximum depth of JSON texts within one another. SQS in SNS in SQS is already unusual; a deeper event is a loop
/// of queues.
const DEEPEST: u8 = 4;

/// The location of a part in the event, and the ids of its envelopes.
#[derive(Clone)]
struct Context {
    /// The path of members.
    at: String,
    /// The id of the queue message that contains the part.
    message_id: Option<String>,
    /// The id of the innermost envelope. A repeated delivery of the part has the same id.
    envelope_id: Option<String>,
    /// The number of further JSON texts that may be opened.
    depth: u8,
}

impl Context {
    const fn root() -> Self {
        Self { at: String::new(), message_id: None, envelope_id: None, depth: DEEPEST }
    }

    fn member(&self, name: &str) -> Self {
        Self { at: join(&self.at, name), ..self.clone() }
    }

    /// The context of an item of a list with `length` items. The index distinguishes the items of one envelope.
    fn item(&self, list: &str, index: usize, length: usize) -> Self {
        let place = |id: &String| if length == 1 { id.clone() } else { format!("{id}#{index}") };
        let at =
            if list.is_empty() { format!("{}[{index}]", self.at) } else { join(&self.at, &format!("{list}[{index}]")) };
        Self { at, envelope_id: self.envelope_id.as_ref().map(place), ..self.clone() }
    }

    fn identified(self, id: Option<String>) -> Self {
        Self { envelope_id: id.filter(|id| !id.is_empty()).or(self.envelope_id), ..self }
    }
}

/// Parses an event into at least one delivery for each of its records, items or messages. An unreadable part is a
/// delivery as well, so parsing never fails as a whole.
#[must_use]
pub fn parse(event: &Value) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    unpack(event, &Context::root(), &mut deliveries);
    deliveries
}

/// Whether the event contains messages of an SQS queue, which expects an answer for each message.
#[must_use]
pub fn is_batch(event: &Value) -> bool {
    match items(event) {
        Some((_, items)) => items.iter().any(is_sqs),
        None => is_sqs(event),
    }
}

/// Whether the event is a list without an envelope, as EventBridge Pipes and targets with batches send it.
pub(crate) fn is_bare_list(event: &Value) -> bool {
    event.is_array()
}

/// The list that a value is or contains, with the name of the member that contains it.
fn items(value: &Value) -> Option<(&'static str, &[Value])> {
    match value {
        Value::Array(items) => Some(("", items)),
        _ => value.get("Records").and_then(Value::as_array).map(|records| ("Records", records.as_slice())),
    }
}

fn unpack(value: &Value, context: &Context, into: &mut Vec<Delivery>) {
    let opened = if let Some((list, items)) = items(value) {
        for (index, item) in items.iter().enumerate() {
            unpack(item, &context.item(list, index, items.len()), into);
        }
        // An empty invocation has nothing to report. An empty message must be reported, because the queue deletes it.
        if items.is_empty() && context.message_id.is_some() {
            into.push(delivery(Ok(Payload::NotOurs { what: described(&Value::Array(Vec::new())) }), value, context));
        }
        Ok(())
    } else if is_sqs(value) {
        message(value, context, into);
        Ok(())
    } else if let Some(sns) = value.get("Sns") {
        notification(sns, &context.member("Sns"), into)
    } else if value.get("Type").and_then(Value::as_str) == Some("Notification") {
        notification(value, context, into)
    } else if let (Some(_), Some(request)) = (value.get("requestContext"), value.get("requestPayload")) {
        // Lambda's record of a failed asynchronous event, which comes back from a dead-letter queue.
        unpack(request, &context.member("requestPayload"), into);
        Ok(())
    } else if let Some(request) = eventbridge::failed_request(value) {
        // The same record, sent over an event bus.
        unpack(request, &context.member("detail").member("requestPayload"), into);
        Ok(())
    } else if let Some(text) = value.as_str().filter(|text| text.trim_start().starts_with(['{', '['])) {
        // Pipes send bodies as texts, and some producers encode their JSON as a JSON text.
        open(text, context, into)
    } else if context.message_id.is_some() && !(value.is_object() || value.is_array()) {
        // No service sends such a message. The queue would delete it.
        Err(Flaw::new(&context.at, format!("expected an event, found {}", described(value))))
    } else {
        into.push(delivery(payload(value, &context.at), value, context));
        Ok(())
    };
    if let Err(flaw) = opened {
        into.push(delivery(Err(flaw), value, context));
    }
}

fn delivery(read: Result<Payload, Flaw>, event: &Value, context: &Context) -> Delivery {
    Delivery {
        message_id: context.message_id.clone(),
        event_id: identity::identify(event, context.envelope_id.as_deref()),
        payload: read.unwrap_or_else(|Flaw { at, why }| Payload::Unreadable { why, at }),
    }
}

/// Whether a record is a queue message. Pipes and test events may omit the source; an id and a body are sufficient then.
fn is_sqs(record: &Value) -> bool {
    match record.get("eventSource") {
        Some(source) => source.as_str() == Some("aws:sqs"),
        None => record.get("messageId").is_some_and(Value::is_string) && record.get("body").is_some(),
    }
}

fn message(record: &Value, context: &Context, into: &mut Vec<Delivery>) {
    let message = SqsMessage::deserialize(record).unwrap_or_else(|_| {
        let mut message = SqsMessage::default();
        message.message_id = text_of(record, "messageId");
        message.body = text_of(record, "body");
        message
    });
    let id = message.message_id.filter(|id| !id.is_empty());
    let mut inner = context.member("body").identified(id.clone());
    // Only the outermost message can be named to the queue.
    inner.message_id = context.message_id.clone().or(id);
    let mut opened = Vec::new();
    let read = match (message.body, record.get("body")) {
        (Some(body), _) => open(&body, &inner, &mut opened),
        // A pipe with an input template sends JSON that is already parsed.
        (None, Some(body @ (Value::Object(_) | Value::Array(_)))) => {
            unpack(body, &inner, &mut opened);
            Ok(())
        }
        (None, None | Some(Value::Null)) => Err(Flaw::missing(&context.at, "body")),
        (None, Some(other)) => {
            Err(Flaw::new(&inner.at, format!("expected JSON in a text, found {}", described(other))))
        }
    };
    match read {
        Ok(()) => into.append(&mut opened),
        Err(flaw) => into.push(delivery(Err(flaw), record, &inner)),
    }
}

fn notification(sns: &Value, context: &Context, into: &mut Vec<Delivery>) -> Result<(), Flaw> {
    let message = SnsMessage::deserialize(sns).unwrap_or_else(|_| {
        let mut message = SnsMessage::default();
        message.message_id = text_of(sns, "MessageId").unwrap_or_default();
        message.message = text_of(sns, "Message").unwrap_or_default();
        message
    });
    let inner = context.member("Message").identified(Some(message.message_id));
    match sns.get("Message") {
        None | Some(Value::Null) => Err(Flaw::missing(&context.at, "Message")),
        Some(Value::String(_)) => open(&message.message, &inner, into),
        Some(other) => {
            unpack(other, &inner, into);
            Ok(())
        }
    }
}

/// Parses a JSON text and reads its content.
fn open(text: &str, context: &Context, into: &mut Vec<Delivery>) -> Result<(), Flaw> {
    let Some(depth) = context.depth.checked_sub(1) else {
        return Err(Flaw::new(&context.at, "it is wrapped too many times"));
    };
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Err(Flaw::new(&context.at, "it is empty"));
    }
    let value: Value =
        serde_json::from_str(text).map_err(|error| Flaw::new(&context.at, format!("not JSON: {error}")))?;
    let inner = Context { depth, ..context.clone() };
    unpack(&value, &inner, into);
    Ok(())
}

/// Parses an event that is in no further envelope.
fn payload(event: &Value, at: &str) -> Result<Payload, Flaw> {
    let has = |member: &str| event.get(member).is_some();
    if has("detail-type") {
        eventbridge::payload(event, at)
    } else if has("alarmData") {
        alarm::direct(event, at)
    } else if has("alarmName") && has("state") {
        // A rule or a pipe with the input path `$.detail` sends the detail alone.
        alarm::detail(event, at)
    } else if has("eventName") && event.get("eventSource").and_then(Value::as_str) == Some(mesh_write::CALLED) {
        eventbridge::recorded_call(event, at)
    } else if has("AlarmName") || has("NewStateValue") {
        alarm::notice(event, at)
    } else if has("invokingEvent") {
        config::invocation(event, at)
    } else if has("messageType") && has("notificationCreationTime") {
        config::message(event, at)
    } else if drill::is_one(event) {
        drill::command(event, at, None, None)
    } else {
        let what = match event.get("eventSource").and_then(Value::as_str) {
            Some(source) => format!("a record of `{}`", shortened(source)),
            None => described(event),
        };
        Ok(Payload::NotOurs { what })
    }
}

fn text_of(value: &Value, member: &str) -> Option<String> {
    value.get(member)?.as_str().map(str::to_owned)
}
