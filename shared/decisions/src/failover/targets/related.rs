//! The alarms that other alarms depend on.

use std::collections::BTreeSet;

use mesh::alarm::{Alarm, AlarmName, AlarmSource, CompositeRule};

/// The alarms named by composite alarms, in their rules or as suppressors, that were not read yet.
#[must_use]
pub fn unread_alarms(alarms: &[Alarm]) -> Vec<AlarmName> {
    let known: BTreeSet<&AlarmName> = alarms.iter().map(|alarm| &alarm.name).collect();
    let named: BTreeSet<AlarmName> = alarms.iter().flat_map(named).filter(|alarm| !known.contains(alarm)).collect();
    named.into_iter().collect()
}

/// These alarms with all alarms that their targets and mutes depend on: the composite alarms that name them, the
/// children of those composite alarms, and suppressors.
#[must_use]
pub fn related(alarms: &[Alarm], names: BTreeSet<AlarmName>) -> BTreeSet<AlarmName> {
    let composites: Vec<(&AlarmName, Vec<AlarmName>)> = alarms
        .iter()
        .filter(|alarm| matches!(alarm.source, AlarmSource::Composite(_)))
        .map(|alarm| (&alarm.name, named(alarm)))
        .collect();
    let mut related = names;
    // Parents come first, then their children, so that other parents of these children are not included.
    loop {
        let parents = composites.iter().filter(|(_, children)| children.iter().any(|child| related.contains(child)));
        let parents: Vec<AlarmName> = parents.map(|(name, _)| (*name).clone()).collect();
        if !add(&mut related, parents) {
            break;
        }
    }
    loop {
        let parents = composites.iter().filter(|(name, _)| related.contains(name));
        let children: Vec<AlarmName> = parents.flat_map(|(_, children)| children.clone()).collect();
        if !add(&mut related, children) {
            break;
        }
    }
    related
}

fn add(related: &mut BTreeSet<AlarmName>, names: Vec<AlarmName>) -> bool {
    let before = related.len();
    related.extend(names);
    related.len() > before
}

/// The alarms that a composite alarm names in its rule and as its suppressor.
fn named(alarm: &Alarm) -> Vec<AlarmName> {
    let AlarmSource::Composite(rule) = &alarm.source else { return Vec::new() };
    let rule = CompositeRule::parse(rule).ok();
    let children = rule.iter().flat_map(|rule| rule.alarms()).cloned();
    children.chain(alarm.suppressor.iter().map(|suppressor| suppressor.alarm.clone())).collect()
}
