//! The control plane dies under load, and comes back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::application::Behaviour;
use crate::load::Load;
use crate::mesh_of::{client, node, route};
use crate::proxy::{Envoy, Kind};
use crate::stage::{PATIENCE, Stage};

const SERVICE: &str = "colours.shop.local";

#[tokio::test]
async fn without_a_control_plane_traffic_goes_on_and_with_it_again_it_is_steered() {
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
    assert_eq!(stage.address(Kind::Node, "client", "egress", Some(SERVICE)).await, egress, "ports stay what they were");
    load.served_more(50).await;
    stage.update_route("colours", "all", split(0, 1)).await;
    let deadline = Instant::now() + PATIENCE;
    while load.by("green") == 0 {
        assert!(Instant::now() < deadline, "the restarted control plane moves nothing");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    assert_eq!(load.end().await, BTreeMap::new(), "requests failed");

    // A proxy that dies is given all of it again.
    drop(running.pop());
    running.push(stage.envoy(Kind::Node, "client").await);
    let answer = stage.client.get(format!("http://{egress}/")).send().await.unwrap();
    assert!(answer.text().await.unwrap().contains("green"));
    stage.nobody_refused().await;
    drop(applications);
}

/// A change is stored, and the control plane is killed before it tells anybody. The next one knows nothing of what the
/// proxy has, and is to move it from its only cluster to another.
#[tokio::test]
async fn by_delta_no_request_is_lost_to_a_change_that_nobody_was_told_of() {
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

    // Where no proxy finds it.
    stage.kill();
    let place = std::mem::replace(&mut stage.xds, "127.0.0.1:0".to_owned());
    stage.start();
    stage.update_route("colours", "all", route("httpRoute", &[("green", 1)])).await;
    stage.kill();
    stage.xds = place;
    stage.start();
    let deadline = Instant::now() + PATIENCE;
    while load.by("green") < 50 {
        assert!(Instant::now() < deadline, "the restarted control plane moves nothing");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(load.end().await, BTreeMap::new(), "requests failed");
    let told = stage.told_of(Kind::Node, "client").await;
    assert_eq!(told["streams"][0]["protocol"], "delta", "{told}");
    stage.nobody_refused().await;
    drop((applications, running));
}
