//! The three spellings of an alarm's change of state.

use jiff::Timestamp;
use mesh::alarm::{AlarmName, AlarmState};
use mesh::name::AccountId;
use serde::Deserialize;
use serde_json::Value;

use super::envelope::{Flaw, read};
use super::{AlarmWake, Payload};

/// EventBridge's `CloudWatch Alarm State Change`.
pub(super) fn state_change(event: &Value, at: &str) -> Result<Payload, Flaw> {
    #[derive(Deserialize)]
    struct Event {
        detail: AlarmData,
    }
    let Event { detail } = read(event, at)?;
    Ok(detail.wake(&Context {
        arn: text(event.get("resources").and_then(|resources| resources.get(0))),
        region: text(event.get("region")),
        account: text(event.get("account")),
        at: text(event.get("time")),
    }))
}

/// What CloudWatch hands to a function that is itself an alarm's action.
pub(super) fn direct(event: &Value, at: &str) -> Result<Payload, Flaw> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Event {
        alarm_data: AlarmData,
    }
    let Event { alarm_data } = read(event, at)?;
    Ok(alarm_data.wake(&Context {
        arn: text(event.get("alarmArn")),
        region: text(event.get("region")),
        account: text(event.get("accountId")),
        at: text(event.get("time")),
    }))
}

/// The message that an alarm publishes to a topic.
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
        // Here the region has the name that people read, as in `EU (Ireland)`.
        region: text(event.get("Region")).filter(|region| !region.contains(' ')),
        account: text(event.get("AWSAccountId")),
        at: text(event.get("StateChangeTime")),
    };
    Ok(context.wake(alarm_name, new_state_value))
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
    fn wake(self, context: &Context<'_>) -> Payload {
        let at = text(Some(&self.state.timestamp)).or(context.at);
        Context { at, ..*context }.wake(self.alarm_name, self.state.value)
    }
}

/// What is good to know of an alarm but not needed: a missing or odd one is left out.
#[derive(Clone, Copy)]
struct Context<'a> {
    arn: Option<&'a str>,
    region: Option<&'a str>,
    account: Option<&'a str>,
    at: Option<&'a str>,
}

impl Context<'_> {
    fn wake(&self, name: AlarmName, state: AlarmState) -> Payload {
        // arn:aws:cloudwatch:REGION:ACCOUNT:alarm:NAME
        let mut parts = self.arn.into_iter().flat_map(|arn| arn.splitn(7, ':')).skip(3).filter(|part| !part.is_empty());
        let region = parts.next().or(self.region);
        let account = parts.next().or(self.account);
        Payload::Alarm(AlarmWake {
            name,
            state,
            arn: self.arn.filter(|arn| !arn.is_empty()).map(str::to_owned),
            region: region.filter(|region| !region.is_empty()).map(str::to_owned),
            account: account.and_then(|account| AccountId::parse(account).ok()),
            at: self.at.and_then(instant),
        })
    }
}

/// CloudWatch writes `2026-10-05T12:00:00.000+0000`, EventBridge `2026-10-05T12:00:00Z`.
fn instant(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

fn text(value: Option<&Value>) -> Option<&str> {
    value.and_then(Value::as_str)
}
