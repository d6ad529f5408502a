//! AWS Config: invocations of custom rules, and the same messages by way of EventBridge or a topic.

use jiff::Timestamp;
use ports::{ConfigItem, ConfigResource, ItemStatus, ResultToken};
use serde::Deserialize;
use serde_json::Value;

use super::envelope::{Flaw, described, join, read};
use super::{ConfigSubject, ConfigWake, Payload, RuleInvocation};

/// An invocation of a custom rule: the message is a text within it.
pub(super) fn invocation(event: &Value, at: &str) -> Result<Payload, Flaw> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Invocation {
        invoking_event: Value,
        result_token: String,
        #[serde(default)]
        config_rule_name: Value,
        // Absent in some invocations of periodic rules.
        #[serde(default)]
        event_left_scope: Option<bool>,
    }
    let Invocation { invoking_event, result_token, config_rule_name, event_left_scope } = read(event, at)?;
    let at = join(at, "invokingEvent");
    let message: Value = match &invoking_event {
        Value::String(text) => {
            serde_json::from_str(text).map_err(|error| Flaw::new(&at, format!("not JSON: {error}")))?
        }
        other => return Err(Flaw::new(&at, format!("expected JSON in a text, found {}", described(other)))),
    };
    let rule = config_rule_name.as_str().unwrap_or("a rule without a name").to_owned();
    wake(
        &message,
        &at,
        Some(RuleInvocation { rule, token: ResultToken::new(result_token) }),
        event_left_scope.unwrap_or(false),
    )
}

/// A message outside an invocation: it wakes, and nobody waits for an answer.
pub(super) fn message(message: &Value, at: &str) -> Result<Payload, Flaw> {
    wake(message, at, None, false)
}

fn wake(message: &Value, at: &str, answers: Option<RuleInvocation>, left_scope: bool) -> Result<Payload, Flaw> {
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
    Ok(Payload::Config(ConfigWake { answers, notified, left_scope, subject }))
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
    // Notifications write it in capitals, answers in small letters, some samples both.
    let arn = item.get("ARN").or_else(|| item.get("arn")).and_then(Value::as_str);
    let status = ItemStatus::read(&configuration_item_status);
    let resource = ConfigResource { resource_type, resource_id };
    Ok(ConfigItem::new(resource, arn, status, configuration_item_capture_time))
}
