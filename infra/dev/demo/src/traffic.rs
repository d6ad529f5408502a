//! The results of real requests: a load through the gateway, and a line of figures per second.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use stack::DataPlane;
use stack::console::say;
use stack::failure::{Failure, Result};
use stack::http::Client;

/// The interval of the lines.
const INTERVAL: Duration = Duration::from_secs(1);

/// The headers of the load, which the routes of the catalog and of the recommendations match.
const HEADERS: [(&str, &str); 2] = [("x-shop-region", "eu-west"), ("cookie", "session=demo")];

/// The requests of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load {
    /// The path of each request.
    pub(super) path: &'static str,
    /// The number of requests a second.
    pub(super) per_second: u32,
}

/// Requests for a product, which the catalog and the inventory serve.
pub(super) const PRODUCTS: Load = Load::on("/products/1");

impl Load {
    /// The load of most scenarios.
    pub(super) const fn on(path: &'static str) -> Self {
        Self { path, per_second: 50 }
    }
}

/// Requests by the nodes that served them, and by outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RequestCounts {
    succeeded: BTreeMap<String, u64>,
    failed: BTreeMap<String, u64>,
    /// When each node last served a request, in milliseconds of Unix time.
    last: BTreeMap<String, u64>,
}

/// A running load.
#[derive(Debug)]
pub(super) struct Traffic {
    data_plane: DataPlane,
    client: Client,
    /// The nodes with a column; without them, no line is printed.
    nodes: Option<[&'static str; 2]>,
    shown: RequestCounts,
    next: Instant,
    second: u32,
}

impl Traffic {
    /// Starts the load.
    pub(super) fn start(data_plane: &DataPlane, load: Load, nodes: Option<[&'static str; 2]>) -> Result<Self> {
        let client = Client::new();
        let headers: BTreeMap<&str, &str> = HEADERS.into();
        let load = json!({"paths": [load.path], "headers": headers, "perSecond": load.per_second});
        client.put(&format!("{}/load", data_plane.shop), &load)?.success("the load")?;
        let mut traffic = Self {
            data_plane: data_plane.clone(),
            client,
            nodes,
            shown: RequestCounts::default(),
            next: Instant::now() + INTERVAL,
            second: 0,
        };
        traffic.shown = traffic.counts()?;
        if let Some([first, second]) = nodes {
            say(format_args!("    second   {first:>12} {second:>12}   failed"));
        }
        Ok(traffic)
    }

    /// All requests since the start.
    pub(super) fn counts(&self) -> Result<RequestCounts> {
        let tally = self.client.get(&format!("{}/tally", self.data_plane.shop))?.success("the tally")?;
        RequestCounts::from_tally(&tally)
            .ok_or_else(|| Failure::Refused { what: "the tally".to_owned(), answer: tally.to_string() })
    }

    /// Prints a line once a second. It has to be called often.
    pub(super) fn tick(&mut self) -> Result<()> {
        if Instant::now() < self.next {
            return Ok(());
        }
        self.next = Instant::now() + INTERVAL;
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
        Ok(())
    }

    /// Ends the load.
    pub(super) fn end(self) -> Result<RequestCounts> {
        self.client.delete(&format!("{}/load", self.data_plane.shop))?.success("the load")?;
        self.counts()
    }
}

impl RequestCounts {
    fn from_tally(tally: &Value) -> Option<Self> {
        let read = |member: &str| -> Option<BTreeMap<String, u64>> {
            let counts = tally.get(member)?.as_object()?;
            counts.iter().map(|(by, count)| Some((by.clone(), count.as_u64()?))).collect()
        };
        Some(Self { succeeded: read("succeeded")?, failed: read("failed")?, last: read("last")? })
    }

    /// The increase since an earlier count.
    pub(super) fn since(&self, before: &Self) -> Self {
        let subtract = |now: &BTreeMap<String, u64>, before: &BTreeMap<String, u64>| {
            now.iter().map(|(by, count)| (by.clone(), count - before.get(by).copied().unwrap_or_default())).collect()
        };
        Self {
            succeeded: subtract(&self.succeeded, &before.succeeded),
            failed: subtract(&self.failed, &before.failed),
            last: self.last.clone(),
        }
    }

    /// When a node last served a request, in milliseconds of Unix time.
    pub(super) fn last_served(&self, node: &str) -> Option<u64> {
        self.last.get(node).copied()
    }

    /// The number of requests that a node took part in.
    pub(super) fn served(&self, node: &str) -> u64 {
        let all = self.succeeded.iter().chain(&self.failed);
        all.filter(|(by, _)| by.split(',').any(|name| name == node)).map(|(_, count)| count).sum()
    }

    /// The percentage of the requests that a node took part in.
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

    /// The number of failed requests.
    pub(super) fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    /// The number of all requests.
    pub(super) fn total(&self) -> u64 {
        self.succeeded.values().sum::<u64>() + self.failures()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_serving_node() {
        let tally = json!({"succeeded": {"a-1,web": 6, "a-2,web": 3}, "failed": {"a-1,web": 1}, "last": {"a-1": 5}});
        let counts = RequestCounts::from_tally(&tally).unwrap();
        assert!((counts.share("a-1") - 70.0).abs() < 1e-9);
        assert!((counts.share("web") - 100.0).abs() < 1e-9);
        assert_eq!((counts.total(), counts.failures(), counts.served("a-1")), (10, 1, 7));
        assert_eq!((counts.last_served("a-1"), counts.last_served("a-2")), (Some(5), None));
        assert_eq!(counts.since(&counts).total(), 0);
        assert!(RequestCounts::from_tally(&json!({})).is_none());
    }
}
