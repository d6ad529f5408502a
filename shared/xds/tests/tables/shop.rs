//! Meshes from JSON, and their translation.

use std::collections::{BTreeMap, BTreeSet};

use mesh::graph::Mesh;
use mesh::name::{MeshName, ResourceKind, ResourcePath};
use mesh::spec::Spec;
use serde_json::{Map, Value, json};
use xds::ports::{PortBook, uses};
use xds::{Instance, Listeners, Proxy, ProxyId, SdsSource, Surroundings, Translation, translate};

/// The name of every mesh here.
const MESH: &str = "shop";

/// A mesh of these specs, by path below the mesh; the mesh's own spec has an empty path.
pub(crate) fn mesh(resources: &Map<String, Value>) -> Mesh {
    let mut mesh = Mesh::new(MeshName::parse(MESH).unwrap());
    for (path, spec) in resources {
        let full = if path.is_empty() { format!("mesh/{MESH}") } else { format!("mesh/{MESH}/{path}") };
        let path = ResourcePath::parse(&full).unwrap();
        let spec = Spec::read(kind(&path), spec).unwrap_or_else(|errors| panic!("{full}: {errors:?}"));
        mesh.insert(path, spec).unwrap();
    }
    mesh
}

fn kind(path: &ResourcePath) -> ResourceKind {
    match path {
        ResourcePath::Mesh(_) => ResourceKind::Mesh,
        ResourcePath::VirtualNode(..) => ResourceKind::VirtualNode,
        ResourcePath::VirtualService(..) => ResourceKind::VirtualService,
        ResourcePath::VirtualRouter(..) => ResourceKind::VirtualRouter,
        ResourcePath::VirtualGateway(..) => ResourceKind::VirtualGateway,
        ResourcePath::Route(_) => ResourceKind::Route,
        ResourcePath::GatewayRoute(..) => ResourceKind::GatewayRoute,
    }
}

pub(crate) fn proxy(path: &str) -> Proxy {
    format!("mesh/{MESH}/{path}").parse::<ProxyId>().unwrap().proxy
}

/// Ports from 20000 on, in the order of what they are for.
pub(crate) fn book(mesh: &Mesh) -> PortBook {
    let mut book = PortBook::default();
    for (port, of) in (20_000..).zip(uses(mesh)) {
        book.assign(of, port);
    }
    book
}

/// What a proxy of a mesh is sent where traffic is redirected.
pub(crate) fn intercepted(mesh: &Mesh, path: &str) -> Translation {
    let (bound, instances) = (BTreeSet::from(["bound".to_owned()]), instances());
    let surroundings =
        Surroundings { listeners: Listeners::Interception, sds: SdsSource::Ads(&bound), instances: &instances };
    translate(mesh, &proxy(path), surroundings)
}

/// What it is sent where each use has a port.
pub(crate) fn explicit(mesh: &Mesh, path: &str) -> Translation {
    let (bound, instances, book) = (BTreeSet::from(["bound".to_owned()]), instances(), book(mesh));
    let surroundings =
        Surroundings { listeners: Listeners::Explicit(&book), sds: SdsSource::Ads(&bound), instances: &instances };
    translate(mesh, &proxy(path), surroundings)
}

/// Two instances of `orders.shop`, one of each version.
fn instances() -> BTreeMap<(String, String), Vec<Instance>> {
    let instance = |address: &str, version: &str| Instance {
        ipv4: Some(address.parse().unwrap()),
        ipv6: None,
        attributes: BTreeMap::from([("version".to_owned(), version.to_owned())]),
    };
    let both = vec![instance("10.0.0.1", "1"), instance("10.0.0.2", "2")];
    BTreeMap::from([(("shop".to_owned(), "orders".to_owned()), both)])
}

/// A node that listens for HTTP on 8080.
pub(crate) fn node() -> Value {
    json!({
        "listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}],
        "serviceDiscovery": {"dns": {"hostname": "node.local"}},
    })
}

/// A client of `colours`, whose router has these routes to the nodes `blue` and `green`.
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
