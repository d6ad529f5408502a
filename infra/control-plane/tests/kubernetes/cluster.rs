//! A cluster with a shop, and a process that reconciles it.

use std::sync::Arc;
use std::time::Duration;

use control_plane::kubernetes::{KubernetesServer, KubernetesSettings, KubernetesSync, LeaseSettings, MeshApi};
use kubernetes::ClusterName;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::app_mesh::Plane;
use crate::server::Server;

/// How long a test waits for a state.
const DEADLINE: Duration = Duration::from_mins(1);

/// The interval of polls.
const POLL: Duration = Duration::from_millis(20);

/// One object of the shop: plural, kind, namespace, name, spec.
pub(crate) type Item = (&'static str, &'static str, &'static str, &'static str, Value);

pub(crate) fn node(host: &str) -> Value {
    json!({"listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}],
        "serviceDiscovery": {"dns": {"hostname": format!("{host}.shop.svc.cluster.local")}}})
}

pub(crate) fn router(a: u8, b: u8) -> Value {
    json!({"listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}],
        "routes": [{"name": "all", "httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": [
            {"virtualNodeRef": {"name": "a"}, "weight": a}, {"virtualNodeRef": {"name": "b"}, "weight": b}]}}}]})
}

/// The objects of the shop, in the order in which `kubectl apply` of a folder may send them.
pub(crate) fn shop() -> Vec<Item> {
    vec![
        (
            "gatewayroutes",
            "GatewayRoute",
            "shop",
            "orders",
            json!({"httpRoute": {"match": {"prefix": "/"}, "action":
            {"target": {"virtualService": {"virtualServiceRef": {"name": "orders"}}}}}}),
        ),
        (
            "virtualservices",
            "VirtualService",
            "shop",
            "orders",
            json!({"awsName": "orders.local", "provider": {"virtualRouter": {"virtualRouterRef": {"name": "orders"}}}}),
        ),
        ("virtualrouters", "VirtualRouter", "shop", "orders", router(90, 10)),
        ("virtualnodes", "VirtualNode", "shop", "a", node("a")),
        ("virtualnodes", "VirtualNode", "shop", "b", node("b")),
        (
            "virtualgateways",
            "VirtualGateway",
            "shop",
            "edge",
            json!({"namespaceSelector": {},
            "listeners": [{"portMapping": {"port": 8088, "protocol": "http"}}]}),
        ),
        ("meshes", "Mesh", "", "shop", json!({"namespaceSelector": {"matchLabels": {"mesh": "shop"}}})),
    ]
}

/// The resources of the shop.
pub(crate) const RESOURCES: usize = 8;

pub(crate) fn apply(server: &Server, items: &[Item]) {
    for (plural, kind, namespace, name, spec) in items {
        server.apply(plural, kind, namespace, name, spec);
    }
}

pub(crate) fn delete(server: &Server, items: &[Item]) {
    for (plural, _, namespace, name, _) in items {
        server.delete(plural, namespace, name);
    }
}

/// A process that reconciles.
pub(crate) struct Process(JoinHandle<()>);

impl Process {
    pub(crate) async fn start(server: &Server, plane: &Plane) -> Self {
        Self::with_lease(server, plane, None).await
    }

    pub(crate) async fn with_lease(server: &Server, plane: &Plane, identity: Option<&str>) -> Self {
        let api: Arc<dyn MeshApi> = Arc::<crate::app_mesh::Api>::clone(&plane.api);
        let lease = identity.map(|identity| LeaseSettings {
            namespace: "meshwarden".to_owned(),
            name: "kubernetes".to_owned(),
            identity: identity.to_owned(),
            duration: Duration::from_secs(2),
        });
        let settings = KubernetesSettings {
            server: KubernetesServer { url: server.url.clone(), token_file: None, ca_file: None },
            api,
            cluster: ClusterName::parse("blue").unwrap(),
            lease,
            resync: Duration::from_secs(1),
            longest_watch: Duration::from_mins(1),
            metrics: None,
            webhook: None,
        };
        let sync = KubernetesSync::bind(settings).await.unwrap();
        Self(tokio::spawn(sync.run(std::future::pending())))
    }

    /// Ends the process at once, like a kill.
    pub(crate) async fn kill(self) {
        self.0.abort();
        drop(self.0.await);
    }
}

/// The status of the condition of an object; empty without one.
pub(crate) fn condition(object: &Value) -> (&str, &str) {
    let condition = object["status"]["conditions"].get(0);
    let text = |member: &str| condition.and_then(|one| one[member].as_str()).unwrap_or_default();
    (text("status"), text("reason"))
}

/// Whether each object of the list is active at its present generation, and no other object exists.
pub(crate) fn is_active(server: &Server, items: &[Item]) -> bool {
    let objects = server.objects();
    let is_current = |object: &Value| {
        condition(object).0 == "True" && object["status"]["observedGeneration"] == object["metadata"]["generation"]
    };
    objects.len() == items.len() && objects.iter().all(is_current)
}

/// Polls until a state is reached.
pub(crate) async fn until(what: &str, server: &Server, mut is_reached: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_reached().await {
        if Instant::now() > deadline {
            let objects: Vec<String> = server
                .objects()
                .iter()
                .map(|object| {
                    format!("{} {}: {:?}", object["kind"], object["metadata"]["name"], object["status"]["conditions"])
                })
                .collect();
            panic!("not reached: {what}\n{}", objects.join("\n"));
        }
        sleep(POLL).await;
    }
}

/// Waits until the shop is in App Mesh and active.
pub(crate) async fn until_active(server: &Server, plane: &Plane, items: &[Item]) {
    until("active objects", server, async || is_active(server, items)).await;
    assert_eq!(plane.paths().await.len(), RESOURCES);
}
