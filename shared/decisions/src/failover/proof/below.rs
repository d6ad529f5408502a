//! The metric alarms below a composite alarm.

use std::collections::BTreeSet;

use mesh::alarm::{Alarm, AlarmName, AlarmSource, CompositeRule, EvaluationState};

/// The alarms below a composite alarm that are no composite alarms themselves, in the order of their names.
pub(in crate::failover) fn metric_alarms_below<'a>(alarm: &'a Alarm, alarms: &'a [Alarm]) -> Vec<&'a Alarm> {
    let mut found = below(alarm, alarms);
    found.retain(|alarm| !matches!(alarm.source, AlarmSource::Composite(_)));
    found
}

/// The first evaluation problem of the alarms below a composite alarm. CloudWatch reports none for the composite alarm
/// itself, although its state is only as good as theirs.
pub(in crate::failover) fn evaluation_below(alarm: &Alarm, alarms: &[Alarm]) -> Option<EvaluationState> {
    below(alarm, alarms).into_iter().find_map(|alarm| alarm.evaluation.clone())
}

/// All alarms below a composite alarm. CloudWatch permits cycles.
fn below<'a>(alarm: &'a Alarm, alarms: &'a [Alarm]) -> Vec<&'a Alarm> {
    let mut seen: BTreeSet<AlarmName> = BTreeSet::from([alarm.name.clone()]);
    let (mut open, mut found) = (vec![alarm], Vec::new());
    while let Some(AlarmSource::Composite(rule)) = open.pop().map(|alarm| &alarm.source) {
        let Ok(rule) = CompositeRule::parse(rule) else { continue };
        let names: BTreeSet<&AlarmName> = rule.alarms().into_iter().filter(|name| !seen.contains(*name)).collect();
        let children: Vec<&Alarm> = alarms.iter().filter(|alarm| names.contains(&alarm.name)).collect();
        seen.extend(names.into_iter().cloned());
        open.extend(children.iter().filter(|child| matches!(child.source, AlarmSource::Composite(_))));
        found.extend(children);
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}
