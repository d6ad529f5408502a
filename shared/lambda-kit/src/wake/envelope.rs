//! The wrappings: SQS batches, SNS records, SNS envelopes as queues carry them, EventBridge events.

use mesh::name::{MeshName, RouteId, RouteName, VirtualRouterName};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Delivery, Payload, Release, alarm, certificate, config, identity, mesh_write};

/// SQS in SNS in SQS would already be odd; deeper than that is somebody's loop.
pub(super) const DEEPEST: u8 = 4;

/// Why something that should have been ours can't be read, and where in the event it stands.
pub(super) struct Flaw {
    at: String,
    why: String,
}

impl Flaw {
    pub(super) fn new(at: &str, why: impl Into<String>) -> Self {
        Self { at: if at.is_empty() { "the event".to_owned() } else { at.to_owned() }, why: why.into() }
    }

    pub(super) fn missing(at: &str, member: &str) -> Self {
        Self::new(at, format!("missing field `{member}`"))
    }
}

/// Reads each record of a batch, or the event itself.
pub(super) fn deliveries(event: &Value) -> Vec<Delivery> {
    let Some(records) = event.get("Records").and_then(Value::as_array) else {
        let payload = known(payload(event, "", DEEPEST));
        return vec![Delivery { message_id: None, wake: identity::of(event), payload }];
    };
    let delivery = |(index, entry): (usize, &Value)| Delivery {
        message_id: is_sqs(entry).then(|| entry.get("messageId")?.as_str().map(str::to_owned)).flatten(),
        wake: identity::of(entry),
        payload: known(record(entry, &format!("Records[{index}]"), DEEPEST)),
    };
    records.iter().enumerate().map(delivery).collect()
}

pub(super) fn is_batch(event: &Value) -> bool {
    event.get("Records").and_then(Value::as_array).is_some_and(|records| records.iter().any(is_sqs))
}

fn known(read: Result<Payload, Flaw>) -> Payload {
    read.unwrap_or_else(|Flaw { at, why }| Payload::Unreadable { why, at })
}

fn is_sqs(record: &Value) -> bool {
    record.get("eventSource").and_then(Value::as_str) == Some("aws:sqs")
}

fn record(record: &Value, at: &str, depth: u8) -> Result<Payload, Flaw> {
    if is_sqs(record) {
        let body = record.get("body").ok_or_else(|| Flaw::missing(at, "body"))?;
        text(body, &format!("{at}.body"), depth)
    } else if let Some(sns) = record.get("Sns") {
        let message = sns.get("Message").ok_or_else(|| Flaw::missing(&format!("{at}.Sns"), "Message"))?;
        text(message, &format!("{at}.Sns.Message"), depth)
    } else {
        let what = match record.get("eventSource").and_then(Value::as_str) {
            Some(source) => format!("a record of `{}`", shortened(source)),
            None => format!("a record that is {}", described(record)),
        };
        Ok(Payload::NotOurs { what })
    }
}

/// JSON within a text.
fn text(value: &Value, at: &str, depth: u8) -> Result<Payload, Flaw> {
    let text =
        value.as_str().ok_or_else(|| Flaw::new(at, format!("expected JSON in a text, found {}", described(value))))?;
    let depth = depth.checked_sub(1).ok_or_else(|| Flaw::new(at, "wrapped too many times"))?;
    let inner: Value = serde_json::from_str(text).map_err(|error| Flaw::new(at, format!("not JSON: {error}")))?;
    payload(&inner, at, depth)
}

fn payload(event: &Value, at: &str, depth: u8) -> Result<Payload, Flaw> {
    let has = |member: &str| event.get(member).is_some();
    if has("detail-type") {
        eventbridge(event, at)
    } else if has("alarmData") {
        alarm::direct(event, at)
    } else if has("AlarmName") || has("NewStateValue") {
        alarm::notice(event, at)
    } else if has("invokingEvent") {
        config::invocation(event, at)
    } else if has("messageType") && has("notificationCreationTime") {
        config::message(event, at)
    } else if let (Some("Notification"), Some(message)) =
        (event.get("Type").and_then(Value::as_str), event.get("Message"))
    {
        text(message, &join(at, "Message"), depth)
    } else {
        Ok(Payload::NotOurs { what: described(event) })
    }
}

