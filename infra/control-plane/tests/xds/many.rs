//! A thousand streams.

use std::time::{Duration, Instant};

use control_plane::xds::{XdsAuth, XdsSettings};
use futures::future::join_all;
use tonic::transport::Channel;
use xds::ResourceType::{self, Cluster, Listener, Route};

use crate::envoy::{self, EGRESS, Envoy};
use crate::plane::{Folder, PATIENCE, Plane, listener, node, tcp};

const STREAMS: usize = 1000;
/// Streams that share a connection, which has room for 200.
const A_CONNECTION: usize = 100;

fn id(index: usize) -> String {
    format!("mesh/shop/virtualNode/n{index}")
}

async fn fill(plane: &Plane) {
    plane.make_shop().await;
    for index in 0..STREAMS {
        plane.put("/shop/virtualNodes", node(&format!("n{index}"), &["back.local"])).await;
    }
}

/// Does the same for every node, each on a stream of its own.
async fn each<T>(place: &str, mut connect: impl AsyncFnMut(Channel, usize) -> T) -> Vec<T> {
    let mut all = Vec::new();
    for first in (0..STREAMS).step_by(A_CONNECTION) {
        let channel = envoy::tcp(place).await;
        for index in first..first + A_CONNECTION {
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

/// What an Envoy says first when it comes back, with what it has of each type.
fn come_back(envoy: &mut Envoy, index: usize, versions: &[(ResourceType, Vec<&str>, String)]) {
    envoy.node(&id(index));
    for (kind, names, version) in versions {
        envoy.ask_as(*kind, names, version);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_that_come_back_at_once_after_a_restart_are_sent_nothing() {
    let folder = Folder::new();
    let plane = Plane::bind(tcp(), Some(folder.join("data"))).await;
    fill(&plane).await;
    let at = plane.xds[0].clone();
    let before = each(&at, async |channel, index| {
        let mut envoy = Envoy::connect(channel, &id(index)).await;
        let clusters = envoy.take(Cluster).await.version_info;
        envoy.ask(Listener, &[]);
        let listeners = envoy.take(Listener).await.version_info;
        envoy.ask(Route, &[EGRESS]);
        let routes = envoy.take(Route).await.version_info;
        vec![(Cluster, vec![], clusters), (Listener, vec![], listeners), (Route, vec![EGRESS], routes)]
    })
    .await;
    plane.stop().await;

    let settings = XdsSettings { listen: vec![listener(&at, XdsAuth::None)], ..XdsSettings::default() };
    let plane = Plane::bind(settings, Some(folder.join("data"))).await;
    let begun = Instant::now();
    let mut back = each(&at, async |channel, index| {
        let mut envoy = Envoy::open(channel).await;
        come_back(&mut envoy, index, &before[index]);
        envoy
    })
    .await;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let proxies = plane.proxies().await;
        if proxies.len() == STREAMS && proxies.iter().all(|proxy| proxy["upToDate"] == true) {
            break;
        }
        assert!(Instant::now() < deadline, "{} are back", proxies.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("all are back {} ms after the first", begun.elapsed().as_millis());
    let metrics = plane.text("/metrics").await;
    for kind in ["cluster", "listener", "route"] {
        assert!(metrics.contains(&format!("meshwarden_xds_pushes_total{{type=\"{kind}\"}} 0")), "{metrics}");
    }
    plane.weigh(1, 99).await;
    join_all(back.iter_mut().map(|envoy| envoy.take(Route))).await;
}
