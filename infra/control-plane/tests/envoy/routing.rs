//! The selection of routes for requests.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::application::Behaviour;
use crate::proxy::{Envoy, Kind};
use crate::specs::{action, client, node, route, with};
use crate::stage::Stage;

const SERVICE: &str = "colours.shop.local";

/// Two versions behind one virtual service, a client, and their processes.
struct Colours {
    stage: Stage,
    egress: String,
    running: Vec<Envoy>,
    applications: Vec<crate::application::Application>,
}

impl Colours {
    /// Starts routes, given by name and spec, to applications of one behaviour and protocol.
    async fn set(protocol: &str, behaviour: Behaviour, routes: &[(&str, Value)]) -> Option<Self> {
        let stage = Stage::set().await?;
        let mut applications = Vec::new();
        let mut running = Vec::new();
        for name in ["blue", "green"] {
            stage.node(name, node(protocol, &[])).await;
        }
        stage.service_on_router(SERVICE, "colours", protocol).await;
        for (name, spec) in routes {
            stage.route("colours", name, spec.clone()).await;
        }
        stage.node("client", client(&[SERVICE])).await;
        for name in ["blue", "green"] {
            applications.push(stage.application(name, behaviour).await);
            running.push(stage.envoy(Kind::Node, name).await);
        }
        running.push(stage.envoy(Kind::Node, "client").await);
        let egress = stage.address(Kind::Node, "client", "egress", Some(SERVICE)).await;
        Some(Self { stage, egress, running, applications })
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
        let mut request = self.stage.client.get(format!("http://{}{path}", self.egress));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
    }

    /// The node that serves a request, or the status without one.
    async fn served_by(&self, path: &str, headers: &[(&str, &str)]) -> String {
        let (status, body) = self.get(path, headers).await;
        body["node"].as_str().map_or_else(|| status.to_string(), ToOwned::to_owned)
    }
}

#[tokio::test]
async fn traffic_follows_the_weights_and_their_changes() {
    let split = |blue, green| route("httpRoute", &[("blue", blue), ("green", green)]);
    let Some(colours) = Colours::set("http", Behaviour::Echo, &[("all", split(70, 30))]).await else { return };
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..400 {
        *seen.entry(colours.served_by("/", &[]).await).or_default() += 1;
    }
    // The probability of a larger deviation is below one in a million.
    assert!((220..=330).contains(&seen["blue"]), "{seen:?}");
    assert_eq!(seen["blue"] + seen["green"], 400, "{seen:?}");

    colours.stage.update_route("colours", "all", split(0, 100)).await;
    colours.stage.until_up_to_date(Kind::Node, "client").await;
    for _ in 0..50 {
        assert_eq!(colours.served_by("/", &[]).await, "green");
    }
    colours.stage.assert_no_nack().await;
    assert!(colours.running.len() == 3 && colours.applications[1].requests() > 0);
}

#[tokio::test]
async fn routes_are_selected_by_paths_methods_headers_and_queries() {
    let to_blue = |matching: Value| json!({"httpRoute": {"match": matching, "action": action(&[("blue", 1)])}});
    let first = |priority: u32, matching: Value| with(to_blue(matching), &["priority"], json!(priority));
    let header = |name: &str, matching: Value| json!({"prefix": "/h", "headers": [{"name": name, "match": matching}]});
    let routes = [
        ("prefix", first(1, json!({"prefix": "/blue"}))),
        ("exact", first(2, json!({"path": {"exact": "/exact"}}))),
        ("regex", first(3, json!({"path": {"regex": "/re/[0-9]+"}}))),
        ("method", first(4, json!({"prefix": "/m", "method": "POST"}))),
        ("query", first(5, json!({"prefix": "/q", "queryParameters": [{"name": "v", "match": {"exact": "1"}}]}))),
        ("exact-header", first(6, header("x-exact", json!({"exact": "yes"})))),
        ("prefix-header", first(7, header("x-prefix", json!({"prefix": "ab"})))),
        ("suffix-header", first(8, header("x-suffix", json!({"suffix": "yz"})))),
        ("regex-header", first(9, header("x-regex", json!({"regex": "a+b"})))),
        ("range-header", first(10, header("x-range", json!({"range": {"start": 10, "end": 20}})))),
        ("present-header", first(11, json!({"prefix": "/h", "headers": [{"name": "x-present"}]}))),
        ("absent-header", first(12, json!({"prefix": "/absent", "headers": [{"name": "x-absent", "invert": true}]}))),
        ("rest", route("httpRoute", &[("green", 1)])),
    ];
    let Some(colours) = Colours::set("http", Behaviour::Echo, &routes).await else { return };
    let cases: &[(&str, &[(&str, &str)], &str)] = &[
        ("/blue", &[], "blue"),
        ("/blue/deep", &[], "blue"),
        ("/green", &[], "green"),
        ("/exact", &[], "blue"),
        ("/exact/not", &[], "green"),
        ("/re/42", &[], "blue"),
        ("/re/42x", &[], "green"),
        ("/m", &[], "green"),
        ("/q?v=1", &[], "blue"),
        ("/q?v=2", &[], "green"),
        ("/h", &[], "green"),
        ("/h", &[("x-exact", "yes")], "blue"),
        ("/h", &[("x-exact", "no")], "green"),
        ("/h", &[("x-prefix", "abc")], "blue"),
        ("/h", &[("x-prefix", "ba")], "green"),
        ("/h", &[("x-suffix", "xyz")], "blue"),
        ("/h", &[("x-suffix", "zy")], "green"),
        ("/h", &[("x-regex", "aaab")], "blue"),
        ("/h", &[("x-regex", "aaabc")], "green"),
        ("/h", &[("x-range", "10")], "blue"),
        ("/h", &[("x-range", "19")], "blue"),
        // The end is exclusive.
        ("/h", &[("x-range", "20")], "green"),
        ("/h", &[("x-present", "any")], "blue"),
        ("/absent", &[], "blue"),
        ("/absent", &[("x-absent", "here")], "green"),
    ];
    for (path, headers, expected) in cases {
        assert_eq!(colours.served_by(path, headers).await, *expected, "{path} {headers:?}");
    }
    let posted = colours.stage.client.post(format!("http://{}/m", colours.egress)).send().await.unwrap();
    assert!(posted.text().await.unwrap().contains("\"blue\""));
    colours.stage.assert_no_nack().await;
}

