//! Reads the alarms of a drill: the alarms of its plan, and alarms about nodes of the mesh.

use std::collections::{BTreeMap, BTreeSet};

use decisions::failover::{
    AlarmTags, AlarmTargets, Unmapped, alarm_targets, needing_tags, reported_targets, unread_alarms,
};
use drills::{AlarmReading, DrillPlan};
use futures::future::{join, join_all, try_join};
use jiff::Timestamp;
use mesh::alarm::{Alarm, AlarmName, AlarmState};
use policy::FailoverPolicy;
use ports::{AlarmReader, PortError, PortErrorKind};
use runner::FailureRun;
use tokio::sync::Mutex;

/// The target of failed reads of mute rules.
const MUTE_RULES: &str = "alarm mute rules";

/// How deep children of composite alarms are read.
const MAX_ROUNDS: usize = 5;

/// The alarms as they were read.
#[derive(Clone, Debug)]
pub(crate) struct Alarms {
    /// All alarms.
    pub(crate) read: Vec<Alarm>,
    /// The tags of the alarms that need them.
    pub(crate) tags: AlarmTags,
    /// The nodes that they report.
    pub(crate) targets: AlarmTargets,
}

impl Alarms {
    /// The states of the plan's alarms.
    pub(crate) fn of_plan(&self, plan: &DrillPlan) -> BTreeMap<AlarmName, AlarmReading> {
        let find = |name: &AlarmName| self.read.iter().find(|alarm| alarm.name == *name);
        plan.alarms().map(|name| (name.clone(), AlarmReading::new(find(name)))).collect()
    }

    /// One alarm.
    pub(crate) fn get(&self, name: &AlarmName) -> Option<&Alarm> {
        self.read.iter().find(|alarm| alarm.name == *name)
    }
}

/// Reads the alarms. `known` has the tags of earlier invocations: they hardly ever change, and cost a call each.
pub(crate) async fn read(
    port: &dyn AlarmReader,
    failures: &FailureRun,
    known: &Mutex<AlarmTags>,
    plan: &DrillPlan,
    policy: &FailoverPolicy,
    now: Timestamp,
) -> Result<Alarms, PortError> {
    let bound = policy.bindings.iter().map(|binding| &binding.alarm);
    let names: BTreeSet<AlarmName> = bound.chain(plan.alarms()).cloned().collect();
    let names: Vec<AlarmName> = names.into_iter().collect();
    let discovered =
        async { if policy.discovery.enabled { port.all(&policy.discovery.prefix).await } else { Ok(Vec::new()) } };
    let (read, rules) = join(try_join(port.by_name(&names), discovered), port.active_mute_rules()).await;
    let (requested, discovered) = read?;
    let found = requested.into_iter().chain(discovered);
    let mut alarms: BTreeMap<AlarmName, Alarm> = found.map(|alarm| (alarm.name.clone(), alarm)).collect();
    for _ in 0..MAX_ROUNDS {
        let missing = unread_alarms(&alarms.values().cloned().collect::<Vec<_>>());
        let children = if missing.is_empty() { Vec::new() } else { port.by_name(&missing).await? };
        if children.is_empty() {
            break;
        }
        alarms.extend(children.into_iter().map(|alarm| (alarm.name.clone(), alarm)));
    }
    let mut alarms: Vec<Alarm> = alarms.into_values().collect();
    let rules = match rules {
        Ok(rules) => {
            failures.succeeded(MUTE_RULES);
            rules
        }
        // An alarm with an unknown mute would count as usable until the next run.
        Err(error) if error.kind.may_heal() => return Err(error),
        // An endpoint without mute rules, or a role without the permission: a mute stops an alarm's actions, and not its
        // state, by which a drill is judged.
        Err(error) => {
            if error.kind == PortErrorKind::Denied {
                failures.failed(MUTE_RULES, &error);
            }
            tracing::warn!(%error, "failed to read alarm mute rules; alarms of a drill count as not muted");
            Vec::new()
        }
    };
    for alarm in &mut alarms {
        let rule = rules.iter().find(|rule| rule.alarms.contains(&alarm.name));
        alarm.mute_rule = rule.map(|rule| rule.name.clone());
    }
    read_contributors(port, &mut alarms, policy, now).await?;
    let tags = read_tags(port, known, &alarms, policy).await?;
    let targets = alarm_targets(&alarms, &tags, policy, now);
    Ok(Alarms { read: alarms, tags, targets })
}

/// Reads the series in `ALARM` of alarms that need their series to name a target.
async fn read_contributors(
    port: &dyn AlarmReader,
    alarms: &mut [Alarm],
    policy: &FailoverPolicy,
    now: Timestamp,
) -> Result<(), PortError> {
    let is_needed = |alarm: &&mut Alarm| {
        alarm.state == AlarmState::Alarm
            && alarm.has_contributors()
            && reported_targets(alarm, std::slice::from_ref(&**alarm), &AlarmTags::new(), policy, now)
                == Err(Unmapped::ContributorsUnread)
    };
    for alarm in alarms.iter_mut().filter(is_needed) {
        alarm.contributors = Some(port.contributors(&alarm.name).await?);
    }
    Ok(())
}

/// Reads the tags that are needed and not known. An alarm without its tags would look like one that reports no node.
async fn read_tags(
    port: &dyn AlarmReader,
    known: &Mutex<AlarmTags>,
    alarms: &[Alarm],
    policy: &FailoverPolicy,
) -> Result<AlarmTags, PortError> {
    let mut tags = known.lock().await.clone();
    let unknown = needing_tags(alarms, policy).into_iter().filter(|alarm| !tags.contains_key(&alarm.name));
    let read = join_all(unknown.map(|alarm| async { (alarm.name.clone(), port.tags(&alarm.arn).await) })).await;
    for (name, found) in read {
        match found {
            Ok(found) => {
                tags.insert(name, found);
            }
            // Deleted since it was listed.
            Err(error) if error.kind == PortErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    known.lock().await.clone_from(&tags);
    Ok(tags)
}
