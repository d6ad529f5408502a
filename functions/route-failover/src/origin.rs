//! Where an alarm's event comes from. Names of alarms repeat across accounts and regions, and only alarms of the
//! function's own can be read, so an event of another account says nothing about the local alarm of the same name.

use lambda_kit::wake::{AlarmWake, Delivery, Payload};
use mesh::alarm::Alarm;

/// The stable reason code.
pub(crate) const OTHER_ACCOUNT: &str = "OtherAccount";

/// Region and account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Home<'a> {
    /// The region.
    pub(crate) region: &'a str,
    /// The account.
    pub(crate) account: &'a str,
}

impl<'a> Home<'a> {
    /// Those of an alarm's ARN: `arn:aws:cloudwatch:REGION:ACCOUNT:alarm:NAME`.
    fn parse(arn: &'a str) -> Option<Self> {
        let mut parts = arn.splitn(7, ':').skip(3);
        let home = Self { region: parts.next()?, account: parts.next()? };
        (!home.region.is_empty() && !home.account.is_empty()).then_some(home)
    }
}

/// The events of alarms of other accounts or regions, each with where the alarms are that can be read. An event that
/// names neither account nor region is taken for one of an own alarm.
pub(crate) fn foreign<'a>(deliveries: &'a [Delivery], read: &'a [Alarm]) -> Vec<(&'a AlarmWake, Home<'a>)> {
    let triggers = deliveries.iter().filter_map(|delivery| match &delivery.payload {
        Payload::Alarm(alarm) => Some(alarm),
        Payload::Tick
        | Payload::Release(_)
        | Payload::Config(_)
        | Payload::MeshWrite(_)
        | Payload::Certificate(_)
        | Payload::Sweep { .. }
        | Payload::NotOurs { .. }
        | Payload::Unreadable { .. } => None,
    });
    let homed = triggers.filter_map(|trigger| {
        // Without a local alarm of this name any other one tells which account and region are read.
        let local = read.iter().find(|alarm| alarm.name == trigger.name);
        let home = local.or_else(|| read.first()).and_then(|alarm| Home::parse(&alarm.arn))?;
        let other_region = trigger.region.as_ref().is_some_and(|region| region != home.region);
        let other_account = trigger.account.as_ref().is_some_and(|account| account.as_str() != home.account);
        (other_region || other_account).then_some((trigger, home))
    });
    homed.collect()
}

#[cfg(test)]
mod tests {
    use mesh::alarm::{AlarmName, AlarmSource, AlarmState};
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_foreign_by_account_or_region() {
        let source = || AlarmSource::Unreadable("not needed here".to_owned());
        let alarm = |name: &str, arn: &str| Alarm::new(AlarmName::parse(name).unwrap(), arn, AlarmState::Ok, source());
        let own = |name: &str| alarm(name, &format!("arn:aws:cloudwatch:us-east-1:123456789012:alarm:{name}"));
        let event = |region: &str, account: &str| {
            let mut event = json!({ "alarmData": { "alarmName": "a", "state": { "value": "ALARM" } } });
            event["region"] = json!(region);
            event["accountId"] = json!(account);
            lambda_kit::wake::parse(&event)
        };
        for (region, account, read, is_foreign) in [
            ("us-east-1", "123456789012", vec![own("a")], false),
            ("us-east-1", "999900001111", vec![own("a")], true),
            ("eu-west-1", "123456789012", vec![own("a")], true),
            // The event names neither, or only one of them.
            ("", "", vec![own("a")], false),
            ("us-east-1", "me", vec![own("a")], false),
            // No local alarm of this name: another one tells where this is.
            ("eu-west-1", "999900001111", vec![own("b")], true),
            ("us-east-1", "123456789012", vec![own("b")], false),
            // Nothing tells.
            ("eu-west-1", "999900001111", vec![], false),
            ("eu-west-1", "999900001111", vec![alarm("a", "arn:a")], false),
        ] {
            let deliveries = event(region, account);
            assert_eq!(foreign(&deliveries, &read).len(), usize::from(is_foreign), "{region} {account} {read:?}");
        }
    }
}
