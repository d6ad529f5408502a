//! Evaluates the gates of a rollout: alarms and metrics.

use std::collections::{BTreeMap, BTreeSet};

use decisions::failover::{AlarmTags, TargetAlarm, alarm_targets, muted_by};
use jiff::{SignedDuration, Timestamp};
use mesh::alarm::{Alarm, AlarmName, AlarmSource, AlarmState, CompositeRule};
use mesh::certificates::SourceReading;
use mesh::name::VirtualNodeName;
use policy::{ErrorRatioGate, LatencyGate, MetricGate, Policy};

use crate::facts::Facts;
use crate::gate::{GateRecord, GateResult};
use crate::queries::{Measure, SeriesCaller};
use crate::record::RolloutRecord;

/// The period of the series. Only whole periods count.
pub(crate) const PERIOD: SignedDuration = SignedDuration::from_secs(60);

/// The begin of the names of alarm gates.
const ALARM: &str = "alarm ";

/// The result of all gates together.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Gates {
    /// All pass.
    Pass,
    /// At least one fails.
    Fail(String),
    /// None fails, and at least one has no result.
    Unknown(String),
}

/// Evaluates the alarms, and enters the results into the record.
pub(crate) fn evaluate_alarms(record: &mut RolloutRecord, facts: &Facts, policy: &Policy, now: Timestamp) -> Gates {
    let mut results: BTreeMap<String, GateRecord> = BTreeMap::new();
    match &facts.alarms {
        SourceReading::Unread(why) => {
            let text = format!("the alarms could not be read: {why}");
            results.insert("alarms".to_owned(), GateRecord::new(GateResult::Unknown, text));
        }
        SourceReading::Known(alarms) => {
            for name in &record.rollout.alarms {
                results.insert(format!("alarm {name}"), named_alarm(name, alarms, policy, now));
            }
            let targets = alarm_targets(alarms, &AlarmTags::new(), &policy.failover, now);
            for pair in &record.rollout.moves {
                for alarm in targets.alarms_of(&record.rollout.mesh, &pair.to) {
                    let key = format!("alarm {}", alarm.name);
                    results.entry(key).or_insert_with(|| target_alarm(alarm, &pair.to));
                }
            }
        }
    }
    let summary = summary(&results, &facts.alarms);
    record.gates.retain(|name, _| !name.starts_with("alarm"));
    record.gates.extend(results);
    summary
}

/// Evaluates all gates, and enters the results into the record. `is_last` is whether the new version carries everything,
/// so that the old one is no baseline.
pub(crate) fn evaluate(
    record: &mut RolloutRecord,
    facts: &Facts,
    policy: &Policy,
    is_last: bool,
    now: Timestamp,
) -> Gates {
    evaluate_alarms(record, facts, policy, now);
    for (number, gate) in record.rollout.metrics.clone().iter().enumerate() {
        let name = metric_name(number, gate);
        let before = record.gates.get(&name).cloned();
        let (result, text) = metric(record, facts, gate, is_last, now);
        let counted = counted(before.as_ref(), result, text, gate.fail_after.unwrap_or(1), now);
        record.gates.insert(name, counted);
    }
    summary(&record.gates, &facts.alarms)
}

/// Counts a failed evaluation, at most one per period. The gate fails at the limit, and has no result below it.
fn counted(before: Option<&GateRecord>, result: GateResult, text: String, limit: u32, now: Timestamp) -> GateRecord {
    let (failed, last) = before.map_or((0, None), |before| (before.failed, before.counted));
    let record = GateRecord { result, text, failed, counted: last };
    match result {
        GateResult::Pass | GateResult::Unknown => record,
        GateResult::Fail => {
            let is_new = last.is_none_or(|last| now.duration_since(last) >= PERIOD);
            let (failed, counted) = if is_new { (failed + 1, Some(now)) } else { (failed, last) };
            let result = if failed >= limit { GateResult::Fail } else { GateResult::Unknown };
            let text = if result == GateResult::Fail {
                record.text
            } else {
                format!("{} ({failed} of {limit} failed evaluations)", record.text)
            };
            GateRecord { result, text, failed, counted }
        }
    }
}