#[tokio::test]
async fn the_longest_prefix_is_first_without_priorities() {
    let to =
        |node: &str, prefix: &str| json!({"httpRoute": {"match": {"prefix": prefix}, "action": action(&[(node, 1)])}});
    let routes = [("a-short", to("blue", "/")), ("b-long", to("green", "/deep/er"))];
    let Some(colours) = Colours::set("http", Behaviour::Echo, &routes).await else { return };
    assert_eq!(colours.served_by("/deep", &[]).await, "blue");
    assert_eq!(colours.served_by("/deep/er/still", &[]).await, "green");
}

#[tokio::test]
async fn a_route_without_weight_returns_503_and_a_missing_route_404() {
    let routes = [
        (
            "drained",
            json!({"priority": 1, "httpRoute": {"match": {"prefix": "/drained"}, "action": action(&[("blue", 0)])}}),
        ),
        ("some", json!({"httpRoute": {"match": {"prefix": "/some"}, "action": action(&[("blue", 1)])}})),
    ];
    let Some(colours) = Colours::set("http", Behaviour::Echo, &routes).await else { return };
    assert_eq!(colours.served_by("/drained", &[]).await, "503");
    assert_eq!(colours.served_by("/some", &[]).await, "blue");
    assert_eq!(colours.served_by("/none", &[]).await, "404");
    colours.stage.assert_no_nack().await;
}

#[tokio::test]
async fn http2_reaches_the_application_as_http2() {
    let routes = [("all", route("http2Route", &[("blue", 1)]))];
    let Some(colours) = Colours::set("http2", Behaviour::Echo, &routes).await else { return };
    let (status, body) = colours.get("/", &[]).await;
    assert_eq!((status, body["version"].as_str()), (200, Some("HTTP/2.0")), "{body}");
}

#[tokio::test]
async fn grpc_is_matched_by_service_method_and_metadata() {
    let matching = json!({
        "serviceName": "shop.Payments", "methodName": "Authorise",
        "metadata": [{"name": "currency", "match": {"exact": "EUR"}}],
    });
    let routes = [
        ("euros", json!({"priority": 1, "grpcRoute": {"match": matching, "action": action(&[("blue", 1)])}})),
        (
            "service",
            json!({"priority": 2, "grpcRoute": {
                "match": {"serviceName": "shop.Payments"}, "action": action(&[("green", 1)]),
            }}),
        ),
    ];
    let Some(colours) = Colours::set("grpc", Behaviour::Grpc, &routes).await else { return };
    let call = async |path: &str, currency: &str, kind: &str| {
        let request = colours.stage.client.post(format!("http://{}{path}", colours.egress));
        let response = request.header("content-type", kind).header("currency", currency).send().await.unwrap();
        let by = response.headers().get("served-by").map(|by| by.to_str().unwrap().to_owned());
        by.unwrap_or_else(|| response.status().as_u16().to_string())
    };
    assert_eq!(call("/shop.Payments/Authorise", "EUR", "application/grpc").await, "blue");
    assert_eq!(call("/shop.Payments/Authorise", "USD", "application/grpc").await, "green");
    assert_eq!(call("/shop.Payments/Refund", "EUR", "application/grpc").await, "green");
    assert_eq!(call("/shop.Orders/Place", "EUR", "application/json").await, "404");
    colours.stage.assert_no_nack().await;
}

#[tokio::test]
async fn tcp_connections_follow_the_weights() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let routes = [("all", json!({"tcpRoute": {"action": action(&[("blue", 0), ("green", 1)])}}))];
    let Some(colours) = Colours::set("tcp", Behaviour::Tcp, &routes).await else { return };
    for _ in 0..5 {
        let mut stream = tokio::net::TcpStream::connect(&colours.egress).await.unwrap();
        stream.write_all(b"hello\n").await.unwrap();
        let mut received = String::new();
        stream.read_to_string(&mut received).await.unwrap();
        assert_eq!(received, "green");
    }
    assert_eq!(colours.applications[0].requests(), 0);
    colours.stage.assert_no_nack().await;
}

#[tokio::test]
async fn all_replicas_of_a_node_receive_the_same_configuration() {
    let split = |blue, green| route("httpRoute", &[("blue", blue), ("green", green)]);
    let Some(colours) = Colours::set("http", Behaviour::Echo, &[("all", split(1, 0))]).await else { return };
    let second = colours.stage.envoy(Kind::Node, "client").await;
    colours.stage.update_route("colours", "all", split(0, 1)).await;
    colours.stage.until_up_to_date(Kind::Node, "client").await;
    let report = colours.stage.report_of(Kind::Node, "client").await;
    assert_eq!(report["streams"].as_array().map(Vec::len), Some(2), "{report:#}");
    drop(second);
}
