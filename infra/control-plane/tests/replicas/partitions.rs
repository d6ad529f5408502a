//! Replicas that are cut off from the store during load, in network namespaces.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::cluster::{ReplicaProcess, send, until};
use crate::envoys::{Envoy, Load, callee, caller, put};
use crate::ministack::MiniStack;
use crate::namespaces::{LinkedReplica, Network, PortBlock, has_envoy, prerequisites};

/// Writes of a client through all replicas, one after the other, until it is stopped.
struct Writes {
    stop: Arc<AtomicBool>,
    writing: JoinHandle<(BTreeSet<String>, usize)>,
}

impl Writes {
    /// Creates nodes of the mesh `w`. A write without a known outcome is repeated with its token, through the next replica.
    fn start(http: &Client, replicas: &[LinkedReplica]) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let (ends, http) = (Arc::clone(&stop), http.clone());
        let endpoints: Vec<String> = replicas.iter().map(|member| member.replica.endpoint.clone()).collect();
        let writing = tokio::spawn(async move {
            let (mut acknowledged, mut repeated) = (BTreeSet::new(), 0);
            let mut attempts = endpoints.iter().cycle();
            for number in 0.. {
                let name = format!("n{number}");
                let body = json!({"virtualNodeName": name, "spec": {}, "clientToken": name});
                loop {
                    if ends.load(Ordering::SeqCst) {
                        return (acknowledged, repeated);
                    }
                    let endpoint = attempts.next().unwrap();
                    match send(&http, endpoint, Method::PUT, "/meshes/w/virtualNodes", Some(body.clone())).await {
                        Some(reply) if reply.status == 200 => break,
                        Some(reply) => assert!([429, 503].contains(&reply.status), "{reply:?}"),
                        None => {}
                    }
                    repeated += 1;
                }
                acknowledged.insert(name);
            }
            (acknowledged, repeated)
        });
        Self { stop, writing }
    }

    async fn stop(self) -> (BTreeSet<String>, usize) {
        self.stop.store(true, Ordering::SeqCst);
        self.writing.await.unwrap()
    }
}

/// The nodes of the mesh `w`, with their versions.
async fn nodes(http: &Client, replica: &ReplicaProcess) -> Vec<(String, u64)> {
    let (mut all, mut next) = (Vec::new(), String::new());
    loop {
        let reply = replica.send(http, Method::GET, &format!("/meshes/w/virtualNodes?limit=100{next}"), None).await;
        let reply = reply.unwrap();
        assert_eq!((reply.status, reply.age), (200, None), "{reply:?}");
        for node in reply.body["virtualNodes"].as_array().unwrap() {
            all.push((node["virtualNodeName"].as_str().unwrap().to_owned(), node["version"].as_u64().unwrap()));
        }
        match reply.body["nextToken"].as_str() {
            Some(token) => next = format!("&nextToken={token}"),
            None => break,
        }
    }
    all.sort();
    all
}

/// The replica at which a proxy has a stream.
async fn replica_of(http: &Client, replicas: &[LinkedReplica], resource: &str) -> Option<usize> {
    for (number, member) in replicas.iter().enumerate() {
        let report = member.replica.proxies(http).await;
        // Only the replica itself lists the resources of a stream.
        let is_own =
            |proxy: &Value| proxy["resource"] == resource && proxy["types"]["clusters"]["resources"].is_object();
        if report["proxies"].as_array().into_iter().flatten().any(is_own) {
            return Some(number);
        }
    }
    None
}

/// Each acknowledged write is on each replica, applied once.
async fn assert_stored(http: &Client, replicas: &[LinkedReplica], acknowledged: &BTreeSet<String>) {
    let stored = nodes(http, &replicas[0].replica).await;
    for member in &replicas[1..] {
        assert_eq!(nodes(http, &member.replica).await, stored, "replicas differ");
    }
    assert!(stored.iter().all(|(_, version)| *version == 1), "a write was applied twice");
    let names: BTreeSet<&String> = stored.iter().map(|(name, _)| name).collect();
    for name in acknowledged {
        assert!(names.contains(name), "{name} was acknowledged, but is lost");
    }
    assert!(acknowledged.len() > 20, "{acknowledged:?}");
}

async fn is_ready(http: &Client, member: &LinkedReplica) -> bool {
    member.replica.status(http, "/readyz").await == 200
}

