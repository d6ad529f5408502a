//! Reads the alarms and finds the nodes that they report.

use std::collections::{BTreeMap, BTreeSet};

use decisions::failover::{
    AlarmData, AlarmTags, AlarmTargets, ProofTarget, Unmapped, alarm_targets, counted_metrics, needing_tags, proven,
    related, reported_targets, unread_alarms,
};
use futures::future::{join, join_all, try_join};
use jiff::{SignedDuration, Timestamp};
use mesh::alarm::{Alarm, AlarmName, AlarmState, MetricTerm, MuteRule};
use mesh::name::{MeshName, VirtualNodeName};
use policy::{CallerDisagreement, FailoverPolicy};
use ports::{PortError, PortErrorKind};

use crate::Ports;
use crate::trigger::Trigger;

/// How deep children of composite alarms are fetched; what lies deeper stays unread and unmapped.
const MAX_ROUNDS: usize = 5;

/// Tags cost a call each, so they are read only for alarms that have no other source of a target. Alarms in `ALARM` and
/// alarms that an event names are read at once. A scheduled run reads a few of the other alarms, which may decide about
/// a drained or idle node. More would exceed the rate limit of `ListTagsForResource` in an account with hundreds
/// of alarms.
const QUIET_TAGS_A_TICK: usize = 10;

/// How long active mute rules count before they are re-read.
const MUTE_RULES_AGE: SignedDuration = SignedDuration::from_secs(60);

/// How long rules that were read still count while they cannot be re-read. A call that is not permitted, or that the
/// endpoint does not support, is retried after the same time.
const MUTE_RULES_GRACE: SignedDuration = SignedDuration::from_mins(10);

/// How far back other callers' data counts when only some callers report a failure. CloudWatch evaluates late data
/// within this time.
const CALLER_WINDOW: SignedDuration = SignedDuration::from_mins(5);

/// The alarms that a warm function remembers.
#[derive(Debug, Default)]
pub(crate) struct KnownAlarms {
    /// Whether the function has searched for all alarms before.
    has_listed: bool,
    /// The alarms that report a node, and the alarms that their targets and mutes depend on.
    known: BTreeSet<AlarmName>,
    /// The tags of alarms, which hardly ever change; re-read after every cold start.
    tags: AlarmTags,
    /// The active mute rules.
    mute_rules: KnownMuteRules,
}

/// The active mute rules as they were last read.
#[derive(Debug, Default)]
struct KnownMuteRules {
    rules: Vec<MuteRule>,
    /// When they were read.
    read: Option<Timestamp>,
    /// When they are re-read; at once while unset.
    next: Option<Timestamp>,
}

/// The alarms as read, with their targets.
#[derive(Debug)]
pub(crate) struct Alarms {
    /// All alarms that were read.
    pub(crate) read: Vec<Alarm>,
    /// The tags of the alarms that needed them.
    pub(crate) tags: AlarmTags,
    /// The nodes that the alarms report.
    pub(crate) targets: AlarmTargets,
    /// Alarms with tags or contributors that could not be read, so that their targets are not known.
    pub(crate) unread: Vec<(AlarmName, PortError)>,
}

impl Alarms {
    /// The alarms that report a node of the mesh, with all alarms that their targets and mutes depend on.
    pub(crate) fn of_mesh(&self, mesh: &MeshName) -> Vec<Alarm> {
        let reports = |alarm: &&Alarm| {
            self.targets.covers(&alarm.name, mesh)
                || self.targets.targets_of(&alarm.name).iter().any(|(of, _)| *of == mesh)
        };
        let names = self.read.iter().filter(reports).map(|alarm| alarm.name.clone()).collect();
        let names = related(&self.read, names);
        self.read.iter().filter(|alarm| names.contains(&alarm.name)).cloned().collect()
    }

    /// The meshes of the nodes that an alarm reports.
    pub(crate) fn meshes_of(&self, alarm: &AlarmName) -> BTreeSet<MeshName> {
        self.targets.targets_of(alarm).into_iter().map(|(mesh, _)| mesh.clone()).collect()
    }
}

