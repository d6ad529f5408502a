//! What any replica reports about the proxies of all replicas, with real Envoys. The replicas are in one process, on a log
//! in memory, and each can be cut off from it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use control_plane::storage::{
    Appended, Entry, EventCursor, EventCursors, EvidenceChunk, Log, LogError, LogPage, MemoryLog, Registry,
    ReplicaRecord, Sequence, Snapshot,
};
use control_plane::xds::{ListenerMode, XdsAuth, XdsListener, XdsSettings};
use control_plane::{Quotas, ReplicaRole, Server, Settings, Store};
use mesh::name::AccountId;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::cluster::{send, until};
use crate::contract::realm;
use crate::envoys::Envoy;

/// A shared log that a replica may be cut off from.
#[derive(Debug, Clone)]
struct CuttableLog {
    log: MemoryLog,
    is_cut: Arc<AtomicBool>,
}

impl CuttableLog {
    fn reach(&self) -> Result<&MemoryLog, LogError> {
        if self.is_cut.load(Ordering::SeqCst) {
            return Err(LogError::unknown("reach the store", "the test cut it off"));
        }
        Ok(&self.log)
    }
}

#[async_trait]
impl Log for CuttableLog {
    fn is_shared(&self) -> bool {
        true
    }

    fn waits(&self) -> bool {
        true
    }

    async fn append(&self, entry: &Entry) -> Result<Appended, LogError> {
        self.reach()?.append(entry).await
    }

    async fn read(&self, after: Sequence) -> Result<LogPage, LogError> {
        self.reach()?.read(after).await
    }

    async fn load_snapshot(&self) -> Result<Snapshot, LogError> {
        self.reach()?.load_snapshot().await
    }

    async fn put_snapshot(&self, snapshot: &Snapshot) -> Result<(), LogError> {
        self.reach()?.put_snapshot(snapshot).await
    }

    async fn trim(&self, upto: Sequence) -> Result<(), LogError> {
        self.reach()?.trim(upto).await
    }
}

#[async_trait]
impl EventCursors for CuttableLog {
    fn log_id(&self) -> Uuid {
        self.log.log_id()
    }

    async fn cursor(&self, receiver: &str) -> Result<Option<EventCursor>, LogError> {
        self.reach()?.cursor(receiver).await
    }

    async fn put_cursor(&self, receiver: &str, cursor: &EventCursor) -> Result<EventCursor, LogError> {
        self.reach()?.put_cursor(receiver, cursor).await
    }
}

#[async_trait]
impl Registry for CuttableLog {
    async fn report(&self, record: &ReplicaRecord, changed: &[EvidenceChunk]) -> Result<(), LogError> {
        self.reach()?.report(record, changed).await
    }

    async fn list(&self) -> Result<Vec<ReplicaRecord>, LogError> {
        self.reach()?.list().await
    }

    async fn chunks(&self, id: Uuid) -> Result<Vec<EvidenceChunk>, LogError> {
        self.reach()?.chunks(id).await
    }

    async fn remove(&self, id: Uuid) -> Result<(), LogError> {
        self.reach()?.remove(id).await
    }

    async fn check(&self) -> Result<(), LogError> {
        self.reach()?.check().await
    }
}

