//! Endpoints of nodes that Cloud Map finds.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use control_plane::instances::{InstanceDirectorySettings, PolledInstances};
use control_plane::xds::XdsSettings;
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::service::discovery::v3::DiscoveryResponse;
use ports::InstanceAttributes;
use ports::memory::{Call, Effect, Failure, Fault, Faults, MemoryInstances};
use prost::Message as _;
use serde_json::{Value, json};
use xds::ResourceType::{Cluster, Endpoint, Listener};

use crate::envoy::{self, Envoy};
use crate::plane::{Plane, tcp};

const CALLER: &str = "mesh/shop/virtualNode/caller";
const CLUSTER: &str = "cds_egress_shop_mapped_http_8080";

/// A Cloud Map in memory, and a control plane that asks it.
struct Scene {
    faults: Faults,
    memory: MemoryInstances,
    plane: Plane,
}

impl Scene {
    /// With a caller of one node that is found by `mapped.prod`, with these attributes and this preference.
    async fn with(attributes: Value, preference: Option<&str>) -> Self {
        let faults = Faults::default();
        let memory = MemoryInstances::new(faults.clone());
        let plane = Plane::with(asking(&memory)).await;
        make_mapped(&plane, attributes, preference).await;
        Self { faults, memory, plane }
    }

    fn register(&self, instances: &[Value]) {
        let read = |instance: &Value| (serde_json::from_value::<InstanceAttributes>(instance.clone()).unwrap(), true);
        self.memory.register("prod", "mapped", instances.iter().map(read));
    }

    fn fail(&self, failure: Failure) {
        self.faults.whenever(|_: &Call| true, Fault::Fails(failure, Effect::NotDone));
    }

    /// A finding of the caller once there is one.
    async fn finding(&self) -> Value {
        let report = self.plane.proxy_once(|report| !report["findings"].as_array().unwrap().is_empty()).await;
        report["findings"][0].clone()
    }
}

fn asking(memory: &MemoryInstances) -> XdsSettings {
    let settings = InstanceDirectorySettings { refresh: Duration::from_millis(50) };
    XdsSettings { instances: PolledInstances::start(Arc::new(memory.clone()), settings), ..tcp() }
}

async fn make_mapped(plane: &Plane, attributes: Value, preference: Option<&str>) {
    plane.make_shop().await;
    let mut map = json!({"namespaceName": "prod", "serviceName": "mapped", "attributes": attributes});
    if let Some(preference) = preference {
        map["ipPreference"] = preference.into();
    }
    let spec = json!({
        "listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}],
        "serviceDiscovery": {"awsCloudMap": map},
    });
    plane.put("/shop/virtualNodes", json!({"virtualNodeName": "mapped", "spec": spec})).await;
    let provider = json!({"provider": {"virtualNode": {"virtualNodeName": "mapped"}}});
    plane.put("/shop/virtualServices", json!({"virtualServiceName": "mapped.local", "spec": provider})).await;
    let caller = json!({"backends": [{"virtualService": {"virtualServiceName": "mapped.local"}}]});
    plane.put("/shop/virtualNodes", json!({"virtualNodeName": "caller", "spec": caller})).await;
}

fn v4(last: u8) -> Value {
    json!({"AWS_INSTANCE_IPV4": format!("10.0.0.{last}")})
}

/// The addresses that a response has for the cluster.
fn addresses(response: &DiscoveryResponse) -> BTreeSet<String> {
    let endpoints = ClusterLoadAssignment::decode(response.resources[0].value.as_slice()).unwrap();
    let all = endpoints.endpoints.into_iter().flat_map(|place| place.lb_endpoints);
    let address = |host| {
        let Some(HostIdentifier::Endpoint(endpoint)) = host else { panic!("{host:?}") };
        let address = endpoint.address.unwrap().address.unwrap();
        let envoy_types::pb::envoy::config::core::v3::address::Address::SocketAddress(socket) = address else {
            panic!("{address:?}")
        };
        socket.address
    };
    all.map(|endpoint| address(endpoint.host_identifier)).collect()
}

/// A proxy of the caller with all clusters and listeners, and its endpoints if there are any to be told.
async fn connected(plane: &Plane) -> Envoy {
    let mut caller = Envoy::connect(envoy::tcp(&plane.xds[0]).await, CALLER).await;
    caller.take(Cluster).await;
    caller.ask(Endpoint, &[CLUSTER]);
    caller
}

#[tokio::test]
async fn an_instance_that_comes_or_goes_is_pushed_and_nothing_else() {
    let scene = Scene::with(json!([]), None).await;
    scene.register(&[v4(1)]);
    let mut caller = connected(&scene.plane).await;
    for (told, expected) in [(None, 1), (Some([v4(1), v4(2)].as_slice()), 2), (Some(&[]), 0)] {
        if let Some(told) = told {
            scene.register(told);
        }
        assert_eq!(addresses(&caller.take(Endpoint).await).len(), expected);
        if told.is_none() {
            caller.ask(Listener, &[]);
            caller.take(Listener).await;
        }
    }
    caller.nothing_until(scene.plane.proxies()).await;
    // Only what is called is asked for, and a proxy that calls nothing of it is told nothing.
    assert!(scene.faults.calls().iter().all(|call| call.subject == "mapped.prod"));
}

