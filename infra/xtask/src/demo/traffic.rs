//! What real requests see: a load through the gateway, a line a second, and Envoy's own statistics as metric data.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::console::say;
use crate::demo_mesh::{metric_data, requests};
use crate::failure::{Failure, Result};
use crate::http::Client;
use crate::local_aws::LocalAws;
use crate::stack::DataPlane;

/// How often statistics are collected and a line is shown.
const EVERY: Duration = Duration::from_secs(1);

/// The load: with these the catalog's route takes it, which looks at the method and a header.
const PATH: &str = "/products/1";
const HEADER: (&str, &str) = ("x-shop-region", "eu-west");
const PER_SECOND: u32 = 50;

/// Requests by who served them, and how they ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    succeeded: BTreeMap<String, u64>,
    failed: BTreeMap<String, u64>,
}

/// A load that runs.
#[derive(Debug)]
pub(super) struct Traffic {
    data_plane: DataPlane,
    client: Client,
    /// The nodes that have a column; without any, no line is shown.
    nodes: Option<[&'static str; 2]>,
    shown: Counts,
    next: Instant,
    second: u32,
    statistics: BTreeMap<String, Statistics>,
}

/// What an Envoy has counted of its node's own requests since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Statistics {
    completed: u64,
    failed: u64,
}

impl Traffic {
    /// Starts the load.
    pub(super) fn start(data_plane: &DataPlane, nodes: Option<[&'static str; 2]>) -> Result<Self> {
        let client = Client::new();
        let load = json!({"paths": [PATH], "headers": {HEADER.0: HEADER.1}, "perSecond": PER_SECOND});
        client.put(&format!("{}/load", data_plane.shop), &load)?.success("the load")?;
        let mut traffic = Self {
            data_plane: data_plane.clone(),
            client,
            nodes,
            shown: Counts::default(),
            next: Instant::now() + EVERY,
            second: 0,
            statistics: BTreeMap::new(),
        };
        traffic.shown = traffic.counts()?;
        if let Some([first, second]) = nodes {
            say(format_args!("    second   {first:>12} {second:>12}   failed"));
        }
        Ok(traffic)
    }

    /// Lets a node fail so many percent of its requests from now on.
    pub(super) fn fail(&self, node: &str, percent: u32) -> Result<()> {
        self.client.put(&format!("{}/failing/{node}", self.data_plane.shop), &json!(percent))?.success(node).map(drop)
    }

    /// All requests so far.
    pub(super) fn counts(&self) -> Result<Counts> {
        let tally = self.client.get(&format!("{}/tally", self.data_plane.shop))?.success("the tally")?;
        Counts::of(&tally).ok_or_else(|| Failure::Refused { what: "the tally".to_owned(), answer: tally.to_string() })
    }

    /// Once a second: shows a line, and takes the proxies' statistics to CloudWatch. Meant to be called often.
    pub(super) fn tick(&mut self, aws: &mut LocalAws) -> Result<()> {
        if Instant::now() < self.next {
            return Ok(());
        }
        self.next = Instant::now() + EVERY;
        self.second += 1;
        let counts = self.counts()?;
        let last = counts.since(&self.shown);
        self.shown = counts;
        if let Some([first, second]) = self.nodes {
            let share = |node: &str| format!("{:.0} %", last.share(node));
            say(format_args!(
                "    {:>6}   {:>12} {:>12}   {:>6}",
                self.second,
                share(first),
                share(second),
                last.failures()
            ));
        }
        self.collect(aws)
    }

    /// What a small collector beside each proxy would do: requests and failures since the last time, as metric data.
    fn collect(&mut self, aws: &mut LocalAws) -> Result<()> {
        let mut data = Vec::new();
        for proxy in &self.data_plane.proxies {
            let url = format!("{}/stats?format=json&filter={FILTER}", proxy.admin);
            let now = Statistics::of(&self.client.get(&url)?.success(&proxy.name)?);
            let before = self.statistics.insert(proxy.name.clone(), now);
            let Some((completed, percent)) = before.and_then(|before| now.since(before)) else { continue };
            data.push(requests(&proxy.name, percent, completed));
        }
        if data.is_empty() {
            return Ok(());
        }
        aws.call("cloudwatch", "put_metric_data", &metric_data(&data)).map(drop)
    }

    /// Ends the load.
    pub(super) fn end(self) -> Result<Counts> {
        self.client.delete(&format!("{}/load", self.data_plane.shop))?.success("the load")?;
        self.counts()
    }
}

/// Of a proxy's statistics, those of the requests that its node was sent: a regular expression in a URL.
const FILTER: &str = "%5Ehttp%5C.ingress.*downstream_rq_(completed%7C5xx)%24";

impl Statistics {
    fn of(body: &Value) -> Self {
        let mut sum = Self::default();
        for entry in body.get("stats").and_then(Value::as_array).into_iter().flatten() {
            let (Some(name), Some(value)) =
                (entry.get("name").and_then(Value::as_str), entry.get("value").and_then(Value::as_u64))
            else {
                continue;
            };
            if name.ends_with("_completed") {
                sum.completed += value;
            } else {
                sum.failed += value;
            }
        }
        sum
    }

