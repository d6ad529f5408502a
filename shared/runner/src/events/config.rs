//! Parses messages of AWS Config: invocations of custom rules, and the same messages through EventBridge or a topic.

use aws_lambda_events::event::config::ConfigEvent;
use jiff::Timestamp;
use ports::{ConfigItem, ConfigResource, ItemStatus, ResultToken};
use serde::Deserialize;
use serde_json::Value;

use super::reading::{Flaw, described, join, read};
use super::{ConfigMessage, ConfigSubject, Payload, RuleInvocation};

/// Parses an invocation of a custom rule: the message is a JSON text within it.
pub(super) fn invocation(event: &Value, at: &str) -> Result<Payload, Flaw> {
    let invocation = ConfigEvent::deserialize(event).unwrap_or_else(|_| lenient(event));
    let message_at = join(at, "invokingEvent");
    let message: Value = match (&invocation.invoking_event, event.get("invokingEvent")) {
        (Some(text), _) => {
            serde_json::from_str(text).map_err(|error| Flaw::new(&message_at, format!("not JSON: {error}")))?
        }
        (None, other) => {
            let found = other.map_or_else(|| "nothing".to_owned(), described);
            return Err(Flaw::new(&message_at, format!("expected JSON in a text, found {found}")));
        }
    };
    let token = invocation.result_token.ok_or_else(|| Flaw::missing(at, "resultToken"))?;
    let rule = invocation.config_rule_name.unwrap_or_else(|| "a rule without a name".to_owned());
    let answers = RuleInvocation { rule, token: ResultToken::new(token) };
    parse(&message, &message_at, Some(answers), invocation.event_left_scope)
}

/// Reads the required members of an invocation that the crate's type refuses. Periodic rules may omit `eventLeftScope`.
fn lenient(event: &Value) -> ConfigEvent {
    let text = |member: &str| event.get(member).and_then(Value::as_str).map(str::to_owned);
    let mut invocation = ConfigEvent::default();
    invocation.invoking_event = text("invokingEvent");
    invocation.result_token = text("resultToken");
    invocation.config_rule_name = text("configRuleName");
    invocation.event_left_scope = event.get("eventLeftScope").and_then(Value::as_bool).unwrap_or(false);
    invocation
}

/// Parses a message outside an invocation: it is a trigger, and no rule waits for an answer.
pub(super) fn message(message: &Value, at: &str) -> Result<Payload, Flaw> {
    parse(message, at, None, false)
}

fn parse(message: &Value, at: &str, answers: Option<RuleInvocation>, left_scope: bool) -> Result<Payload, Flaw> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Message {
        message_type: String,
        notification_creation_time: Timestamp,
    }
    let Message { message_type, notification_creation_time: notified } = read(message, at)?;
    let subject = match message_type.as_str() {
        "ConfigurationItemChangeNotification" => ConfigSubject::Item(item(message, at, "configurationItem")?),
        "OversizedConfigurationItemChangeNotification" => {
            ConfigSubject::OversizedItem(item(message, at, "configurationItemSummary")?)
        }
        "ScheduledNotification" => ConfigSubject::Scheduled,
        "ConfigurationSnapshotDeliveryCompleted" => ConfigSubject::SnapshotDelivered,
        other => return Ok(Payload::NotOurs { what: format!("`{other}` of AWS Config") }),
    };
    Ok(Payload::Config(ConfigMessage { answers, notified, left_scope, subject }))
}

fn item(message: &Value, at: &str, member: &'static str) -> Result<ConfigItem, Flaw> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Item {
        resource_type: String,
        resource_id: String,
        configuration_item_status: String,
        configuration_item_capture_time: Timestamp,
    }
    let item = message.get(member).ok_or_else(|| Flaw::missing(at, member))?;
    let Item { resource_type, resource_id, configuration_item_status, configuration_item_capture_time } =
        read(item, &join(at, member))?;
    // Notifications write `ARN`, responses write `arn`, and some samples have both.
    let arn = item.get("ARN").or_else(|| item.get("arn")).and_then(Value::as_str);
    let status = ItemStatus::read(&configuration_item_status);
    let resource = ConfigResource { resource_type, resource_id };
    Ok(ConfigItem::new(resource, arn, status, configuration_item_capture_time))
}