fn summary(gates: &BTreeMap<String, GateRecord>, alarms: &SourceReading<Vec<Alarm>>) -> Gates {
    let alarms: &[Alarm] = match alarms {
        SourceReading::Known(alarms) => alarms,
        SourceReading::Unread(_) => &[],
    };
    let texts = |result: GateResult| {
        let found: BTreeMap<&str, &GateRecord> =
            gates.iter().filter(|(_, gate)| gate.result == result).map(|(name, gate)| (name.as_str(), gate)).collect();
        let below: BTreeMap<&str, BTreeSet<&str>> =
            found.keys().map(|name| (*name, children_in(&found, alarms, name))).collect();
        // Alarms that include each other have no root, so each of them is named.
        let includes = |one: &str, other: &str| below.get(one).is_some_and(|children| children.contains(other));
        let is_root = |name: &str| !found.keys().any(|other| includes(other, name) && !includes(name, other));
        let roots = found.iter().filter(|(name, _)| is_root(name));
        roots
            .map(|(name, gate)| {
                let more = match below.get(name).map_or(0, BTreeSet::len) {
                    0 => String::new(),
                    1 => ", and 1 alarm that it includes".to_owned(),
                    count => format!(", and {count} alarms that it includes"),
                };
                format!("{name}: {}{more}", gate.text)
            })
            .collect::<Vec<_>>()
    };
    let (failed, unknown) = (texts(GateResult::Fail), texts(GateResult::Unknown));
    if !failed.is_empty() {
        Gates::Fail(failed.join("; "))
    } else if !unknown.is_empty() {
        Gates::Unknown(unknown.join("; "))
    } else {
        Gates::Pass
    }
}

/// The gates of alarms that a composite alarm includes at any depth, of the given ones.
fn children_in<'a>(gates: &BTreeMap<&'a str, &GateRecord>, alarms: &[Alarm], gate: &str) -> BTreeSet<&'a str> {
    let Some(root) = gate.strip_prefix(ALARM) else { return BTreeSet::new() };
    let (mut found, mut open) = (BTreeSet::new(), vec![root.to_owned()]);
    while let Some(name) = open.pop() {
        let composite = alarms.iter().find(|alarm| alarm.name.as_str() == name).map(|alarm| &alarm.source);
        let Some(AlarmSource::Composite(rule)) = composite else { continue };
        // A rule that cannot be parsed names no alarm here: each alarm is listed on its own then.
        let Ok(rule) = CompositeRule::parse(rule) else { continue };
        for child in rule.alarms() {
            if child.as_str() != root && found.insert(child.to_string()) {
                open.push(child.to_string());
            }
        }
    }
    gates.keys().filter(|name| name.strip_prefix(ALARM).is_some_and(|name| found.contains(name))).copied().collect()
}

fn metric_name(number: usize, gate: &MetricGate) -> String {
    let kind = gate.latency.as_ref().map_or("errorRatio".to_owned(), |gate| format!("latency {}", gate.stat.as_str()));
    format!("{kind} {}", number + 1)
}

fn named_alarm(name: &AlarmName, alarms: &[Alarm], policy: &Policy, now: Timestamp) -> GateRecord {
    let unknown = |text: &str| GateRecord::new(GateResult::Unknown, text.to_owned());
    let Some(alarm) = alarms.iter().find(|alarm| alarm.name == *name) else {
        return unknown("it does not exist, or may not be read");
    };
    if let AlarmSource::Unreadable(why) = &alarm.source {
        return unknown(why);
    }
    if alarm.evaluation.is_some() {
        return unknown("CloudWatch evaluates it only partially, or not at all");
    }
    match &alarm.state {
        AlarmState::Ok => GateRecord::new(GateResult::Pass, "OK".to_owned()),
        AlarmState::Alarm => {
            let muted = muted_by(alarm, alarms, &AlarmTags::new(), &policy.failover, now);
            if muted.is_some() { unknown("it is in ALARM and muted") } else { failing(alarm.since) }
        }
        AlarmState::InsufficientData => unknown("INSUFFICIENT_DATA"),
        AlarmState::Unrecognised(state) => unknown(&format!("the unknown state {state}")),
    }
}

