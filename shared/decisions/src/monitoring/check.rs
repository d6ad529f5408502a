//! The targets of a mesh without a usable alarm in an account.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use super::required::{NodeAlarms, RequiredAlarm};
use crate::failover::{StuckInAlarm, TargetAlarm, alarm_targets, has_published_metric, stuck_in_alarm};
use mesh::alarm::{
    Alarm, AlarmName, AlarmSource, AlarmState, Comparison, Condition, MetricQuery, MetricTerm, MissingData,
};
use mesh::name::{MeshName, VirtualNodeName};
use policy::FailoverPolicy;

/// The alarms of an account for one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetCheck {
    /// The mesh.
    pub mesh: MeshName,
    /// The target.
    pub virtual_node: VirtualNodeName,
    /// The alarms that failover can act on and that can prove the target's return.
    pub usable: Vec<AlarmName>,
    /// The problems of the other alarms, and the generated alarms that are missing or different.
    pub problems: Vec<AlarmProblem>,
}

/// The reason why an alarm is unusable for a target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "problem", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum AlarmProblem {
    /// A generated alarm is not in the account.
    Missing {
        /// The alarm.
        alarm: String,
    },
    /// A generated alarm is in the account with another metric, expression or condition.
    Differs {
        /// The alarm.
        alarm: String,
    },
    /// An alarm of a generated name does not report the target.
    WrongTarget {
        /// The alarm.
        alarm: String,
        /// The nodes that it reports, or why it reports none.
        reports: String,
    },
    /// The alarm's actions are disabled, so that it moves nothing.
    ActionsDisabled {
        /// The alarm.
        alarm: String,
    },
    /// The alarm's source can't be read.
    Unreadable {
        /// The alarm.
        alarm: String,
    },
    /// The alarm can never show that a drained target recovered.
    NeverProven {
        /// The alarm.
        alarm: String,
        /// The setting of the alarm that prevents the proof.
        why: Unprovable,
    },
}

/// Why an alarm can never show that a drained target is healthy again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Unprovable {
    /// `TreatMissingData` is `ignore`: without requests the alarm stays in the state that it had.
    IgnoresMissingData,
    /// `TreatMissingData` is `breaching`: without requests the alarm is in `ALARM`.
    MissingDataBreaches,
    /// Its expression fills gaps with a value that breaches: without requests the alarm is in `ALARM`.
    FillsMissingData,
    /// Its metric is in another account, with data points that cannot be read from here.
    OtherAccount,
    /// It is a PromQL query, for which CloudWatch counts no data points.
    PromQl,
    /// Its expression uses no metric.
    NoMetric,
}

impl Unprovable {
    /// Whether the alarm stays in `ALARM` while its target has no requests, so that the target stays drained.
    #[must_use]
    pub fn keeps_in_alarm(self) -> bool {
        match self {
            Self::IgnoresMissingData | Self::MissingDataBreaches | Self::FillsMissingData => true,
            Self::OtherAccount | Self::PromQl | Self::NoMetric => false,
        }
    }
}

impl TargetCheck {
    /// Whether failover can act on the target and bring it back.
    #[must_use]
    pub fn has_usable_alarm(&self) -> bool {
        !self.usable.is_empty()
    }
}

/// The alarms of an account.
#[derive(Clone, Copy, Debug)]
pub struct AccountAlarms<'a> {
    /// Every alarm.
    pub alarms: &'a [Alarm],
    /// The tags that were read, by alarm.
    pub tags: &'a BTreeMap<AlarmName, BTreeMap<String, String>>,
    /// The alarms on metrics of another account with data points that cannot be read from here.
    pub uncounted: &'a BTreeSet<AlarmName>,
}

