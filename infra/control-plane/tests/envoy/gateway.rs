//! Requests through a virtual gateway.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Value, json};

use crate::application::{Application, Behaviour};
use crate::load::Load;
use crate::proxy::{Envoy, Kind};
use crate::specs::node;
use crate::stage::Stage;

struct Web {
    stage: Stage,
    address: String,
    _running: Vec<Envoy>,
    _applications: Vec<Application>,
}

/// A gateway in front of `one` and `two`, with these gateway routes.
async fn web(routes: &[(&str, Value)]) -> Option<Web> {
    web_with(&[], routes).await
}

/// The same with arguments for the control plane.
async fn web_with(args: &[&str], routes: &[(&str, Value)]) -> Option<Web> {
    let stage = Stage::set_with(args).await?;
    let mut applications = Vec::new();
    let mut running = Vec::new();
    for name in ["one", "two"] {
        stage.node(name, node("http", &[])).await;
        stage.service_on_node(&format!("{name}.shop.local"), name).await;
    }
    stage.gateway("web", json!({"listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}]})).await;
    for (name, spec) in routes {
        stage.gateway_route("web", name, spec.clone()).await;
    }
    for name in ["one", "two"] {
        applications.push(stage.application(name, Behaviour::Echo).await);
        running.push(stage.envoy(Kind::Node, name).await);
    }
    running.push(stage.envoy(Kind::Gateway, "web").await);
    let address = stage.address(Kind::Gateway, "web", "ingress", None).await;
    Some(Web { stage, address, _running: running, _applications: applications })
}

fn to(service: &str, matching: Value, rewrite: Option<Value>) -> Value {
    let mut action = json!({"target": {"virtualService": {"virtualServiceName": format!("{service}.shop.local")}}});
    if let Some(rewrite) = rewrite {
        action["rewrite"] = rewrite;
    }
    json!({"httpRoute": {"match": matching, "action": action}})
}

impl Web {
    async fn get(&self, path: &str, host: &str) -> (u16, Value) {
        let request = self.stage.client.get(format!("http://{}{path}", self.address)).header("host", host);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
    }

    /// `node path`, or the status of a response without a node.
    async fn seen(&self, path: &str, host: &str) -> String {
        let (status, body) = self.get(path, host).await;
        match body["node"].as_str() {
            Some(node) => format!("{node} {}", body["path"].as_str().unwrap()),
            None => status.to_string(),
        }
    }
}

/// How often a gateway route changes under load. A target that is named before it has routes, or after, answers single
/// requests with 404.
const CHANGES: usize = 12;

impl Web {
    /// Replaces a gateway route, and waits until its gateway has it.
    async fn update(&self, route: &str, spec: Value) {
        let path = format!("/meshes/shop/virtualGateway/web/gatewayRoutes/{route}");
        self.stage.put(&path, json!({ "spec": spec })).await;
    }
}

#[tokio::test]
async fn no_request_fails_while_a_gateway_route_changes_its_target_or_its_host() {
    let kept = || Some(json!({"hostname": {"defaultTargetHostname": "DISABLED"}}));
    let Some(web) = web(&[("all", to("one", json!({"prefix": "/"}), None))]).await else { return };
    let load: Vec<_> = (0..3).map(|_| Load::on(&web.stage.client, &web.address)).collect();
    load[0].served_more_by("one", 20).await;
    let specs = [("two", None), ("two", kept()), ("one", kept()), ("one", None)];
    for (target, rewrite) in specs.into_iter().cycle().take(CHANGES) {
        web.update("all", to(target, json!({"prefix": "/"}), rewrite)).await;
        for load in &load {
            load.served_more_by(target, 20).await;
        }
    }
    web.stage.until_up_to_date(Kind::Gateway, "web").await;
    for load in load {
        assert_eq!(load.end().await, BTreeMap::new(), "requests failed");
    }
    web.stage.assert_no_nack().await;
}

#[tokio::test]
async fn no_request_fails_while_another_listener_comes_first() {
    let Some(web) = web(&[("all", to("one", json!({"prefix": "/", "port": 8080}), None))]).await else { return };
    let load = Load::on(&web.stage.client, &web.address);
    load.served_more_by("one", 20).await;
    let listener = |port: u16| json!({"portMapping": {"port": port, "protocol": "http"}});
    for first in [Some(8079), None, Some(8078), None] {
        let listeners: Vec<_> = first.into_iter().chain([8080]).map(listener).collect();
        let spec = json!({"spec": {"listeners": listeners}});
        web.stage.put("/meshes/shop/virtualGateways/web", spec).await;
        load.served_more(20).await;
        web.stage.until_up_to_date(Kind::Gateway, "web").await;
        load.served_more(20).await;
    }
    assert_eq!(load.end().await, BTreeMap::new(), "requests failed");
    web.stage.assert_no_nack().await;
}

#[tokio::test]
async fn prefixes_and_hosts_are_rewritten_as_documented() {
    let keep = json!({"prefix": {"defaultPrefix": "DISABLED"}});
    let routes = [
        ("default", to("one", json!({"prefix": "/chapter"}), None)),
        ("kept", to("one", json!({"prefix": "/kept"}), Some(keep))),
        ("value", to("two", json!({"prefix": "/old/"}), Some(json!({"prefix": {"value": "/new/"}})))),
        ("exact", to("two", json!({"path": {"exact": "/from"}}), Some(json!({"path": {"exact": "/to"}})))),
    ];
    let Some(web) = web(&routes).await else { return };
    for (path, expected) in [
        ("/chapter/page", "one /page"),
        ("/chapter", "one /"),
        // As documented, the prefix is removed as text.
        ("/chapter1", "one /1"),
        ("/kept/page", "one /kept/page"),
        ("/old/page", "two /new/page"),
        ("/from", "two /to"),
        ("/nothing", "404"),
    ] {
        assert_eq!(web.seen(path, "web.example").await, expected, "{path}");
    }
    let (_, body) = web.get("/chapter/page", "web.example").await;
    assert_eq!(body["headers"]["host"], "one.shop.local");
    web.stage.assert_no_nack().await;
}

#[tokio::test]
async fn a_host_may_be_left_unchanged() {
    let kept = json!({"hostname": {"defaultTargetHostname": "DISABLED"}, "prefix": {"defaultPrefix": "DISABLED"}});
    let routes = [("kept", to("one", json!({"prefix": "/"}), Some(kept)))];
    let Some(web) = web(&routes).await else { return };
    let (status, body) = web.get("/page", "web.example").await;
    assert_eq!((status, body["headers"]["host"].as_str()), (200, Some("web.example")), "{body}");
}

#[tokio::test]
async fn routes_are_selected_by_host() {
    let routes = [
        ("exact", to("one", json!({"hostname": {"exact": "one.example"}}), None)),
        ("suffix", to("two", json!({"hostname": {"suffix": ".two.example"}}), None)),
    ];
    let Some(web) = web(&routes).await else { return };
    assert!(web.seen("/", "one.example").await.starts_with("one "));
    assert!(web.seen("/", "deep.two.example").await.starts_with("two "));
    assert_eq!(web.seen("/", "three.example").await, "404");
    web.stage.assert_no_nack().await;
}

#[tokio::test]
async fn routes_are_selected_by_priority_and_then_by_the_longest_prefix() {
    let with_priority = |priority: u32, spec: Value| {
        let mut spec = spec;
        spec["priority"] = json!(priority);
        spec
    };
    let keep = || Some(json!({"prefix": {"defaultPrefix": "DISABLED"}}));
    let routes = [
        ("all", to("one", json!({"prefix": "/"}), keep())),
        ("long", to("two", json!({"prefix": "/long"}), keep())),
        ("first", with_priority(0, to("one", json!({"prefix": "/long/first"}), keep()))),
    ];
    let Some(web) = web(&routes).await else { return };
    assert_eq!(web.seen("/x", "h").await, "one /x");
    assert_eq!(web.seen("/long/x", "h").await, "two /long/x");
    assert_eq!(web.seen("/long/first", "h").await, "one /long/first");
}

#[tokio::test]
async fn forwarded_for_is_unchanged_by_default_and_appended_to_on_request() {
    const CLIENT: &str = "203.0.113.7";
    let routes = [("all", to("one", json!({"prefix": "/"}), None))];
    // Whether the gateway appends the address of the connection, and whether it trusts the first address in the header
    // as the client.
    for (args, appends, trusts) in [
        (&[][..], false, false),
        (&["--gateway-use-remote-address"], true, false),
        (&["--gateway-use-remote-address", "--gateway-xff-trusted-hops", "1"], true, true),
    ] {
        let Some(web) = web_with(args, &routes).await else { return };
        let request = web.stage.client.get(format!("http://{}/", web.address)).header("x-forwarded-for", CLIENT);
        let text = request.send().await.unwrap().text().await.unwrap();
        let headers = &serde_json::from_str::<Value>(&text).unwrap()["headers"];
        let mut forwarded = headers["x-forwarded-for"].as_str().unwrap().split(',');
        assert_eq!(forwarded.next(), Some(CLIENT), "{args:?}");
        // Envoy appends an address of this machine other than the loopback one.
        let appended = forwarded.next().map(|address| address.parse::<IpAddr>().unwrap());
        assert_eq!(appended.is_some(), appends, "{args:?}: {headers}");
        assert_eq!(headers["x-envoy-external-address"] == CLIENT, trusts, "{args:?}: {headers}");
        web.stage.assert_no_nack().await;
    }
}
