//! Reads the inputs of the gates and of the evidence. What cannot be read is unknown, never an error of the run.

use std::collections::BTreeSet;

use decisions::failover::{AlarmTags, alarm_targets, related, unread_alarms};
use futures::future::{join, try_join};
use jiff::{SignedDuration, Timestamp};
use mesh::alarm::{Alarm, AlarmName};
use mesh::certificates::SourceReading;
use mesh::name::{MeshName, ResourceKind};
use policy::{GateMetrics, Policy};
use ports::{MetricSeries, PortError, PortErrorKind, SeriesData};
use rollouts::{Measure, MetricReading, ProxyFact, ProxyFacts, Rollout, SeriesCaller, SeriesId, series};
use runner::FailureRun;

use crate::Ports;

/// The target of failed reads of mute rules. An endpoint without mute rules is no failure.
const MUTE_RULES: &str = "alarm mute rules";

/// The depth to which children of composite alarms are read.
const DEEPEST: usize = 5;

/// The period of the series, in seconds.
const PERIOD: u32 = 60;

/// Reads the alarms that the gates name, the alarms on the new versions, and their children.
pub(crate) async fn alarms(
    ports: &Ports,
    failures: &FailureRun,
    rollout: &Rollout,
    policy: &Policy,
    now: Timestamp,
) -> SourceReading<Vec<Alarm>> {
    const TARGET: &str = "alarms";
    match read_alarms(ports, failures, rollout, policy, now).await {
        Ok(alarms) => {
            failures.succeeded(TARGET);
            SourceReading::Known(alarms)
        }
        Err(error) => {
            failures.failed(TARGET, &error);
            SourceReading::Unread(error.to_string())
        }
    }
}

async fn read_alarms(
    ports: &Ports,
    failures: &FailureRun,
    rollout: &Rollout,
    policy: &Policy,
    now: Timestamp,
) -> Result<Vec<Alarm>, PortError> {
    let failover = &policy.failover;
    let is_new = |node: &mesh::name::VirtualNodeName| rollout.moves.iter().any(|pair| pair.to == *node);
    let bound = failover.bindings.iter().filter(|bound| bound.mesh == rollout.mesh && is_new(&bound.virtual_node));
    let names: BTreeSet<AlarmName> = rollout.alarms.iter().chain(bound.map(|bound| &bound.alarm)).cloned().collect();
    let names: Vec<AlarmName> = names.into_iter().collect();
    let by_name = async { if names.is_empty() { Ok(Vec::new()) } else { ports.alarms.by_name(&names).await } };
    let by_prefix = async {
        if failover.discovery.enabled { ports.alarms.all(&failover.discovery.prefix).await } else { Ok(Vec::new()) }
    };
    // At the same time as the alarms, so that a rollback does not wait for one more call.
    let (read, rules) = join(try_join(by_name, by_prefix), ports.alarms.active_mute_rules()).await;
    let (mut alarms, discovered): (Vec<Alarm>, _) = read?;
    for alarm in discovered {
        if !alarms.iter().any(|known| known.name == alarm.name) {
            alarms.push(alarm);
        }
    }
    for _ in 0..DEEPEST {
        let missing = unread_alarms(&alarms);
        if missing.is_empty() {
            break;
        }
        let children = ports.alarms.by_name(&missing).await?;
        if children.is_empty() {
            break;
        }
        alarms.extend(children);
    }
    let targets = alarm_targets(&alarms, &AlarmTags::new(), failover, now);
    let of_new = rollout.moves.iter().flat_map(|pair| targets.alarms_of(&rollout.mesh, &pair.to));
    let wanted: BTreeSet<AlarmName> = of_new.map(|alarm| alarm.name.clone()).chain(names).collect();
    let wanted = related(&alarms, wanted);
    alarms.retain(|alarm| wanted.contains(&alarm.name));
    match rules {
        Ok(rules) => {
            failures.succeeded(MUTE_RULES);
            for alarm in &mut alarms {
                let rule = rules.iter().find(|rule| rule.alarms.contains(&alarm.name));
                alarm.mute_rule = rule.map(|rule| rule.name.clone());
            }
        }
        // No alarm counts as muted then, so that it fails the rollout.
        Err(error) => {
            if error.kind.may_heal() || error.kind == PortErrorKind::Denied {
                failures.failed(MUTE_RULES, &error);
            }
            tracing::warn!(%error, "failed to read alarm mute rules; alarms of a rollout count as not muted");
        }
    }
    Ok(alarms)
}

