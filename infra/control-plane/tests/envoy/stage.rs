//! The command with explicit listeners, its mesh, and everything that runs for one test.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use control_plane::certificates::{SecretCache, SecretCacheSettings, Sources};
use control_plane::instances::{Instances, NoInstances};
use control_plane::state::Region;
use control_plane::xds::{ListenerMode, XdsListener, XdsSettings};
use control_plane::{AdmissionSettings, Server, Settings};
use mesh::name::AccountId;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::application::{Application, Behaviour};
use crate::proxy::{Envoy, Kind};

/// The mesh of every test.
pub(crate) const MESH: &str = "shop";

/// The timeout of operations that take milliseconds on an idle machine.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// A control plane: the command, or a server in this process with certificates that a test can change.
enum Running {
    Command(Child),
    Here { stop: Option<oneshot::Sender<()>>, serving: JoinHandle<()> },
}

/// Everything that runs for one test. It ends with the test.
pub(crate) struct Stage {
    pub(crate) client: reqwest::Client,
    pub(crate) api: String,
    pub(crate) xds: String,
    pub(crate) scratch: Scratch,
    control_plane: Option<Running>,
    /// The admission of a server in this process.
    admission: AdmissionSettings,
    ports: PortBlock,
    args: Vec<String>,
}

impl Stage {
    /// Starts a control plane; returns `None` and prints the reason if Envoy is missing.
    pub(crate) async fn set() -> Option<Self> {
        Self::set_with(&[]).await
    }

    /// The same with a data folder.
    pub(crate) async fn set_on_disk() -> Option<Self> {
        let scratch = Scratch::new();
        let data = scratch.file("data");
        Self::set_up(&["--account", "123456789012", "--data", data.to_str().unwrap()], 1, scratch).await
    }

    /// With a server in this process that gets certificates from these sources; bound names are sent over ADS.
    pub(crate) async fn set_here(sources: Sources) -> Option<Self> {
        let mut stage = Self::prepare(&[], 1, Scratch::new())?;
        stage.start_here(sources).await;
        stage.put("/meshes", json!({"meshName": MESH})).await;
        Some(stage)
    }

    /// The same with admission, and a multiple of the ports.
    pub(crate) async fn set_admitting(sources: Sources, admission: AdmissionSettings, blocks: u16) -> Option<Self> {
        let mut stage = Self::prepare(&[], blocks, Scratch::new())?;
        stage.admission = admission;
        stage.start_here(sources).await;
        stage.put("/meshes", json!({"meshName": MESH})).await;
        Some(stage)
    }

    /// With a server in this process that gets instances from this source. It uses interception, since explicit ports
    /// do not support Cloud Map.
    pub(crate) async fn set_finding(instances: Arc<dyn Instances>) -> Option<Self> {
        let mut stage = Self::prepare(&[], 1, Scratch::new())?;
        stage.start_finding(instances).await;
        stage.put("/meshes", json!({"meshName": MESH})).await;
        Some(stage)
    }

    /// With a server in this process and redirected traffic, for nodes with DNS discovery.
    pub(crate) async fn set_intercepting() -> Option<Self> {
        Self::set_finding(Arc::new(NoInstances::default())).await
    }

    /// Starts the server, with the xDS address and the data of an earlier run.
    pub(crate) async fn start_finding(&mut self, instances: Arc<dyn Instances>) {
        self.run_here(XdsSettings { instances, ..XdsSettings::default() }).await;
    }

    /// The same with these sources of certificates.
    pub(crate) async fn start_here(&mut self, sources: Sources) {
        let bound = sources.bindings.names();
        let cache_settings =
            SecretCacheSettings { refresh: Duration::from_millis(500), ..SecretCacheSettings::default() };
        let listeners = ListenerMode::Explicit(self.ports.first()..=self.ports.last());
        let secrets = SecretCache::start(sources, cache_settings);
        self.run_here(XdsSettings { listeners, secrets, bound, ..XdsSettings::default() }).await;
    }

