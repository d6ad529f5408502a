//! Envoys at several replicas.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::cluster::{ReplicaProcess, command, until};
use crate::ministack::MiniStack;

/// An Envoy that runs until it is dropped.
struct Envoy {
    admin: String,
    child: Child,
    scratch: PathBuf,
}

impl Envoy {
    /// Starts an Envoy that gets its configuration from these servers. `None`, with the reason printed, without Envoy.
    async fn start(servers: &str, node: &str) -> Option<Self> {
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

    async fn has_cluster_of(&self, http: &Client, node: &str) -> bool {
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

async fn put(http: &Client, replica: &ReplicaProcess, path: &str, body: Value) {
    let reply = replica.send(http, Method::PUT, path, Some(body)).await.unwrap();
    assert_eq!(reply.status, 200, "{reply:?}");
}

/// A node, and a service that it provides.
async fn callee(http: &Client, replica: &ReplicaProcess, name: &str) {
    let spec = json!({
        "listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}],
        "serviceDiscovery": {"dns": {"hostname": "127.0.0.1"}},
    });
    put(http, replica, "/meshes/m/virtualNodes", json!({"virtualNodeName": name, "spec": spec})).await;
    let provider = json!({"provider": {"virtualNode": {"virtualNodeName": name}}});
    let service = format!("{name}.local");
    put(http, replica, "/meshes/m/virtualServices", json!({"virtualServiceName": service, "spec": provider})).await;
}

fn caller(services: &[&str]) -> Value {
    let backends: Vec<Value> = services
        .iter()
        .map(|service| json!({"virtualService": {"virtualServiceName": format!("{service}.local")}}))
        .collect();
    json!({"backends": backends, "serviceDiscovery": {"dns": {"hostname": "127.0.0.1"}}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_of_a_killed_replica_is_served_by_the_other_one() {
    let Some(stack) = MiniStack::start().await else { return };
    stack.table("envoys").await;
    let http = Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
    let (mut first, first_port) = start(&stack, "envoys", "explicit:24000-24049");
    let (second, second_port) = start(&stack, "envoys", "explicit:24050-24099");
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

    first.kill();
    let began = Instant::now();
    callee(&http, &second, "four").await;
    let spec = json!({"spec": caller(&["one", "two", "three", "four"])});
    put(&http, &second, "/meshes/m/virtualNodes/front", spec).await;
    until("the write reaches the Envoy", async || envoy.has_cluster_of(&http, "four").await).await;
    println!("a write reached the Envoy {:?} after one of two replicas was killed", began.elapsed());
}