/// Reads the alarms that are bound or known and the alarms that the event names. A scheduled run also reads all alarms
/// that discovery finds.
pub(crate) async fn alarms(
    ports: &Ports,
    memory: &mut KnownAlarms,
    trigger: &Trigger,
    policy: &FailoverPolicy,
    now: Timestamp,
) -> Result<Alarms, PortError> {
    let mut names: BTreeSet<AlarmName> = policy.bindings.iter().map(|binding| binding.alarm.clone()).collect();
    names.extend(trigger.alarms.iter().chain(&memory.known).cloned());
    let names: Vec<AlarmName> = names.into_iter().collect();
    let reads_all = policy.discovery.enabled && (trigger.tick || !memory.has_listed);
    let reading =
        try_join(async { if names.is_empty() { Ok(Vec::new()) } else { ports.alarms.by_name(&names).await } }, async {
            if reads_all { ports.alarms.all(&policy.discovery.prefix).await } else { Ok(Vec::new()) }
        });
    let (read, ()) = join(reading, async {
        // At the same time as the alarms, so that a failover does not wait for one more round.
        if !trigger.alarms.is_empty() {
            memory.mute_rules.refresh(ports, now).await;
        }
    })
    .await;
    let (by_name, found) = read?;
    memory.has_listed |= reads_all;
    let mut alarms: BTreeMap<AlarmName, Alarm> =
        found.into_iter().chain(by_name).map(|alarm| (alarm.name.clone(), alarm)).collect();
    for _ in 0..MAX_ROUNDS {
        let missing = unread_alarms(&alarms.values().cloned().collect::<Vec<_>>());
        if missing.is_empty() {
            break;
        }
        let children = ports.alarms.by_name(&missing).await?;
        if children.is_empty() {
            break;
        }
        alarms.extend(children.into_iter().map(|alarm| (alarm.name.clone(), alarm)));
    }
    let mut alarms: Vec<Alarm> = alarms.into_values().collect();
    // A quiet scheduled run spends no call on rules that mute nothing.
    if alarms.iter().any(|alarm| alarm.state == AlarmState::Alarm) {
        memory.mute_rules.refresh(ports, now).await;
    }
    for alarm in &mut alarms {
        alarm.mute_rule = memory.mute_rules.muting(&alarm.name);
    }
    let mut unread = read_contributors(ports, &mut alarms, policy, now).await;
    unread.extend(read_tags(ports, memory, &alarms, trigger, policy).await);
    let tags = memory.tags.clone();
    let mut targets = alarm_targets(&alarms, &tags, policy, now);
    if count_disputed(ports, &mut alarms, &targets, policy, now).await {
        targets = alarm_targets(&alarms, &tags, policy, now);
    }
    let reports = |alarm: &&Alarm| targets.is_fleet(&alarm.name) || !targets.targets_of(&alarm.name).is_empty();
    let reporting = alarms.iter().filter(reports).map(|alarm| alarm.name.clone()).collect();
    memory.known = related(&alarms, reporting);
    Ok(Alarms { read: alarms, tags, targets, unread })
}

impl KnownMuteRules {
    /// Reads the active rules if their last read is out of date. A failed read never blocks a failover: no rule mutes
    /// then, except that rules from a recent read still count.
    async fn refresh(&mut self, ports: &Ports, now: Timestamp) {
        if self.next.is_some_and(|next| now < next) {
            return;
        }
        match ports.alarms.active_mute_rules().await {
            Ok(rules) => *self = Self { rules, read: Some(now), next: Some(now + MUTE_RULES_AGE) },
            Err(error) => {
                tracing::warn!(%error, "failed to read alarm mute rules; alarms count as not muted");
                let again = if error.kind.may_heal() { MUTE_RULES_AGE } else { MUTE_RULES_GRACE };
                self.next = Some(now + again);
                if self.read.is_none_or(|read| read + MUTE_RULES_GRACE <= now) {
                    self.rules.clear();
                }
            }
        }
    }

    /// The name of the rule that mutes an alarm.
    fn muting(&self, alarm: &AlarmName) -> Option<String> {
        self.rules.iter().find(|rule| rule.alarms.contains(alarm)).map(|rule| rule.name.clone())
    }
}

