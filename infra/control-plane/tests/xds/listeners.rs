//! Explicit listeners.

use std::collections::BTreeSet;
use std::net::TcpListener;

use control_plane::xds::{ListenerMode, XdsSettings};
use serde_json::{Value, json};

use crate::plane::{Folder, Plane, node, tcp};

/// Ports below the ephemeral range, different for each process of tests.
fn range(size: u16) -> (u16, u16) {
    let first = 10_000 + u16::try_from(std::process::id() % 300).unwrap() * 64;
    (first, first + size - 1)
}

fn explicit((first, last): (u16, u16)) -> XdsSettings {
    XdsSettings { listeners: ListenerMode::Explicit(first..=last), ..tcp() }
}

async fn ports(plane: &Plane, name: &str) -> Value {
    plane.get(&format!("/proxies/shop/virtualNode/{name}")).await.1["ports"].clone()
}

fn numbers(ports: &Value) -> Vec<u64> {
    ["ingress", "application", "egress"]
        .iter()
        .flat_map(|kind| ports[kind].as_array().unwrap())
        .map(|one| one["port"].as_u64().unwrap())
        .collect()
}

#[tokio::test]
async fn every_use_has_its_own_port_and_keeps_it() {
    let folder = Folder::new();
    let data = Some(folder.join("data"));
    let (first, last) = range(40);
    // Another process uses one of them.
    let in_use = TcpListener::bind(("127.0.0.1", first)).ok();
    let plane = Plane::bind(explicit((first, last)), data.clone()).await;
    plane.make_shop().await;
    let mut all = Vec::new();
    for name in ["front", "back-v1", "back-v2", "other"] {
        all.extend(numbers(&ports(&plane, name).await));
    }
    assert_eq!(all.len(), 9, "two for each node, and one for the backend");
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "{all:?}");
    assert!(all.iter().all(|port| (u64::from(first) + 1..=u64::from(last)).contains(port)), "{all:?}");
    drop(in_use);
    let front = ports(&plane, "front").await;
    assert_eq!(front["egress"][0]["backend"], "back.local");
    assert_eq!(front["egress"][0]["servicePort"], 80);
    assert_eq!(front["ingress"][0]["listener"], 8080);

    plane.put("/shop/virtualNodes", node("more", &["back.local"])).await;
    plane.delete("/shop/virtualNodes/other").await;
    assert_eq!(ports(&plane, "front").await, front);
    plane.stop().await;
    let plane = Plane::bind(explicit((first, last)), data).await;
    assert_eq!(ports(&plane, "front").await, front, "the ports are the same after a restart");
}

#[tokio::test]
async fn an_exhausted_range_is_a_finding_until_a_port_is_free() {
    let (first, _) = range(40);
    let first = first + 40;
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let ports_free = (first..first + 4).filter(free).count();
    let plane = Plane::with(explicit((first, first + 3))).await;
    plane.put("", json!({"meshName": "shop"})).await;
    for name in ["a", "b", "c"] {
        plane.put("/shop/virtualNodes", node(name, &[])).await;
    }
    let found = async |name: &str| {
        let (_, report) = plane.get(&format!("/proxies/shop/virtualNode/{name}")).await;
        report["findings"].as_array().unwrap().iter().any(|finding| finding["id"] == "no-loopback-port")
    };
    assert_eq!(ports_free, 4, "no other process uses the ports of the test");
    assert!(!found("a").await && !found("b").await && found("c").await);
    plane.delete("/shop/virtualNodes/a").await;
    assert!(!found("c").await);
}

#[tokio::test]
async fn no_port_is_assigned_with_interception() {
    let plane = Plane::shop().await;
    assert_eq!(numbers(&ports(&plane, "front").await), Vec::<u64>::new());
}
