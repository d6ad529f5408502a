//! Endpoints of nodes that Cloud Map finds.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use control_plane::instances::{InstanceBook, Instances};
use control_plane::xds::XdsSettings;
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use prost::Message as _;
use serde_json::json;
use tokio::sync::watch;
use xds::Instance;
use xds::ResourceType::{Cluster, Endpoint, Listener};

use crate::envoy::{self, Envoy};
use crate::plane::{Plane, tcp};

const CLUSTER: &str = "cds_egress_shop_mapped_http_8080";

#[derive(Debug)]
struct Book {
    known: Mutex<Arc<InstanceBook>>,
    changes: watch::Sender<u64>,
}

impl Book {
    fn tell(&self, last: &[u8]) {
        let instance = |last: &u8| Instance {
            ipv4: Some(Ipv4Addr::new(10, 0, 0, *last)),
            ipv6: None,
            attributes: BTreeMap::new(),
        };
        let key = ("prod".to_owned(), "mapped".to_owned());
        *self.known.lock().unwrap() = Arc::new(BTreeMap::from([(key, last.iter().map(instance).collect())]));
        self.changes.send_modify(|count| *count += 1);
    }
}

impl Instances for Book {
    fn known(&self) -> Arc<InstanceBook> {
        Arc::clone(&self.known.lock().unwrap())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

#[tokio::test]
async fn an_instance_that_comes_or_goes_is_pushed_and_nothing_else() {
    let book = Arc::new(Book { known: Mutex::default(), changes: watch::Sender::new(0) });
    book.tell(&[1]);
    let plane = Plane::with(XdsSettings { instances: Arc::<Book>::clone(&book), ..tcp() }).await;
    plane.make_shop().await;
    let spec = json!({
        "listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}],
        "serviceDiscovery": {"awsCloudMap": {"namespaceName": "prod", "serviceName": "mapped"}},
    });
    plane.put("/shop/virtualNodes", json!({"virtualNodeName": "mapped", "spec": spec})).await;
    let provider = json!({"provider": {"virtualNode": {"virtualNodeName": "mapped"}}});
    plane.put("/shop/virtualServices", json!({"virtualServiceName": "mapped.local", "spec": provider})).await;
    let caller = json!({"backends": [{"virtualService": {"virtualServiceName": "mapped.local"}}]});
    plane.put("/shop/virtualNodes", json!({"virtualNodeName": "caller", "spec": caller})).await;
    let mut caller = Envoy::connect(envoy::tcp(&plane.xds[0]).await, "mesh/shop/virtualNode/caller").await;
    caller.take(Cluster).await;
    caller.ask(Endpoint, &[CLUSTER]);
    for (told, expected) in [(None, 1), (Some([1, 2].as_slice()), 2), (Some(&[]), 0)] {
        if let Some(told) = told {
            book.tell(told);
        }
        let response = caller.take(Endpoint).await;
        let endpoints = ClusterLoadAssignment::decode(response.resources[0].value.as_slice()).unwrap();
        assert_eq!(endpoints.endpoints.iter().map(|place| place.lb_endpoints.len()).sum::<usize>(), expected);
        if told.is_none() {
            caller.ask(Listener, &[]);
            caller.take(Listener).await;
        }
    }
    caller.nothing_until(plane.proxies()).await;
}
