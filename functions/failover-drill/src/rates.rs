//! Reads the request rates of the drained node and of its receivers, and the traffic of a drill, from the metrics of the alarms
//! that report them.

use std::collections::{BTreeMap, BTreeSet};

use decisions::failover::{ProofTarget, counted_metrics};
use drills::{DrillTraffic, Load, Measured, ReceiverLoad, ReceiverTraffic};
use jiff::{SignedDuration, Timestamp};
use mesh::alarm::{MetricTerm, MetricUse};
use mesh::name::{MeshName, VirtualNodeName};
use policy::Policy;
use ports::{MetricReader, MetricSeries, SeriesData};
use runner::FailureRun;

use crate::alarms::Alarms;

/// The period of a data point, in seconds. Five minutes smooth out single bursts, and CloudWatch keeps them for 63 days.
const PERIOD: u32 = 300;

/// The period of the traffic of a drill, in seconds: a peak within a minute can already overload a receiver.
const TRAFFIC_PERIOD: u32 = 60;

/// How old the present rate may be: late data and one whole period.
const PRESENT: SignedDuration = SignedDuration::from_mins(15);

/// The rates to read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RateRequest<'a> {
    pub(crate) mesh: &'a MeshName,
    pub(crate) node: &'a VirtualNodeName,
    pub(crate) receivers: &'a BTreeSet<VirtualNodeName>,
    /// How far back the highest rate counts.
    pub(crate) lookback: SignedDuration,
    pub(crate) now: Timestamp,
}

/// The metrics, and the failed calls of the invocation: a rate that cannot be read ends no run, and pages if it lasts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metrics<'a> {
    pub(crate) port: &'a dyn MetricReader,
    pub(crate) failures: &'a FailureRun,
}

impl Metrics<'_> {
    async fn read(
        &self,
        series: &[MetricSeries],
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<SeriesData>, String> {
        const TARGET: &str = "metrics";
        match self.port.read(series, from, until).await {
            Ok(data) => {
                self.failures.succeeded(TARGET);
                Ok(data)
            }
            Err(error) => {
                self.failures.failed(TARGET, &error);
                Err(error.to_string())
            }
        }
    }
}

/// The rate of one node.
#[derive(Clone, Copy)]
struct Rate {
    present: Option<f64>,
    highest: f64,
}

/// Reads the rates. A rate that cannot be read makes the load unknown, with the reason.
pub(crate) async fn read(port: &Metrics<'_>, alarms: &Alarms, policy: &Policy, request: RateRequest<'_>) -> Load {
    match try_read(port, alarms, policy, request).await {
        Ok(load) => load,
        Err(why) => Load::Unknown { why },
    }
}

async fn try_read(
    port: &Metrics<'_>,
    alarms: &Alarms,
    policy: &Policy,
    request: RateRequest<'_>,
) -> Result<Load, String> {
    let is_declared = |node: &VirtualNodeName| {
        policy.failover.target(request.mesh, node).is_some_and(|target| target.capacity_share.is_some())
    };
    let (declared, measured): (Vec<&VirtualNodeName>, Vec<&VirtualNodeName>) =
        request.receivers.iter().partition(|node| is_declared(node));
    let declared = declared.into_iter().map(|node| (node.clone(), DECLARED));
    if measured.is_empty() {
        return Ok(Load::Known { node: 0.0, receivers: declared.collect() });
    }
    let nodes: Vec<&VirtualNodeName> = std::iter::once(request.node).chain(measured).collect();
    let series: Vec<MetricSeries> =
        nodes.iter().map(|node| requests(alarms, policy, request.mesh, node, PERIOD)).collect::<Result<_, _>>()?;
    let from = request.now - request.lookback.max(PRESENT);
    let data = port.read(&series, from, request.now).await?;
    let mut rates = BTreeMap::new();
    for (node, data) in nodes.into_iter().zip(data) {
        let points = match data {
            SeriesData::Points(points) => points,
            SeriesData::Unreadable(why) => return Err(format!("the requests of {node}: {why}")),
        };
        rates.insert(node.clone(), rate(&points, request.now));
    }
    let node = rates.remove(request.node).and_then(|rate| rate.present);
    let node = node.ok_or_else(|| format!("{} has no requests within {PRESENT:#}", request.node))?;
    let mut receivers: BTreeMap<VirtualNodeName, ReceiverLoad> = declared.collect();
    for (name, rate) in rates {
        // A standby without requests carries nothing now, and its highest rate decides.
        let present = rate.present.unwrap_or_default();
        receivers.insert(name, ReceiverLoad { present, highest: rate.highest, declared: false });
    }
    Ok(Load::Known { node, receivers })
}

const DECLARED: ReceiverLoad = ReceiverLoad { present: 0.0, highest: 0.0, declared: true };

/// The newest rate, if it is recent, and the highest one, in requests a second.
fn rate(points: &[(Timestamp, f64)], now: Timestamp) -> Rate {
    let per_second = |value: f64| value / f64::from(PERIOD);
    // The last period is not over, so it counts only part of its requests.
    let whole: Vec<&(Timestamp, f64)> =
        points.iter().filter(|(at, _)| *at + SignedDuration::from_secs(i64::from(PERIOD)) <= now).collect();
    let newest = whole.iter().max_by_key(|(at, _)| *at).filter(|(at, _)| now < *at + PRESENT);
    Rate {
        present: newest.map(|(_, value)| per_second(*value)),
        highest: whole.iter().map(|(_, value)| per_second(*value)).fold(0.0, f64::max),
    }
}

