//! The meshes in the store's current state, and the snapshots of their proxies.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mesh::graph::Mesh;
use mesh::name::{MeshName, ResourcePath};
use mesh::spec::{ServiceDiscovery, VirtualNodeSpec};
use xds::{ClientAddress, Listeners, Proxy, ProxyId, SdsSource, StatNames, Surroundings};

use super::affected::{Affected, affected_by};
use super::allowed::{AllowedSecrets, CertificateRule};
use super::build::build_proxy_snapshot;
use super::build_inputs::{BuildInputs, NotReady};
use super::follow::StoreUpdate;
use super::ports::PortAssigner;
use super::proxy_snapshot::{ProxySnapshot, Served};
use super::sources::SnapshotSources;
use crate::instances::{CloudMapService, InstanceBook, Instances};
use crate::secrets::Secrets;
use crate::state::Resource;
use crate::store::PortRequest;

/// All inputs of the translation. Not shared: only one task owns it.
#[derive(Debug)]
pub(super) struct MeshModels {
    meshes: BTreeMap<MeshName, Mesh>,
    ports: Option<PortAssigner>,
    secrets: Arc<dyn Secrets>,
    bound: BTreeSet<String>,
    stat_names: StatNames,
    client_address: ClientAddress,
    rules: Arc<[CertificateRule]>,
    source: Arc<dyn Instances>,
    book: Arc<InstanceBook>,
}

/// The affected proxies by mesh. A mesh without an entry has none.
pub(super) type AffectedByMesh = BTreeMap<MeshName, Affected>;

