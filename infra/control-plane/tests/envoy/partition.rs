//! A proxy is disconnected from the control plane while the mesh changes, and reconnects.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::application::Behaviour;
use crate::load::Load;
use crate::proxy::{Envoy, Kind};
use crate::specs::{client, node, route};
use crate::stage::Stage;

const SERVICE: &str = "colours.shop.local";
/// How often the proxy is disconnected. Removing a cluster before its route makes requests fail for
/// milliseconds only.
const TIMES: usize = 6;

/// A TCP relay to the control plane that can be interrupted.
struct Relay {
    port: u16,
    state: Arc<State>,
    running: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    is_cut: AtomicBool,
    cut: Notify,
}

impl Relay {
    async fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (target, state) = (target.to_owned(), Arc::<State>::default());
        let shared = Arc::clone(&state);
        let running = tokio::spawn(async move {
            while let Ok((mut inside, _)) = listener.accept().await {
                if shared.is_cut.load(Ordering::SeqCst) {
                    continue;
                }
                let (target, shared) = (target.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    let Ok(mut outside) = TcpStream::connect(target).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut inside, &mut outside) => {}
                        () = shared.cut.notified() => {}
                    }
                });
            }
        });
        Self { port, state, running }
    }

    fn cut(&self) {
        self.state.is_cut.store(true, Ordering::SeqCst);
        self.state.cut.notify_waiters();
    }

    fn restore(&self) {
        self.state.is_cut.store(false, Ordering::SeqCst);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.running.abort();
    }
}

#[tokio::test]
async fn a_reconnecting_proxy_loses_no_cluster_before_its_route() {
    let Some(stage) = Stage::set().await else { return };
    for name in ["blue", "green"] {
        stage.node(name, node("http", &[])).await;
    }
    stage.service_on_router(SERVICE, "colours", "http").await;
    stage.route("colours", "all", route("httpRoute", &[("blue", 1)])).await;
    stage.node("client", client(&[SERVICE])).await;
    let (mut applications, mut envoys) = (Vec::new(), Vec::new());
    for name in ["blue", "green"] {
        applications.push(stage.application(name, Behaviour::Echo).await);
        envoys.push(stage.envoy(Kind::Node, name).await);
    }
    let relay = Relay::to(&stage.xds).await;
    let at = relay.port;
    envoys.push(
        Envoy::start_amended(&stage, "mesh/shop/virtualNode/client", &[], |config| {
            let endpoint = "/static_resources/clusters/0/load_assignment/endpoints/0/lb_endpoints/0/endpoint";
            let port = format!("{endpoint}/address/socket_address/port_value");
            *config.pointer_mut(&port).unwrap() = at.into();
        })
        .await,
    );
    stage.until_up_to_date(Kind::Node, "client").await;
    let egress = stage.address(Kind::Node, "client", "egress", Some(SERVICE)).await;
    let load = Load::on(&stage.client, &egress);
    load.served_more_by("blue", 20).await;

    for target in ["green", "blue"].into_iter().cycle().take(TIMES) {
        relay.cut();
        // The previous target is not in the route any more, so its cluster is removed.
        stage.update_route("colours", "all", route("httpRoute", &[(target, 1)])).await;
        load.served_more(20).await;
        relay.restore();
        load.served_more_by(target, 20).await;
        stage.until_up_to_date(Kind::Node, "client").await;
        let report = stage.report_of(Kind::Node, "client").await;
        let clusters = report["streams"][0]["types"]["clusters"]["resources"].as_object().unwrap();
        assert_eq!(clusters.len(), 1, "the previous cluster is removed: {clusters:?}");
    }
    assert_eq!(load.end().await, BTreeMap::new(), "requests failed");
    drop((applications, envoys));
}
