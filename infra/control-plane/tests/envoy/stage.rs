//! The control plane's command with explicit listeners, the mesh in it, and everything started for one test.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use control_plane::certificates::{Keeper, KeeperSettings, Sources};
use control_plane::instances::{Instances, NoInstances};
use control_plane::state::Region;
use control_plane::xds::{ListenerMode, XdsListener, XdsSettings};
use control_plane::{Server, Settings};
use mesh::name::AccountId;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::application::{Application, Behaviour};
use crate::proxy::{Envoy, Kind};

/// The mesh of every test.
pub(crate) const MESH: &str = "shop";

/// How long anything here may take that takes milliseconds on an idle machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A control plane: the command, or a server in this process, whose certificates a test can change.
enum Running {
    Command(Child),
    Here { stop: Option<oneshot::Sender<()>>, serving: JoinHandle<()> },
}

/// Everything that runs for one test. Ends with it.
pub(crate) struct Stage {
    pub(crate) client: reqwest::Client,
    pub(crate) api: String,
    pub(crate) xds: String,
    pub(crate) scratch: Scratch,
    control_plane: Option<Running>,
    ports: PortBlock,
    args: Vec<String>,
}

impl Stage {
    /// Starts a control plane; `None`, with the reason printed, where there is no Envoy.
    pub(crate) async fn set() -> Option<Self> {
        Self::set_with(&[]).await
    }

    /// The same with what it knows on disk.
    pub(crate) async fn set_on_disk() -> Option<Self> {
        let scratch = Scratch::new();
        let data = scratch.file("data");
        Self::set_up(&["--data", data.to_str().unwrap()], 1, scratch).await
    }

    /// With a server in this process that asks these sources for certificates; `bound` names go over ADS.
    pub(crate) async fn set_here(sources: Sources) -> Option<Self> {
        let mut stage = Self::prepare(&[], 1, Scratch::new())?;
        stage.start_here(sources).await;
        stage.put("/meshes", json!({"meshName": MESH})).await;
        Some(stage)
    }

    /// With a server in this process that finds instances so. Traffic is taken by interception, since Cloud Map leads
    /// nowhere between explicit ports.
    pub(crate) async fn set_finding(instances: Arc<dyn Instances>) -> Option<Self> {
        let mut stage = Self::prepare(&[], 1, Scratch::new())?;
        stage.start_finding(instances).await;
        stage.put("/meshes", json!({"meshName": MESH})).await;
        Some(stage)
    }

    /// With a server in this process and redirected traffic, where nodes are found by DNS.
    pub(crate) async fn set_intercepting() -> Option<Self> {
        Self::set_finding(Arc::new(NoInstances::default())).await
    }

    /// Starts it, at the xDS address and with the data that it had before if it ran before.
    pub(crate) async fn start_finding(&mut self, instances: Arc<dyn Instances>) {
        self.run_here(XdsSettings { instances, ..XdsSettings::default() }).await;
    }

    /// The same with these sources.
    pub(crate) async fn start_here(&mut self, sources: Sources) {
        let bound = sources.bindings.names();
        let keeping = KeeperSettings { refresh: Duration::from_millis(500), ..KeeperSettings::default() };
        let listeners = ListenerMode::Explicit(self.ports.first()..=self.ports.last());
        let secrets = Keeper::start(sources, keeping);
        self.run_here(XdsSettings { listeners, secrets, bound, ..XdsSettings::default() }).await;
    }

