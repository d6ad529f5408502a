//! Finds alarms in `ALARM` that are wired to this function and lead to no decision about a route or a node.
//!
//! | alarm | wiring to the function | result |
//! |-|-|-|
//! | in `ALARM`, reports a node | | a decision for the routes of the node |
//! | in `ALARM`, reports no node | binding, tag, action, mesh metric, or an event that named it | a hold |
//! | in `ALARM`, names no mesh | only the rule that forwards every alarm of the account | reported, neither a hold nor
//! a page |
//! | in `ALARM`, reports no node | none | ignored |
//! | in `ALARM`, on load or another metric that reports no failure | | ignored on purpose |
//! | in `ALARM`, muted | | ignored: an operator muted it |
//! | does not exist | a binding | a hold: its node is not monitored |
//! | does not exist | an event that named it | reported once |
//! | of another account or region | an event in `ALARM` that named it | a hold |
//!
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::targets::{AlarmTargets, Unmapped};
use mesh::alarm::{Alarm, AlarmName, AlarmSource, AlarmState, CompositeRule, MetricTerm};
use policy::FailoverPolicy;

/// The maximum depth to which composite alarms are searched for mesh metrics.
const MAX_DEPTH: usize = 5;

/// Dimensions and labels that identify a mesh metric, in lower case and without separators.
const MESH_DIMENSIONS: [&str; 6] =
    ["virtualnode", "targetvirtualnode", "virtualservice", "targetvirtualservice", "virtualgateway", "virtualrouter"];

/// The identity of this function, and the topics that deliver to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipient {
    /// The name of the function.
    pub function: Option<String>,
    /// The ARNs of the topics that deliver to it.
    pub topics: BTreeSet<String>,
    /// Its region.
    pub region: Option<String>,
}

/// An alarm of another account or region, as an event reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignAlarm {
    /// The alarm.
    pub name: AlarmName,
    /// The state that the event reports.
    pub state: AlarmState,
    /// The account of the alarm, if the event has it.
    pub account: Option<String>,
    /// The region of the alarm, if the event has it.
    pub region: Option<String>,
}

/// The wiring of an alarm to this function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "wiring", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Wiring {
    /// A binding of the policy names it.
    Binding,
    /// It has one of the tags that name a mesh or a node.
    Tag,
    /// One of its actions invokes this function.
    Action {
        /// The ARN of the action.
        arn: String,
    },
    /// Its metrics, or those of a child alarm, are mesh metrics.
    Metric,
    /// Only an event that named it.
    Event,
    /// Only a rule of the event bus, which forwards every alarm of the account. The alarm names no mesh, and none of
    /// its actions invokes this function, so it belongs to another application.
    Bus,
}

/// The reason why an alarm leads to no decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all_fields = "camelCase")]
pub enum NoAnswer {
    /// It does not exist.
    AlarmMissing,
    /// It belongs to another account or region; this function cannot read alarms there.
    OtherAccount {
        /// The account.
        account: Option<String>,
        /// The region.
        region: Option<String>,
    },
    /// It reports no node.
    #[serde(untagged)]
    Unmapped(Unmapped),
}

/// An alarm that leads to no decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnansweredAlarm {
    /// The alarm.
    pub alarm: AlarmName,
    /// The reason.
    pub reason: NoAnswer,
    /// The wiring to this function.
    pub wiring: Wiring,
    /// Whether it is in `ALARM`: a failure without a reaction.
    pub in_alarm: bool,
}

/// The alarms of one invocation, and the policy.
#[derive(Clone, Copy, Debug)]
pub struct AlarmInput<'a> {
    /// Every alarm that was read.
    pub alarms: &'a [Alarm],
    /// The nodes that they report.
    pub targets: &'a AlarmTargets,
    /// The tags that were read, by alarm.
    pub tags: &'a BTreeMap<AlarmName, BTreeMap<String, String>>,
    /// The policy.
    pub policy: &'a FailoverPolicy,
    /// The alarms of this account and region that events of this invocation named.
    pub named: &'a BTreeSet<AlarmName>,
    /// The alarms of `named` that only the event bus named, and no alarm action.
    pub only_by_bus: &'a BTreeSet<AlarmName>,
    /// The alarms of other accounts or regions that events named.
    pub foreign: &'a [ForeignAlarm],
    /// The alarms that events named in earlier invocations, and that have led to no decision since.
    pub named_before: &'a BTreeSet<AlarmName>,
    /// The identity of this function.
    pub recipient: &'a Recipient,
}

