//! The meshes as the store has them, and a picture of them for each proxy that is connected.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mesh::graph::Mesh;
use mesh::name::{MeshName, ResourcePath};
use mesh::spec::{ServiceDiscovery, VirtualNodeSpec};
use xds::{ClientAddress, Listeners, Proxy, ProxyId, SdsSource, StatNames, Surroundings};

use super::allowed::{Allowed, CertificateRule};
use super::cache::Sources;
use super::concern::{Concern, concerned};
use super::follow::News;
use super::picture::{Means, Picture, Served, Waiting, picture};
use super::ports::PortKeeper;
use crate::instances::{InstanceBook, Instances, Service};
use crate::secrets::Secrets;
use crate::state::Resource;

/// Everything that a translation needs. Not shared: whoever turns it has it alone.
#[derive(Debug)]
pub(super) struct World {
    meshes: BTreeMap<MeshName, Mesh>,
    ports: Option<PortKeeper>,
    secrets: Arc<dyn Secrets>,
    bound: BTreeSet<String>,
    stat_names: StatNames,
    client_address: ClientAddress,
    rules: Arc<[CertificateRule]>,
    source: Arc<dyn Instances>,
    book: Arc<InstanceBook>,
}

/// Whom the latest news concerns, by mesh. A mesh that is not in it concerns nobody.
pub(super) type Concerns = BTreeMap<MeshName, Concern>;

impl World {
    /// `bound` are the names of meshes whose secrets go over ADS.
    pub(super) fn new(sources: &Sources, bound: BTreeSet<String>, ports: Option<PortKeeper>) -> Self {
        let (secrets, source) = (Arc::clone(&sources.secrets), Arc::clone(&sources.instances));
        let book = source.known();
        Self {
            meshes: BTreeMap::new(),
            ports,
            secrets,
            bound,
            stat_names: StatNames::default(),
            client_address: ClientAddress::default(),
            rules: Arc::default(),
            source,
            book,
        }
    }

    /// The same with other names of statistics.
    pub(super) fn with_stat_names(self, stat_names: StatNames) -> Self {
        Self { stat_names, ..self }
    }

    /// The same with rules for which certificates each mesh may name.
    pub(super) fn with_certificate_rules(self, rules: Vec<CertificateRule>) -> Self {
        Self { rules: rules.into(), ..self }
    }

    /// The same with another way for gateways to find out the address of a client.
    pub(super) fn with_client_address(self, client_address: ClientAddress) -> Self {
        Self { client_address, ..self }
    }

    /// Takes in the instances that there are now, and says whom what is new about them concerns.
    pub(super) fn find_instances(&mut self) -> Concerns {
        let former = std::mem::replace(&mut self.book, self.source.known());
        let changed = changed_services(&former, &self.book);
        let of_mesh = |(name, mesh): (&MeshName, &Mesh)| {
            let nodes = nodes_of(mesh, &changed);
            (!nodes.is_empty()).then(|| (name.clone(), concerned(mesh, &nodes)))
        };
        self.meshes.iter().filter_map(of_mesh).collect()
    }

    /// Takes in the news.
    pub(super) fn learn(&mut self, news: News) -> Concerns {
        let everything = matches!(news, News::Everything(_));
        let mut concerns = match news {
            News::Everything(resources) => self.read_anew(&resources),
            News::Changed(changes) => self.amend(changes),
        };
        self.settle_ports(&mut concerns, everything);
        concerns
    }

    fn settle_ports(&mut self, concerns: &mut Concerns, everything: bool) {
        if let Some(ports) = &mut self.ports {
            for mesh in concerns.keys().cloned().collect::<Vec<_>>() {
                let moved = ports.settle(&mesh, self.meshes.get(&mesh));
                let also = self.meshes.get(&mesh).map(|mesh| concerned(mesh, &moved));
                if let (Some(concern), Some(also)) = (concerns.get_mut(&mesh), also) {
                    concern.widen(also);
                }
            }
            if everything {
                ports.sweep();
            }
        }
    }

    fn read_anew(&mut self, resources: &[Arc<Resource>]) -> Concerns {
        let former = std::mem::take(&mut self.meshes);
        for resource in resources {
            self.put(&resource.path, resource);
        }
        self.meshes.keys().chain(former.keys()).map(|mesh| (mesh.clone(), Concern::All)).collect()
    }

    fn amend(&mut self, changes: BTreeMap<ResourcePath, Option<Arc<Resource>>>) -> Concerns {
        let mut by_mesh: BTreeMap<MeshName, Vec<ResourcePath>> = BTreeMap::new();
        for (path, resource) in changes {
            match resource {
                Some(resource) => self.put(&path, &resource),
                None => self.take_out(&path),
            }
            by_mesh.entry(path.mesh().clone()).or_default().push(path);
        }
        let concern = |(name, paths): (MeshName, Vec<ResourcePath>)| {
            let concern = self.meshes.get(&name).map_or(Concern::All, |mesh| concerned(mesh, &paths));
            (name, concern)
        };
        by_mesh.into_iter().map(concern).collect()
    }

