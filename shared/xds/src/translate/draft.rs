//! The state of a translation in progress.

use std::collections::BTreeMap;

use envoy_types::pb::google::protobuf::Duration;
use jiff::SignedDuration;
use mesh::graph::Mesh;
use mesh::name::{ResourcePath, VirtualNodeName, VirtualServiceName};
use mesh::spec::{IpPreference, Port, ServiceDiscovery, VirtualNodeSpec};

use super::{Finding, Listeners, Surroundings, Translation};
use crate::port_book::PortUse;
use crate::proxy::Proxy;

/// The longest duration that is sent. Envoy refuses durations that overflow its clock, and no client waits for a year.
const LONGEST: SignedDuration = SignedDuration::from_hours(24 * 365);

/// The inputs of a translation, and its results so far.
#[derive(Debug)]
pub(super) struct Draft<'m> {
    pub(super) mesh: &'m Mesh,
    pub(super) proxy: &'m Proxy,
    pub(super) surroundings: Surroundings<'m>,
    pub(super) out: Translation,
    /// The names of the clusters of called nodes, by call.
    pub(super) called: BTreeMap<CalledFor<'m>, String>,
}

/// A node's listener as one backend calls it: the client policy depends on the backend, and connections negotiate no
/// protocol within TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CalledFor<'m> {
    pub(super) service: &'m VirtualServiceName,
    pub(super) node: &'m VirtualNodeName,
    pub(super) port: Port,
    pub(super) is_tcp: bool,
}

impl<'m> Draft<'m> {
    pub(super) fn new(mesh: &'m Mesh, proxy: &'m Proxy, surroundings: Surroundings<'m>) -> Self {
        Self { mesh, proxy, surroundings, out: Translation::default(), called: BTreeMap::new() }
    }

    /// The path of the proxy's own resource.
    pub(super) fn path(&self) -> ResourcePath {
        match self.proxy {
            Proxy::Node(name) => self.node_path(name),
            Proxy::Gateway(name) => ResourcePath::VirtualGateway(self.mesh.name.clone(), name.clone()),
        }
    }

    pub(super) fn node_path(&self, name: &VirtualNodeName) -> ResourcePath {
        ResourcePath::VirtualNode(self.mesh.name.clone(), name.clone())
    }

    pub(super) fn service_path(&self, name: &VirtualServiceName) -> ResourcePath {
        ResourcePath::VirtualService(self.mesh.name.clone(), name.clone())
    }

    /// Records a finding for a part that is not sent as written. Equal findings are recorded once.
    pub(super) fn find(&mut self, id: &'static str, resource: ResourcePath, message: impl Into<String>) {
        let finding = Finding { id, resource, message: message.into() };
        if !self.out.findings.contains(&finding) {
            self.out.findings.push(finding);
        }
    }

    /// A duration for Envoy; `None` if the spec has none, or if it cannot be read.
    pub(super) fn duration(
        &mut self,
        duration: Option<&mesh::spec::Duration>,
        at: &ResourcePath,
        member: &str,
    ) -> Option<Duration> {
        let duration = duration?;
        let Some(length) = duration.length() else {
            let message = format!("{member} has no unit or no value, so the default is used; set both");
            self.find(super::finding::UNREADABLE_DURATION, at.clone(), message);
            return None;
        };
        if length > LONGEST {
            let message = format!("{member} is {length:#}, which Envoy refuses; a year is sent instead");
            self.find(super::finding::DURATION_TOO_LONG, at.clone(), message);
        }
        let length = length.min(LONGEST);
        Some(Duration { seconds: length.as_secs(), nanos: length.subsec_nanos() })
    }

    /// The loopback port that is assigned to a purpose. `None`, with a finding, if there is none: the proxy then has no
    /// listener there.
    pub(super) fn assigned(&mut self, of: &PortUse) -> Option<u16> {
        let Listeners::Explicit(book) = self.surroundings.listeners else { return None };
        let port = book.port(of);
        if port.is_none() {
            let path = self.path();
            self.find(super::finding::NO_PORT, path, format!("no loopback port is left for: {of}; widen the range"));
        }
        port
    }

    pub(super) const fn is_explicit(&self) -> bool {
        matches!(self.surroundings.listeners, Listeners::Explicit(_))
    }

    /// The IP preference of a node, or that of the mesh if the node has none.
    pub(super) fn ip_preference(&self, node: Option<&'m VirtualNodeSpec>) -> Option<&'m IpPreference> {
        let own = node.and_then(|node| match node.service_discovery.as_ref()? {
            ServiceDiscovery::Dns(dns) => dns.ip_preference.as_ref(),
            ServiceDiscovery::AwsCloudMap(cloud_map) => cloud_map.ip_preference.as_ref(),
            ServiceDiscovery::Unrecognised(_) => None,
        });
        let of_mesh = || self.mesh.spec.as_ref()?.service_discovery.as_ref()?.ip_preference.as_ref();
        own.or_else(of_mesh)
    }

    /// The address that listeners bind: any IPv4 address, or any address of both families if a preference is set.
    pub(super) const fn any_address(preference: Option<&IpPreference>) -> &'static str {
        if preference.is_some() { "::" } else { "0.0.0.0" }
    }
}

/// The names of unknown members, as text for a message.
pub(super) fn member_names(members: &mesh::spec::Extra) -> String {
    members.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}
