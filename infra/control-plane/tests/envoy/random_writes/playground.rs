//! The control plane, the Envoys and the applications that all sequences use.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use control_plane::{AdmissionMode, AdmissionSettings};
use futures::future::join_all;
use rules::pack::Severity;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::certificates::Certificates;
use super::mesh::{Call, Door, Specs};
use super::specs::{CLIENT, GATEWAY, SERVER, SERVERS};
use crate::application::{Application, Behaviour};
use crate::proxy::{Envoy, Kind};
use crate::stage::{MESH, Stage, TIMEOUT};

/// What a run adds to plain meshes under the rules of the API alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Setup {
    /// Neither admission nor TLS.
    Plain,
    /// `--admission deny`.
    Deny,
    /// `--admission deny`, and TLS with certificates in files at listeners and clients. Each node has a proxy.
    Tls,
    /// The same with certificates from ACM, a private CA and Secrets Manager.
    Acm,
}

impl Setup {
    const fn has_tls(self) -> bool {
        match self {
            Self::Plain | Self::Deny => false,
            Self::Tls | Self::Acm => true,
        }
    }

    async fn stage(self) -> Option<Stage> {
        const DENY: [&str; 4] = ["--admission", "deny", "--admission-severity", "critical"];
        match self {
            Self::Plain => Stage::set_with_ports(&[], 2).await,
            Self::Deny | Self::Tls => Stage::set_with_ports(&DENY, 2).await,
            Self::Acm => {
                let mode = AdmissionMode::Deny;
                let admission =
                    AdmissionSettings { mode, severity: Severity::Critical, ..AdmissionSettings::default() };
                Stage::set_admitting(Certificates::sources(), admission, 2).await
            }
        }
    }
}

pub(super) struct Playground {
    stage: Stage,
    setup: Setup,
    /// Where certificates are, if there is TLS.
    pub(super) certificates: Option<Certificates>,
    /// What the mesh is made of.
    pub(super) specs: Specs,
    applications: BTreeMap<u64, Application>,
    client: reqwest::Client,
    envoys: Vec<Envoy>,
}

/// Every call that can be made, with the port at which its proxy takes it.
pub(super) type Doors = Vec<(Call, u64)>;

/// The time between two rounds of calls that are made over and over: each call is a connection of its own, and a machine
/// has only so many.
const PACE: Duration = Duration::from_millis(5);

/// Calls that are made over and over until they are stopped.
pub(super) struct Watch {
    stop: Arc<AtomicBool>,
    calling: JoinHandle<BTreeMap<Call, u16>>,
}

impl Watch {
    pub(super) fn start(client: reqwest::Client, doors: Doors) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let calling = tokio::spawn(async move {
            let mut failed = BTreeMap::new();
            while !stopped.load(Ordering::Relaxed) {
                failed.extend(call_all(&client, &doors).await.into_iter().filter(|(_, status)| *status != 200));
                tokio::time::sleep(PACE).await;
            }
            failed
        });
        Self { stop, calling }
    }

    /// Ends the calls; returns those that failed at least once, with the last status other than 200.
    pub(super) async fn stop(self) -> BTreeMap<Call, u16> {
        self.stop.store(true, Ordering::Relaxed);
        self.calling.await.unwrap()
    }
}