/// Reads the contributors of alarms that evaluate several time series, where the target is not known without them.
/// Returns the alarms with contributors that could not be read.
async fn read_contributors(
    ports: &Ports,
    alarms: &mut [Alarm],
    policy: &FailoverPolicy,
    now: Timestamp,
) -> Vec<(AlarmName, PortError)> {
    let is_needed = |alarm: &&Alarm| {
        alarm.state == AlarmState::Alarm
            && alarm.has_contributors()
            && reported_targets(alarm, std::slice::from_ref(*alarm), &AlarmTags::new(), policy, now)
                == Err(Unmapped::ContributorsUnread)
    };
    let names: Vec<AlarmName> = alarms.iter().filter(is_needed).map(|alarm| alarm.name.clone()).collect();
    let read = names.into_iter().map(|name| async {
        let found = ports.alarms.contributors(&name).await;
        (name, found)
    });
    let mut unread = Vec::new();
    for (name, found) in join_all(read).await {
        match found {
            Ok(contributors) => {
                if let Some(alarm) = alarms.iter_mut().find(|alarm| alarm.name == name) {
                    alarm.contributors = Some(contributors);
                }
            }
            Err(error) => unread.push((name, error)),
        }
    }
    unread
}

/// Counts the data of callers that report no failure of a node which other callers report as failing. Returns whether
/// there are such callers.
async fn count_disputed(
    ports: &Ports,
    alarms: &mut [Alarm],
    targets: &AlarmTargets,
    policy: &FailoverPolicy,
    now: Timestamp,
) -> bool {
    match policy.caller_disagreement {
        CallerDisagreement::Hold => {}
        CallerDisagreement::Act => return false,
    }
    let mut names: BTreeMap<AlarmName, (MeshName, VirtualNodeName)> = BTreeMap::new();
    for mesh in targets.meshes() {
        for node in targets.nodes(mesh) {
            let healthy = targets.disputed(mesh, node).map(|(_, healthy)| healthy).unwrap_or_default();
            names.extend(healthy.iter().map(|alarm| (alarm.name.clone(), (mesh.clone(), node.clone()))));
        }
    }
    let found = alarms.iter_mut().filter_map(|alarm| Some((names.get(&alarm.name)?, alarm)));
    let counted = found.map(|((mesh, node), alarm)| async move {
        let target = ProofTarget { mesh, node, discovery: &policy.discovery };
        // Without data points that prove its own report, a caller does not contradict another. A composite alarm
        // measures no single caller, so no alarm below it is needed.
        let Ok(metrics) = counted_metrics(alarm, &[], &target) else { return };
        match ports.alarms.data_points(alarm, &metrics, now - window(alarm), now).await {
            Ok(metrics) => {
                let data = AlarmData { alarm: alarm.name.clone(), metrics, unreadable: None };
                alarm.recent_data_points = proven(&data, 1).ok();
            }
            Err(error) => tracing::warn!(%error, alarm = %alarm.name, "failed to count data points of a caller"),
        }
    });
    join_all(counted).await;
    !names.is_empty()
}

/// The time that an alarm evaluates, at least [`CALLER_WINDOW`].
fn window(alarm: &Alarm) -> SignedDuration {
    let periods = alarm.condition.as_ref().and_then(|condition| condition.evaluation_periods).unwrap_or(1);
    let period = alarm.queries().iter().filter_map(|query| match &query.term {
        MetricTerm::Stat { period, .. } => Some(*period),
        MetricTerm::Expression { period, .. } => *period,
    });
    let seconds = i64::from(period.max().unwrap_or_default()).saturating_mul(i64::from(periods));
    // An alarm evaluates at most seven days.
    SignedDuration::from_secs(seconds.min(7 * 24 * 3600)).max(CALLER_WINDOW)
}

/// Reads the tags that are needed and not known. Returns the alarms with tags that could not be read: one such alarm
/// must not hide the others.
async fn read_tags(
    ports: &Ports,
    memory: &mut KnownAlarms,
    alarms: &[Alarm],
    trigger: &Trigger,
    policy: &FailoverPolicy,
) -> Vec<(AlarmName, PortError)> {
    let unknown = needing_tags(alarms, policy).into_iter().filter(|alarm| !memory.tags.contains_key(&alarm.name));
    let (urgent, others): (Vec<&Alarm>, Vec<&Alarm>) =
        unknown.partition(|alarm| alarm.state == AlarmState::Alarm || trigger.alarms.contains(&alarm.name));
    let others = others.into_iter().take(if trigger.tick { QUIET_TAGS_A_TICK } else { 0 });
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
