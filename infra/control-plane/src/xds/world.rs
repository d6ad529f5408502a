//! The meshes as the store has them, and a picture of them for each proxy that is connected.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mesh::graph::Mesh;
use mesh::name::{MeshName, ResourcePath};
use xds::{Listeners, Proxy, ProxyId, SdsSource, Surroundings};

use super::cache::Sources;
use super::concern::{Concern, concerned};
use super::follow::News;
use super::picture::{Means, Picture, Served, Waiting, picture};
use super::ports::PortKeeper;
use super::secrets::Secrets;
use crate::instances::{InstanceBook, Instances};
use crate::state::Resource;

/// Everything that a translation needs. Not shared: whoever turns it has it alone.
#[derive(Debug)]
pub(super) struct World {
    meshes: BTreeMap<MeshName, Mesh>,
    ports: Option<PortKeeper>,
    secrets: Arc<dyn Secrets>,
    bound: BTreeSet<String>,
    instances: Arc<InstanceBook>,
}

/// Whom the latest news concerns, by mesh. A mesh that is not in it concerns nobody.
pub(super) type Concerns = BTreeMap<MeshName, Concern>;

impl World {
    /// `bound` are the names of meshes whose secrets go over ADS.
    pub(super) fn new(sources: &Sources, bound: BTreeSet<String>, ports: Option<PortKeeper>) -> Self {
        let (secrets, instances) = (Arc::clone(&sources.secrets), sources.instances.known());
        Self { meshes: BTreeMap::new(), ports, secrets, bound, instances }
    }

    /// Takes in the instances that there are now.
    pub(super) fn find_instances(&mut self, instances: &dyn Instances) {
        self.instances = instances.known();
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

    /// What a proxy that has been sent `previous` is to have now; `None` keeps what it has.
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
            instances: &self.instances,
        };
        let means = Means { surroundings, secrets: self.secrets.as_ref(), previous, patient };
        Some(match picture(mesh, &id.proxy, means)? {
            Ok(picture) => Served::Ready(Arc::new(picture)),
            Err(Waiting) => Served::Waiting,
        })
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

#[cfg(test)]
mod tests;

fn has(mesh: &Mesh, proxy: &Proxy) -> bool {
    match proxy {
        Proxy::Node(name) => mesh.nodes.contains_key(name),
        Proxy::Gateway(name) => mesh.gateways.get(name).is_some_and(|gateway| gateway.spec.is_some()),
    }
}
