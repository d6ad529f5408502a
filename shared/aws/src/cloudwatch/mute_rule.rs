//! Converts CloudWatch's alarm mute rules into the model's types.

use aws_sdk_cloudwatch::operation::get_alarm_mute_rule::GetAlarmMuteRuleOutput;
use aws_sdk_cloudwatch::types::{AlarmMuteRuleStatus, AlarmMuteRuleSummary, MuteTargets};
use mesh::alarm::{AlarmName, MuteRule};

/// The name of a listed rule that is active. A server that ignores the filter returns the other rules too.
pub(super) fn active(listed: &AlarmMuteRuleSummary) -> Option<String> {
    let is_active = matches!(listed.status(), None | Some(AlarmMuteRuleStatus::Active));
    let arn = listed.alarm_mute_rule_arn().filter(|_| is_active)?;
    // `arn:aws:cloudwatch:REGION:ACCOUNT:alarm-mute-rule:NAME`; a name has no colon.
    arn.rsplit(':').next().map(str::to_owned).filter(|name| !name.is_empty())
}

/// Converts the rule, if it is still active. Names that no alarm can have are left out.
pub(super) fn read(name: String, found: &GetAlarmMuteRuleOutput) -> Option<MuteRule> {
    if !matches!(found.status(), None | Some(AlarmMuteRuleStatus::Active)) {
        return None;
    }
    let targets = found.mute_targets().map(MuteTargets::alarm_names).unwrap_or_default();
    Some(MuteRule { name, alarms: targets.iter().filter_map(|name| AlarmName::parse(name).ok()).collect() })
}
