//! A mesh with real Envoys, for tests of functions: a control plane in this process, an Envoy for each node, and
//! applications that answer with the name of their node.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::Router;
use control_plane::xds::{Bootstrap, ListenerMode, Statistics, StatisticsSet, XdsAuth, XdsListener, XdsSettings};
use control_plane::{Server, Settings};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::stack::{ACCOUNT, REGION};

/// The name of the mesh.
pub const MESH: &str = "shop";

/// The timeout of operations that take milliseconds on an idle machine.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The number of ports of a block.
const PORTS: u16 = 100;

/// A mesh with its processes, which dropping it ends.
#[derive(Debug)]
pub struct EnvoyMesh {
    /// The endpoint of the API.
    pub endpoint: String,
    xds: String,
    http: reqwest::Client,
    folder: PathBuf,
    envoys: BTreeMap<String, Child>,
    applications: Vec<JoinHandle<()>>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
    // It reserves the block of ports.
    _block: TcpListener,
}

impl EnvoyMesh {
    /// Starts a control plane with an empty mesh. `None`, with the reason printed, if Envoy is not installed.
    pub async fn start() -> Option<Self> {
        let mesh = Self::start_empty().await?;
        mesh.put("", json!({ "meshName": MESH })).await;
        Some(mesh)
    }