    async fn run_here(&mut self, xds: XdsSettings) {
        let xds = XdsSettings { listen: vec![XdsListener::local(self.xds.parse().unwrap())], ..xds };
        let account = AccountId::parse("123456789012").unwrap();
        let settings = Settings::new(account, Region::parse("eu-west-1").unwrap());
        let data = Some(self.scratch.file("data"));
        let server = Server::bind(Settings { xds, data, ..settings }).await.unwrap();
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

    /// The same with so many times the ports.
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
            println!("skipped: .local/venv/bin/envoy is not there; `cargo xtask setup` installs it");
            return None;
        }
        Some(Self {
            client: reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap(),
            api: String::new(),
            xds: "127.0.0.1:0".to_owned(),
            scratch,
            control_plane: None,
            ports: PortBlock::take(blocks),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        })
    }

    /// Starts the control plane, at the xDS address that it had before if it ran before.
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
        let mut told = |word: &str| {
            let line = lines.next().unwrap().unwrap();
            line.strip_prefix(word).unwrap_or_else(|| panic!("{line:?} instead of {word}...")).to_owned()
        };
        self.api = told("api ");
        self.xds = told("xds ");
        self.control_plane = Some(Running::Command(child));
    }

    /// Ends the control plane as a power failure would.
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
        let answer = self.client.put(&url).body(body.to_string()).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
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

    /// A virtual service on a node.
    pub(crate) async fn service_on_node(&self, name: &str, node: &str) {
        let spec = json!({"provider": {"virtualNode": {"virtualNodeName": node}}});
        self.create("virtualServices", "virtualServiceName", name, spec).await;
    }

    /// A virtual service on a router of its own, named `router`.
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

    /// What the control plane says of a proxy.
    pub(crate) async fn told_of(&self, kind: Kind, name: &str) -> Value {
        let url = format!("{}/proxies/{MESH}/{}/{name}", self.api, kind.member());
        let answer = self.client.get(&url).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{url}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// The address of a proxy's port, by `ingress`, `application` or `egress`, and the backend for `egress`.
    pub(crate) async fn address(&self, kind: Kind, name: &str, side: &str, backend: Option<&str>) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let told = self.told_of(kind, name).await;
            let entries = told["ports"][side].as_array().cloned().unwrap_or_default();
            let entry = entries.iter().find(|entry| backend.is_none_or(|backend| entry["backend"] == backend));
            if let Some(port) = entry.and_then(|entry| entry["port"].as_u64()) {
                return format!("127.0.0.1:{port}");
            }
            assert!(Instant::now() < deadline, "{name} has no {side} port: {told}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Starts an application behind a node's proxy.
    pub(crate) async fn application(&self, node: &str, behaviour: Behaviour) -> Application {
        let address = self.address(Kind::Node, node, "application", None).await;
        Application::start(node, &address, behaviour).await
    }

    /// Starts a node's Envoy, and waits until it has what it is to have.
    pub(crate) async fn envoy(&self, kind: Kind, name: &str) -> Envoy {
        Envoy::start(self, kind, name).await
    }

    /// Waits until the control plane says that a proxy has acknowledged all that it is to have.
    pub(crate) async fn until_up_to_date(&self, kind: Kind, name: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let told = self.told_of(kind, name).await;
            let connected = told["streams"].as_array().cloned().unwrap_or_default();
            if !connected.is_empty() && connected.iter().all(|proxy| proxy["upToDate"] == true) {
                return;
            }
            assert!(Instant::now() < deadline, "{name} is not up to date: {told:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a node's proxy has a stream.
    pub(crate) async fn connected_again(&self, name: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.told_of(Kind::Node, name).await["connected"] != true {
            assert!(Instant::now() < deadline, "{name} does not come back");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Fails if any proxy refused anything.
    pub(crate) async fn nobody_refused(&self) {
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

/// A folder of the test's own.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
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

/// Hundreds of loopback ports that no other test takes: the first of each hundred is held as long as the block is.
struct PortBlock {
    held: Vec<TcpListener>,
}

impl PortBlock {
    const SIZE: u16 = 100;

    fn take(blocks: u16) -> Self {
        let starts = (10_000..31_000).step_by(usize::from(Self::SIZE * blocks));
        let held = starts.into_iter().find_map(|start| {
            let ports = (0..blocks).map(|block| start + block * Self::SIZE);
            ports.map(|port| TcpListener::bind(("127.0.0.1", port)).ok()).collect::<Option<Vec<_>>>()
        });
        Self { held: held.expect("a block of free ports") }
    }

    fn first(&self) -> u16 {
        self.held[0].local_addr().unwrap().port() + 1
    }

    fn last(&self) -> u16 {
        self.held[self.held.len() - 1].local_addr().unwrap().port() + Self::SIZE - 1
    }
}
