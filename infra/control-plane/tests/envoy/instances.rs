//! Traffic follows the instances in Cloud Map.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use control_plane::instances::{InstanceDirectorySettings, Instances, PolledInstances};
use ports_memory::{Call, Effect, Failure, Fault, Faults, MemoryInstances};
use serde_json::{Value, json};

use crate::application::{Application, Behaviour};
use crate::load::Load;
use crate::proxy::Envoy;
use crate::specs::client;
use crate::stage::{PortBlock, Stage, TIMEOUT};

const SERVICE: &str = "mapped.shop.local";
const CALLER: &str = "mesh/shop/virtualNode/caller";

fn polled(memory: &MemoryInstances) -> Arc<dyn Instances> {
    let settings = InstanceDirectorySettings { refresh: Duration::from_millis(100) };
    PolledInstances::start(Arc::new(memory.clone()), settings)
}

fn register(memory: &MemoryInstances, addresses: &[&str]) {
    let instance = |address: &&str| (BTreeMap::from([("AWS_INSTANCE_IPV4".to_owned(), (*address).to_owned())]), true);
    memory.register("prod", "mapped", addresses.iter().map(instance));
}

/// A port that is free on each of these addresses, with an application on each.
pub(crate) async fn applications(addresses: [&str; 2]) -> (u16, [Application; 2]) {
    loop {
        let port = TcpListener::bind((addresses[0], 0)).unwrap().local_addr().unwrap().port();
        if addresses.iter().all(|address| TcpListener::bind((*address, port)).is_ok()) {
            let start = |address: &'static str| async move {
                Application::start(address, &format!("{address}:{port}"), Behaviour::Echo).await
            };
            return (port, [start("127.0.0.2").await, start("127.0.0.3").await]);
        }
    }
}

/// Adds a static listener that forwards to a cluster, since traffic is not redirected to the proxy here.
pub(crate) fn add_listener(config: &mut Value, at: u16, cluster: &str) {
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "way_in",
        "route_config": {"name": "way_in", "validate_clusters": false, "virtual_hosts": [
            {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": cluster}}]},
        ]},
        "http_filters": [{"name": "router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
        }}],
    });
    config["static_resources"]["listeners"] = json!([{
        "name": "way_in",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": at}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }]);
}

#[tokio::test]
async fn traffic_follows_the_instances_and_stays_while_they_are_unknown() {
    let faults = Faults::default();
    let memory = MemoryInstances::new(faults.clone());
    let fail = || faults.whenever(|_: &Call| true, Fault::Fails(Failure::Throttled, Effect::NotDone));
    register(&memory, &["127.0.0.2"]);
    let Some(mut stage) = Stage::set_finding(polled(&memory)).await else { return };
    let (port, applications) = applications(["127.0.0.2", "127.0.0.3"]).await;
    let spec = json!({
        "listeners": [{"portMapping": {"port": port, "protocol": "http"}}],
        "serviceDiscovery": {"awsCloudMap": {"namespaceName": "prod", "serviceName": "mapped"}},
    });
    stage.node("mapped", spec).await;
    stage.service_on_node(SERVICE, "mapped").await;
    stage.node("caller", client(&[SERVICE])).await;
    let ports = PortBlock::take(1);
    let at = ports.first();
    let cluster = format!("cds_egress_shop_mapped_http_{port}");
    let _envoy = Envoy::start_amended(&stage, CALLER, &[], |config| add_listener(config, at, &cluster)).await;
    let address = format!("127.0.0.1:{at}");
    let deadline = Instant::now() + TIMEOUT;
    while !stage
        .client
        .get(format!("http://{address}/"))
        .send()
        .await
        .is_ok_and(|response| response.status().is_success())
    {
        assert!(Instant::now() < deadline, "the first instance is not found");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let load = Load::on(&stage.client, &address);
    load.served_more_by("127.0.0.2", 50).await;
    assert_eq!(applications[1].requests(), 0);
    register(&memory, &["127.0.0.2", "127.0.0.3"]);
    load.served_more_by("127.0.0.3", 50).await;
    register(&memory, &["127.0.0.3"]);
    load.served_more_by("127.0.0.3", 50).await;

    // While Cloud Map throttles, traffic stays unchanged.
    fail();
    let calls = faults.calls().len();
    while faults.calls().len() < calls + 2 {
        load.served_more(10).await;
    }
    load.served_more_by("127.0.0.3", 50).await;

    // It also stays if the control plane is restarted meanwhile, and so knows no instance.
    stage.stop_here().await;
    stage.start_finding(polled(&memory)).await;
    stage.connected_again("caller").await;
    load.served_more_by("127.0.0.3", 200).await;

    faults.reset();
    register(&memory, &["127.0.0.2"]);
    load.served_more_by("127.0.0.2", 50).await;
    assert_eq!(load.end().await, BTreeMap::new(), "requests failed");
}