#[tokio::test]
async fn attributes_and_the_preferred_family_choose_among_them() {
    let both = json!({"AWS_INSTANCE_IPV4": "10.0.0.1", "AWS_INSTANCE_IPV6": "fd00::1", "version": "2"});
    let all = [both, v4(2), json!({"AWS_INSTANCE_IPV6": "fd00::3"})];
    let only = json!([{"key": "version", "value": "2"}]);
    for (attributes, preference, expected) in [
        (json!([]), None, vec!["10.0.0.1", "10.0.0.2", "fd00::3"]),
        (json!([]), Some("IPv4_ONLY"), vec!["10.0.0.1", "10.0.0.2"]),
        (json!([]), Some("IPv6_PREFERRED"), vec!["fd00::1", "10.0.0.2", "fd00::3"]),
        (json!([]), Some("IPv6_ONLY"), vec!["fd00::1", "fd00::3"]),
        (only.clone(), None, vec!["10.0.0.1"]),
        (only, Some("IPv6_ONLY"), vec!["fd00::1"]),
    ] {
        let scene = Scene::with(attributes, preference).await;
        scene.register(&all);
        let mut caller = connected(&scene.plane).await;
        let expected = expected.into_iter().map(str::to_owned).collect::<BTreeSet<_>>();
        assert_eq!(addresses(&caller.take(Endpoint).await), expected, "{preference:?}");
    }
}

#[tokio::test]
async fn what_fails_takes_no_endpoint_away_and_is_told() {
    for failure in [Failure::Throttled, Failure::Denied, Failure::Unavailable] {
        let scene = Scene::with(json!([]), None).await;
        scene.register(&[v4(1)]);
        let mut caller = connected(&scene.plane).await;
        assert_eq!(addresses(&caller.take(Endpoint).await).len(), 1);
        scene.fail(failure);
        let finding = scene.finding().await;
        assert_eq!(
            (&finding["id"], &finding["resource"]),
            (&json!("instances-unavailable"), &json!("mesh/shop/virtualNode/mapped"))
        );
        assert!(finding["message"].as_str().unwrap().ends_with("those known before are served"), "{finding}");
        caller.nothing_until(scene.plane.proxies()).await;
        let metrics = scene.plane.text("/metrics").await;
        assert!(metrics.contains("meshwarden_cloud_map_services{state=\"with_problem\"} 1"), "{metrics}");
        scene.faults.reset();
        scene.register(&[v4(2)]);
        assert_eq!(addresses(&caller.take(Endpoint).await), BTreeSet::from(["10.0.0.2".to_owned()]));
        scene.plane.proxy_once(|report| report["findings"] == json!([])).await;
    }
}

#[tokio::test]
async fn a_proxy_that_comes_back_keeps_what_nobody_knows_and_a_new_one_does_not_wait_for_it() {
    let scene = Scene::with(json!([]), None).await;
    scene.fail(Failure::Unavailable);
    // It has a version of its clusters from another server, whose word on the endpoints is the last there is.
    let mut back = Envoy::back(envoy::tcp(&scene.plane.xds[0]).await, CALLER, "of another server").await;
    back.take(Cluster).await;
    back.ask(Endpoint, &[CLUSTER]);
    back.ask(Listener, &[]);
    back.take(Listener).await;
    let mut new = connected(&scene.plane).await;
    assert_eq!(addresses(&new.take(Endpoint).await), BTreeSet::new());
    back.nothing_until(scene.plane.proxies()).await;
    scene.faults.reset();
    scene.register(&[v4(1)]);
    for envoy in [&mut back, &mut new] {
        assert_eq!(addresses(&envoy.take(Endpoint).await).len(), 1);
    }
}

#[tokio::test]
async fn a_backend_that_is_added_is_sent_once_its_instances_are_known() {
    let scene = Scene::with(json!([]), None).await;
    scene.register(&[v4(1)]);
    let channel = envoy::tcp(&scene.plane.xds[0]).await;
    let mut other = Envoy::settled(channel, "mesh/shop/virtualNode/other", &[]).await;
    scene.faults.set_latency(Duration::from_millis(300));
    let spec = json!({"backends": [{"virtualService": {"virtualServiceName": "mapped.local"}}]});
    scene.plane.put("/shop/virtualNodes/other", json!({"spec": spec})).await;
    other.take(Cluster).await;
    assert!(!scene.faults.calls().is_empty());
    other.ask(Endpoint, &[CLUSTER]);
    assert_eq!(addresses(&other.take(Endpoint).await).len(), 1);
}

#[tokio::test]
async fn without_anybody_to_ask_it_is_a_finding() {
    let plane = Plane::with(tcp()).await;
    make_mapped(&plane, json!([]), None).await;
    let mut caller = connected(&plane).await;
    assert_eq!(addresses(&caller.take(Endpoint).await), BTreeSet::new());
    let report = plane.proxy_once(|report| report["findings"][0]["id"] == "instances-without-source").await;
    assert!(report["findings"][0]["message"].as_str().unwrap().contains("--instances aws"));
}
