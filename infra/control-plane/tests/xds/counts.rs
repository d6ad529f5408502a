//! The metrics of a stream.

use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use xds::ResourceType::{Cluster, Listener, Route};

use crate::envoy::{self, Delta, EGRESS, Envoy};
use crate::plane::Plane;

const FRONT: &str = "mesh/shop/virtualNode/front";
const LOCAL: &str = "rds_ingress_http_8080";

async fn count(plane: &Plane, name: &str, kind: &str) -> u64 {
    // Earlier requests of a stream are counted once the response to a later one has arrived.
    let text = plane.text("/metrics").await;
    let series = format!("meshwarden_xds_{name}_total{{type=\"{kind}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok()).unwrap_or_else(|| panic!("{series}: {text}"))
}

#[tokio::test]
async fn a_change_of_a_subscription_is_not_counted_as_an_acknowledgement() {
    let plane = Plane::shop().await;
    let mut front = Envoy::settled(envoy::tcp(&plane.xds[0]).await, FRONT, &[]).await;
    front.subscribe(Route, &[EGRESS]);
    for names in [&[EGRESS, LOCAL][..], &[EGRESS]] {
        let response = front.take(Route).await;
        front.resubscribe(&response, names);
    }
    front.take(Route).await;
    plane.proxy_once(|proxy| proxy["upToDate"] == true).await;
    let (pushed, acknowledged) = (count(&plane, "pushes", "route").await, count(&plane, "acks", "route").await);
    assert_eq!((pushed, acknowledged), (3, 3), "each response is acknowledged once");
    assert_eq!(count(&plane, "acks", "cluster").await, 1);
    assert_eq!(count(&plane, "nacks", "route").await, 0);
}

#[tokio::test]
async fn the_same_holds_for_delta_streams() {
    let plane = Plane::shop().await;
    let mut front = Delta::connect(envoy::tcp(&plane.xds[0]).await, FRONT).await;
    front.take(Cluster).await;
    front.subscribe(Listener, &[]);
    let listeners = front.take(Listener).await;
    for _ in 0..3 {
        // A repeated nonce is not an acknowledgement.
        front.send(DeltaDiscoveryRequest {
            type_url: Listener.url().to_owned(),
            response_nonce: listeners.nonce.clone(),
            ..DeltaDiscoveryRequest::default()
        });
    }
    front.subscribe(Route, &[EGRESS]);
    front.take(Route).await;
    plane.proxy_once(|proxy| proxy["upToDate"] == true).await;
    for (kind, expected) in [("cluster", 1), ("listener", 1), ("route", 1)] {
        assert_eq!((count(&plane, "pushes", kind).await, count(&plane, "acks", kind).await), (expected, expected));
    }
}