/// Compares an account's alarms with the required alarms of a mesh: one entry per target, in their order.
#[must_use]
pub fn check(required: &[NodeAlarms], account: AccountAlarms<'_>, policy: &FailoverPolicy) -> Vec<TargetCheck> {
    let AccountAlarms { alarms, tags, uncounted } = account;
    // The time matters to suppressors that have just changed only: the comparison is with what the alarms are for.
    let targets = alarm_targets(alarms, tags, policy, Timestamp::MAX);
    let by_name: BTreeMap<&str, &Alarm> = alarms.iter().map(|alarm| (alarm.name.as_str(), alarm)).collect();
    required
        .iter()
        .map(|needed| {
            let reporting = targets.alarms_of(&needed.mesh, &needed.node);
            let mut problems = Vec::new();
            let mut usable = Vec::new();
            for target in reporting {
                let problem = |alarm: &&Alarm| problem(alarm, target, uncounted);
                match by_name.get(target.name.as_str()).and_then(problem) {
                    Some(problem) => problems.push(problem),
                    None => usable.push(target.name.clone()),
                }
            }
            for expected in needed.as_read() {
                let name = expected.name.to_string();
                let Some(found) = by_name.get(name.as_str()) else {
                    problems.push(AlarmProblem::Missing { alarm: name });
                    continue;
                };
                if matches!(expected.source, AlarmSource::Metric(_))
                    && !reporting.iter().any(|one| one.name == found.name)
                {
                    let nodes: Vec<String> =
                        targets.targets_of(&found.name).iter().map(|(mesh, node)| format!("{mesh}/{node}")).collect();
                    let reports = match targets.unmapped.get(&found.name) {
                        Some(reason) => reason_code(reason),
                        None => nodes.join(", "),
                    };
                    problems.push(AlarmProblem::WrongTarget { alarm: name.clone(), reports });
                }
                if !is_same(found, &expected) {
                    problems.push(AlarmProblem::Differs { alarm: name });
                }
            }
            problems.sort();
            problems.dedup();
            usable.sort();
            usable.dedup();
            TargetCheck { mesh: needed.mesh.clone(), virtual_node: needed.node.clone(), usable, problems }
        })
        .collect()
}

/// The stable code of a reason, as it is serialised.
fn reason_code(reason: &impl Serialize) -> String {
    let value = serde_json::to_value(reason).unwrap_or_default();
    value.get("reason").and_then(serde_json::Value::as_str).unwrap_or("unmapped").to_owned()
}

/// The reason why an alarm that reports a target is unusable; `None` for a usable alarm.
fn problem(alarm: &Alarm, target: &TargetAlarm, uncounted: &BTreeSet<AlarmName>) -> Option<AlarmProblem> {
    let name = || alarm.name.to_string();
    if !target.readable {
        return Some(AlarmProblem::Unreadable { alarm: name() });
    }
    if !alarm.actions_enabled {
        return Some(AlarmProblem::ActionsDisabled { alarm: name() });
    }
    let of_other_account = || uncounted.contains(&alarm.name).then_some(Unprovable::OtherAccount);
    let why = unprovable(alarm).or_else(of_other_account)?;
    Some(AlarmProblem::NeverProven { alarm: name(), why })
}

/// Why an alarm can never show that a drained target is healthy again; `None` for one that can, as far as its
/// configuration shows.
#[must_use]
pub fn unprovable(alarm: &Alarm) -> Option<Unprovable> {
    match stuck_in_alarm(alarm) {
        Some(StuckInAlarm::MissingDataIgnored) => return Some(Unprovable::IgnoresMissingData),
        Some(StuckInAlarm::MissingDataBreaches) => return Some(Unprovable::MissingDataBreaches),
        Some(StuckInAlarm::FillBreaches { .. }) => return Some(Unprovable::FillsMissingData),
        None => {}
    }
    match &alarm.source {
        AlarmSource::PromQl(_) => Some(Unprovable::PromQl),
        AlarmSource::Metric(_) => (!has_published_metric(alarm)).then_some(Unprovable::NoMetric),
        // The alarms below a composite one are judged by themselves.
        AlarmSource::Composite(_) | AlarmSource::Unreadable(_) => None,
    }
}