/// A replica of this process.
struct LocalReplica {
    endpoint: String,
    xds: String,
    is_cut: Arc<AtomicBool>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl LocalReplica {
    async fn start(log: &MemoryLog, listeners: ListenerMode) -> Self {
        let is_cut = Arc::new(AtomicBool::new(false));
        let shared = Arc::new(CuttableLog { log: log.clone(), is_cut: Arc::clone(&is_cut) });
        let start = log.load_snapshot().await.unwrap();
        let log: Arc<dyn Log> = Arc::<CuttableLog>::clone(&shared);
        let store = Store::with_log(log, Some(shared), ReplicaRole::Replica, &start, Quotas::default()).await.unwrap();
        let listener = XdsListener { address: "127.0.0.1:0".parse().unwrap(), auth: XdsAuth::None };
        let xds = XdsSettings { listen: vec![listener], listeners, ..XdsSettings::default() };
        let account = AccountId::parse(crate::ministack::ACCOUNT).unwrap();
        let settings = Settings { xds, ..Settings::new(account, realm().region().clone()) };
        let server = Server::bind_with_store(settings, store).await.unwrap();
        let (endpoint, xds) = (server.endpoint(), server.xds().remove(0));
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(server.serve(async {
            let _ = stopped.await;
        }));
        Self { endpoint, xds, is_cut, stop: Some(stop), serving }
    }

    async fn get(&self, http: &Client, path: &str, understands_unknown: bool) -> (u16, Value) {
        let mut request = http.get(format!("{}{path}", self.endpoint));
        if understands_unknown {
            request = request.header("x-meshwarden-evidence", "2");
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn put(&self, http: &Client, path: &str, body: Value) {
        let reply = send(http, &self.endpoint, Method::PUT, path, Some(body)).await.unwrap();
        assert_eq!(reply.status, 200, "{reply:?}");
    }

    async fn stop(mut self) {
        drop(self.stop.take());
        tokio::time::timeout(Duration::from_secs(40), self.serving).await.unwrap().unwrap().unwrap();
    }
}

/// A node with backends.
fn node(name: &str, backends: &[&str]) -> Value {
    let backends: Vec<Value> =
        backends.iter().map(|name| json!({"virtualService": {"virtualServiceName": name}})).collect();
    json!({"virtualNodeName": name, "spec": {"backends": backends, "serviceDiscovery": {"dns": {"hostname": "127.0.0.1"}}}})
}

fn reasons(report: &Value) -> Vec<&str> {
    report["unknown"].as_array().unwrap().iter().map(|unknown| unknown["reason"].as_str().unwrap()).collect()
}

fn is_up_to_date(report: &Value, proxies: usize) -> bool {
    let all = report["proxies"].as_array().unwrap();
    report["complete"] == true && all.len() == proxies && all.iter().all(|proxy| proxy["upToDate"] == true)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_replica_reports_the_proxies_of_all() {
    let (log, http) = (MemoryLog::default(), Client::new());
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(LocalReplica::start(&log, ListenerMode::Interception).await);
    }
    replicas[0].put(&http, "/meshes", json!({"meshName": "m"})).await;
    let mut envoys = Vec::new();
    for (number, replica) in replicas.iter().enumerate() {
        replica.put(&http, "/meshes/m/virtualNodes", node(&format!("n{number}"), &[])).await;
        let Some(envoy) = Envoy::start(&replica.xds, &format!("mesh/m/virtualNode/n{number}")).await else { return };
        envoys.push(envoy);
    }
    for replica in &replicas {
        until("a replica reports all proxies", async || {
            is_up_to_date(&replica.get(&http, "/proxies", false).await.1, 3)
        })
        .await;
    }
    let (_, report) = replicas[1].get(&http, "/proxies", false).await;
    let serving: std::collections::BTreeSet<_> =
        report["proxies"].as_array().unwrap().iter().map(|proxy| proxy["replica"].to_string()).collect();
    assert_eq!(serving.len(), 3, "{report:#}");
    assert!(report["proxies"].as_array().unwrap().iter().all(|proxy| proxy["instance"] != ""), "{report:#}");
    let (status, one) = replicas[0].get(&http, "/proxies/m/virtualNode/n2", false).await;
    assert_eq!((status, &one["connected"], one["streams"].as_array().unwrap().len()), (200, &json!(true), 1));

    // A write through one replica: every report that is complete afterwards is about the new state.
    let written = json!({"virtualServiceName": "s.local", "spec": {"provider": null}});
    replicas[2].put(&http, "/meshes/m/virtualServices", written).await;
    for (number, replica) in replicas.iter().enumerate() {
        replica
            .put(&http, &format!("/meshes/m/virtualNodes/n{number}"), json!({"spec": node("", &["s.local"])["spec"]}))
            .await;
    }
    let head = replicas[0].get(&http, "/proxies", true).await.1["sequence"].as_u64().unwrap();
    for replica in &replicas {
        until("all have the write", async || {
            let (_, report) = replica.get(&http, "/proxies", true).await;
            assert!(report["sequence"].as_u64().unwrap() >= head, "{report:#}");
            is_up_to_date(&report, 3)
        })
        .await;
    }

    // A replica that is cut off does not know later writes: nothing is known about any proxy.
    replicas[2].is_cut.store(true, Ordering::SeqCst);
    replicas[0].put(&http, "/meshes/m/virtualNodes", node("late", &[])).await;
    let (status, report) = replicas[0].get(&http, "/proxies", true).await;
    assert_eq!((status, &report["complete"], reasons(&report)), (200, &json!(false), vec!["behind"]), "{report:#}");
    assert_eq!(report["unknown"][0]["resources"], json!(["*"]));
    assert_eq!(replicas[1].get(&http, "/proxies", false).await.0, 503, "a client that does not know `unknown`");
    until("the replica is stale", async || replicas[2].get(&http, "/readyz", false).await.0 == 503).await;
    assert_eq!(replicas[2].get(&http, "/readyz/xds", false).await.0, 200, "it still serves proxies");
    replicas[2].is_cut.store(false, Ordering::SeqCst);
    until("it reports again", async || is_up_to_date(&replicas[0].get(&http, "/proxies", true).await.1, 3)).await;

    // The proxy of a replica that stops may return with what it had.
    replicas.remove(1).stop().await;
    until("the replica has stopped", async || {
        let (_, report) = replicas[0].get(&http, "/proxies", true).await;
        reasons(&report) == ["left"] && report["unknown"][0]["resource"] == "mesh/m/virtualNode/n1"
    })
    .await;
    drop(envoys);
    for replica in replicas {
        replica.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_assign_the_same_listener_ports() {
    let (log, http) = (MemoryLog::default(), Client::new());
    let listeners = ListenerMode::Explicit(24_100..=24_139);
    let replicas = [LocalReplica::start(&log, listeners.clone()).await, LocalReplica::start(&log, listeners).await];
    replicas[0].put(&http, "/meshes", json!({"meshName": "m"})).await;
    let created = (0..12_usize).map(|number| {
        let (replica, http) = (&replicas[number % 2], &http);
        async move {
            let listener = json!({"portMapping": {"port": 8080, "protocol": "http"}});
            let spec = json!({"listeners": [listener], "serviceDiscovery": {"dns": {"hostname": "127.0.0.1"}}});
            let body = json!({"virtualNodeName": format!("n{number}"), "spec": spec});
            replica.put(http, "/meshes/m/virtualNodes", body).await;
        }
    });
    futures::future::join_all(created).await;
    let mut all = std::collections::BTreeSet::new();
    for number in 0..12 {
        let path = format!("/proxies/m/virtualNode/n{number}");
        let ports = replicas[0].get(&http, &path, true).await.1["ports"].clone();
        assert_eq!(replicas[1].get(&http, &path, true).await.1["ports"], ports);
        assert!(ports["ingress"][0]["port"].is_u64(), "{ports}");
        assert!(all.insert(ports["ingress"][0]["port"].as_u64()), "a port is assigned twice: {ports}");
        assert!(all.insert(ports["application"][0]["port"].as_u64()), "a port is assigned twice: {ports}");
    }
    for replica in replicas {
        replica.stop().await;
    }
}
