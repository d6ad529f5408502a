//! A thousand streams.

use futures::future::join_all;
use xds::ResourceType::Route;

use crate::envoy::{self, EGRESS, Envoy};
use crate::plane::{Plane, node};

const STREAMS: usize = 1000;
/// Streams that share a connection, which has room for 200.
const A_CONNECTION: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_reaches_a_thousand_streams() {
    let plane = Plane::shop().await;
    for index in 0..STREAMS {
        plane.put("/shop/virtualNodes", node(&format!("n{index}"), &["back.local"])).await;
    }
    let mut envoys = Vec::new();
    for first in (0..STREAMS).step_by(A_CONNECTION) {
        let channel = envoy::tcp(&plane.xds[0]).await;
        let some = (first..first + A_CONNECTION).map(|index| {
            let channel = channel.clone();
            async move { Envoy::settled(channel, &format!("mesh/shop/virtualNode/n{index}"), &[EGRESS]).await }
        });
        envoys.extend(join_all(some).await);
    }
    plane.weigh(1, 99).await;
    join_all(envoys.iter_mut().map(|envoy| envoy.take(Route))).await;
    assert_eq!(plane.proxies().await.len(), STREAMS);
}