/// Whether an alarm rests on a metric of another account.
#[must_use]
pub fn rests_on_other_account(alarm: &Alarm) -> bool {
    let own = alarm.arn.split(':').nth(4);
    alarm.queries().iter().any(|query| query.account_id.as_deref().is_some_and(|account| Some(account) != own))
}

/// Whether an alarm watches what a generated one does, in the same way.
fn is_same(found: &Alarm, expected: &Alarm) -> bool {
    let lines = |alarm: &Alarm| {
        let mut lines: Vec<MetricQuery> = alarm.queries().to_vec();
        lines.sort_by(|one, other| one.id.cmp(&other.id));
        lines
    };
    match (&found.source, &expected.source) {
        (AlarmSource::Metric(_), AlarmSource::Metric(_)) => {
            lines(found) == lines(expected) && found.condition == expected.condition
        }
        (found, expected) => found == expected,
    }
}

impl NodeAlarms {
    /// The alarms as they are read from an account that has them: the metric alarms, then the composite one.
    #[must_use]
    pub fn as_read(&self) -> Vec<Alarm> {
        let metric = |alarm: &RequiredAlarm| {
            let mut queries: Vec<MetricQuery> = alarm.metrics.iter().map(|metric| self.line(metric)).collect();
            let expression = MetricTerm::Expression { expression: alarm.expression.clone(), period: None };
            queries.push(MetricQuery::new(RequiredAlarm::EXPRESSION_ID, expression));
            let condition = Condition {
                comparison: Comparison::GreaterThanThreshold,
                threshold: Some(alarm.threshold),
                band: None,
                evaluation_periods: Some(u32::from(self.evaluation_periods)),
                datapoints_to_alarm: Some(u32::from(self.datapoints_to_alarm)),
                missing_data: MissingData::NotBreaching,
            };
            let read = new_alarm(&alarm.name, AlarmSource::Metric(queries))?;
            Some(Alarm { condition: Some(condition), ..read })
        };
        let composite = new_alarm(&self.composite, AlarmSource::Composite(self.rule()));
        self.alarms.iter().filter_map(metric).chain(composite).collect()
    }

    fn line(&self, metric: &super::required::NamedMetric) -> MetricQuery {
        let dimensions = self.dimensions().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let term = MetricTerm::Stat {
            namespace: self.namespace.clone(),
            metric: metric.metric.to_owned(),
            dimensions: dimensions.into(),
            period: self.period,
            stat: metric.stat.clone(),
            unit: None,
        };
        MetricQuery { returns_data: false, ..MetricQuery::new(metric.id, term) }
    }
}

/// An alarm just after it was created.
fn new_alarm(name: &str, source: AlarmSource) -> Option<Alarm> {
    // The name is generated within the bounds of one.
    let name = AlarmName::parse(name).ok()?;
    Some(Alarm::new(name, "", AlarmState::InsufficientData, source))
}

impl fmt::Display for AlarmProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { alarm } => write!(f, "alarm {alarm} does not exist"),
            Self::Differs { alarm } => write!(f, "alarm {alarm} is not the one that would be generated now"),
            Self::WrongTarget { alarm, reports } => write!(f, "alarm {alarm} does not report this target: {reports}"),
            Self::ActionsDisabled { alarm } => write!(f, "the actions of alarm {alarm} are disabled"),
            Self::Unreadable { alarm } => write!(f, "alarm {alarm} can't be read"),
            Self::NeverProven { alarm, why } => {
                write!(f, "alarm {alarm} can't prove that a drained target recovered: {why}")
            }
        }
    }
}

impl fmt::Display for Unprovable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IgnoresMissingData => "TreatMissingData is ignore, so it stays in ALARM without requests",
            Self::MissingDataBreaches => "TreatMissingData is breaching, so it is in ALARM without requests",
            Self::FillsMissingData => {
                "its expression fills gaps with a value that breaches, so it stays in ALARM without requests"
            }
            Self::OtherAccount => "its metric is in another account, with data points that cannot be read from here",
            Self::PromQl => "it is a PromQL query, for which CloudWatch counts no data points",
            Self::NoMetric => "its expression uses no metric",
        })
    }
}