fn reasons(report: &Value) -> BTreeSet<&str> {
    report["unknown"].as_array().into_iter().flatten().filter_map(|unknown| unknown["reason"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: replicas are cut off from the store for up to twenty seconds"]
async fn requests_and_acknowledged_writes_survive_replicas_without_the_store() {
    if let Err(reason) = prerequisites() {
        println!("skipped: {reason}");
        return;
    }
    if !has_envoy() {
        return;
    }
    let Some(stack) = MiniStack::start().await else { return };
    stack.table("partitions").await;
    let http = Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
    let (network, ports) = (Network::start(&stack), PortBlock::take());
    let mut replicas = Vec::new();
    for number in 0..3 {
        replicas.push(network.replica(&stack, number, "partitions", &["--listeners", &ports.setting()]).await);
    }
    let first = &replicas[0].replica;
    for mesh in ["m", "w"] {
        put(&http, first, "/meshes", json!({"meshName": mesh})).await;
    }
    callee(&http, first, "one").await;
    let front = json!({"virtualNodeName": "front", "spec": caller(&["one"])});
    put(&http, first, "/meshes/m/virtualNodes", front).await;
    let servers: Vec<&str> = replicas.iter().map(|member| member.xds.as_str()).collect();
    let Some(envoy) = Envoy::start(&servers.join(","), "mesh/m/virtualNode/front").await else { return };
    until("the Envoy is served", async || envoy.has_cluster_of(&http, "one").await).await;
    let load = Load::start(&http, first).await;
    let writes = Writes::start(&http, &replicas);

    // The replica of the proxy is cut off.
    let mut serving = None;
    until("a replica reports the proxy as its own", async || {
        serving = replica_of(&http, &replicas, "mesh/m/virtualNode/front").await;
        serving.is_some()
    })
    .await;
    let cut = serving.unwrap();
    let (lost, left) = (&replicas[cut], [&replicas[(cut + 1) % 3], &replicas[(cut + 2) % 3]]);
    lost.cut(true);
    until("the replica is not ready", async || !is_ready(&http, lost).await).await;
    assert_eq!(lost.replica.status(&http, "/healthz").await, 200);
    assert_eq!(lost.replica.status(&http, "/readyz/xds").await, 200, "it still serves proxies");
    for member in left {
        assert!(is_ready(&http, member).await, "the others have the store");
    }
    until("proxies are unknown", async || {
        let report = left[0].replica.proxies(&http).await;
        reasons(&report).iter().any(|reason| ["behind", "silent"].contains(reason))
    })
    .await;
    assert_eq!(left[1].replica.status(&http, "/proxies").await, 503, "a client that does not know `unknown`");
    let body = json!({"spec": {}});
    let refused = lost.replica.send(&http, Method::PUT, "/meshes/m", Some(body)).await.unwrap();
    assert_eq!(refused.status, 503, "{refused:?}");
    callee(&http, &left[0].replica, "two").await;
    let update = json!({"spec": caller(&["one", "two"])});
    put(&http, &left[1].replica, "/meshes/m/virtualNodes/front", update).await;
    until("the proxy has found a current replica", async || envoy.has_cluster_of(&http, "two").await).await;
    lost.cut(false);
    until("the replica is ready again", async || is_ready(&http, lost).await).await;
    until("everything is known again", async || {
        let report = lost.replica.proxies(&http).await;
        report["complete"] == true && report["proxies"].as_array().is_some_and(|all| all.len() == 1)
    })
    .await;

    // All replicas are cut off.
    for member in &replicas {
        member.cut(true);
    }
    for member in &replicas {
        until("no replica is ready", async || !is_ready(&http, member).await).await;
        assert_eq!(member.replica.status(&http, "/readyz/xds").await, 200);
    }
    until("reads are refused when they are too old", async || {
        let reply = replicas[0].replica.send(&http, Method::GET, "/meshes/m", None).await.unwrap();
        assert!(reply.status == 503 || reply.age.is_some(), "{reply:?}");
        reply.status == 503
    })
    .await;
    assert_eq!(replicas[0].replica.status(&http, "/proxies").await, 503);
    for member in &replicas {
        member.cut(false);
    }
    for member in &replicas {
        until("the replica is ready again", async || is_ready(&http, member).await).await;
    }
    let update = json!({"spec": caller(&["one", "two", "three"])});
    callee(&http, &replicas[2].replica, "three").await;
    put(&http, &replicas[1].replica, "/meshes/m/virtualNodes/front", update).await;
    until("a write reaches the proxy", async || envoy.has_cluster_of(&http, "three").await).await;

    let (served, failed) = load.stop().await;
    let (acknowledged, repeated) = writes.stop().await;
    println!("{served} requests through the Envoy, {failed} failed");
    println!("{} acknowledged writes, {repeated} attempts without an outcome", acknowledged.len());
    assert!(served > 50 && failed == 0, "{served} requests, {failed} failed");
    assert_stored(&http, &replicas, &acknowledged).await;
}
