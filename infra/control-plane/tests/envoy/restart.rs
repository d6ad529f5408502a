//! The control plane is killed under load, and restarts.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::application::Behaviour;
use crate::load::Load;
use crate::proxy::{Envoy, Kind};
use crate::specs::{client, node, route};
use crate::stage::{Stage, TIMEOUT};

const SERVICE: &str = "colours.shop.local";

#[tokio::test]
async fn traffic_continues_without_a_control_plane_and_follows_it_after_a_restart() {
    let Some(mut stage) = Stage::set_on_disk().await else { return };
    for name in ["blue", "green"] {
        stage.node(name, node("http", &[])).await;
    }
    stage.service_on_router(SERVICE, "colours", "http").await;
    let split = |blue, green| route("httpRoute", &[("blue", blue), ("green", green)]);
    stage.route("colours", "all", split(1, 0)).await;
    stage.node("client", client(&[SERVICE])).await;
    let mut applications = Vec::new();
    let mut running = Vec::new();
    for name in ["blue", "green"] {
        applications.push(stage.application(name, Behaviour::Echo).await);
        running.push(stage.envoy(Kind::Node, name).await);
    }
    running.push(stage.envoy(Kind::Node, "client").await);
    let egress = stage.address(Kind::Node, "client", "egress", Some(SERVICE)).await;
    let load = Load::on(&stage.client, &egress);
    load.served_more(50).await;

    stage.kill();
    load.served_more(200).await;
    assert_eq!(load.by("green"), 0);

    stage.start();
    stage.until_up_to_date(Kind::Node, "client").await;
    assert_eq!(stage.address(Kind::Node, "client", "egress", Some(SERVICE)).await, egress, "ports do not change");
    load.served_more(50).await;
    stage.update_route("colours", "all", split(0, 1)).await;
    let deadline = Instant::now() + TIMEOUT;
    while load.by("green") == 0 {
        assert!(Instant::now() < deadline, "the restarted control plane does not move the traffic");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    assert_eq!(load.end().await, BTreeMap::new(), "requests failed");

    // A restarted proxy receives its complete configuration again.
    drop(running.pop());
    running.push(stage.envoy(Kind::Node, "client").await);
    let response = stage.client.get(format!("http://{egress}/")).send().await.unwrap();
    assert!(response.text().await.unwrap().contains("green"));
    stage.assert_no_nack().await;
    drop(applications);
}

/// A change is stored, and the control plane is killed before any proxy receives it. The next one does not know the
/// proxy's configuration, and has to move it from its only cluster to another.
#[tokio::test]
async fn no_request_of_a_delta_proxy_fails_after_a_change_that_was_not_sent() {
    let Some(mut stage) = Stage::set_on_disk().await else { return };
    for name in ["blue", "green"] {
        stage.node(name, node("http", &[])).await;
    }
    stage.service_on_router(SERVICE, "colours", "http").await;
    stage.route("colours", "all", route("httpRoute", &[("blue", 1)])).await;
    stage.node("client", client(&[SERVICE])).await;
    let mut applications = Vec::new();
    let mut running = Vec::new();
    for name in ["blue", "green"] {
        applications.push(stage.application(name, Behaviour::Echo).await);
        running.push(stage.envoy(Kind::Node, name).await);
    }
    running.push(Envoy::start_with(&stage, Kind::Node, "client", &["--delta"]).await);
    let egress = stage.address(Kind::Node, "client", "egress", Some(SERVICE)).await;
    let load = Load::on(&stage.client, &egress);
    load.served_more(50).await;

    // At an address that no proxy uses.
    stage.kill();
    let address = std::mem::replace(&mut stage.xds, "127.0.0.1:0".to_owned());
    stage.start();
    stage.update_route("colours", "all", route("httpRoute", &[("green", 1)])).await;
    stage.kill();
    stage.xds = address;
    stage.start();
    let deadline = Instant::now() + TIMEOUT;
    while load.by("green") < 50 {
        assert!(Instant::now() < deadline, "the restarted control plane does not move the traffic");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(load.end().await, BTreeMap::new(), "requests failed");
    let report = stage.report_of(Kind::Node, "client").await;
    assert_eq!(report["streams"][0]["protocol"], "delta", "{report}");
    stage.assert_no_nack().await;
    drop((applications, running));
}
