//! The state that the demo sets and reads through the control server.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::task::JoinHandle;

use crate::tally::Tally;

/// The time limit of a request; the mesh's timeouts are shorter.
const TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct Control {
    gateway: String,
    client: reqwest::Client,
    failing: Mutex<BTreeMap<String, Failing>>,
    tally: Mutex<Tally>,
    load: Mutex<Option<JoinHandle<()>>>,
}

/// The percentage of its requests that a node fails. Failures are evenly spread and deterministic, so that a
/// run is repeatable.
#[derive(Debug, Default)]
struct Failing {
    percent: u32,
    owed: u32,
}

/// A steady load.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Load {
    /// The paths, requested in turn.
    pub(crate) paths: Vec<String>,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) per_second: u32,
}

impl Control {
    pub(crate) fn new(gateway: String) -> Self {
        // The environment's proxy is not used: no request leaves this machine.
        let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build().unwrap_or_default();
        Self { gateway, client, failing: Mutex::default(), tally: Mutex::default(), load: Mutex::default() }
    }

    pub(crate) fn gateway(&self) -> &str {
        &self.gateway
    }

    pub(crate) fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// Whether a node has to fail its next request.
    pub(crate) fn fails(&self, node: &str) -> bool {
        let mut failing = lock(&self.failing);
        let Some(failing) = failing.get_mut(node) else { return false };
        failing.owed += failing.percent;
        let fails = failing.owed >= 100;
        if fails {
            failing.owed -= 100;
        }
        fails
    }

    /// Lets a node fail this percentage of its requests.
    pub(crate) fn set_failing(&self, node: String, percent: u32) {
        lock(&self.failing).insert(node, Failing { percent: percent.min(100), owed: 0 });
    }

    /// Replaces the running load, and ends the previous one.
    pub(crate) fn set_load(&self, running: Option<JoinHandle<()>>) {
        if let Some(previous) = std::mem::replace(&mut *lock(&self.load), running) {
            previous.abort();
        }
    }

    pub(crate) fn tally(&self) -> MutexGuard<'_, Tally> {
        lock(&self.tally)
    }
}

/// The data behind these locks is consistent at any time, so a panic of a holder is ignored.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_spread_evenly() {
        let control = Control::new(String::new());
        assert!(!control.fails("a"));
        lock(&control.failing).insert("a".to_owned(), Failing { percent: 60, owed: 0 });
        let failed: Vec<bool> = (0..10).map(|_| control.fails("a")).collect();
        assert_eq!(failed.iter().filter(|failed| **failed).count(), 6);
        assert_eq!(failed[..5], failed[5..]);
        assert!(!control.fails("b"));
    }
}