impl Playground {
    /// Starts it; `None` where there is no Envoy.
    pub(super) async fn start(setup: Setup) -> Option<Self> {
        let stage = setup.stage().await?;
        let certificates = match setup {
            Setup::Plain | Setup::Deny => None,
            Setup::Tls => Some(Certificates::in_files(&stage.scratch.file(""))),
            Setup::Acm => Some(Certificates::Acm),
        };
        let listener = json!([{"portMapping": {"port": 8080, "protocol": "http"}}]);
        let discovery = json!({"dns": {"hostname": "node.shop.local"}});
        stage.node(CLIENT, json!({"serviceDiscovery": discovery})).await;
        stage.node(SERVER, json!({"listeners": listener, "serviceDiscovery": discovery})).await;
        stage.gateway(GATEWAY, json!({"listeners": listener})).await;
        let specs = [
            (String::new(), json!({})),
            (format!("virtualNode/{CLIENT}"), json!({})),
            (format!("virtualNode/{SERVER}"), json!({})),
            (format!("virtualGateway/{GATEWAY}"), json!({"listeners": listener})),
        ];
        let mut envoys = vec![
            stage.envoy(Kind::Node, CLIENT).await,
            stage.envoy(Kind::Node, SERVER).await,
            stage.envoy(Kind::Gateway, GATEWAY).await,
        ];
        let mut specs = BTreeMap::from(specs);
        if setup.has_tls() {
            for node in SERVERS.into_iter().filter(|node| *node != SERVER) {
                let spec = json!({"listeners": listener, "serviceDiscovery": discovery});
                stage.node(node, spec.clone()).await;
                specs.insert(format!("virtualNode/{node}"), spec);
                envoys.push(stage.envoy(Kind::Node, node).await);
            }
        }
        // A connection for each request: one that stays open keeps the listener that it came in by.
        let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).pool_max_idle_per_host(0).build().unwrap();
        Some(Self { stage, setup, certificates, specs, applications: BTreeMap::new(), client, envoys })
    }

    /// Whether a node has a proxy of its own.
    pub(super) fn has_proxy(&self, node: &str) -> bool {
        node == SERVER || self.setup.has_tls()
    }

    /// Begins to make calls over and over.
    pub(super) fn watch(&self, doors: Doors) -> Watch {
        Watch::start(self.client.clone(), doors)
    }

    /// Writes a resource, or deletes it; says whether that was accepted.
    pub(super) async fn write(&mut self, path: &str, spec: Option<Value>) -> bool {
        let (place, name_member, name) = place(path);
        let exists = self.specs.contains_key(path);
        let url = format!("{}/v20190125/meshes/{MESH}{place}", self.stage.api);
        let request = match &spec {
            None => self.client.delete(format!("{url}/{name}")),
            Some(spec) if path.is_empty() => self.client.put(url).body(json!({"spec": spec}).to_string()),
            Some(spec) if exists => self.client.put(format!("{url}/{name}")).body(json!({"spec": spec}).to_string()),
            Some(spec) => self.client.put(url).body(json!({name_member: name, "spec": spec}).to_string()),
        };
        let answer = request.send().await.unwrap();
        let status = answer.status();
        assert!(!status.is_server_error(), "{path} {spec:?}: {status} {}", answer.text().await.unwrap());
        if status.is_success() {
            match spec {
                Some(spec) => drop(self.specs.insert(path.to_owned(), spec)),
                None => drop(self.specs.remove(path)),
            }
        }
        status.is_success()
    }

    /// Deletes all but what the Envoys stand for, from the outside in.
    pub(super) async fn take_down(&mut self) {
        let order = |path: &String| match super::specs::kind(path) {
            "gatewayRoute" => Some(0),
            "virtualService" => Some(1),
            "route" => Some(2),
            "virtualRouter" => Some(3),
            _ => None,
        };
        let mut all: Vec<_> = self.specs.keys().filter_map(|path| Some((order(path)?, path.clone()))).collect();
        all.sort();
        for (_, path) in all {
            assert!(self.write(&path, None).await, "{path} can't be deleted");
        }
    }

    /// Waits until all proxies have acknowledged what they are to have, and applications are where they are to be.
    pub(super) async fn settle(&mut self) {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let answer = self.fetch("/proxies").await;
            let proxies = answer["proxies"].as_array().unwrap();
            if proxies.len() == self.envoys.len() && proxies.iter().all(|proxy| proxy["upToDate"] == true) {
                break;
            }
            assert!(!answer.to_string().contains("\"nack\":{"), "{answer:#}\n{:#?}", self.specs);
            assert!(Instant::now() < deadline, "the proxies are not up to date: {answer:#}\n{:#?}", self.specs);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut wanted = BTreeMap::new();
        for node in SERVERS.into_iter().filter(|node| self.specs.contains_key(&format!("virtualNode/{node}"))) {
            // Without a proxy, the application stands in its place.
            let side = if self.has_proxy(node) { "application" } else { "ingress" };
            let answer = self.fetch(&format!("/proxies/{MESH}/virtualNode/{node}")).await;
            let entries = answer["ports"][side].as_array().unwrap();
            wanted.extend(entries.iter().map(|entry| (entry["port"].as_u64().unwrap(), node)));
        }
        let gone: BTreeSet<u64> = self.applications.keys().filter(|port| !wanted.contains_key(port)).copied().collect();
        for port in gone {
            self.applications.remove(&port).unwrap().stop().await;
        }
        for (port, node) in wanted {
            if let Entry::Vacant(place) = self.applications.entry(port) {
                place.insert(Application::start(node, &format!("127.0.0.1:{port}"), Behaviour::Echo).await);
            }
        }
    }

    /// The status of every call that can be made.
    pub(super) async fn probe(&self) -> BTreeMap<Call, u16> {
        call_all(&self.client, &self.doors().await).await
    }

    /// Every call that can be made.
    pub(super) async fn doors(&self) -> Doors {
        let mut doors = Vec::new();
        let answer = self.fetch(&format!("/proxies/{MESH}/virtualNode/{CLIENT}")).await;
        for entry in answer["ports"]["egress"].as_array().unwrap() {
            let service = entry["backend"].as_str().unwrap().to_owned();
            let port = u16::try_from(entry["servicePort"].as_u64().unwrap()).unwrap();
            doors.push((Door::Backend { service, port }, entry["port"].as_u64().unwrap()));
        }
        let answer = self.fetch(&format!("/proxies/{MESH}/virtualGateway/{GATEWAY}")).await;
        for entry in answer["ports"]["ingress"].as_array().unwrap() {
            let port = u16::try_from(entry["listener"].as_u64().unwrap()).unwrap();
            doors.push((Door::Gateway { port }, entry["port"].as_u64().unwrap()));
        }
        let calls = doors.into_iter().flat_map(|(door, at)| {
            let kinds = [("/x/y", false), ("/x/y", true), ("/a/y", false), ("/a/y", true)];
            kinds.map(|(path, is_grpc)| (Call { door: door.clone(), path, is_grpc }, at))
        });
        calls.collect()
    }

    /// What the control plane says of the client and the gateway.
    pub(super) async fn findings(&self) -> String {
        let client = self.fetch(&format!("/proxies/{MESH}/virtualNode/{CLIENT}")).await;
        let gateway = self.fetch(&format!("/proxies/{MESH}/virtualGateway/{GATEWAY}")).await;
        format!("{} {}", client["findings"], gateway["findings"])
    }

    async fn fetch(&self, path: &str) -> Value {
        let url = format!("{}{path}", self.stage.api);
        let answer = self.stage.client.get(&url).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{url}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }
}

