//! A mesh to translate, and the other inputs of its translation.

use std::collections::{BTreeMap, BTreeSet};

use mesh::graph::Mesh;
use mesh::name::ResourcePath;
use mesh::spec::Spec;
use serde_json::Value;
use xds::ports::{PortBook, uses};
use xds::{
    ClientAddress, Instance, Listeners, Proxy, ProxyId, SdsSource, StatNames, Surroundings, Translation, translate,
};

/// The name of every mesh in these tests.
pub(crate) const MESH: &str = "shop";

/// The content of a case file.
///
/// - `mesh`: specs by path within the mesh (`virtualNode/web`); the spec of the mesh itself is under the empty path;
/// - `proxies`: the proxies to translate for (`virtualNode/web`);
/// - `explicit`: whether each listener has a loopback port, instead of redirected traffic;
/// - `sds`: the secrets of the mesh that are sent over ADS; if absent, all come from the socket;
/// - `useRemoteAddress`, `trustedHops`: how gateways determine the address of a client;
/// - `instances`: the Cloud Map instances, by `service.namespace`.
pub(crate) struct Case {
    pub(crate) mesh: Mesh,
    pub(crate) proxies: Vec<String>,
    ports: Option<PortBook>,
    sds: Option<BTreeSet<String>>,
    client_address: ClientAddress,
    instances: BTreeMap<(String, String), Vec<Instance>>,
}

impl Case {
    pub(crate) fn read(case: &Value) -> Self {
        let mesh = mesh_of(case["mesh"].as_object().expect("a case has a mesh"));
        let texts = |member: &str| -> Vec<String> {
            let texts = case[member].as_array().into_iter().flatten();
            texts.map(|text| text.as_str().expect("is a list of texts").to_owned()).collect()
        };
        let ports = (case["explicit"] == true).then(|| ports_of(&mesh));
        let sds = case["sds"].is_array().then(|| texts("sds").into_iter().collect());
        let instances = case["instances"].as_object().into_iter().flatten().map(|(name, instances)| {
            let (service, namespace) = name.split_once('.').expect("is service.namespace");
            let instances = instances.as_array().expect("is a list").iter().map(instance);
            ((namespace.to_owned(), service.to_owned()), instances.collect())
        });
        let client_address = ClientAddress {
            use_remote_address: case["useRemoteAddress"] == true,
            trusted_hops: case["trustedHops"].as_u64().unwrap_or_default().try_into().expect("is small"),
        };
        Self { proxies: texts("proxies"), ports, sds, client_address, instances: instances.collect(), mesh }
    }

    pub(crate) fn translate(&self, proxy: &str) -> Translation {
        let surroundings = Surroundings {
            listeners: self.ports.as_ref().map_or(Listeners::Interception, Listeners::Explicit),
            sds: self.sds.as_ref().map_or(SdsSource::Socket, SdsSource::Ads),
            stat_names: StatNames::Service,
            client_address: self.client_address,
            instances: &self.instances,
        };
        translate(&self.mesh, &proxy_of(proxy), surroundings)
    }
}

pub(crate) fn proxy_of(path: &str) -> Proxy {
    let id: ProxyId = format!("mesh/{MESH}/{path}").parse().expect("names a proxy");
    id.proxy
}

/// A mesh from specs by path.
pub(crate) fn mesh_of(specs: &serde_json::Map<String, Value>) -> Mesh {
    let mut mesh = Mesh::new(MESH.parse().expect("is a name"));
    for (path, spec) in specs {
        let separator = if path.is_empty() { "" } else { "/" };
        let path = ResourcePath::parse(&format!("mesh/{MESH}{separator}{path}")).expect("is a path");
        let spec = Spec::read(path.kind(), spec).unwrap_or_else(|violations| panic!("{path}: {violations:?}"));
        mesh.insert(path, spec).expect("fits its path");
    }
    mesh
}

/// A port for each purpose in order, from 20000.
pub(crate) fn ports_of(mesh: &Mesh) -> PortBook {
    let mut book = PortBook::default();
    for (of, port) in uses(mesh).into_iter().zip(20_000..) {
        book.assign(of, port);
    }
    book
}

fn instance(value: &Value) -> Instance {
    let attributes = value["attributes"].as_object().into_iter().flatten();
    let attributes = attributes.map(|(key, value)| (key.clone(), value.as_str().expect("is a text").to_owned()));
    Instance {
        ipv4: value["ipv4"].as_str().map(|address| address.parse().expect("is an address")),
        ipv6: value["ipv6"].as_str().map(|address| address.parse().expect("is an address")),
        attributes: attributes.collect(),
    }
}
