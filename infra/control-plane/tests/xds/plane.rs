//! A server in this process, its mesh, and the API to change it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use control_plane::state::Region;
use control_plane::xds::{XdsAuth, XdsListener, XdsSettings};
use control_plane::{QuotaSetting, Quotas, Server, Settings};
use mesh::name::AccountId;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) const ACCOUNT: &str = "123456789012";
/// The timeout of awaited conditions. Only a failing test reaches it.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// A server that ends with the test.
pub(crate) struct Plane {
    pub(crate) endpoint: String,
    pub(crate) xds: Vec<String>,
    http: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Plane {
    /// Starts a server on a free loopback port, with the shop mesh.
    pub(crate) async fn shop() -> Self {
        let plane = Self::with(tcp()).await;
        plane.make_shop().await;
        plane
    }

    pub(crate) async fn with(xds: XdsSettings) -> Self {
        Self::bind(xds, None).await
    }

    pub(crate) async fn bind(xds: XdsSettings, data: Option<PathBuf>) -> Self {
        Self::bind_with(xds, data, None).await
    }

    /// A server that issues node tokens.
    pub(crate) async fn bind_with(
        xds: XdsSettings,
        data: Option<PathBuf>,
        identity: Option<control_plane::IdentitySettings>,
    ) -> Self {
        let quota = |text: &str| text.parse::<QuotaSetting>().unwrap();
        let quotas = Quotas::default().with(quota("virtual-nodes-per-mesh=2000"));
        let region = Region::parse("eu-west-1").unwrap();
        let settings =
            Settings { quotas, xds, data, identity, ..Settings::new(AccountId::parse(ACCOUNT).unwrap(), region) };
        Self::bind_settings(settings).await
    }

    pub(crate) async fn bind_settings(settings: Settings) -> Self {
        let server = Server::bind(settings).await.unwrap();
        let (endpoint, xds) = (server.endpoint(), server.xds());
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(server.serve(async {
            let _ = stopped.await;
        }));
        Self { endpoint, xds, http: reqwest::Client::new(), stop: Some(stop), serving }
    }

    /// Ends it, and waits until it has ended.
    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        tokio::time::timeout(TIMEOUT, self.serving).await.unwrap().unwrap().unwrap();
    }

    pub(crate) async fn make_shop(&self) {
        self.put("", json!({"meshName": "shop"})).await;
        for name in ["back-v1", "back-v2"] {
            self.put("/shop/virtualNodes", node(name, &[])).await;
        }
        self.put("/shop/virtualRouters", json!({"virtualRouterName": "back", "spec": {"listeners": [port(80)]}})).await;
        self.put("/shop/virtualRouter/back/routes", json!({"routeName": "all", "spec": route(100, 0)})).await;
        let provider = json!({"virtualRouter": {"virtualRouterName": "back"}});
        let service = json!({"virtualServiceName": "back.local", "spec": {"provider": provider}});
        self.put("/shop/virtualServices", service).await;
        self.put("/shop/virtualNodes", node("front", &["back.local"])).await;
        self.put("/shop/virtualNodes", node("other", &[])).await;
    }

    /// Changes the weights of the only route.
    pub(crate) async fn weigh(&self, v1: u8, v2: u8) {
        self.put("/shop/virtualRouter/back/routes/all", json!({"spec": route(v1, v2)})).await;
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Value {
        self.send(Method::PUT, &format!("/v20190125/meshes{path}"), Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) {
        self.send(Method::DELETE, &format!("/v20190125/meshes{path}"), None).await;
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        let response = self.http.get(format!("{}{path}", self.endpoint)).send().await.unwrap();
        (response.status().as_u16(), serde_json::from_slice(&response.bytes().await.unwrap()).unwrap())
    }

    /// Posts a document; returns the status and the response.
    pub(crate) async fn post_document(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.http.post(format!("{}{path}", self.endpoint)).body(body.to_string());
        let response = request.send().await.unwrap();
        (response.status().as_u16(), serde_json::from_slice(&response.bytes().await.unwrap()).unwrap())
    }

    pub(crate) async fn post(&self, path: &str) {
        let response = self.http.post(format!("{}{path}", self.endpoint)).send().await.unwrap();
        assert!(response.status().is_success(), "{path}: {}", response.status());
    }

    pub(crate) async fn text(&self, path: &str) -> String {
        self.http.get(format!("{}{path}", self.endpoint)).send().await.unwrap().text().await.unwrap()
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let request = self.http.request(method, format!("{}{path}", self.endpoint));
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(body.to_string()),
            None => request,
        };
        let response = request.send().await.unwrap();
        let status = response.status();
        let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        assert!(status.is_success(), "{path}: {status} {body}");
        body
    }

    /// The open streams of `GET /proxies`.
    pub(crate) async fn proxies(&self) -> Vec<Value> {
        let (status, body) = self.get("/proxies").await;
        assert_eq!(status, 200);
        body["proxies"].as_array().unwrap().clone()
    }

    /// The report on the only stream, once it is as wanted.
    pub(crate) async fn proxy_once(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let proxies = self.proxies().await;
            if let [proxy] = proxies.as_slice()
                && wanted(proxy)
            {
                return proxy.clone();
            }
            assert!(Instant::now() < deadline, "{proxies:#?}");
        }
    }
}

/// A free loopback port without authentication.
pub(crate) fn tcp() -> XdsSettings {
    XdsSettings { listen: vec![listener("127.0.0.1:0", XdsAuth::None)], ..XdsSettings::default() }
}

pub(crate) fn listener(address: &str, auth: XdsAuth) -> XdsListener {
    XdsListener { address: address.parse().unwrap(), auth }
}

pub(crate) fn node(name: &str, backends: &[&str]) -> Value {
    let backends: Vec<Value> =
        backends.iter().map(|name| json!({"virtualService": {"virtualServiceName": name}})).collect();
    json!({"virtualNodeName": name, "spec": {
        "listeners": [port(8080)],
        "serviceDiscovery": {"dns": {"hostname": format!("{name}.local")}},
        "backends": backends,
    }})
}

fn port(port: u16) -> Value {
    json!({"portMapping": {"port": port, "protocol": "http"}})
}

fn route(v1: u8, v2: u8) -> Value {
    json!({"httpRoute": {
        "match": {"prefix": "/"},
        "action": {"weightedTargets": [
            {"virtualNode": "back-v1", "weight": v1},
            {"virtualNode": "back-v2", "weight": v2},
        ]},
    }})
}

/// A folder that is removed with the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("meshwarden-xds-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
