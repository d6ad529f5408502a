//! The statistics of an Envoy about the nodes that it calls, and their destinations.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;

use crate::application::{Application, Behaviour};
use crate::proxy::{Envoy, Kind};
use crate::specs::{client, node, route};
use crate::stage::{PortBlock, Stage, TIMEOUT};

const SERVICE: &str = "catalog.shop.local";
/// The same router under another name.
const OTHER: &str = "legacy.shop.local";

/// One DogStatsD line.
#[derive(Debug, Clone)]
struct Line {
    name: String,
    value: f64,
    tags: BTreeMap<String, String>,
}

impl Line {
    fn parse(text: &str) -> Self {
        let mut parts = text.split('|');
        let (name, value) = parts.next().unwrap().split_once(':').unwrap();
        let tags = parts.find_map(|part| part.strip_prefix('#')).unwrap_or_default();
        let tags = tags.split(',').filter_map(|tag| tag.split_once(':'));
        let tags = tags.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        Self { name: name.to_owned(), value: value.parse().unwrap(), tags }
    }

    fn is(&self, name: &str, tags: &[(&str, &str)]) -> bool {
        self.name == name && tags.iter().all(|(key, value)| self.tags.get(*key).is_some_and(|tag| tag == value))
    }
}

/// The socket of an agent, and the received lines.
struct Agent {
    socket: UdpSocket,
    lines: Vec<Line>,
}

impl Agent {
    async fn bind() -> Self {
        Self { socket: UdpSocket::bind("127.0.0.1:0").await.unwrap(), lines: Vec::new() }
    }

    fn address(&self) -> String {
        self.socket.local_addr().unwrap().to_string()
    }

    /// Waits for a line with a value above zero.
    async fn until(&mut self, name: &str, tags: &[(&str, &str)]) -> Line {
        let deadline = Instant::now() + TIMEOUT;
        let mut datagram = vec![0; 65536];
        loop {
            if let Some(line) = self.lines.iter().find(|line| line.value > 0.0 && line.is(name, tags)) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let received = tokio::time::timeout(left, self.socket.recv(&mut datagram)).await;
            let Ok(received) = received else {
                let names: std::collections::BTreeSet<&str> =
                    self.lines.iter().map(|line| line.name.as_str()).collect();
                panic!("no line {name} with {tags:?} among {names:?}");
            };
            let text = String::from_utf8_lossy(&datagram[..received.unwrap()]).into_owned();
            assert!(text.len() <= 1432, "{} bytes in a datagram", text.len());
            self.lines.extend(text.lines().map(Line::parse));
        }
    }
}

/// Two versions behind two services, of which the second version fails, and a caller. The names contain every allowed
/// kind of character.
async fn shop() -> Option<(Stage, Vec<Application>, Vec<Envoy>)> {
    let stage = Stage::set().await?;
    for name in ["catalog-v1", "catalog.v2_http_80"] {
        stage.node(name, node("http", &[])).await;
    }
    stage.service_on_router(SERVICE, "catalog", "http").await;
    stage.service_on_router(OTHER, "legacy", "http").await;
    stage.route("catalog", "all", route("httpRoute", &[("catalog-v1", 1), ("catalog.v2_http_80", 99)])).await;
    stage.route("legacy", "all", route("httpRoute", &[("catalog-v1", 100)])).await;
    stage.node("storefront-v1", client(&[SERVICE, OTHER])).await;
    let (mut applications, mut envoys) = (Vec::new(), Vec::new());
    for name in ["catalog-v1", "catalog.v2_http_80"] {
        applications.push(stage.application(name, Behaviour::Echo).await);
        envoys.push(stage.envoy(Kind::Node, name).await);
    }
    applications[1].answer_with(500);
    Some((stage, applications, envoys))
}

#[tokio::test]
async fn lines_have_caller_and_target_and_each_service_is_counted_separately() {
    let Some((stage, _applications, _envoys)) = shop().await else { return };
    let mut agent = Agent::bind().await;
    let arguments = ["--statsd", &agent.address(), "--statsd-interval", "1s"];
    let envoy = Envoy::start_with(&stage, Kind::Node, "storefront-v1", &arguments).await;
    for (backend, requests) in [(SERVICE, 20), (OTHER, 5)] {
        let egress = stage.address(Kind::Node, "storefront-v1", "egress", Some(backend)).await;
        for _ in 0..requests {
            stage.client.get(format!("http://{egress}/")).send().await.unwrap();
        }
    }
    let caller = [("mesh", "shop"), ("virtual_node", "storefront-v1")];
    let to = |service, node| [caller[0], caller[1], ("target_virtual_service", service), ("target_virtual_node", node)];
    let failed = agent.until("envoy.cluster.upstream_rq_5xx", &to(SERVICE, "catalog.v2_http_80")).await;
    // The dimensions of App Mesh's metrics: CloudWatch's agent names dimensions like the tags.
    for (dimension, tag) in [
        ("Mesh", "mesh"),
        ("VirtualNode", "virtual_node"),
        ("TargetVirtualService", "target_virtual_service"),
        ("TargetVirtualNode", "target_virtual_node"),
    ] {
        assert_eq!(failed.tags[dimension], failed.tags[tag], "{failed:?}");
    }
    assert_eq!(failed.tags["envoy.cluster_name"], "cds_egress_shop_catalog.v2_http_80_http_8080");
    agent.until("envoy.cluster.upstream_rq_completed", &to(SERVICE, "catalog.v2_http_80")).await;
    agent.until("envoy.cluster.upstream_rq_time", &to(SERVICE, "catalog.v2_http_80")).await;
    // The same node, called by its other service.
    agent.until("envoy.cluster.upstream_rq_completed", &to(OTHER, "catalog-v1")).await;
    let wrong = |line: &&Line| {
        line.name.ends_with("upstream_rq_5xx")
            && line.value > 0.0
            && !line.is(&line.name, &to(SERVICE, "catalog.v2_http_80"))
    };
    assert!(!agent.lines.iter().any(|line| wrong(&line)), "{:?}", agent.lines.iter().find(wrong));
    assert!(agent.lines.iter().all(|line| !line.name.contains("cds_")), "a metric's name contains that of a cluster");
    // The agent's configuration drops everything that no alarm needs.
    let config =
        std::fs::read_to_string(format!("{}/../deploy/cloudwatch-agent/agent.json", env!("CARGO_MANIFEST_DIR")));
    let config: serde_json::Value = serde_json::from_str(&config.unwrap()).unwrap();
    let dropped = &config["metrics"]["metrics_collected"]["statsd"]["drop_original_metrics"];
    let dropped: Vec<&str> = dropped.as_array().unwrap().iter().filter_map(|name| name.as_str()).collect();
    let kept: std::collections::BTreeSet<String> = agent
        .lines
        .iter()
        .map(|line| line.name.replace('.', "_"))
        .filter(|name| !dropped.contains(&name.as_str()))
        .collect();
    assert!(kept.is_empty(), "published with all their dimensions: {kept:#?}");
    drop(envoy);
    stage.assert_no_nack().await;
}

