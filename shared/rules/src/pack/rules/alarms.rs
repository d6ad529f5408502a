//! Whether the declared alarms of a drained target can report its recovery.

use std::collections::BTreeMap;

use crate::pack::context::RuleContext;
use crate::pack::controls::AVAILABILITY;
use crate::pack::finding::{RuleFindings, facts};
use crate::pack::rule::{Group, Profile, Rule, Severity};
use decisions::failover::alarm_targets;
use decisions::monitoring::{Unprovable, unprovable};
use mesh::alarm::Alarm;
use mesh::name::ResourceKind;

pub(super) const RULES: &[Rule] = &[Rule {
    id: "alarm-cannot-prove-return",
    profile: Profile::Recommended,
    group: Group::Resilience,
    severity: Severity::Medium,
    on: &[ResourceKind::VirtualNode],
    title: "An alarm of a target cannot prove that the target recovered",
    why: "A failover drains the target, which then has no requests. With `TreatMissingData` `breaching` or `ignore`, \
          or with gaps that are filled with a breaching value, the alarm stays in ALARM, and the target never returns \
          automatically. An alarm without a metric with countable data points proves nothing when it turns OK.",
    remedy: "Set missing data to `notBreaching`, and use metrics of the target's requests; `meshwarden alarms` writes \
           such alarms.",
    managed: &[],
    controls: AVAILABILITY,
    rests_on_certificates: false,
    check: cannot_prove_return,
}];

fn cannot_prove_return(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    let declared: Vec<(Alarm, BTreeMap<String, String>)> =
        context.mesh.alarms.iter().filter_map(|declared| Some((declared.alarm()?, declared.tags()))).collect();
    if declared.is_empty() {
        return;
    }
    let tags = declared.iter().map(|(alarm, tags)| (alarm.name.clone(), tags.clone())).collect();
    let alarms: Vec<Alarm> = declared.into_iter().map(|(alarm, _)| alarm).collect();
    let by_name: BTreeMap<_, &Alarm> = alarms.iter().map(|alarm| (&alarm.name, alarm)).collect();
    let targets = alarm_targets(&alarms, &tags, &context.policy.failover, context.now);
    for node in context.mesh.nodes.keys() {
        let reporting = targets.alarms_of(&context.mesh.name, node).iter();
        let verdicts: Vec<(&Alarm, Option<Unprovable>)> =
            reporting.filter_map(|target| by_name.get(&target.name)).map(|alarm| (*alarm, unprovable(alarm))).collect();
        let is_proved = verdicts.iter().any(|(_, why)| why.is_none());
        for (alarm, why) in &verdicts {
            let Some(why) = why else { continue };
            // One alarm that can prove recovery is enough. An alarm that stays in `ALARM` keeps the target drained
            // regardless of the others.
            if !is_proved || why.keeps_in_alarm() {
                let facts = facts! {"alarm": alarm.name, "why": why};
                let message = format!("alarm {} can't show that it recovered: {why}", alarm.name);
                found.on_part(context.node_path(node), format!("alarm {}", alarm.name), message, facts);
            }
        }
    }
}
