//! The control plane dies under load, and comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::application::Behaviour;
use crate::mesh_of::{client, node, route};
use crate::proxy::Kind;
use crate::stage::{PATIENCE, Stage};

const SERVICE: &str = "colours.shop.local";

/// Requests without a pause, until it is dropped.
struct Load {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    by_green: Arc<AtomicU64>,
    running: tokio::task::JoinHandle<()>,
}

impl Load {
    fn on(client: &reqwest::Client, address: &str) -> Self {
        let (stop, served, failed, by_green) =
            <(Arc<AtomicBool>, Arc<AtomicU64>, Arc<AtomicU64>, Arc<AtomicU64>)>::default();
        let (client, url) = (client.clone(), format!("http://{address}/"));
        let seen = (Arc::clone(&stop), Arc::clone(&served), Arc::clone(&failed), Arc::clone(&by_green));
        let running = tokio::spawn(async move {
            let (stop, served, failed, by_green) = seen;
            while !stop.load(Ordering::SeqCst) {
                let body = match client.get(&url).send().await {
                    Ok(answer) if answer.status().is_success() => answer.text().await.ok(),
                    Ok(_) | Err(_) => None,
                };
                match body.and_then(|body| serde_json::from_str::<Value>(&body).ok()) {
                    Some(body) => {
                        served.fetch_add(1, Ordering::SeqCst);
                        by_green.fetch_add(u64::from(body["node"] == "green"), Ordering::SeqCst);
                    }
                    None => {
                        failed.fetch_add(1, Ordering::SeqCst);
                    }
                }
            }
        });
        Self { stop, served, failed, by_green, running }
    }

    /// Waits until so many more requests were served.
    async fn served_more(&self, count: u64) {
        let target = self.served.load(Ordering::SeqCst) + count;
        let deadline = Instant::now() + PATIENCE;
        while self.served.load(Ordering::SeqCst) < target {
            assert!(Instant::now() < deadline, "no requests are served any more");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn end(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.running.await.unwrap();
        self.failed.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn without_a_control_plane_traffic_goes_on_and_with_it_again_it_is_steered() {
    let Some(mut stage) = Stage::set_on_disk().await else { return };
    for name in ["blue", "green"] {
        stage.node(name, node("http", &[])).await;
    }
    stage.service_on_router(SERVICE, "colours", "http").await;
    let split = |blue, green| route("httpRoute", &[("blue", blue), ("green", green)]);
    stage.route("colours", "all", split(1, 0)).await;
    stage.node("client", client(&[SERVICE])).await;
    let mut applications = Vec::new();
    let mut running = Vec::new();
    for name in ["blue", "green"] {
        applications.push(stage.application(name, Behaviour::Echo).await);
        running.push(stage.envoy(Kind::Node, name).await);
    }
    running.push(stage.envoy(Kind::Node, "client").await);
    let egress = stage.address(Kind::Node, "client", "egress", Some(SERVICE)).await;
    let load = Load::on(&stage.client, &egress);
    load.served_more(50).await;

    stage.kill();
    load.served_more(200).await;
    assert_eq!(load.by_green.load(Ordering::SeqCst), 0);

    stage.start();
    stage.until_up_to_date(Kind::Node, "client").await;
    assert_eq!(stage.address(Kind::Node, "client", "egress", Some(SERVICE)).await, egress, "ports stay what they were");
    load.served_more(50).await;
    stage.update_route("colours", "all", split(0, 1)).await;
    let deadline = Instant::now() + PATIENCE;
    while load.by_green.load(Ordering::SeqCst) == 0 {
        assert!(Instant::now() < deadline, "the restarted control plane moves nothing");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    assert_eq!(load.end().await, 0, "requests failed");

    // A proxy that dies is given all of it again.
    drop(running.pop());
    running.push(stage.envoy(Kind::Node, "client").await);
    let answer = stage.client.get(format!("http://{egress}/")).send().await.unwrap();
    assert!(answer.text().await.unwrap().contains("green"));
    stage.nobody_refused().await;
    drop(applications);
}