    /// The requests since then and how many percent of them failed; none if there were none.
    fn since(self, before: Self) -> Option<(u32, f64)> {
        let completed = u32::try_from(self.completed.checked_sub(before.completed)?).ok().filter(|count| *count > 0)?;
        let failed = u32::try_from(self.failed.checked_sub(before.failed)?).ok()?;
        Some((completed, 100.0 * f64::from(failed) / f64::from(completed)))
    }
}

impl Counts {
    fn of(tally: &Value) -> Option<Self> {
        let read = |member: &str| -> Option<BTreeMap<String, u64>> {
            let counts = tally.get(member)?.as_object()?;
            counts.iter().map(|(by, count)| Some((by.clone(), count.as_u64()?))).collect()
        };
        Some(Self { succeeded: read("succeeded")?, failed: read("failed")? })
    }

    /// What came after an earlier count.
    pub(super) fn since(&self, before: &Self) -> Self {
        let subtract = |now: &BTreeMap<String, u64>, before: &BTreeMap<String, u64>| {
            now.iter().map(|(by, count)| (by.clone(), count - before.get(by).copied().unwrap_or_default())).collect()
        };
        Self { succeeded: subtract(&self.succeeded, &before.succeeded), failed: subtract(&self.failed, &before.failed) }
    }

    /// How many percent of the requests a node had a part in.
    pub(super) fn share(&self, node: &str) -> f64 {
        let all = self.succeeded.iter().chain(&self.failed);
        let (mut part, mut total) = (0_u32, 0_u32);
        for (by, count) in all {
            let count = u32::try_from(*count).unwrap_or(u32::MAX);
            total = total.saturating_add(count);
            if by.split(',').any(|name| name == node) {
                part = part.saturating_add(count);
            }
        }
        if total == 0 { 0.0 } else { 100.0 * f64::from(part) / f64::from(total) }
    }

    /// How many failed.
    pub(super) fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    /// How many there were.
    pub(super) fn total(&self) -> u64 {
        self.succeeded.values().sum::<u64>() + self.failures()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_who_had_a_part_in_them() {
        let tally = json!({"succeeded": {"a-1,web": 6, "a-2,web": 3}, "failed": {"a-1,web": 1}});
        let counts = Counts::of(&tally).unwrap();
        assert!((counts.share("a-1") - 70.0).abs() < 1e-9);
        assert!((counts.share("web") - 100.0).abs() < 1e-9);
        assert_eq!((counts.total(), counts.failures()), (10, 1));
        assert_eq!(counts.since(&counts).total(), 0);
        assert!(Counts::of(&json!({})).is_none());
    }

    #[test]
    fn statistics_become_a_rate() {
        let stats = |completed: u64, failed: u64| {
            Statistics::of(&json!({"stats": [
                {"name": "http.ingress.downstream_rq_completed", "value": completed},
                {"name": "http.ingress.downstream_rq_5xx", "value": failed},
            ]}))
        };
        assert_eq!(stats(30, 10).since(stats(10, 5)), Some((20, 25.0)));
        assert_eq!(stats(10, 5).since(stats(10, 5)), None);
        // An Envoy that was started anew counts from nothing.
        assert_eq!(stats(1, 0).since(stats(10, 5)), None);
    }
}