/// Reads the requests, failures and peaks of the receivers in whole minutes of `from..until`. What cannot be read is missing,
/// with the reason, and never 0.
pub(crate) async fn traffic(
    port: &Metrics<'_>,
    alarms: &Alarms,
    policy: &Policy,
    (mesh, receivers): (&MeshName, &BTreeSet<VirtualNodeName>),
    (from, until): (Timestamp, Timestamp),
) -> DrillTraffic {
    let mut queries = Vec::new();
    let mut query = |series: Result<MetricSeries, String>| {
        series.map(|series| {
            queries.push(series);
            queries.len() - 1
        })
    };
    let mut numbers = Vec::new();
    for node in receivers {
        let requests = query(requests(alarms, policy, mesh, node, TRAFFIC_PERIOD));
        let failures = query(failures(alarms, policy, mesh, node, TRAFFIC_PERIOD));
        numbers.push((node, requests, failures));
    }
    let data =
        if queries.is_empty() || until <= from { Ok(Vec::new()) } else { port.read(&queries, from, until).await };
    let minute = SignedDuration::from_secs(i64::from(TRAFFIC_PERIOD));
    let points = |number: &Result<usize, String>| -> Result<Vec<f64>, String> {
        let number = number.clone()?;
        match data.as_ref().map_err(Clone::clone)?.get(number) {
            Some(SeriesData::Points(points)) => {
                let whole = points.iter().filter(|(at, _)| from <= *at && *at + minute <= until);
                Ok(whole.map(|(_, value)| *value).collect())
            }
            Some(SeriesData::Unreadable(why)) => Err(why.clone()),
            None => Err("no minute is over".to_owned()),
        }
    };
    let measured = |points: &Result<Vec<f64>, String>, number: &dyn Fn(&[f64]) -> f64| match points {
        Ok(points) if points.is_empty() => Measured::Missing("no data points".to_owned()),
        Ok(points) => Measured::Known(number(points)),
        Err(why) => Measured::Missing(why.clone()),
    };
    let sum = |points: &[f64]| points.iter().sum::<f64>();
    let peak =
        |points: &[f64]| points.iter().fold(0.0, |peak: f64, value| peak.max(*value)) / f64::from(TRAFFIC_PERIOD);
    let receiver = |(node, requests, failures): (&VirtualNodeName, Result<usize, String>, Result<usize, String>)| {
        let (requests, failures) = (points(&requests), points(&failures));
        let traffic = ReceiverTraffic {
            requests: measured(&requests, &sum),
            failures: measured(&failures, &sum),
            peak: measured(&requests, &peak),
        };
        (node.clone(), traffic)
    };
    DrillTraffic { from, until, receivers: numbers.into_iter().map(receiver).collect() }
}

/// The series of a node's requests, from an alarm that reports the node.
fn requests(
    alarms: &Alarms,
    policy: &Policy,
    mesh: &MeshName,
    node: &VirtualNodeName,
    period: u32,
) -> Result<MetricSeries, String> {
    let rank = |usage: MetricUse| match usage {
        MetricUse::Volume => Some(0),
        MetricUse::Companion => Some(1),
        MetricUse::Errors | MetricUse::Measure | MetricUse::Foreign => None,
    };
    let found = series(alarms, policy, mesh, node, period, &rank);
    found.ok_or_else(|| format!("no alarm of {node} has a metric of its requests"))
}

/// The series of a node's failed requests, from an alarm that reports the node.
fn failures(
    alarms: &Alarms,
    policy: &Policy,
    mesh: &MeshName,
    node: &VirtualNodeName,
    period: u32,
) -> Result<MetricSeries, String> {
    let rank = |usage: MetricUse| match usage {
        MetricUse::Errors => Some(0),
        MetricUse::Volume | MetricUse::Companion | MetricUse::Measure | MetricUse::Foreign => None,
    };
    let found = series(alarms, policy, mesh, node, period, &rank);
    found.ok_or_else(|| format!("no alarm of {node} has a metric of its failed requests"))
}

/// The series of a node with the lowest rank, from an alarm that reports the node.
fn series(
    alarms: &Alarms,
    policy: &Policy,
    mesh: &MeshName,
    node: &VirtualNodeName,
    period: u32,
    rank: &dyn Fn(MetricUse) -> Option<u8>,
) -> Option<MetricSeries> {
    let target = ProofTarget { mesh, node, discovery: &policy.failover.discovery };
    let reporting = alarms.targets.alarms_of(mesh, node).iter().filter_map(|found| alarms.get(&found.name));
    let mut volumes = Vec::new();
    for alarm in reporting {
        for metric in counted_metrics(alarm, &alarms.read, &target).unwrap_or_default() {
            let Some(rank) = rank(metric.usage) else { continue };
            if let MetricTerm::Stat { namespace, metric: name, dimensions, stat, .. } = metric.query.term
                && metric.query.account_id.is_none()
            {
                let stat = if stat == "SampleCount" { stat } else { "Sum".to_owned() };
                volumes.push((rank, MetricSeries { namespace, metric: name, dimensions, stat, period }));
            }
        }
    }
    volumes.sort();
    volumes.into_iter().next().map(|(_, series)| series)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn present_rate_is_that_of_the_newest_whole_period() {
        let now: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
        let ago = |minutes: i64, value: f64| (now - SignedDuration::from_mins(minutes), value);
        // Points, present, highest.
        for (points, present, highest) in [
            (vec![], None, 0.0),
            (vec![ago(10, 600.0), ago(5, 300.0), ago(2, 3000.0)], Some(1.0), 2.0),
            (vec![ago(20, 600.0)], None, 2.0),
            (vec![ago(15, 600.0)], None, 2.0),
            (vec![ago(14, 600.0)], Some(2.0), 2.0),
        ] {
            let rate = rate(&points, now);
            assert_eq!((rate.present, rate.highest), (present, highest), "{points:?}");
        }
    }
}