/// Reads the metrics of the gates over the whole periods since `started`.
pub(crate) async fn metrics(
    ports: &Ports,
    failures: &FailureRun,
    rollout: &Rollout,
    policy: &GateMetrics,
    callers: &BTreeSet<SeriesCaller>,
    started: Option<Timestamp>,
    now: Timestamp,
) -> Vec<MetricReading> {
    const TARGET: &str = "metrics";
    let wanted: Vec<SeriesId> = series(rollout, callers).into_iter().collect();
    let Some(started) = started else { return Vec::new() };
    let (from, until) = (whole_minute(started, true), whole_minute(now, false));
    if wanted.is_empty() {
        return Vec::new();
    }
    let answer = |data: &dyn Fn(usize) -> SourceReading<Vec<(Timestamp, f64)>>| {
        wanted.iter().enumerate().map(|(number, id)| MetricReading { series: id.clone(), data: data(number) }).collect()
    };
    if until <= from {
        return answer(&|_| SourceReading::Known(Vec::new()));
    }
    let queries: Vec<MetricSeries> = wanted.iter().map(|id| query(id, &rollout.mesh, policy)).collect();
    match ports.metrics.read(&queries, from, until).await {
        Ok(found) => {
            failures.succeeded(TARGET);
            answer(&|number| match found.get(number) {
                Some(SeriesData::Points(points)) => SourceReading::Known(points.clone()),
                Some(SeriesData::Unreadable(why)) => SourceReading::Unread(why.clone()),
                None => SourceReading::Unread("the response has no result for it".to_owned()),
            })
        }
        Err(error) => {
            failures.failed(TARGET, &error);
            let why = error.to_string();
            answer(&|_| SourceReading::Unread(why.clone()))
        }
    }
}

fn query(id: &SeriesId, mesh: &MeshName, policy: &GateMetrics) -> MetricSeries {
    let (metric, stat) = match &id.measure {
        Measure::Requests => (&policy.requests, "Sum"),
        Measure::Errors => (&policy.errors, "Sum"),
        Measure::Latency(stat) => (&policy.latency, stat.as_str()),
    };
    let mut dimensions = vec![("Mesh", mesh.as_str()), ("TargetVirtualNode", id.node.as_str())];
    if let Some(SeriesCaller { caller, service }) = &id.caller {
        let name = if caller.kind() == ResourceKind::VirtualGateway { "VirtualGateway" } else { "VirtualNode" };
        dimensions.extend([(name, caller.name()), ("TargetVirtualService", service.as_str())]);
    }
    MetricSeries {
        namespace: policy.namespace.clone(),
        metric: metric.clone(),
        dimensions: dimensions.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        stat: stat.to_owned(),
        period: PERIOD,
    }
}

/// The minute of a time, or the next one.
fn whole_minute(at: Timestamp, up: bool) -> Timestamp {
    let second = at.as_second();
    let below = second - second.rem_euclid(i64::from(PERIOD));
    let is_whole = below == second && at.subsec_nanosecond() == 0;
    let minute = Timestamp::from_second(below).unwrap_or(at);
    if up && !is_whole { minute + SignedDuration::from_secs(i64::from(PERIOD)) } else { minute }
}

/// Reads the connected proxies.
pub(crate) async fn proxies(ports: &Ports, failures: &FailureRun, mesh: &MeshName) -> ProxyFacts {
    const TARGET: &str = "proxies";
    let at = ports.clock.now();
    match ports.proxies.report().await {
        Ok(report) => {
            failures.succeeded(TARGET);
            if let Some(why) = report.unreported_in(mesh) {
                return ProxyFacts::Unread { why: why.to_owned() };
            }
            let of_mesh = report.streams.into_iter().filter(|stream| stream.proxy.mesh() == mesh);
            let fact = |stream: ports::certificates::ProxyStream| ProxyFact {
                proxy: stream.proxy,
                peer: stream.peer,
                up_to_date: stream.up_to_date,
                rejected: stream.rejected,
            };
            ProxyFacts::Read { at, streams: of_mesh.map(fact).collect() }
        }
        // Another server than Meshwarden's control plane has no such path.
        Err(error) if error.kind == PortErrorKind::NotFound => ProxyFacts::Unsupported,
        Err(error) => {
            failures.failed(TARGET, &error);
            ProxyFacts::Unread { why: error.to_string() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn window_has_whole_minutes_only() {
        for (at, up, expected) in [
            ("2026-11-20T10:00:00Z", true, "2026-11-20T10:00:00Z"),
            ("2026-11-20T10:00:00.5Z", true, "2026-11-20T10:01:00Z"),
            ("2026-11-20T10:00:01Z", true, "2026-11-20T10:01:00Z"),
            ("2026-11-20T10:00:59Z", false, "2026-11-20T10:00:00Z"),
        ] {
            assert_eq!(whole_minute(at.parse().unwrap(), up).to_string(), expected, "{at}");
        }
    }
}