fn target_alarm(alarm: &TargetAlarm, node: &VirtualNodeName) -> GateRecord {
    let unknown = |text: String| GateRecord::new(GateResult::Unknown, text);
    if !alarm.readable || alarm.evaluation.is_some() {
        return unknown(format!("it reports {node}, and cannot be read or evaluated"));
    }
    match &alarm.state {
        AlarmState::Ok => GateRecord::new(GateResult::Pass, format!("OK for {node}")),
        AlarmState::Alarm if alarm.muted.is_some() => unknown(format!("it is in ALARM for {node} and muted")),
        AlarmState::Alarm => failing(alarm.since),
        AlarmState::InsufficientData => unknown(format!("INSUFFICIENT_DATA for {node}")),
        AlarmState::Unrecognised(state) => unknown(format!("the unknown state {state}")),
    }
}

fn failing(since: Option<Timestamp>) -> GateRecord {
    let since = since.map(|since| format!(" since {since:.0}")).unwrap_or_default();
    GateRecord::new(GateResult::Fail, format!("ALARM{since}"))
}

/// The result of a metric gate over the whole periods of the step.
fn metric(
    record: &RolloutRecord,
    facts: &Facts,
    gate: &MetricGate,
    is_last: bool,
    now: Timestamp,
) -> (GateResult, String) {
    let Some(started) = record.started else { return (GateResult::Unknown, "the step has not begun".to_owned()) };
    let window = Window { facts, started, now };
    let moves = &record.rollout.moves;
    let (new, old) = (moves.iter().map(|pair| &pair.to), moves.iter().map(|pair| &pair.from));
    let needed = f64::from(gate.min_requests.unwrap_or(1));
    let requests = match window.sum(new.clone(), &Measure::Requests) {
        Ok(requests) => requests,
        Err(why) => return (GateResult::Unknown, why),
    };
    if requests < needed {
        return (GateResult::Unknown, format!("{requests} of {needed} requests"));
    }
    match (&gate.error_ratio, &gate.latency) {
        (Some(limits), _) => match window.error_ratio(new, old, limits, requests, is_last) {
            Ok(result) => result,
            Err(why) => (GateResult::Unknown, why),
        },
        (None, Some(limits)) => match window.latency(new, old, limits, is_last) {
            Ok(result) => result,
            Err(why) => (GateResult::Unknown, why),
        },
        (None, None) => (GateResult::Unknown, "the gate has no limit".to_owned()),
    }
}

/// The data points of the series of one caller, or of all callers together.
type CallerPoints<'a> = (Option<&'a SeriesCaller>, Vec<f64>);

/// The data of a step.
struct Window<'a> {
    facts: &'a Facts,
    started: Timestamp,
    now: Timestamp,
}

