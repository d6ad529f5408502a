//! Finds the origin of an alarm event. Alarm names repeat across accounts and regions, and the function can read only
//! alarms of its own account and region. So an event of another account has no information about the local alarm
//! of the same name.

use decisions::failover::ForeignAlarm;
use mesh::alarm::Alarm;
use runner::events::{AlarmEvent, Delivery, Payload};

/// The region and the account of an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Home<'a> {
    /// The region, as in the ARN.
    region: &'a str,
    /// The account id, as in the ARN.
    account: &'a str,
}

impl<'a> Home<'a> {
    /// Parses an alarm's ARN: `arn:aws:cloudwatch:REGION:ACCOUNT:alarm:NAME`.
    fn parse(arn: &'a str) -> Option<Self> {
        let mut parts = arn.splitn(7, ':').skip(3);
        let home = Self { region: parts.next()?, account: parts.next()? };
        (!home.region.is_empty() && !home.account.is_empty()).then_some(home)
    }
}

/// The alarms of other accounts or regions that events name. An event that names neither account nor region counts as
/// an event of a local alarm. Before any alarm is read, only the function's own region is known.
pub(crate) fn foreign<'a>(
    deliveries: &'a [Delivery],
    read: &'a [Alarm],
    own_region: Option<&str>,
) -> Vec<&'a AlarmEvent> {
    let triggers = deliveries.iter().filter_map(|delivery| match &delivery.payload {
        Payload::Alarm(alarm) => Some(alarm),
        Payload::Tick
        | Payload::Release(_)
        | Payload::Config(_)
        | Payload::MeshWrite(_)
        | Payload::Certificate(_)
        | Payload::Rollout(_)
        | Payload::Sweep { .. }
        | Payload::Drill(_)
        | Payload::NotOurs { .. }
        | Payload::Unreadable { .. } => None,
    });
    let is_foreign = |trigger: &&AlarmEvent| {
        // Without a local alarm of this name, any other alarm shows which account and region are read.
        let local = read.iter().find(|alarm| alarm.name == trigger.name);
        let home = local.or_else(|| read.first()).and_then(|alarm| Home::parse(&alarm.arn));
        let region = home.map(|home| home.region).or(own_region);
        let other_region = trigger.region.as_deref().zip(region).is_some_and(|(named, own)| named != own);
        let account = trigger.account.as_ref().zip(home);
        other_region || account.is_some_and(|(named, home)| named.as_str() != home.account)
    };
    triggers.filter(is_foreign).collect()
}

/// An alarm of another account or region, with the data of its event.
pub(crate) fn foreign_alarm(trigger: &AlarmEvent) -> ForeignAlarm {
    ForeignAlarm {
        name: trigger.name.clone(),
        state: trigger.state.clone(),
        account: trigger.account.as_ref().map(ToString::to_string),
        region: trigger.region.clone(),
    }
}

#[cfg(test)]
mod tests {
    use mesh::alarm::{AlarmName, AlarmSource, AlarmState};
    use serde_json::json;

    use super::*;

    #[test]
    fn event_is_foreign_by_account_or_region() {
        let source = || AlarmSource::Unreadable("not needed here".to_owned());
        let alarm = |name: &str, arn: &str| Alarm::new(AlarmName::parse(name).unwrap(), arn, AlarmState::Ok, source());
        let own = |name: &str| alarm(name, &format!("arn:aws:cloudwatch:us-east-1:123456789012:alarm:{name}"));
        let event = |region: &str, account: &str| {
            let mut event = json!({ "alarmData": { "alarmName": "a", "state": { "value": "ALARM" } } });
            event["region"] = json!(region);
            event["accountId"] = json!(account);
            runner::events::parse(&event)
        };
        for (region, account, read, is_foreign) in [
            ("us-east-1", "123456789012", vec![own("a")], false),
            ("us-east-1", "999900001111", vec![own("a")], true),
            ("eu-west-1", "123456789012", vec![own("a")], true),
            // The event names neither, or only one of them.
            ("", "", vec![own("a")], false),
            ("us-east-1", "me", vec![own("a")], false),
            // No local alarm of this name: another alarm shows the own account and region.
            ("eu-west-1", "999900001111", vec![own("b")], true),
            ("us-east-1", "123456789012", vec![own("b")], false),
            // No alarm shows the own account.
            ("us-east-1", "999900001111", vec![], false),
            ("eu-west-1", "123456789012", vec![], true),
            ("us-east-1", "999900001111", vec![alarm("a", "arn:a")], false),
        ] {
            let deliveries = event(region, account);
            assert_eq!(
                foreign(&deliveries, &read, Some("us-east-1")).len(),
                usize::from(is_foreign),
                "{region} {account} {read:?}"
            );
        }
    }
}
