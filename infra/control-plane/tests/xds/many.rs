//! A thousand streams.

use std::time::{Duration, Instant};

use control_plane::xds::{XdsAuth, XdsSettings};
use futures::future::join_all;
use tonic::transport::Channel;
use xds::ResourceType::{self, Cluster, Listener, Route};

use crate::envoy::{self, EGRESS, Envoy};
use crate::plane::{Folder, Plane, TIMEOUT, listener, node, tcp};

const STREAMS: usize = 1000;
/// Streams that share a connection, which allows 200.
const STREAMS_PER_CONNECTION: usize = 100;

fn id(index: usize) -> String {
    format!("mesh/shop/virtualNode/n{index}")
}

async fn fill(plane: &Plane) {
    plane.make_shop().await;
    for index in 0..STREAMS {
        plane.put("/shop/virtualNodes", node(&format!("n{index}"), &["back.local"])).await;
    }
}

/// Does the same for every node, each on its own stream.
async fn each<T>(address: &str, mut connect: impl AsyncFnMut(Channel, usize) -> T) -> Vec<T> {
    let mut all = Vec::new();
    for first in (0..STREAMS).step_by(STREAMS_PER_CONNECTION) {
        let channel = envoy::tcp(address).await;
        for index in first..first + STREAMS_PER_CONNECTION {
            all.push(connect(channel.clone(), index).await);
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_reaches_a_thousand_streams() {
    let plane = Plane::with(tcp()).await;
    fill(&plane).await;
    let mut envoys =
        each(&plane.xds[0], async |channel, index| Envoy::settled(channel, &id(index), &[EGRESS]).await).await;
    plane.weigh(1, 99).await;
    join_all(envoys.iter_mut().map(|envoy| envoy.take(Route))).await;
    assert_eq!(plane.proxies().await.len(), STREAMS);
}

/// The first requests of a reconnecting Envoy, with its version of each type.
fn reconnect(envoy: &mut Envoy, index: usize, versions: &[(ResourceType, Vec<&str>, String)]) {
    envoy.node(&id(index));
    for (kind, names, version) in versions {
        envoy.subscribe_with(*kind, names, version);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_proxies_that_reconnect_after_a_restart_are_sent_nothing() {
    let folder = Folder::new();
    let plane = Plane::bind(tcp(), Some(folder.join("data"))).await;
    fill(&plane).await;
    let at = plane.xds[0].clone();
    let before = each(&at, async |channel, index| {
        let mut envoy = Envoy::connect(channel, &id(index)).await;
        let clusters = envoy.take(Cluster).await.version_info;
        envoy.subscribe(Listener, &[]);
        let listeners = envoy.take(Listener).await.version_info;
        envoy.subscribe(Route, &[EGRESS]);
        let routes = envoy.take(Route).await.version_info;
        vec![(Cluster, vec![], clusters), (Listener, vec![], listeners), (Route, vec![EGRESS], routes)]
    })
    .await;
    plane.stop().await;

    let settings = XdsSettings { listen: vec![listener(&at, XdsAuth::None)], ..XdsSettings::default() };
    let plane = Plane::bind(settings, Some(folder.join("data"))).await;
    let begun = Instant::now();
    let mut returning = each(&at, async |channel, index| {
        let mut envoy = Envoy::open(channel).await;
        reconnect(&mut envoy, index, &before[index]);
        envoy
    })
    .await;
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let proxies = plane.proxies().await;
        if proxies.len() == STREAMS && proxies.iter().all(|proxy| proxy["upToDate"] == true) {
            break;
        }
        assert!(Instant::now() < deadline, "only {} are connected", proxies.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("all are connected {} ms after the first", begun.elapsed().as_millis());
    let metrics = plane.text("/metrics").await;
    for kind in ["cluster", "listener", "route"] {
        assert!(metrics.contains(&format!("meshwarden_xds_pushes_total{{type=\"{kind}\"}} 0")), "{metrics}");
    }
    plane.weigh(1, 99).await;
    join_all(returning.iter_mut().map(|envoy| envoy.take(Route))).await;
}