impl Window<'_> {
    /// The data points of each series of a node in whole periods of the step: of all its callers, or of all callers
    /// together if no caller has a separate series. The two are never added, since they count the same requests.
    fn points(&self, node: &VirtualNodeName, measure: &Measure) -> Result<Vec<CallerPoints<'_>>, String> {
        let by_caller = self.of_callers(node, &Measure::Requests, true)?;
        if by_caller.iter().any(|(_, points)| !points.is_empty()) {
            return self.of_callers(node, measure, true);
        }
        self.together(node, measure)
    }

    fn together(&self, node: &VirtualNodeName, measure: &Measure) -> Result<Vec<CallerPoints<'_>>, String> {
        let together = self.of_callers(node, measure, false)?;
        if together.is_empty() { Err(format!("the metrics of {node} were not read")) } else { Ok(together) }
    }

    /// The data points of the series of single callers, or of the one of all callers together.
    fn of_callers(
        &self,
        node: &VirtualNodeName,
        measure: &Measure,
        single: bool,
    ) -> Result<Vec<CallerPoints<'_>>, String> {
        let is_whole = |at: Timestamp| self.started <= at && at + PERIOD <= self.now;
        let readings = self.facts.metrics.iter().filter(|reading| {
            let series = &reading.series;
            series.node == *node && series.measure == *measure && series.caller.is_some() == single
        });
        readings
            .map(|reading| match &reading.data {
                SourceReading::Known(points) => {
                    let whole = points.iter().filter(|(at, _)| is_whole(*at)).map(|(_, value)| *value).collect();
                    Ok((reading.series.caller.as_ref(), whole))
                }
                SourceReading::Unread(why) => {
                    let caller = reading.series.caller.as_ref().map(SeriesCaller::phrase).unwrap_or_default();
                    Err(format!("the metrics of {node}{caller} cannot be read: {why}"))
                }
            })
            .collect()
    }

    fn sum<'n>(&self, nodes: impl Iterator<Item = &'n VirtualNodeName>, measure: &Measure) -> Result<f64, String> {
        let mut sum = 0.0;
        for node in nodes {
            sum += self.points(node, measure)?.iter().flat_map(|(_, points)| points).sum::<f64>();
        }
        Ok(sum)
    }

    fn error_ratio<'n>(
        &self,
        new: impl Iterator<Item = &'n VirtualNodeName>,
        old: impl Iterator<Item = &'n VirtualNodeName> + Clone,
        limits: &ErrorRatioGate,
        requests: f64,
        is_last: bool,
    ) -> Result<(GateResult, String), String> {
        // A version that never failed a request has no metric of failures.
        let ratio = self.sum(new, &Measure::Errors)? / requests;
        if let Some(max) = limits.max.filter(|max| ratio > max.fraction()) {
            let text = format!("error ratio {} of {requests} requests, limit {max}", percent(ratio));
            return Ok((GateResult::Fail, text));
        }
        let mut text = format!("error ratio {} of {requests} requests", percent(ratio));
        if let Some(factor) = limits.over_baseline.filter(|_| !is_last) {
            let all = self.sum(old.clone(), &Measure::Requests)?;
            if all <= 0.0 {
                return Err("the old version has no requests to compare with".to_owned());
            }
            let baseline = self.sum(old, &Measure::Errors)? / all;
            let difference = limits.min_difference.map_or(0.0, policy::Ratio::fraction);
            text = format!("{text}, old version {}", percent(baseline));
            if ratio > baseline * factor && ratio - baseline > difference {
                return Ok((GateResult::Fail, format!("{text}, limit {factor} times that")));
            }
        }
        Ok((GateResult::Pass, text))
    }

    fn latency<'n>(
        &self,
        new: impl Iterator<Item = &'n VirtualNodeName>,
        old: impl Iterator<Item = &'n VirtualNodeName>,
        limits: &LatencyGate,
        is_last: bool,
    ) -> Result<(GateResult, String), String> {
        let measure = Measure::Latency(limits.stat.as_str().to_owned());
        let present = self.worst(new, &measure)?;
        let text = format!("{} {present:.0} ms", limits.stat.as_str());
        if let Some(max) = limits.max.filter(|max| present > f64::from(max.get())) {
            return Ok((GateResult::Fail, format!("{text}, limit {max}")));
        }
        if let Some(factor) = limits.over_baseline.filter(|_| !is_last) {
            let baseline = self.worst(old, &measure)?;
            let text = format!("{text}, old version {baseline:.0} ms");
            if present > baseline * factor {
                return Ok((GateResult::Fail, format!("{text}, limit {factor} times that")));
            }
            return Ok((GateResult::Pass, text));
        }
        Ok((GateResult::Pass, text))
    }

    /// The response time of the slowest node in its latest period, as its slowest caller measures it: percentiles of
    /// several periods or callers cannot be summed.
    fn worst<'n>(&self, nodes: impl Iterator<Item = &'n VirtualNodeName>, measure: &Measure) -> Result<f64, String> {
        let mut worst: Option<f64> = None;
        for node in nodes {
            let latest = self.slowest(node, measure)?;
            worst = Some(worst.map_or(latest, |worst| worst.max(latest)));
        }
        worst.ok_or_else(|| "there are no response times".to_owned())
    }

    /// The latest response time of a node, as its slowest caller measures it. A caller with requests and without response
    /// times is unknown, unless no caller has any: then they are published for all callers together.
    fn slowest(&self, node: &VirtualNodeName, measure: &Measure) -> Result<f64, String> {
        let mut times = self.points(node, measure)?;
        if times.iter().all(|(_, points)| points.is_empty()) {
            times = self.together(node, measure)?;
        }
        let requests = self.points(node, &Measure::Requests)?;
        for (caller, points) in &times {
            let has_requests =
                requests.iter().any(|(other, points)| other == caller && points.iter().sum::<f64>() > 0.0);
            if points.is_empty() && has_requests {
                let caller = caller.map(SeriesCaller::phrase).unwrap_or_default();
                return Err(format!("{node} has no response times{caller}"));
            }
        }
        let latest = times.iter().filter_map(|(_, points)| points.last().copied()).reduce(f64::max);
        latest.ok_or_else(|| format!("{node} has no response times"))
    }
}

fn percent(ratio: f64) -> String {
    format!("{:.2} %", ratio * 100.0)
}
