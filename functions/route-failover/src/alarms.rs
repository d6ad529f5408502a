//! Reads what alarms there are and what they say.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::{join_all, try_join};
use mesh::alarm::{Alarm, AlarmName, AlarmState};
use mesh::failover::{AlarmTargets, alarm_targets, needing_tags, unread_alarms};
use mesh::name::MeshName;
use mesh::policy::FailoverPolicy;
use ports::{PortError, PortErrorKind};

use crate::Ports;
use crate::wake::Wake;

/// How deep children of composite alarms are fetched; what lies deeper stays unread and unmapped.
const MAX_ROUNDS: usize = 5;

/// Tags cost a call each, so they are read only where nothing else tells: at once for alarms that are on or that an
/// event names, and a few each minute for quiet ones, by which a drained or idle node may be judged. More would meet
/// the rate limit of `ListTagsForResource` in an account with hundreds of alarms.
const QUIET_TAGS_A_TICK: usize = 10;

/// What a warm function remembers of alarms.
#[derive(Debug, Default)]
pub(crate) struct KnownAlarms {
    /// Whether it has looked for all of them before.
    looked: bool,
    /// Those that were found to speak of a node.
    known: BTreeSet<AlarmName>,
    /// Their tags, which hardly ever change; read anew with every cold start.
    tags: BTreeMap<AlarmName, BTreeMap<String, String>>,
}

/// All that was read of alarms.
#[derive(Debug)]
pub(crate) struct Alarms {
    /// The alarms.
    pub(crate) read: Vec<Alarm>,
    /// The tags of those that needed them.
    pub(crate) tags: BTreeMap<AlarmName, BTreeMap<String, String>>,
    /// The nodes that they report.
    pub(crate) targets: AlarmTargets,
    /// Alarms whose tags could not be read, so that nothing is known of what they speak of.
    pub(crate) unread: Vec<(AlarmName, PortError)>,
}

impl Alarms {
    /// The alarms that speak of a node of the mesh, children of composite ones too.
    pub(crate) fn of_mesh(&self, mesh: &MeshName) -> Vec<Alarm> {
        let reports = |alarm: &&Alarm| self.targets.targets_of(&alarm.name).iter().any(|(of, _)| *of == mesh);
        self.read.iter().filter(reports).cloned().collect()
    }

    /// The meshes of the nodes that an alarm reports.
    pub(crate) fn meshes_of(&self, alarm: &AlarmName) -> BTreeSet<MeshName> {
        self.targets.targets_of(alarm).into_iter().map(|(mesh, _)| mesh.clone()).collect()
    }
}

/// Reads the alarms: those that are bound or known, those that the event names, and on a tick all that can be found.
pub(crate) async fn alarms(
    ports: &Ports,
    memory: &mut KnownAlarms,
    wake: &Wake,
    policy: &FailoverPolicy,
) -> Result<Alarms, PortError> {
    let mut names: BTreeSet<AlarmName> = policy.bindings.iter().map(|binding| binding.alarm.clone()).collect();
    names.extend(wake.alarms.iter().chain(&memory.known).cloned());
    let names: Vec<AlarmName> = names.into_iter().collect();
    let looks_around = policy.discovery.enabled && (wake.tick || !memory.looked);
    let (by_name, found) =
        try_join(async { if names.is_empty() { Ok(Vec::new()) } else { ports.alarms.by_name(&names).await } }, async {
            if looks_around { ports.alarms.all(&policy.discovery.prefix).await } else { Ok(Vec::new()) }
        })
        .await?;
    memory.looked |= looks_around;
    let mut alarms: BTreeMap<AlarmName, Alarm> =
        found.into_iter().chain(by_name).map(|alarm| (alarm.name.clone(), alarm)).collect();
    for _ in 0..MAX_ROUNDS {
        let missing = unread_alarms(&alarms.values().cloned().collect::<Vec<_>>(), policy);
        if missing.is_empty() {
            break;
        }
        let children = ports.alarms.by_name(&missing).await?;
        if children.is_empty() {
            break;
        }
        alarms.extend(children.into_iter().map(|alarm| (alarm.name.clone(), alarm)));
    }
    let alarms: Vec<Alarm> = alarms.into_values().collect();
    let unread = read_tags(ports, memory, &alarms, wake, policy).await;
    let tags = memory.tags.clone();
    let targets = alarm_targets(&alarms, &tags, policy);
    let reports = |alarm: &&Alarm| !targets.targets_of(&alarm.name).is_empty();
    memory.known = alarms.iter().filter(reports).map(|alarm| alarm.name.clone()).collect();
    Ok(Alarms { read: alarms, tags, targets, unread })
}

/// Reads the tags that are needed and not known, and tells which could not be read. One alarm whose tags can't be read
/// must not keep the others from being heard.
async fn read_tags(
    ports: &Ports,
    memory: &mut KnownAlarms,
    alarms: &[Alarm],
    wake: &Wake,
    policy: &FailoverPolicy,
) -> Vec<(AlarmName, PortError)> {
    let unknown = needing_tags(alarms, policy).into_iter().filter(|alarm| !memory.tags.contains_key(&alarm.name));
    let (urgent, others): (Vec<&Alarm>, Vec<&Alarm>) =
        unknown.partition(|alarm| alarm.state == AlarmState::Alarm || wake.alarms.contains(&alarm.name));
    let others = others.into_iter().take(if wake.tick { QUIET_TAGS_A_TICK } else { 0 });
    let wanted = urgent.into_iter().chain(others);
    let read = join_all(wanted.map(|alarm| async { (alarm.name.clone(), ports.alarms.tags(&alarm.arn).await) })).await;
    let mut unread = Vec::new();
    for (name, tags) in read {
        match tags {
            Ok(tags) => {
                memory.tags.insert(name, tags);
            }
            // Deleted since it was listed.
            Err(error) if error.kind == PortErrorKind::NotFound => {}
            Err(error) => unread.push((name, error)),
        }
    }
    unread
}
