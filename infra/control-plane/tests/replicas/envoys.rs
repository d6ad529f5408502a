//! Envoys at several replicas.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::cluster::{ReplicaProcess, command, until};
use crate::ministack::MiniStack;

/// An Envoy that runs until it is dropped.
pub(crate) struct Envoy {
    admin: String,
    child: Child,
    scratch: PathBuf,
}

impl Envoy {
    /// Starts an Envoy that gets its configuration from these servers. `None`, with the reason printed, without Envoy.
    pub(crate) async fn start(servers: &str, node: &str) -> Option<Self> {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.local/venv/bin/envoy");
        if !program.is_file() {
            println!("skipped: {} does not exist; `cargo xtask setup` installs it", program.display());
            return None;
        }
        let mut bootstrap = Command::new(env!("CARGO_BIN_EXE_control-plane"));
        bootstrap.args(["bootstrap", "--xds", servers, "--node", node, "--admin", "127.0.0.1:0"]);
        let output = bootstrap.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let scratch = std::env::temp_dir().join(format!("meshwarden-envoys-{}", uuid::Uuid::new_v4()));
        fs::create_dir_all(&scratch).unwrap();
        fs::write(scratch.join("envoy.json"), &output.stdout).unwrap();
        let log = fs::File::create(scratch.join("log")).unwrap();
        let child = Command::new(program)
            .arg("--config-path")
            .arg(scratch.join("envoy.json"))
            .arg("--admin-address-path")
            .arg(scratch.join("admin"))
            .args(["--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut envoy = Self { admin: String::new(), child, scratch };
        let deadline = Instant::now() + Duration::from_secs(40);
        while envoy.admin.is_empty() {
            if let Ok(admin) = fs::read_to_string(envoy.scratch.join("admin"))
                && !admin.is_empty()
            {
                envoy.admin = format!("http://{}", admin.trim());
            }
            let ended = envoy.child.try_wait().unwrap();
            let log = || fs::read_to_string(envoy.scratch.join("log")).unwrap_or_default();
            assert!(ended.is_none() && Instant::now() < deadline, "Envoy does not start: {}", log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Some(envoy)
    }

    /// The certificates that the Envoy uses, with their serial numbers.
    pub(crate) async fn certificates(&self, http: &Client) -> String {
        http.get(format!("{}/certs", self.admin)).send().await.unwrap().text().await.unwrap()
    }

    pub(crate) async fn has_cluster_of(&self, http: &Client, node: &str) -> bool {
        let clusters = http.get(format!("{}/clusters", self.admin)).send().await;
        match clusters {
            Ok(clusters) => clusters.text().await.is_ok_and(|text| text.contains(&format!("_{node}_"))),
            Err(_) => false,
        }
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.scratch);
    }
}

/// Starts a replica that serves xDS. Returns it with the port of xDS.
fn start(stack: &MiniStack, table: &str, ports: &str) -> (ReplicaProcess, String) {
    let mut command = command(stack, table, &["--role", "replica", "--xds", "127.0.0.1:0", "--listeners", ports]);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let (api, xds) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let endpoint = api.strip_prefix("api ").unwrap_or_else(|| panic!("the first line is {api:?}")).to_owned();
    (ReplicaProcess { endpoint, child }, xds.rsplit(':').next().unwrap_or_default().to_owned())
}

pub(crate) async fn put(http: &Client, replica: &ReplicaProcess, path: &str, body: Value) {
    let reply = replica.send(http, Method::PUT, path, Some(body)).await.unwrap();
    assert_eq!(reply.status, 200, "{reply:?}");
}

/// A node, and a service that it provides.
pub(crate) async fn callee(http: &Client, replica: &ReplicaProcess, name: &str) {
    let spec = json!({
        "listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}],
        "serviceDiscovery": {"dns": {"hostname": "127.0.0.1"}},
    });
    put(http, replica, "/meshes/m/virtualNodes", json!({"virtualNodeName": name, "spec": spec})).await;
    let provider = json!({"provider": {"virtualNode": {"virtualNodeName": name}}});
    let service = format!("{name}.local");
    put(http, replica, "/meshes/m/virtualServices", json!({"virtualServiceName": service, "spec": provider})).await;
}

pub(crate) fn caller(services: &[&str]) -> Value {
    let backends: Vec<Value> = services
        .iter()
        .map(|service| json!({"virtualService": {"virtualServiceName": format!("{service}.local")}}))
        .collect();
    json!({"backends": backends, "serviceDiscovery": {"dns": {"hostname": "127.0.0.1"}}})
}

/// Requests through the Envoy of `front` to `one`, one after the other, until it is stopped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    requests: JoinHandle<(u64, u64)>,
    application: JoinHandle<()>,
}

impl Load {
    /// Starts the application of `one`, and the requests once the first succeeded.
    pub(crate) async fn start(http: &Client, replica: &ReplicaProcess) -> Self {
        let port = async |node: &str, kind: &str| {
            let url = format!("{}/proxies/m/virtualNode/{node}", replica.endpoint);
            let request = http.get(url).header("x-meshwarden-evidence", "2");
            let report: Value = request.send().await.unwrap().json().await.unwrap();
            report["ports"][kind][0]["port"].as_u64().unwrap_or_else(|| panic!("no {kind} port: {report:#}"))
        };
        let listener =
            tokio::net::TcpListener::bind(format!("127.0.0.1:{}", port("one", "ingress").await)).await.unwrap();
        let router = axum::Router::new().fallback(async || "one");
        let application = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        let url = format!("http://127.0.0.1:{}/", port("front", "egress").await);
        let stop = Arc::new(AtomicBool::new(false));
        let (ends, client) = (Arc::clone(&stop), http.clone());
        let send = async move || {
            let answer = client.get(&url).header("host", "one.local").send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        };
        until("a request reaches the application", &send).await;
        let requests = tokio::spawn(async move {
            let (mut served, mut failed) = (0, 0);
            while !ends.load(Ordering::SeqCst) {
                if send().await { served += 1 } else { failed += 1 }
            }
            (served, failed)
        });
        Self { stop, requests, application }
    }

    /// The numbers of served and failed requests.
    pub(crate) async fn stop(self) -> (u64, u64) {
        self.stop.store(true, Ordering::SeqCst);
        let counts = self.requests.await.unwrap();
        self.application.abort();
        counts
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_of_a_killed_replica_is_served_by_the_other_one() {
    let Some(stack) = MiniStack::start().await else { return };
    stack.table("envoys").await;
    let http = Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
    let (mut first, first_port) = start(&stack, "envoys", "explicit:24000-24049");
    let (second, second_port) = start(&stack, "envoys", "explicit:24000-24049");
    put(&http, &first, "/meshes", json!({"meshName": "m"})).await;
    callee(&http, &second, "one").await;
    let front = json!({"virtualNodeName": "front", "spec": caller(&["one"])});
    put(&http, &first, "/meshes/m/virtualNodes", front).await;

    // A name that Envoy resolves, and an address.
    let servers = format!("LocalHost:{first_port},127.0.0.1:{second_port}");
    let Some(envoy) = Envoy::start(&servers, "mesh/m/virtualNode/front").await else { return };
    until("the Envoy is served", async || envoy.has_cluster_of(&http, "one").await).await;

    // A write through either replica reaches the Envoy, whichever serves it.
    for (number, name) in ["two", "three"].into_iter().enumerate() {
        let (replica, other) = if number == 0 { (&first, &second) } else { (&second, &first) };
        callee(&http, replica, name).await;
        let services = if number == 0 { &["one", "two"][..] } else { &["one", "two", "three"] };
        put(&http, other, "/meshes/m/virtualNodes/front", json!({"spec": caller(services)})).await;
        until("a write reaches the Envoy", async || envoy.has_cluster_of(&http, name).await).await;
    }

    let load = Load::start(&http, &second).await;
    let head = second.proxies(&http).await["sequence"].as_u64().unwrap();
    first.kill();
    let began = Instant::now();
    callee(&http, &second, "four").await;
    let spec = json!({"spec": caller(&["one", "two", "three", "four"])});
    put(&http, &second, "/meshes/m/virtualNodes/front", spec).await;
    until("the write reaches the Envoy", async || envoy.has_cluster_of(&http, "four").await).await;
    println!("a write reached the Envoy {:?} after one of two replicas was killed", began.elapsed());
    let (served, failed) = load.stop().await;
    println!("{served} requests through the Envoy, {failed} failed");
    assert!(served > 50 && failed == 0, "{served} requests, {failed} failed");

    // The killed replica may have served a proxy that no report contains.
    until("the killed replica is reported", async || {
        let report = second.proxies(&http).await;
        assert!(report["sequence"].as_u64().unwrap() > head, "{report:#}");
        let unknown = &report["unknown"][0];
        ["behind", "silent"].contains(&unknown["reason"].as_str().unwrap_or_default())
            && unknown["resources"] == json!(["*"])
    })
    .await;
    assert_eq!(second.status(&http, "/proxies").await, 503);
}