/// The status of each call; 0 for no answer. With `WRITES_VERBOSE`, answers other than 200 are printed.
async fn call_all(client: &reqwest::Client, doors: &Doors) -> BTreeMap<Call, u16> {
    let is_verbose = std::env::var_os("WRITES_VERBOSE").is_some();
    let answered = join_all(doors.iter().map(async |(call, at)| {
        let url = format!("http://127.0.0.1:{at}{}", call.path);
        let request =
            if call.is_grpc { client.post(url).header("content-type", "application/grpc") } else { client.get(url) };
        let (status, text) = match request.send().await {
            Ok(answer) => (answer.status().as_u16(), answer.text().await.unwrap_or_default()),
            Err(error) => (0, format!("{error:?}")),
        };
        if is_verbose && status != 200 {
            println!("{call:?}: {status} {text}");
        }
        (call.clone(), status)
    }));
    answered.await.into_iter().collect()
}

/// Where the API has the collection of a resource, and the member and value of its name.
fn place(path: &str) -> (String, &'static str, String) {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        ["virtualNode", name] => ("/virtualNodes".to_owned(), "virtualNodeName", (*name).to_owned()),
        ["virtualRouter", name] => ("/virtualRouters".to_owned(), "virtualRouterName", (*name).to_owned()),
        ["virtualRouter", router, _, name] => {
            (format!("/virtualRouter/{router}/routes"), "routeName", (*name).to_owned())
        }
        ["virtualService", name] => ("/virtualServices".to_owned(), "virtualServiceName", (*name).to_owned()),
        ["virtualGateway", name] => ("/virtualGateways".to_owned(), "virtualGatewayName", (*name).to_owned()),
        ["virtualGateway", gateway, _, name] => {
            (format!("/virtualGateway/{gateway}/gatewayRoutes"), "gatewayRouteName", (*name).to_owned())
        }
        _ => (String::new(), "meshName", MESH.to_owned()),
    }
}