impl NoAnswer {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> String {
        let value = serde_json::to_value(self).unwrap_or_default();
        value.get("reason").and_then(|code| code.as_str()).unwrap_or("NamesNoTarget").to_owned()
    }
}

/// The alarms that lead to no decision, in the order of their names.
#[must_use]
pub fn unanswered_alarms(input: &AlarmInput<'_>) -> Vec<UnansweredAlarm> {
    let named: BTreeSet<&AlarmName> = input.named.iter().chain(input.named_before).collect();
    let read: BTreeMap<&AlarmName, &Alarm> = input.alarms.iter().map(|alarm| (&alarm.name, alarm)).collect();
    let mut found = Vec::new();
    for alarm in read.values().filter(|alarm| alarm.state == AlarmState::Alarm && alarm.calls_for_action()) {
        let Some(reason) = input.targets.unmapped.get(&alarm.name) else { continue };
        if reason.is_not_a_failure() {
            continue;
        }
        let by_event = || {
            let is_unrelated = is_unrelated(alarm, reason, input);
            named.contains(&alarm.name).then_some(if is_unrelated { Wiring::Bus } else { Wiring::Event })
        };
        if let Some(wiring) = wiring(alarm, input, &read).or_else(by_event) {
            let reason = NoAnswer::Unmapped(reason.clone());
            found.push(UnansweredAlarm { alarm: alarm.name.clone(), reason, wiring, in_alarm: true });
        }
    }
    let bound: BTreeSet<&AlarmName> = input.policy.bindings.iter().map(|binding| &binding.alarm).collect();
    for missing in bound.iter().copied().filter(|name| !read.contains_key(name)) {
        let (reason, wiring) = (NoAnswer::AlarmMissing, Wiring::Binding);
        found.push(UnansweredAlarm { alarm: missing.clone(), reason, wiring, in_alarm: false });
    }
    for named in input.named.iter().filter(|named| !read.contains_key(*named) && !bound.contains(*named)) {
        let (reason, wiring) = (NoAnswer::AlarmMissing, Wiring::Event);
        found.push(UnansweredAlarm { alarm: named.clone(), reason, wiring, in_alarm: false });
    }
    for foreign in input.foreign {
        let reason = NoAnswer::OtherAccount { account: foreign.account.clone(), region: foreign.region.clone() };
        let in_alarm = foreign.state == AlarmState::Alarm;
        found.push(UnansweredAlarm { alarm: foreign.name.clone(), reason, wiring: Wiring::Event, in_alarm });
    }
    found.sort_by(|one, other| one.alarm.cmp(&other.alarm));
    found.dedup_by(|one, other| one.alarm == other.alarm);
    found
}

/// Whether an alarm without wiring except events is known to belong to another application. It must have arrived by the
/// event bus alone, all possible wiring must have been read, and none was found. Unreadable wiring never makes an
/// alarm unrelated.
fn is_unrelated(alarm: &Alarm, reason: &Unmapped, input: &AlarmInput<'_>) -> bool {
    let names_nothing = match reason {
        Unmapped::NamesNoTarget | Unmapped::ChildrenNameNoTarget | Unmapped::ChildrenChanged => true,
        Unmapped::NamesSeveral { .. }
        | Unmapped::LacksMesh { .. }
        | Unmapped::CallerOnly { .. }
        | Unmapped::ServiceOnly { .. }
        | Unmapped::GatewayOnly { .. }
        | Unmapped::InvalidName { .. }
        | Unmapped::NotAFailureMetric { .. }
        | Unmapped::ContributorsUnread
        | Unmapped::ChildrenUnread { .. }
        | Unmapped::Unreadable { .. } => false,
    };
    names_nothing
        && alarm.alarm_actions.is_some()
        && input.tags.contains_key(&alarm.name)
        && input.only_by_bus.contains(&alarm.name)
        && !input.named_before.contains(&alarm.name)
}

