//! Virtual services with providers that use other protocols than before.

use serde_json::{Value, json};

use crate::application::Behaviour;
use crate::load::Load;
use crate::proxy::Kind;
use crate::specs::{action, client, node, with};
use crate::stage::{MESH, Stage, TIMEOUT};
use crate::tls::Authority;

const SERVICE: &str = "store.shop.local";
/// How often the provider changes: a single change may go well by chance.
const CHANGES: usize = 10;

async fn provide(stage: &Stage, provider: Value) {
    let path = format!("/meshes/{MESH}/virtualServices/{SERVICE}");
    stage.put(&path, json!({"spec": {"provider": provider}})).await;
    stage.until_up_to_date(Kind::Node, "client").await;
}

fn router(name: &str) -> Value {
    json!({"virtualRouter": {"virtualRouterName": name}})
}

/// A connection for each request: one that stays open keeps the listener that accepted it.
fn without_reuse() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(TIMEOUT).pool_max_idle_per_host(0).build().unwrap()
}

#[tokio::test]
async fn a_service_that_changes_from_tcp_to_http_never_uses_its_earlier_routes() {
    let Some(stage) = Stage::set().await else { return };
    stage.node("server", node("http", &[])).await;
    stage.service_on_router(SERVICE, "requests", "http").await;
    // Requests of the test have no route here.
    stage
        .route(
            "requests",
            "some",
            json!({"httpRoute": {
                "match": {"prefix": "/elsewhere"}, "action": action(&[("server", 1)]),
            }}),
        )
        .await;
    let listeners = json!({"listeners": [{"portMapping": {"port": 8080, "protocol": "tcp"}}]});
    stage.create("virtualRouters", "virtualRouterName", "connections", listeners).await;
    stage.route("connections", "all", json!({"tcpRoute": {"action": action(&[("server", 1)])}})).await;
    stage.node("client", client(&[SERVICE])).await;
    let _application = stage.application("server", Behaviour::Echo).await;
    let _server = stage.envoy(Kind::Node, "server").await;
    let _client = stage.envoy(Kind::Node, "client").await;
    let egress = stage.address(Kind::Node, "client", "egress", Some(SERVICE)).await;
    for round in 0..CHANGES {
        provide(&stage, router("requests")).await;
        provide(&stage, router("connections")).await;
        let load = Load::on(&without_reuse(), &egress);
        load.served_more(5).await;
        provide(&stage, json!({"virtualNode": {"virtualNodeName": "server"}})).await;
        load.served_more(5).await;
        let failed = load.end().await;
        assert!(failed.is_empty(), "change {round}: {failed:?}");
    }
    stage.assert_no_nack().await;
}

/// The TLS of a listener that accepts TLS only, with a new certificate in a file.
fn strict(stage: &Stage) -> Value {
    let folder = stage.scratch.file("");
    let authority = Authority::new();
    authority.write(&folder.join("ca.pem"));
    authority.issue("node.shop.local", 1, &folder, "server");
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    json!({
        "mode": "STRICT",
        "certificate": {"file": {"certificateChain": file("server.pem"), "privateKey": file("server.key")}},
    })
}

#[tokio::test]
async fn connections_in_their_handshake_survive_the_removal_of_a_target() {
    let Some(stage) = Stage::set().await else { return };
    let tls = strict(&stage);
    let to = |node: &str| json!({"tcpRoute": {"action": action(&[(node, 1)])}});
    for name in ["blue", "green"] {
        stage.node(name, with(node("tcp", &[]), &["listeners", "0", "tls"], tls.clone())).await;
    }
    stage.service_on_router(SERVICE, "connections", "tcp").await;
    stage.route("connections", "all", to("blue")).await;
    stage.node("client", client(&[SERVICE])).await;
    let mut running = Vec::new();
    for name in ["blue", "green"] {
        let application = stage.application(name, Behaviour::Echo).await;
        running.push((application, stage.envoy(Kind::Node, name).await));
    }
    let _client = stage.envoy(Kind::Node, "client").await;
    let egress = stage.address(Kind::Node, "client", "egress", Some(SERVICE)).await;
    let loads: Vec<Load> = (0..4).map(|_| Load::on(&without_reuse(), &egress)).collect();
    for round in 0..CHANGES {
        let target = if round % 2 == 0 { "green" } else { "blue" };
        stage.update_route("connections", "all", to(target)).await;
        stage.until_up_to_date(Kind::Node, "client").await;
        loads[0].served_more_by(target, 3).await;
    }
    for load in loads {
        let failed = load.end().await;
        assert!(failed.is_empty(), "{failed:?}");
    }
    stage.assert_no_nack().await;
}

#[tokio::test]
async fn connections_to_an_http2_listener_with_tls_may_contain_any_protocol() {
    let Some(stage) = Stage::set().await else { return };
    let tls = strict(&stage);
    stage.node("server", with(node("http2", &[]), &["listeners", "0", "tls"], tls)).await;
    stage.service_on_router(SERVICE, "connections", "tcp").await;
    stage.route("connections", "all", json!({"tcpRoute": {"action": action(&[("server", 1)])}})).await;
    stage.node("client", client(&[SERVICE])).await;
    let _application = stage.application("server", Behaviour::Echo).await;
    let _server = stage.envoy(Kind::Node, "server").await;
    let _client = stage.envoy(Kind::Node, "client").await;
    let egress = stage.address(Kind::Node, "client", "egress", Some(SERVICE)).await;
    // The test sends HTTP/1.1 within the connection.
    let load = Load::on(&without_reuse(), &egress);
    load.served_more(3).await;
    assert!(load.end().await.is_empty());
    stage.assert_no_nack().await;
}