#[tokio::test]
async fn a_gateway_is_the_caller_in_its_statistics() {
    let Some((stage, _applications, _envoys)) = shop().await else { return };
    stage.gateway("web", serde_json::json!({"listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}]})).await;
    let target = serde_json::json!({"target": {"virtualService": {"virtualServiceName": SERVICE}}});
    stage
        .gateway_route("web", "all", serde_json::json!({"httpRoute": {"match": {"prefix": "/"}, "action": target}}))
        .await;
    let mut agent = Agent::bind().await;
    let arguments = ["--statsd", &agent.address(), "--statsd-interval", "1s", "--stats", "all"];
    let _envoy = Envoy::start_with(&stage, Kind::Gateway, "web", &arguments).await;
    let ingress = stage.address(Kind::Gateway, "web", "ingress", None).await;
    for _ in 0..20 {
        stage.client.get(format!("http://{ingress}/")).send().await.unwrap();
    }
    let tags = [
        ("VirtualGateway", "web"),
        ("virtual_gateway", "web"),
        ("TargetVirtualNode", "catalog.v2_http_80"),
        ("target_virtual_service", SERVICE),
    ];
    let failed = agent.until("envoy.cluster.upstream_rq_5xx", &tags).await;
    assert!(!failed.tags.contains_key("virtual_node"), "{failed:?}");
    // The redirect of a gateway to itself has no target node.
    let itself = ("envoy.cluster_name", "cds_ingress_shop_web_self_redirect_http");
    let redirected = agent.lines.iter().find(|line| {
        line.tags.get(itself.0).is_some_and(|name| name.starts_with(itself.1)) && line.name.contains("upstream_rq")
    });
    assert!(!redirected.unwrap().tags.contains_key("target_virtual_node"), "{redirected:?}");
}

#[tokio::test]
async fn prometheus_gets_the_statistics_and_nothing_else_of_the_admin_interface() {
    let Some((stage, _applications, _envoys)) = shop().await else { return };
    let ports = PortBlock::take(1);
    let [admin, prometheus] = [0, 1].map(|offset| format!("127.0.0.1:{}", ports.first() + offset));
    let arguments = ["--admin", &admin, "--prometheus", &prometheus];
    let envoy = Envoy::start_with(&stage, Kind::Node, "storefront-v1", &arguments).await;
    let egress = stage.address(Kind::Node, "storefront-v1", "egress", Some(SERVICE)).await;
    for _ in 0..20 {
        stage.client.get(format!("http://{egress}/")).send().await.unwrap();
    }
    let get = async |path: &str| {
        let response = stage.client.get(format!("http://{prometheus}{path}")).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let (status, text) = get("/stats/prometheus?usedonly").await;
    assert_eq!(status, 200, "{text}");
    let line = text.lines().find(|line| {
        line.starts_with("envoy_cluster_upstream_rq_xx{") && line.contains(r#"envoy_response_code_class="5""#)
    });
    for label in [
        r#"mesh="shop""#,
        r#"virtual_node="storefront-v1""#,
        r#"target_virtual_node="catalog.v2_http_80""#,
        r#"target_virtual_service="catalog.shop.local""#,
        r#"envoy_cluster_name="cds_egress_shop_catalog.v2_http_80_http_8080""#,
    ] {
        assert!(line.is_some_and(|line| line.contains(label)), "{label} is not in {line:?}");
    }
    for path in [
        "/",
        "/stats",
        "/config_dump",
        "/clusters",
        "/quitquitquit",
        "/stats/prometheus/",
        "/stats/prometheus/../../config_dump",
        "/stats/prometheus%2f..%2f..%2fconfig_dump",
        "/stats/prometheus;/config_dump",
    ] {
        assert_eq!(get(path).await.0, 404, "{path}");
    }
    let post = stage.client.post(format!("http://{prometheus}/stats/prometheus")).send().await.unwrap();
    assert_eq!(post.status().as_u16(), 404);
    let deadline = Instant::now() + Duration::from_secs(5);
    while envoy.get(&stage, "/ready").await.0 != 200 {
        assert!(Instant::now() < deadline, "the Envoy was stopped");
        tokio::task::yield_now().await;
    }
}