/// The wiring of the alarm to this function, except by events.
fn wiring(alarm: &Alarm, input: &AlarmInput<'_>, read: &BTreeMap<&AlarmName, &Alarm>) -> Option<Wiring> {
    let AlarmInput { policy, tags, recipient, .. } = input;
    if policy.bindings.iter().any(|binding| binding.alarm == alarm.name) {
        return Some(Wiring::Binding);
    }
    let ours = [&policy.discovery.mesh_tag, &policy.discovery.virtual_node_tag];
    if tags.get(&alarm.name).is_some_and(|tags| ours.iter().any(|tag| tags.contains_key(*tag))) {
        return Some(Wiring::Tag);
    }
    let leads_here = |arn: &&String| recipient.topics.contains(*arn) || recipient.is_function(arn);
    if let Some(arn) = alarm.alarm_actions.iter().flatten().find(leads_here) {
        return Some(Wiring::Action { arn: arn.clone() });
    }
    is_about_mesh(alarm, input, read, MAX_DEPTH).then_some(Wiring::Metric)
}

impl Recipient {
    /// Whether an ARN is the function's ARN, with or without a version or an alias.
    fn is_function(&self, arn: &str) -> bool {
        let Some(function) = &self.function else { return false };
        let mut parts = arn.split(':').skip(2);
        parts.next() == Some("lambda") && parts.nth(2) == Some("function") && parts.next() == Some(function)
    }
}

fn is_about_mesh(alarm: &Alarm, input: &AlarmInput<'_>, read: &BTreeMap<&AlarmName, &Alarm>, depth: usize) -> bool {
    let discovery = &input.policy.discovery;
    let is_dimension = |name: &str| {
        let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        name == discovery.mesh_dimension
            || name == discovery.virtual_node_dimension
            || MESH_DIMENSIONS.contains(&plain.to_ascii_lowercase().as_str())
    };
    let mentions_mesh = |text: &str| {
        let word = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | '/');
        let mut words = text.split(move |character| !word(character));
        words.any(|word| is_namespace(word) || is_dimension(word))
    };
    match &alarm.source {
        AlarmSource::Metric(queries) => queries.iter().any(|query| match &query.term {
            MetricTerm::Stat { namespace, dimensions, .. } => {
                is_namespace(namespace) || dimensions.keys().any(|name| is_dimension(name))
            }
            MetricTerm::Expression { expression, .. } => mentions_mesh(expression),
        }),
        AlarmSource::PromQl(query) => {
            let labels = alarm.contributors.iter().flatten().flat_map(|contributor| contributor.attributes.keys());
            mentions_mesh(&query.query) || labels.into_iter().any(|name| is_dimension(name))
        }
        AlarmSource::Composite(rule) => {
            let Some(depth) = depth.checked_sub(1) else { return false };
            CompositeRule::parse(rule).is_ok_and(|rule| {
                rule.alarms().into_iter().any(|child| {
                    !input.targets.targets_of(child).is_empty()
                        || read.get(child).is_some_and(|child| is_about_mesh(child, input, read, depth))
                })
            })
        }
        AlarmSource::Unreadable(_) => false,
    }
}

fn is_namespace(word: &str) -> bool {
    word.to_ascii_lowercase().contains("appmesh")
}

impl UnansweredAlarm {
    /// The remedy for an operator.
    #[must_use]
    pub fn remedy(&self) -> String {
        let Self { alarm, reason, .. } = self;
        match reason {
            NoAnswer::Unmapped(unmapped) => {
                format!("{}\n`meshwarden explain alarm/{alarm}` shows what the alarm names", unmapped.remedy(alarm))
            }
            NoAnswer::AlarmMissing => {
                format!(
                    "create alarm {alarm}, or remove it from the bindings of the policy; until then its node is not monitored"
                )
            }
            NoAnswer::OtherAccount { .. } => format!(
                "Deploy Meshwarden there, or create an alarm here on the metric of {alarm} (a metric of a linked account \
                 has an account id), or stop sending its events here"
            ),
        }
    }
}

impl fmt::Display for UnansweredAlarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { alarm, reason, .. } = self;
        match reason {
            NoAnswer::Unmapped(unmapped) => {
                write!(f, "alarm {alarm} is in ALARM and reports no virtual node, so no weight is moved: {unmapped}")
            }
            NoAnswer::AlarmMissing => write!(f, "alarm {alarm} does not exist"),
            NoAnswer::OtherAccount { account, region } => write!(
                f,
                "an event reports alarm {alarm} of account {} in region {}; its state cannot be read from here",
                account.as_deref().unwrap_or("unknown"),
                region.as_deref().unwrap_or("unknown")
            ),
        }
    }
}

#[cfg(test)]
mod tests;