    fn put(&mut self, path: &ResourcePath, resource: &Resource) {
        let name = path.mesh().clone();
        let mesh = self.meshes.entry(name).or_insert_with_key(|name| Mesh::new(name.clone()));
        if let Err(error) = mesh.insert(path.clone(), resource.spec.spec().clone()) {
            tracing::error!(%error, "a stored resource is not what its path says");
        }
    }

    fn take_out(&mut self, path: &ResourcePath) {
        if let ResourcePath::Mesh(name) = path {
            // The API deletes only what is empty.
            self.meshes.remove(name);
        } else if let Some(mesh) = self.meshes.get_mut(path.mesh()) {
            mesh.remove(path);
        }
    }

    /// A mesh as its proxies' pictures are made from it.
    pub(super) fn model(&self, mesh: &MeshName) -> Option<&Mesh> {
        self.meshes.get(mesh)
    }

    /// What a proxy that has been sent `previous` is to have now; `None` keeps what it has, also while something new is
    /// being asked for that it would have.
    pub(super) fn served(&self, id: &ProxyId, previous: Option<&Picture>) -> Option<Served> {
        self.look(id, previous, true)
    }

    /// The same for whoever only asks: what is not known yet is told as missing.
    pub(super) fn described(&self, id: &ProxyId, previous: Option<&Picture>) -> Option<Served> {
        self.look(id, previous, false)
    }

    fn look(&self, id: &ProxyId, previous: Option<&Picture>, patient: bool) -> Option<Served> {
        let Some(mesh) = self.meshes.get(&id.mesh).filter(|mesh| has(mesh, &id.proxy)) else {
            return Some(Served::Missing(id.path()));
        };
        let surroundings = Surroundings {
            listeners: self.ports.as_ref().map_or(Listeners::Interception, |ports| Listeners::Explicit(ports.book())),
            sds: SdsSource::Ads(&self.bound),
            stat_names: self.stat_names,
            client_address: self.client_address,
            instances: &self.book.known,
        };
        let secrets = Arc::clone(&self.secrets);
        let allowed = Allowed { secrets, rules: Arc::clone(&self.rules), mesh: id.mesh.clone() };
        let instances = self.source.as_ref();
        let means = Means { surroundings, secrets: &allowed, book: &self.book, instances, previous, patient };
        match picture(mesh, &id.proxy, means)? {
            Ok(picture) => Some(Served::Ready(Arc::new(picture))),
            Err(Waiting) if previous.is_some() => None,
            Err(Waiting) => Some(Served::Waiting),
        }
    }

    /// The port assignments to be stored.
    pub(super) fn take_port_edits(&mut self) -> Vec<(String, Option<u16>)> {
        self.ports.as_mut().map(PortKeeper::take_edits).unwrap_or_default()
    }

    /// The ports of a proxy, where it has explicit ones.
    pub(super) const fn ports(&self) -> Option<&PortKeeper> {
        self.ports.as_ref()
    }
}

/// The services of which something else is known.
fn changed_services<'b>(former: &'b InstanceBook, now: &'b InstanceBook) -> BTreeSet<&'b Service> {
    fn differing<'b, T: PartialEq>(
        former: &'b BTreeMap<Service, T>,
        now: &'b BTreeMap<Service, T>,
    ) -> impl Iterator<Item = &'b Service> {
        former.keys().chain(now.keys()).filter(|service| former.get(*service) != now.get(*service))
    }
    differing(&former.known, &now.known).chain(differing(&former.problems, &now.problems)).collect()
}

/// The nodes that are found by one of these services.
fn nodes_of(mesh: &Mesh, services: &BTreeSet<&Service>) -> Vec<ResourcePath> {
    let is_found = |spec: &VirtualNodeSpec| match &spec.service_discovery {
        Some(ServiceDiscovery::AwsCloudMap(map)) => {
            services.contains(&(map.namespace_name.to_string(), map.service_name.to_string()))
        }
        Some(ServiceDiscovery::Dns(_) | ServiceDiscovery::Unrecognised(_)) | None => false,
    };
    let nodes = mesh.nodes.iter().filter(|(_, spec)| !services.is_empty() && is_found(spec));
    nodes.map(|(node, _)| ResourcePath::VirtualNode(mesh.name.clone(), node.clone())).collect()
}

fn has(mesh: &Mesh, proxy: &Proxy) -> bool {
    match proxy {
        Proxy::Node(name) => mesh.nodes.contains_key(name),
        Proxy::Gateway(name) => mesh.gateways.get(name).is_some_and(|gateway| gateway.spec.is_some()),
    }
}

#[cfg(test)]
mod tests;
