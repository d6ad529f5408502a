//! Small meshes, and their translations with redirected traffic.

use std::collections::BTreeMap;

use mesh::graph::Mesh;
use serde_json::{Map, Value, json};
use xds::{ClientAddress, Instance, Listeners, SdsSource, StatNames, Surroundings, Translation, translate};

pub(crate) use crate::case::mesh_of as mesh;
use crate::case::proxy_of;

/// The translation for a proxy with redirected traffic.
pub(crate) fn intercepted(mesh: &Mesh, path: &str) -> Translation {
    with_instances(mesh, path, &BTreeMap::new())
}

/// The translation for a proxy with redirected traffic, with the instances of Cloud Map services.
pub(crate) fn with_instances(
    mesh: &Mesh,
    path: &str,
    instances: &BTreeMap<(String, String), Vec<Instance>>,
) -> Translation {
    let surroundings = Surroundings {
        listeners: Listeners::Interception,
        sds: SdsSource::Socket,
        stat_names: StatNames::Service,
        client_address: ClientAddress::default(),
        instances,
    };
    translate(mesh, &proxy_of(path), surroundings)
}

/// A node that listens for HTTP on 8080.
pub(crate) fn node() -> Value {
    json!({
        "listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}],
        "serviceDiscovery": {"dns": {"hostname": "node.local"}},
    })
}

/// A client of `colours`. The router of `colours` has these routes to the nodes `blue` and `green`.
pub(crate) fn colours(protocol: &str, routes: &[(&str, Value)]) -> Map<String, Value> {
    let mut node = node();
    node["listeners"][0]["portMapping"]["protocol"] = json!(protocol);
    let mut all = json!({
        "virtualNode/client": {"backends": [{"virtualService": {"virtualServiceName": "colours"}}]},
        "virtualNode/blue": node,
        "virtualNode/green": node,
        "virtualService/colours": {"provider": {"virtualRouter": {"virtualRouterName": "colours"}}},
        "virtualRouter/colours": {"listeners": [{"portMapping": {"port": 80, "protocol": protocol}}]},
    })
    .as_object()
    .unwrap()
    .clone();
    for (name, spec) in routes {
        all.insert(format!("virtualRouter/colours/route/{name}"), spec.clone());
    }
    all
}
