//! Requests without a pause.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::stage::PATIENCE;

/// One request after the other, until it is dropped.
pub(crate) struct Load {
    seen: Arc<Seen>,
    running: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    served: AtomicU64,
    failed: Mutex<BTreeMap<String, u64>>,
    by: Mutex<BTreeMap<String, u64>>,
}

impl Load {
    pub(crate) fn on(client: &reqwest::Client, address: &str) -> Self {
        let seen = Arc::<Seen>::default();
        let (client, url, shared) = (client.clone(), format!("http://{address}/"), Arc::clone(&seen));
        let running = tokio::spawn(async move {
            while !shared.stop.load(Ordering::SeqCst) {
                match ask(&client, &url).await {
                    Ok(node) => {
                        *shared.by.lock().unwrap().entry(node).or_default() += 1;
                        shared.served.fetch_add(1, Ordering::SeqCst);
                    }
                    Err(why) => *shared.failed.lock().unwrap().entry(why).or_default() += 1,
                }
            }
        });
        Self { seen, running }
    }

    /// How many requests this application has served.
    pub(crate) fn by(&self, node: &str) -> u64 {
        self.seen.by.lock().unwrap().get(node).copied().unwrap_or_default()
    }

    /// Waits until so many more requests were served.
    pub(crate) async fn served_more(&self, count: u64) {
        let target = self.seen.served.load(Ordering::SeqCst) + count;
        self.until("requests are served", || self.seen.served.load(Ordering::SeqCst) >= target).await;
    }

    /// Waits until this application has served so many more.
    pub(crate) async fn served_more_by(&self, node: &str, count: u64) {
        let target = self.by(node) + count;
        self.until(&format!("{node} serves"), || self.by(node) >= target).await;
    }

    async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < deadline, "not in time: {what}; failed: {:?}", self.seen.failed.lock().unwrap());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// What failed, and how often.
    pub(crate) async fn end(self) -> BTreeMap<String, u64> {
        self.seen.stop.store(true, Ordering::SeqCst);
        self.running.await.unwrap();
        self.seen.failed.lock().unwrap().clone()
    }
}

/// Who answers, or why nobody does.
async fn ask(client: &reqwest::Client, url: &str) -> Result<String, String> {
    let answer = client.get(url).send().await.map_err(|error| format!("{error:?}"))?;
    let (status, text) = (answer.status(), answer.text().await.map_err(|error| format!("{error:?}"))?);
    if !status.is_success() {
        return Err(format!("{status} {text}"));
    }
    let body: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    Ok(body["node"].as_str().unwrap_or_default().to_owned())
}
