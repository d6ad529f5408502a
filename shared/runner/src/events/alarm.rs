//! Parses the formats of an alarm's change of state.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mesh::alarm::{AlarmName, AlarmState};
use mesh::name::AccountId;
use serde::Deserialize;
use serde_json::Value;

use super::bus_event::BusEvent;
use super::reading::{Flaw, read, shortened};
use super::{AlarmChannel, AlarmContributor, AlarmEvent, Payload};

/// The maximum number of attributes read from a contributor: CloudWatch groups by at most as many labels as a metric has.
const MOST_ATTRIBUTES: usize = 30;

/// Parses EventBridge's `CloudWatch Alarm State Change`.
pub(super) fn state_change(event: &BusEvent<'_>) -> Result<Payload, Flaw> {
    let detail: AlarmData = event.detail()?;
    Ok(Payload::Alarm(detail.change(&Context::from_event(event))))
}

/// Parses the detail of an alarm's event without the event around it.
pub(super) fn detail(event: &Value, at: &str) -> Result<Payload, Flaw> {
    let detail: AlarmData = read(event, at)?;
    let context = Context { arn: None, region: None, account: None, at: None, channel: AlarmChannel::Bus };
    Ok(Payload::Alarm(detail.change(&context)))
}

/// Parses EventBridge's `CloudWatch Alarm Contributor State Change`: one series of an alarm on many changed its state.
pub(super) fn contributor_change(event: &BusEvent<'_>) -> Result<Payload, Flaw> {
    let alarm: AlarmData = event.detail()?;
    let alarm_contributor = event.raw_detail()?.get("alarmContributor").unwrap_or(&Value::Null);
    let id = alarm_contributor.get("id").and_then(Value::as_str).map(shortened);
    let attributes: BTreeMap<String, String> = alarm_contributor
        .get("attributes")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .take(MOST_ATTRIBUTES)
        .collect();
    let contributor = (id.is_some() || !attributes.is_empty()).then_some(AlarmContributor { id, attributes });
    Ok(Payload::Alarm(AlarmEvent { contributor, ..alarm.change(&Context::from_event(event)) }))
}

/// Parses the event that CloudWatch sends to a function that is an action of the alarm.
pub(super) fn direct(event: &Value, at: &str) -> Result<Payload, Flaw> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Direct {
        alarm_data: AlarmData,
    }
    let Direct { alarm_data } = read(event, at)?;
    Ok(Payload::Alarm(alarm_data.change(&Context {
        arn: text(event.get("alarmArn")),
        region: text(event.get("region")),
        account: text(event.get("accountId")),
        at: text(event.get("time")).and_then(instant),
        channel: AlarmChannel::Action,
    })))
}

/// Parses the message that an alarm publishes to a topic.
pub(super) fn notice(event: &Value, at: &str) -> Result<Payload, Flaw> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Notice {
        alarm_name: AlarmName,
        new_state_value: AlarmState,
    }
    let Notice { alarm_name, new_state_value } = read(event, at)?;
    let context = Context {
        arn: text(event.get("AlarmArn")),
        // The message contains the region's display name, as in `EU (Ireland)`.
        region: text(event.get("Region")).filter(|region| !region.contains(' ')),
        account: text(event.get("AWSAccountId")),
        at: text(event.get("StateChangeTime")).and_then(instant),
        channel: AlarmChannel::Action,
    };
    Ok(Payload::Alarm(context.change(alarm_name, new_state_value)))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AlarmData {
    alarm_name: AlarmName,
    state: State,
}

#[derive(Deserialize)]
struct State {
    value: AlarmState,
    #[serde(default)]
    timestamp: Value,
}

impl AlarmData {
    fn change(self, context: &Context<'_>) -> AlarmEvent {
        let at = text(Some(&self.state.timestamp)).and_then(instant).or(context.at);
        Context { at, ..*context }.change(self.alarm_name, self.state.value)
    }
}

/// The optional members of an alarm: a missing or malformed one is left out.
#[derive(Clone, Copy)]
struct Context<'a> {
    arn: Option<&'a str>,
    region: Option<&'a str>,
    account: Option<&'a str>,
    at: Option<Timestamp>,
    channel: AlarmChannel,
}

impl<'a> Context<'a> {
    fn from_event(event: &'a BusEvent<'_>) -> Self {
        Self {
            arn: event.resources().and_then(<[String]>::first).map(String::as_str),
            region: event.region(),
            account: event.account(),
            at: event.time(),
            channel: AlarmChannel::Bus,
        }
    }

    fn change(&self, name: AlarmName, state: AlarmState) -> AlarmEvent {
        // arn:aws:cloudwatch:REGION:ACCOUNT:alarm:NAME
        let mut parts = self.arn.into_iter().flat_map(|arn| arn.splitn(7, ':')).skip(3).filter(|part| !part.is_empty());
        let region = parts.next().or(self.region);
        let account = parts.next().or(self.account);
        AlarmEvent {
            name,
            state,
            arn: self.arn.filter(|arn| !arn.is_empty()).map(str::to_owned),
            region: region.filter(|region| !region.is_empty()).map(str::to_owned),
            account: account.and_then(|account| AccountId::parse(account).ok()),
            at: self.at,
            contributor: None,
            channel: self.channel,
        }
    }
}

/// CloudWatch writes `2026-10-05T12:00:00.000+0000`, EventBridge `2026-10-05T12:00:00Z`.
fn instant(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

fn text(value: Option<&Value>) -> Option<&str> {
    value.and_then(Value::as_str)
}
