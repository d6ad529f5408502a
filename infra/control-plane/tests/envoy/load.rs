//! Continuous requests.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::stage::TIMEOUT;

/// Sends one request after the other, until it is dropped.
pub(crate) struct Load {
    seen: Arc<LoadResults>,
    running: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct LoadResults {
    stop: AtomicBool,
    served: AtomicU64,
    failed: Mutex<BTreeMap<String, u64>>,
    by: Mutex<BTreeMap<String, u64>>,
}

impl Load {
    pub(crate) fn on(client: &reqwest::Client, address: &str) -> Self {
        let seen = Arc::<LoadResults>::default();
        let (client, url, shared) = (client.clone(), format!("http://{address}/"), Arc::clone(&seen));
        let running = tokio::spawn(async move {
            while !shared.stop.load(Ordering::SeqCst) {
                match request(&client, &url).await {
                    Ok(node) => {
                        *shared.by.lock().unwrap().entry(node).or_default() += 1;
                        shared.served.fetch_add(1, Ordering::SeqCst);
                    }
                    Err(reason) => *shared.failed.lock().unwrap().entry(reason).or_default() += 1,
                }
            }
        });
        Self { seen, running }
    }

    /// The number of requests that this application has served.
    pub(crate) fn by(&self, node: &str) -> u64 {
        self.seen.by.lock().unwrap().get(node).copied().unwrap_or_default()
    }

    /// Waits until this number of further requests were served.
    pub(crate) async fn served_more(&self, count: u64) {
        let target = self.seen.served.load(Ordering::SeqCst) + count;
        self.until("requests are served", || self.seen.served.load(Ordering::SeqCst) >= target).await;
    }

    /// Waits until this application has served this number of further requests.
    pub(crate) async fn served_more_by(&self, node: &str, count: u64) {
        let target = self.by(node) + count;
        self.until(&format!("{node} serves"), || self.by(node) >= target).await;
    }

    async fn until(&self, condition: &str, is_met: impl Fn() -> bool) {
        let deadline = Instant::now() + TIMEOUT;
        while !is_met() {
            assert!(
                Instant::now() < deadline,
                "not in time: {condition}; failed: {:?}",
                self.seen.failed.lock().unwrap()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The failures with their numbers.
    pub(crate) async fn end(self) -> BTreeMap<String, u64> {
        self.seen.stop.store(true, Ordering::SeqCst);
        self.running.await.unwrap();
        self.seen.failed.lock().unwrap().clone()
    }
}

/// Sends a request; returns the name of the application, or the reason of the failure.
async fn request(client: &reqwest::Client, url: &str) -> Result<String, String> {
    let response = client.get(url).send().await.map_err(|error| format!("{error:?}"))?;
    let (status, text) = (response.status(), response.text().await.map_err(|error| format!("{error:?}"))?);
    if !status.is_success() {
        return Err(format!("{status} {text}"));
    }
    let body: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    Ok(body["node"].as_str().unwrap_or_default().to_owned())
}