    async fn run_here(&mut self, xds: XdsSettings) {
        let xds = XdsSettings { listen: vec![XdsListener::local(self.xds.parse().unwrap())], ..xds };
        let account = AccountId::parse("123456789012").unwrap();
        let settings = Settings::new(account, Region::parse("eu-west-1").unwrap());
        let data = Some(self.scratch.file("data"));
        let admission = self.admission.clone();
        let server = Server::bind(Settings { xds, data, admission, ..settings }).await.unwrap();
        (self.api, self.xds) = (server.endpoint(), server.xds().remove(0));
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            server.serve(stopped).await.unwrap();
        });
        self.control_plane = Some(Running::Here { stop: Some(stop), serving });
    }

    /// Ends the server in this process.
    pub(crate) async fn stop_here(&mut self) {
        if let Some(Running::Here { stop, serving }) = self.control_plane.take() {
            drop(stop);
            serving.await.unwrap();
        }
    }

    /// The same with more arguments.
    pub(crate) async fn set_with(args: &[&str]) -> Option<Self> {
        Self::set_up(args, 1, Scratch::new()).await
    }

    /// The same with a multiple of the ports.
    pub(crate) async fn set_with_ports(args: &[&str], blocks: u16) -> Option<Self> {
        Self::set_up(args, blocks, Scratch::new()).await
    }

    async fn set_up(args: &[&str], blocks: u16, scratch: Scratch) -> Option<Self> {
        let mut stage = Self::prepare(args, blocks, scratch)?;
        stage.start();
        stage.put("/meshes", json!({"meshName": MESH})).await;
        Some(stage)
    }

    fn prepare(args: &[&str], blocks: u16, scratch: Scratch) -> Option<Self> {
        if !Envoy::is_there() {
            println!("skipped: .local/venv/bin/envoy is missing; `cargo xtask setup` installs it");
            return None;
        }
        Some(Self {
            client: reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build().unwrap(),
            api: String::new(),
            xds: "127.0.0.1:0".to_owned(),
            scratch,
            control_plane: None,
            admission: AdmissionSettings::default(),
            ports: PortBlock::take(blocks),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        })
    }

    /// Starts the control plane, with the xDS address of an earlier run.
    pub(crate) fn start(&mut self) {
        let ports = format!("explicit:{}-{}", self.ports.first(), self.ports.last());
        let mut child = Command::new(env!("CARGO_BIN_EXE_control-plane"))
            .args(["--api", "127.0.0.1:0", "--xds", &self.xds, "--listeners", &ports])
            .args(&self.args)
            .env("MESHWARDEN_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut read_line = |prefix: &str| {
            let line = lines.next().unwrap().unwrap();
            line.strip_prefix(prefix).unwrap_or_else(|| panic!("{line:?} instead of {prefix}...")).to_owned()
        };
        self.api = read_line("api ");
        self.xds = read_line("xds ");
        self.control_plane = Some(Running::Command(child));
    }

    /// Kills the control plane.
    pub(crate) fn kill(&mut self) {
        match self.control_plane.take() {
            Some(Running::Command(mut child)) => {
                child.kill().unwrap();
                child.wait().unwrap();
            }
            Some(Running::Here { serving, .. }) => serving.abort(),
            None => {}
        }
    }

    /// Creates or updates a resource by its path below `/v20190125`.
    pub(crate) async fn put(&self, path: &str, body: Value) -> Value {
        let url = format!("{}/v20190125{path}", self.api);
        let response = self.client.put(&url).body(body.to_string()).send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Creates a resource of the test's mesh.
    pub(crate) async fn create(&self, collection: &str, name_member: &str, name: &str, spec: Value) {
        self.put(&format!("/meshes/{MESH}/{collection}"), json!({name_member: name, "spec": spec})).await;
    }

    pub(crate) async fn node(&self, name: &str, spec: Value) {
        self.create("virtualNodes", "virtualNodeName", name, spec).await;
    }

    pub(crate) async fn gateway(&self, name: &str, spec: Value) {
        self.create("virtualGateways", "virtualGatewayName", name, spec).await;
    }

    pub(crate) async fn gateway_route(&self, gateway: &str, name: &str, spec: Value) {
        self.create(&format!("virtualGateway/{gateway}/gatewayRoutes"), "gatewayRouteName", name, spec).await;
    }

    /// Creates a virtual service with a node as provider.
    pub(crate) async fn service_on_node(&self, name: &str, node: &str) {
        let spec = json!({"provider": {"virtualNode": {"virtualNodeName": node}}});
        self.create("virtualServices", "virtualServiceName", name, spec).await;
    }

    /// Creates a virtual service with a router as provider.
    pub(crate) async fn service_on_router(&self, name: &str, router: &str, protocol: &str) {
        let listeners = json!({"listeners": [{"portMapping": {"port": 8080, "protocol": protocol}}]});
        self.create("virtualRouters", "virtualRouterName", router, listeners).await;
        let spec = json!({"provider": {"virtualRouter": {"virtualRouterName": router}}});
        self.create("virtualServices", "virtualServiceName", name, spec).await;
    }

    pub(crate) async fn route(&self, router: &str, name: &str, spec: Value) {
        self.create(&format!("virtualRouter/{router}/routes"), "routeName", name, spec).await;
    }

    /// Replaces the spec of a route.
    pub(crate) async fn update_route(&self, router: &str, name: &str, spec: Value) {
        let path = format!("/meshes/{MESH}/virtualRouter/{router}/routes/{name}");
        self.put(&path, json!({"spec": spec})).await;
    }

    /// The report of the control plane on a proxy.
    pub(crate) async fn report_of(&self, kind: Kind, name: &str) -> Value {
        let url = format!("{}/proxies/{MESH}/{}/{name}", self.api, kind.member());
        let response = self.client.get(&url).send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert!(status.is_success(), "{url}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// The address of a proxy's port: `ingress`, `application` or `egress`, with the backend for `egress`.
    pub(crate) async fn address(&self, kind: Kind, name: &str, side: &str, backend: Option<&str>) -> String {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let report = self.report_of(kind, name).await;
            let entries = report["ports"][side].as_array().cloned().unwrap_or_default();
            let entry = entries.iter().find(|entry| backend.is_none_or(|backend| entry["backend"] == backend));
            if let Some(port) = entry.and_then(|entry| entry["port"].as_u64()) {
                return format!("127.0.0.1:{port}");
            }
            assert!(Instant::now() < deadline, "{name} has no {side} port: {report}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Starts an application behind a node's proxy.
    pub(crate) async fn application(&self, node: &str, behaviour: Behaviour) -> Application {
        let address = self.address(Kind::Node, node, "application", None).await;
        Application::start(node, &address, behaviour).await
    }

    /// Starts a node's Envoy, and waits until it has its complete configuration.
    pub(crate) async fn envoy(&self, kind: Kind, name: &str) -> Envoy {
        Envoy::start(self, kind, name).await
    }

    /// Waits until the control plane reports that a proxy has acknowledged its complete configuration.
    pub(crate) async fn until_up_to_date(&self, kind: Kind, name: &str) {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let report = self.report_of(kind, name).await;
            let connected = report["streams"].as_array().cloned().unwrap_or_default();
            if !connected.is_empty() && connected.iter().all(|proxy| proxy["upToDate"] == true) {
                return;
            }
            assert!(Instant::now() < deadline, "{name} is not up to date: {report:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a node's proxy has a stream.
    pub(crate) async fn connected_again(&self, name: &str) {
        let deadline = Instant::now() + TIMEOUT;
        while self.report_of(Kind::Node, name).await["connected"] != true {
            assert!(Instant::now() < deadline, "{name} does not reconnect");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Fails if any proxy rejected an update.
    pub(crate) async fn assert_no_nack(&self) {
        let proxies: Value =
            self.client.get(format!("{}/proxies", self.api)).send().await.unwrap().json().await.unwrap();
        assert!(!proxies.to_string().contains("\"nack\":{"), "{proxies:#}");
        assert!(proxies["proxies"].as_array().is_some_and(|proxies| !proxies.is_empty()), "{proxies:#}");
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A temporary folder of one test.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("meshwarden-envoy-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Hundreds of loopback ports that no other test uses: the first port of each hundred is bound while the
/// block exists.
pub(crate) struct PortBlock {
    held: Vec<TcpListener>,
}

impl PortBlock {
    const SIZE: u16 = 100;

    pub(crate) fn take(blocks: u16) -> Self {
        let starts = (10_000..31_000).step_by(usize::from(Self::SIZE * blocks));
        let held = starts.into_iter().find_map(|start| {
            let ports = (0..blocks).map(|block| start + block * Self::SIZE);
            ports.map(|port| TcpListener::bind(("127.0.0.1", port)).ok()).collect::<Option<Vec<_>>>()
        });
        Self { held: held.expect("a block of ports is free") }
    }

    pub(crate) fn first(&self) -> u16 {
        self.held[0].local_addr().unwrap().port() + 1
    }

    fn last(&self) -> u16 {
        self.held[self.held.len() - 1].local_addr().unwrap().port() + Self::SIZE - 1
    }
}