#[derive(Deserialize)]
struct EventBridgeEvent {
    #[serde(rename = "detail-type")]
    detail_type: String,
    #[serde(default)]
    source: Value,
}

fn eventbridge(event: &Value, at: &str) -> Result<Payload, Flaw> {
    let EventBridgeEvent { detail_type, source } = read(event, at)?;
    let source = source.as_str().unwrap_or("nobody");
    match detail_type.as_str() {
        "CloudWatch Alarm State Change" => alarm::state_change(event, at),
        // What an alarm watches, or which of its contributors breaches, says nothing of a target by itself; looking at
        // everything again does.
        "CloudWatch Alarm Configuration Change" | "CloudWatch Alarm Contributor State Change" | "Scheduled Event" => {
            Ok(Payload::Tick)
        }
        "AWS API Call via CloudTrail" if mesh_write::SOURCES.contains(&source) => mesh_write::api_call(event, at),
        "Config Configuration Item Change" if source == "aws.config" => match event.get("detail") {
            Some(message) => config::message(message, &join(at, "detail")),
            None => Err(Flaw::missing(at, "detail")),
        },
        other if certificate::is_one(source, other) => certificate::read_event(event, other, at),
        "Meshwarden Release Route" if source == "meshwarden" => release(event, at),
        "Meshwarden Sweep Requested" if source == "meshwarden" => sweep(event, at),
        other => Ok(Payload::NotOurs { what: format!("`{}` of `{}`", shortened(other), shortened(source)) }),
    }
}

#[derive(Deserialize)]
struct ReleaseEvent {
    detail: ReleaseDetail,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReleaseDetail {
    mesh: MeshName,
    virtual_router: VirtualRouterName,
    route: RouteName,
    by: String,
}

fn release(event: &Value, at: &str) -> Result<Payload, Flaw> {
    let ReleaseEvent { detail: ReleaseDetail { mesh, virtual_router, route, by } } = read(event, at)?;
    let asked = event.get("time").and_then(Value::as_str).and_then(|time| time.parse().ok());
    Ok(Payload::Release(Release { route: RouteId::new(mesh, virtual_router, route), by, at: asked }))
}

fn sweep(event: &Value, at: &str) -> Result<Payload, Flaw> {
    #[derive(Deserialize)]
    struct Detail {
        mesh: MeshName,
    }
    #[derive(Deserialize)]
    struct Event {
        detail: Detail,
    }
    let Event { detail: Detail { mesh } } = read(event, at)?;
    Ok(Payload::Sweep { mesh })
}

/// Reads `value`, or tells which member of it is wrong.
pub(super) fn read<T: DeserializeOwned>(value: &Value, at: &str) -> Result<T, Flaw> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let at = if path == "." { at.to_owned() } else { join(at, &path) };
        Flaw::new(&at, error.into_inner().to_string())
    })
}

pub(super) fn join(at: &str, member: &str) -> String {
    if at.is_empty() { member.to_owned() } else { format!("{at}.{member}") }
}

/// What a value is, in a few words that fit into a log line whatever it holds.
pub(super) fn described(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "a truth value".to_owned(),
        Value::Number(_) => "a number".to_owned(),
        Value::String(_) => "a text".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(members) if members.is_empty() => "an empty object".to_owned(),
        Value::Object(members) => {
            let names: Vec<_> = members.keys().take(5).map(|name| format!("`{}`", shortened(name))).collect();
            format!("an object with {}", names.join(", "))
        }
    }
}

pub(super) fn shortened(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(80).collect()
}
