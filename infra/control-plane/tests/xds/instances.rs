//! Endpoints of nodes with Cloud Map service discovery.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use control_plane::instances::{InstanceDirectorySettings, PolledInstances};
use control_plane::xds::XdsSettings;
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::service::discovery::v3::DiscoveryResponse;
use ports::InstanceAttributes;
use ports_memory::{Call, Effect, Failure, Fault, Faults, MemoryInstances};
use prost::Message as _;
use serde_json::{Value, json};
use xds::ResourceType::{Cluster, Endpoint, Listener};

use crate::envoy::{self, Envoy};
use crate::plane::{Plane, tcp};

const CALLER: &str = "mesh/shop/virtualNode/caller";
const CLUSTER: &str = "cds_egress_shop_mapped_http_8080";

/// A Cloud Map in memory, and a control plane that polls it.
struct InstanceFixture {
    faults: Faults,
    memory: MemoryInstances,
    plane: Plane,
}

impl InstanceFixture {
    /// Starts it with a caller of one node that has `mapped.prod` as service discovery, with these attributes and
    /// this preference.
    async fn with(attributes: Value, preference: Option<&str>) -> Self {
        let faults = Faults::default();
        let memory = MemoryInstances::new(faults.clone());
        let plane = Plane::with(polling(&memory)).await;
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

    /// The first finding of the caller, once there is one.
    async fn finding(&self) -> Value {
        let report = self.plane.proxy_once(|report| !report["findings"].as_array().unwrap().is_empty()).await;
        report["findings"][0].clone()
    }
}

fn polling(memory: &MemoryInstances) -> XdsSettings {
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
    let all = endpoints.endpoints.into_iter().flat_map(|locality| locality.lb_endpoints);
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

/// A proxy of the caller with all clusters, subscribed to its endpoints.
async fn connected(plane: &Plane) -> Envoy {
    let mut caller = Envoy::connect(envoy::tcp(&plane.xds[0]).await, CALLER).await;
    caller.take(Cluster).await;
    caller.subscribe(Endpoint, &[CLUSTER]);
    caller
}

#[tokio::test]
async fn a_registered_or_removed_instance_is_pushed_and_nothing_else() {
    let fixture = InstanceFixture::with(json!([]), None).await;
    fixture.register(&[v4(1)]);
    let mut caller = connected(&fixture.plane).await;
    for (registered, expected) in [(None, 1), (Some([v4(1), v4(2)].as_slice()), 2), (Some(&[]), 0)] {
        if let Some(registered) = registered {
            fixture.register(registered);
        }
        assert_eq!(addresses(&caller.take(Endpoint).await).len(), expected);
        if registered.is_none() {
            caller.subscribe(Listener, &[]);
            caller.take(Listener).await;
        }
    }
    caller.nothing_until(fixture.plane.proxies()).await;
    // Only called services are polled.
    assert!(fixture.faults.calls().iter().all(|call| call.subject == "mapped.prod"));
}

#[tokio::test]
async fn attributes_and_the_ip_preference_select_instances() {
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
        let fixture = InstanceFixture::with(attributes, preference).await;
        fixture.register(&all);
        let mut caller = connected(&fixture.plane).await;
        let expected = expected.into_iter().map(str::to_owned).collect::<BTreeSet<_>>();
        assert_eq!(addresses(&caller.take(Endpoint).await), expected, "{preference:?}");
    }
}

#[tokio::test]
async fn a_failing_poll_removes_no_endpoint_and_is_reported() {
    for failure in [Failure::Throttled, Failure::Denied, Failure::Unavailable] {
        let fixture = InstanceFixture::with(json!([]), None).await;
        fixture.register(&[v4(1)]);
        let mut caller = connected(&fixture.plane).await;
        assert_eq!(addresses(&caller.take(Endpoint).await).len(), 1);
        fixture.fail(failure);
        let finding = fixture.finding().await;
        assert_eq!(
            (&finding["id"], &finding["resource"]),
            (&json!("instances-unavailable"), &json!("mesh/shop/virtualNode/mapped"))
        );
        assert!(finding["message"].as_str().unwrap().ends_with("the last known instances are served"), "{finding}");
        caller.nothing_until(fixture.plane.proxies()).await;
        let metrics = fixture.plane.text("/metrics").await;
        assert!(metrics.contains("meshwarden_cloud_map_services{state=\"with_problem\"} 1"), "{metrics}");
        fixture.faults.reset();
        fixture.register(&[v4(2)]);
        assert_eq!(addresses(&caller.take(Endpoint).await), BTreeSet::from(["10.0.0.2".to_owned()]));
        fixture.plane.proxy_once(|report| report["findings"] == json!([])).await;
    }
}

#[tokio::test]
async fn a_returning_proxy_keeps_unknown_endpoints_and_a_new_one_does_not_wait() {
    let fixture = InstanceFixture::with(json!([]), None).await;
    fixture.fail(Failure::Unavailable);
    // It has clusters and endpoints from another server.
    let mut returning = Envoy::returning(envoy::tcp(&fixture.plane.xds[0]).await, CALLER, "of another server").await;
    returning.take(Cluster).await;
    returning.subscribe(Endpoint, &[CLUSTER]);
    returning.subscribe(Listener, &[]);
    returning.take(Listener).await;
    let mut new = connected(&fixture.plane).await;
    assert_eq!(addresses(&new.take(Endpoint).await), BTreeSet::new());
    returning.nothing_until(fixture.plane.proxies()).await;
    fixture.faults.reset();
    fixture.register(&[v4(1)]);
    for envoy in [&mut returning, &mut new] {
        assert_eq!(addresses(&envoy.take(Endpoint).await).len(), 1);
    }
}

#[tokio::test]
async fn an_added_backend_is_sent_once_its_instances_are_known() {
    let fixture = InstanceFixture::with(json!([]), None).await;
    fixture.register(&[v4(1)]);
    let channel = envoy::tcp(&fixture.plane.xds[0]).await;
    let mut other = Envoy::settled(channel, "mesh/shop/virtualNode/other", &[]).await;
    fixture.faults.set_latency(Duration::from_millis(300));
    let spec = json!({"backends": [{"virtualService": {"virtualServiceName": "mapped.local"}}]});
    fixture.plane.put("/shop/virtualNodes/other", json!({"spec": spec})).await;
    other.take(Cluster).await;
    assert!(!fixture.faults.calls().is_empty());
    other.subscribe(Endpoint, &[CLUSTER]);
    assert_eq!(addresses(&other.take(Endpoint).await).len(), 1);
}

#[tokio::test]
async fn a_missing_source_of_instances_is_a_finding() {
    let plane = Plane::with(tcp()).await;
    make_mapped(&plane, json!([]), None).await;
    let mut caller = connected(&plane).await;
    assert_eq!(addresses(&caller.take(Endpoint).await), BTreeSet::new());
    let report = plane.proxy_once(|report| report["findings"][0]["id"] == "instances-without-source").await;
    assert!(report["findings"][0]["message"].as_str().unwrap().contains("--instances aws"));
}
