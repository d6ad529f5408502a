//! A proxy is cut off from the control plane while the mesh changes, and comes back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::application::Behaviour;
use crate::load::Load;
use crate::mesh_of::{client, node, route};
use crate::proxy::{Envoy, Kind};
use crate::stage::Stage;

const SERVICE: &str = "colours.shop.local";
/// How often the proxy is cut off. A cluster that goes before its route costs requests for some milliseconds only.
const TIMES: usize = 6;

/// A way to the control plane that can be cut.
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
    async fn to(place: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (place, state) = (place.to_owned(), Arc::<State>::default());
        let shared = Arc::clone(&state);
        let running = tokio::spawn(async move {
            while let Ok((mut inside, _)) = listener.accept().await {
                if shared.is_cut.load(Ordering::SeqCst) {
                    continue;
                }
                let (place, shared) = (place.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    let Ok(mut outside) = TcpStream::connect(place).await else { return };
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

    fn mend(&self) {
        self.state.is_cut.store(false, Ordering::SeqCst);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.running.abort();
    }
}

#[tokio::test]
async fn one_that_comes_back_loses_no_cluster_before_the_route_to_it() {
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
        // The former target is no target any more: its cluster goes.
        stage.update_route("colours", "all", route("httpRoute", &[(target, 1)])).await;
        load.served_more(20).await;
        relay.mend();
        load.served_more_by(target, 20).await;
        stage.until_up_to_date(Kind::Node, "client").await;
        let told = stage.told_of(Kind::Node, "client").await;
        let clusters = told["streams"][0]["types"]["clusters"]["resources"].as_object().unwrap();
        assert_eq!(clusters.len(), 1, "the former cluster is gone in the end: {clusters:?}");
    }
    assert_eq!(load.end().await, BTreeMap::new(), "requests failed");
    drop((applications, envoys));
}