impl MeshModels {
    /// `bound` are the secret names that are sent over ADS.
    pub(super) fn new(sources: &SnapshotSources, bound: BTreeSet<String>, ports: Option<PortAssigner>) -> Self {
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

    /// Sets the names of statistics.
    pub(super) fn with_stat_names(self, stat_names: StatNames) -> Self {
        Self { stat_names, ..self }
    }

    /// Sets the rules for the certificates that each mesh may use.
    pub(super) fn with_certificate_rules(self, rules: Vec<CertificateRule>) -> Self {
        Self { rules: rules.into(), ..self }
    }

    /// Sets how gateways determine the address of a client.
    pub(super) fn with_client_address(self, client_address: ClientAddress) -> Self {
        Self { client_address, ..self }
    }

    /// Reads the current instances, and returns the proxies that their changes affect.
    pub(super) fn update_instances(&mut self) -> AffectedByMesh {
        let previous = std::mem::replace(&mut self.book, self.source.known());
        let changed = changed_services(&previous, &self.book);
        let of_mesh = |(name, mesh): (&MeshName, &Mesh)| {
            let nodes = nodes_of(mesh, &changed);
            (!nodes.is_empty()).then(|| (name.clone(), affected_by(mesh, &nodes)))
        };
        self.meshes.iter().filter_map(of_mesh).collect()
    }

    /// Applies changes of the store, and returns the proxies that they affect.
    pub(super) fn apply_update(&mut self, update: StoreUpdate) -> AffectedByMesh {
        let everything = matches!(update, StoreUpdate::Everything(_));
        let mut affected = match update {
            StoreUpdate::Everything(resources) => self.replace_all(&resources),
            StoreUpdate::Changed(changes) => self.apply_changes(changes),
        };
        self.settle_ports(&mut affected, everything);
        affected
    }

    fn settle_ports(&mut self, affected: &mut AffectedByMesh, everything: bool) {
        if let Some(ports) = &mut self.ports {
            for mesh in affected.keys().cloned().collect::<Vec<_>>() {
                let moved = ports.settle(&mesh, self.meshes.get(&mesh));
                let also = self.meshes.get(&mesh).map(|mesh| affected_by(mesh, &moved));
                if let (Some(affected), Some(also)) = (affected.get_mut(&mesh), also) {
                    affected.add(also);
                }
            }
            if everything {
                ports.sweep();
            }
        }
    }

    fn replace_all(&mut self, resources: &[Arc<Resource>]) -> AffectedByMesh {
        let previous = std::mem::take(&mut self.meshes);
        for resource in resources {
            self.put(&resource.path, resource);
        }
        self.meshes.keys().chain(previous.keys()).map(|mesh| (mesh.clone(), Affected::All)).collect()
    }

    fn apply_changes(&mut self, changes: BTreeMap<ResourcePath, Option<Arc<Resource>>>) -> AffectedByMesh {
        let mut by_mesh: BTreeMap<MeshName, Vec<ResourcePath>> = BTreeMap::new();
        for (path, resource) in changes {
            match resource {
                Some(resource) => self.put(&path, &resource),
                None => self.remove(&path),
            }
            by_mesh.entry(path.mesh().clone()).or_default().push(path);
        }
        let affected = |(name, paths): (MeshName, Vec<ResourcePath>)| {
            let affected = self.meshes.get(&name).map_or(Affected::All, |mesh| affected_by(mesh, &paths));
            (name, affected)
        };
        by_mesh.into_iter().map(affected).collect()
    }

    fn put(&mut self, path: &ResourcePath, resource: &Resource) {
        let name = path.mesh().clone();
        let mesh = self.meshes.entry(name).or_insert_with_key(|name| Mesh::new(name.clone()));
        // The spec of a newer release that this one cannot read was logged when it was stored.
        let Some(spec) = resource.spec.spec() else { return };
        if let Err(error) = mesh.insert(path.clone(), spec.clone()) {
            tracing::error!(%error, "failed to add stored resource to mesh model");
        }
    }

    fn remove(&mut self, path: &ResourcePath) {
        if let ResourcePath::Mesh(name) = path {
            // The API deletes only empty meshes.
            self.meshes.remove(name);
        } else if let Some(mesh) = self.meshes.get_mut(path.mesh()) {
            mesh.remove(path);
        }
    }

    /// The mesh that its proxies' snapshots are built from.
    pub(super) fn model(&self, mesh: &MeshName) -> Option<&Mesh> {
        self.meshes.get(mesh)
    }

    /// The new state of a proxy with this previous snapshot. `None` means no change, also while something new
    /// is pending.
    pub(super) fn served(&self, id: &ProxyId, previous: Option<&ProxySnapshot>) -> Option<Served> {
        self.build(id, previous, true)
    }

    /// Like `served`, for queries: pending secrets and instances are reported as missing.
    pub(super) fn described(&self, id: &ProxyId, previous: Option<&ProxySnapshot>) -> Option<Served> {
        self.build(id, previous, false)
    }

    fn build(&self, id: &ProxyId, previous: Option<&ProxySnapshot>, patient: bool) -> Option<Served> {
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
        let allowed = AllowedSecrets { secrets, rules: Arc::clone(&self.rules), mesh: id.mesh.clone() };
        let instances = self.source.as_ref();
        let inputs = BuildInputs { surroundings, secrets: &allowed, book: &self.book, instances, previous, patient };
        match build_proxy_snapshot(mesh, &id.proxy, inputs)? {
            Ok(proxy_snapshot) => Some(Served::Ready(Arc::new(proxy_snapshot))),
            Err(NotReady) if previous.is_some() => None,
            Err(NotReady) => Some(Served::Waiting),
        }
    }

    /// The planned changes of port assignments, to be decided by the log.
    pub(super) fn take_port_request(&mut self) -> Option<PortRequest> {
        self.ports.as_mut()?.take_request()
    }

    /// Applies the decided port assignments. Returns the proxies that differences to the plan affect.
    pub(super) fn adopt_ports(&mut self, decided: &BTreeMap<String, Option<u16>>) -> AffectedByMesh {
        let moved = self.ports.as_mut().map(|ports| ports.adopt(decided)).unwrap_or_default();
        let mut by_mesh: BTreeMap<MeshName, Vec<ResourcePath>> = BTreeMap::new();
        for path in moved {
            by_mesh.entry(path.mesh().clone()).or_default().push(path);
        }
        let affected = |(name, paths): (MeshName, Vec<ResourcePath>)| {
            let affected = self.meshes.get(&name).map(|mesh| affected_by(mesh, &paths))?;
            Some((name, affected))
        };
        by_mesh.into_iter().filter_map(affected).collect()
    }

    /// The explicit ports, if the proxies have any.
    pub(super) const fn ports(&self) -> Option<&PortAssigner> {
        self.ports.as_ref()
    }
}

/// The services with changed instances or problems.
fn changed_services<'b>(previous: &'b InstanceBook, now: &'b InstanceBook) -> BTreeSet<&'b CloudMapService> {
    fn differing<'b, T: PartialEq>(
        previous: &'b BTreeMap<CloudMapService, T>,
        now: &'b BTreeMap<CloudMapService, T>,
    ) -> impl Iterator<Item = &'b CloudMapService> {
        previous.keys().chain(now.keys()).filter(|service| previous.get(*service) != now.get(*service))
    }
    differing(&previous.known, &now.known).chain(differing(&previous.problems, &now.problems)).collect()
}

/// The nodes with service discovery by one of these services.
fn nodes_of(mesh: &Mesh, services: &BTreeSet<&CloudMapService>) -> Vec<ResourcePath> {
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
