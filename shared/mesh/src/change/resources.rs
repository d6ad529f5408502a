//! Changes of meshes, virtual nodes and gateways, and of tags.

use super::{Change, ChangeError};
use crate::graph::Mesh;
use crate::name::{ResourcePath, VirtualServiceName};
use crate::resource::Tag;
use crate::spec::bounded::Text;
use crate::spec::{
    AccessLog, Backend, BackendDefaults, ClientPolicy, ClientTls, EgressFilter, Extra, FileAccessLog, IpPreference,
    ListenerTls, Logging, MeshServiceDiscovery, ServiceDiscovery,
};
use crate::split::Port;

/// Applies a change. On an error the mesh is unchanged.
pub(super) fn apply(change: &Change, mesh: &mut Mesh) -> Result<(), ChangeError> {
    let resource = change.resource();
    let at = At { mesh, resource: &resource };
    let done = match change {
        Change::SetRouteWeights { .. } => Err("it is a change of a route"),
        Change::SetListenerCertificate { .. } | Change::SetTrust { .. } => Err("it is a change of certificates"),
        Change::SetTags { tags, .. } => at.tag(tags.iter().map(|(key, value)| (key.as_str(), value.as_str()))),
        Change::SetEgressFilter { filter, .. } => {
            at.mesh.spec.as_mut().ok_or(ABSENT).map(|spec| match &mut spec.egress_filter {
                Some(present) => present.filter = filter.clone(),
                absent => *absent = Some(EgressFilter { filter: filter.clone(), extra: Extra::new() }),
            })
        }
        Change::RemoveBackend { virtual_node, virtual_service, .. } => {
            let other = |backend: &Backend| match backend {
                Backend::VirtualService(backend) => backend.virtual_service_name != *virtual_service,
                Backend::Unrecognised(_) => true,
            };
            let node = at.mesh.nodes.get_mut(virtual_node).ok_or(ABSENT);
            node.map(|node| node.backends.iter_mut().for_each(|backends| backends.retain(other)))
        }
        Change::SetAccessLog { path, .. } => at.log_to(path),
        Change::SetListenerTlsMode { port, mode, .. } => {
            at.listener_tls(*port).ok_or("no listener on this port has TLS").map(|tls| tls.mode = mode.clone())
        }
        Change::EnforceClientTls { backend, .. } => at
            .client_tls(backend.as_ref().map(VirtualServiceName::as_str))
            .ok_or("no client policy with TLS is there")
            .map(|tls| tls.enforce = Some(true)),
        Change::SetIpPreference { preference, .. } => at.prefer(preference),
    };
    done.map_err(|problem| ChangeError::Impossible { resource, problem })
}

const ABSENT: &str = "it is not in the mesh";

/// A resource of a mesh, for a change.
struct At<'a> {
    mesh: &'a mut Mesh,
    resource: &'a ResourcePath,
}

impl<'a> At<'a> {
    fn tag<'t>(self, tags: impl Iterator<Item = (&'t str, &'t str)>) -> Result<(), &'static str> {
        let mut added = Vec::new();
        for (key, value) in tags {
            let key = Text::new(key).map_err(|_| "a tag's key has 1 to 128 characters")?;
            let value = Text::new(value).map_err(|_| "a tag's value has up to 256 characters")?;
            added.push(Tag { key, value, extra: Extra::new() });
        }
        if !self.mesh.has(self.resource) {
            return Err(ABSENT);
        }
        let all = self.mesh.tags.entry(self.resource.clone()).or_default();
        all.merge(added).map_err(|_| "it would have more than 50 tags")
    }

    fn log_to(self, path: &str) -> Result<(), &'static str> {
        let path = Text::new(path).map_err(|_| "a path has 1 to 255 characters")?;
        let logging = match self.resource {
            ResourcePath::VirtualNode(_, name) => self.mesh.nodes.get_mut(name).map(|node| &mut node.logging),
            ResourcePath::VirtualGateway(_, name) => {
                let gateway = self.mesh.gateways.get_mut(name).and_then(|gateway| gateway.spec.as_mut());
                gateway.map(|gateway| &mut gateway.logging)
            }
            _ => None,
        };
        let logging = logging.ok_or(ABSENT)?.get_or_insert_with(|| Logging { access_log: None, extra: Extra::new() });
        match &mut logging.access_log {
            Some(AccessLog::File(file)) => file.path = path,
            Some(AccessLog::Unrecognised(_)) => return Err("it logs in a way that isn't known here"),
            absent => *absent = Some(AccessLog::File(FileAccessLog { format: None, path, extra: Extra::new() })),
        }
        Ok(())
    }

    fn listener_tls(self, port: Port) -> Option<&'a mut ListenerTls> {
        match self.resource {
            ResourcePath::VirtualNode(_, name) => {
                let listeners = self.mesh.nodes.get_mut(name)?.listeners.as_mut()?;
                listeners.iter_mut().find(|listener| listener.port_mapping.port == port)?.tls.as_mut()
            }
            ResourcePath::VirtualGateway(_, name) => {
                let listeners = &mut self.mesh.gateways.get_mut(name)?.spec.as_mut()?.listeners;
                listeners.iter_mut().find(|listener| listener.port_mapping.port == port)?.tls.as_mut()
            }
            _ => None,
        }
    }

    fn client_tls(self, backend: Option<&str>) -> Option<&'a mut ClientTls> {
        let policy = match (self.resource, backend) {
            (ResourcePath::VirtualNode(_, name), None) => {
                default_policy(&mut self.mesh.nodes.get_mut(name)?.backend_defaults)
            }
            (ResourcePath::VirtualGateway(_, name), None) => {
                default_policy(&mut self.mesh.gateways.get_mut(name)?.spec.as_mut()?.backend_defaults)
            }
            (ResourcePath::VirtualNode(_, name), Some(service)) => {
                let mut backends = self.mesh.nodes.get_mut(name)?.backends.iter_mut().flatten();
                backends.find_map(|backend| match backend {
                    Backend::VirtualService(backend) if backend.virtual_service_name.as_str() == service => {
                        backend.client_policy.as_mut()
                    }
                    Backend::VirtualService(_) | Backend::Unrecognised(_) => None,
                })
            }
            _ => None,
        };
        policy?.tls.as_mut()
    }

    fn prefer(self, preference: &IpPreference) -> Result<(), &'static str> {
        let preference = Some(preference.clone());
        match self.resource {
            ResourcePath::Mesh(_) => {
                let spec = self.mesh.spec.as_mut().ok_or(ABSENT)?;
                match &mut spec.service_discovery {
                    Some(present) => present.ip_preference = preference,
                    absent => {
                        *absent = Some(MeshServiceDiscovery { ip_preference: preference, extra: Extra::new() });
                    }
                }
            }
            ResourcePath::VirtualNode(_, name) => {
                match &mut self.mesh.nodes.get_mut(name).ok_or(ABSENT)?.service_discovery {
                    Some(ServiceDiscovery::Dns(dns)) => dns.ip_preference = preference,
                    Some(ServiceDiscovery::AwsCloudMap(map)) => map.ip_preference = preference,
                    Some(ServiceDiscovery::Unrecognised(_)) | None => return Err("it has no service discovery"),
                }
            }
            _ => return Err("only meshes and virtual nodes have an IP preference"),
        }
        Ok(())
    }
}

fn default_policy(defaults: &mut Option<BackendDefaults>) -> Option<&mut ClientPolicy> {
    defaults.as_mut()?.client_policy.as_mut()
}
