//! An endpoint that disappears during a request: the default retry policy tries again.

use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::proxy::Kind;
use crate::specs::{client, node, route};
use crate::stage::Stage;

/// How an endpoint ends a connection after reading a request.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Reset,
    Fin,
}

/// A server in place of a node's proxy, which closes the connections of the first requests.
struct Disappearing {
    state: Arc<Mutex<State>>,
    serving: JoinHandle<()>,
}

/// The next responses, and the number of requests.
#[derive(Clone, Copy, Debug)]
struct State {
    ending: Ending,
    failing: u64,
    requests: u64,
}

impl Disappearing {
    async fn start(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let state = Arc::new(Mutex::new(State { ending: Ending::Reset, failing: 0, requests: 0 }));
        let shared = Arc::clone(&state);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serve(stream, &shared).await;
            }
        });
        Self { state, serving }
    }

    /// Closes the connections of the next requests, and resets the counter.
    fn fail(&self, count: u64, ending: Ending) {
        *self.state.lock().unwrap() = State { ending, failing: count, requests: 0 };
    }

    fn requests(&self) -> u64 {
        self.state.lock().unwrap().requests
    }
}

impl Drop for Disappearing {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Serves one request of a connection.
async fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let State { ending, failing, requests } = {
        let mut state = state.lock().unwrap();
        state.requests += 1;
        *state
    };
    if requests > failing {
        let response = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        drop(stream.write_all(response).await);
        return;
    }
    match ending {
        Ending::Reset => stream.set_zero_linger().unwrap(),
        Ending::Fin => drop(stream.shutdown().await),
    }
}

#[tokio::test]
async fn a_request_to_a_disappearing_endpoint_is_retried_by_default() {
    let Some(stage) = Stage::set().await else { return };
    stage.node("server", node("http", &[])).await;
    stage.service_on_node("provided", "server").await;
    stage.service_on_router("routed", "router", "http").await;
    stage.route("router", "all", route("httpRoute", &[("server", 1)])).await;
    stage.node("caller", client(&["provided", "routed"])).await;
    stage.gateway("web", json!({"listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}]})).await;
    for service in ["provided", "routed"] {
        let target = json!({"virtualService": {"virtualServiceName": service}});
        let spec = json!({"httpRoute": {"match": {"prefix": format!("/{service}")}, "action": {"target": target}}});
        stage.gateway_route("web", service, spec).await;
    }
    let server = stage.address(Kind::Node, "server", "ingress", None).await;
    let _running = [stage.envoy(Kind::Node, "caller").await, stage.envoy(Kind::Gateway, "web").await];
    let endpoint = Disappearing::start(&server).await;
    let mut entries = Vec::new();
    for service in ["provided", "routed"] {
        entries.push((service, stage.address(Kind::Node, "caller", "egress", Some(service)).await));
        entries.push((service, stage.address(Kind::Gateway, "web", "ingress", None).await));
    }
    for (service, address) in &entries {
        for ending in [Ending::Reset, Ending::Fin] {
            for (first, expected) in [(2, 200), (3, 503)] {
                endpoint.fail(first, ending);
                let response = stage.client.get(format!("http://{address}/{service}")).send().await.unwrap();
                let seen = (response.status().as_u16(), endpoint.requests());
                assert_eq!(seen, (expected, 3), "{service} at {address}, {ending:?} of the first {first}");
            }
        }
    }
}