    /// Starts a control plane without a mesh.
    pub async fn start_empty() -> Option<Self> {
        if !program().is_file() {
            println!("skipped: .local/venv/bin/envoy does not exist; `cargo xtask setup` installs it");
            return None;
        }
        let block = block();
        let first = block.local_addr().unwrap().port();
        let listener = XdsListener { address: "127.0.0.1:0".parse().unwrap(), auth: XdsAuth::None };
        let listeners = ListenerMode::Explicit(first + 1..=first + PORTS - 1);
        let xds = XdsSettings { listen: vec![listener], listeners, ..XdsSettings::default() };
        let region = control_plane::state::Region::parse(REGION).unwrap();
        let settings = Settings { xds, ..Settings::new(ACCOUNT.parse().unwrap(), region) };
        let server = Server::bind(settings).await.unwrap();
        let (endpoint, xds) = (server.endpoint(), server.xds().remove(0));
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(async move {
            server.serve(async move { drop(stopped.await) }).await.unwrap();
        });
        let folder = std::env::temp_dir().join(format!("meshwarden-envoys-{first}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let http = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build().unwrap();
        Some(Self {
            endpoint,
            xds,
            http,
            folder,
            envoys: BTreeMap::new(),
            applications: Vec::new(),
            stop: Some(stop),
            serving,
            _block: block,
        })
    }

    /// Makes the bootstrap of the next Envoys connect to the control plane by the name `localhost`.
    pub fn connect_by_name(&mut self) {
        let (_, port) = self.xds.rsplit_once(':').unwrap();
        self.xds = format!("localhost:{port}");
    }

    /// Creates or replaces a resource, by its path below the mesh; an empty path is the mesh.
    pub async fn put(&self, path: &str, body: Value) {
        let below = if path.is_empty() { String::new() } else { format!("/{MESH}/{path}") };
        let url = format!("{}/v20190125/meshes{below}", self.endpoint);
        let answer = self.http.put(&url).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{url}: {}", answer.text().await.unwrap());
    }

    /// The report of the control plane on a node's proxy.
    async fn report(&self, node: &str) -> Value {
        let url = format!("{}/proxies/{MESH}/virtualNode/{node}", self.endpoint);
        self.http.get(url).send().await.unwrap().json().await.unwrap()
    }

    /// The loopback port of a node's proxy: `ingress`, `application` or `egress`.
    async fn port(&self, node: &str, side: &str) -> u16 {
        let give_up = Instant::now() + TIMEOUT;
        loop {
            let report = self.report(node).await;
            if let Some(port) = report.pointer(&format!("/ports/{side}/0/port")).and_then(Value::as_u64) {
                return u16::try_from(port).unwrap();
            }
            assert!(Instant::now() < give_up, "{node} has no {side} port: {report}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Starts an application behind a node's proxy. It answers every request with the name of the node.
    pub async fn start_application(&mut self, node: &str) {
        let address = ("127.0.0.1", self.port(node, "application").await);
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let name = node.to_owned();
        let router = Router::new().fallback(move || {
            let name = name.clone();
            async move { name }
        });
        self.applications.push(tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }));
    }

    /// Starts a node's Envoy, and waits until it has acknowledged its complete configuration.
    pub async fn start_envoy(&mut self, node: &str) {
        let bootstrap = Bootstrap {
            xds: self.xds.parse().unwrap(),
            node: format!("mesh/{MESH}/virtualNode/{node}").parse().unwrap(),
            instance: None,
            admin: "127.0.0.1:0".parse().unwrap(),
            tls: None,
            token: None,
            sds_socket: None,
            delta: false,
            statistics: Statistics {
                statsd: None,
                prometheus: None,
                set: StatisticsSet::Targets,
                interval: Duration::from_secs(5),
            },
        };
        let config = self.folder.join(format!("{node}.json"));
        std::fs::write(&config, bootstrap.to_json().to_string()).unwrap();
        let log = std::fs::File::create(self.folder.join(format!("{node}.log"))).unwrap();
        let child = Command::new(program())
            .arg("--config-path")
            .arg(config)
            .args(["--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.envoys.insert(node.to_owned(), child);
        self.until_acknowledged(node).await;
    }

    /// Waits until the control plane reports that a node's proxy has acknowledged its configuration.
    pub async fn until_acknowledged(&self, node: &str) {
        let give_up = Instant::now() + TIMEOUT;
        loop {
            let report = self.report(node).await;
            let streams = report["streams"].as_array().cloned().unwrap_or_default();
            if !streams.is_empty() && streams.iter().all(|stream| stream["upToDate"] == true) {
                return;
            }
            assert!(Instant::now() < give_up, "{node} has not acknowledged its configuration: {report:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sends a signal to a node's Envoy: `STOP` makes it stand still, `CONT` lets it go on.
    pub fn signal(&self, node: &str, signal: &str) {
        let id = self.envoys[node].id().to_string();
        let status = Command::new("kill").args([&format!("-{signal}"), &id]).status().unwrap();
        assert!(status.success(), "failed to send {signal} to the Envoy of {node}");
    }

    /// Makes requests as the application of a node, and returns their number by the node that served them. A failed
    /// request counts for its status.
    pub async fn requests(&self, caller: &str, headers: &[(&str, &str)], count: usize) -> BTreeMap<String, usize> {
        let port = self.port(caller, "egress").await;
        let mut served = BTreeMap::new();
        for _ in 0..count {
            let request = self.http.get(format!("http://127.0.0.1:{port}/"));
            let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
            let by = match request.send().await {
                Ok(answer) if answer.status().is_success() => answer.text().await.unwrap(),
                Ok(answer) => answer.status().to_string(),
                Err(error) => error.to_string(),
            };
            *served.entry(by).or_default() += 1;
        }
        served
    }

    /// Waits until requests of a node are served by another node alone.
    pub async fn until_served_by(&self, caller: &str, node: &str) {
        let give_up = Instant::now() + TIMEOUT;
        loop {
            let served = self.requests(caller, &[], 1).await;
            if served.contains_key(node) {
                return;
            }
            assert!(Instant::now() < give_up, "requests of {caller} are served by {served:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for EnvoyMesh {
    fn drop(&mut self) {
        for child in self.envoys.values_mut() {
            drop(child.kill());
            drop(child.wait());
        }
        for application in &self.applications {
            application.abort();
        }
        drop(self.stop.take());
        self.serving.abort();
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

fn program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(".local/venv/bin/envoy")
}

/// A hundred loopback ports that no other test uses: the first one is bound as long as the block is in use.
fn block() -> TcpListener {
    let mut starts = (10_000..31_000).step_by(usize::from(PORTS));
    starts.find_map(|start| TcpListener::bind(("127.0.0.1", start)).ok()).expect("a block of ports is free")
}
