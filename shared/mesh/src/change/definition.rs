//! The changes that a plan can make, as data.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::certificates::{AuthorityArn, CertificateArn, SpecLocation};
use crate::name::{MeshName, ResourcePath, RouteId, VirtualNodeName, VirtualServiceName};
use crate::spec::{EgressFilterType, IpPreference, Port, TlsMode};
use crate::split::WeightSplit;

/// A change of one resource, as part of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "camelCase")]
pub enum Change {
    /// Sets the weights of a route's targets. The targets stay the same.
    SetRouteWeights {
        /// The route.
        route: RouteId,
        /// Its targets with their new weights.
        split: WeightSplit,
    },
    /// Sets tags of a resource. Its other tags stay.
    SetTags {
        /// The resource.
        resource: ResourcePath,
        /// Keys and values.
        tags: BTreeMap<String, String>,
    },
    /// Sets the egress filter of a mesh.
    SetEgressFilter {
        /// The mesh.
        mesh: MeshName,
        /// The type of the filter.
        filter: EgressFilterType,
    },
    /// Removes a virtual service from the backends of a virtual node, at every position.
    RemoveBackend {
        /// The mesh.
        mesh: MeshName,
        /// The node.
        virtual_node: VirtualNodeName,
        /// The service.
        virtual_service: VirtualServiceName,
    },
    /// Enables the access log of a virtual node or gateway, in its present format.
    SetAccessLog {
        /// The virtual node or gateway.
        resource: ResourcePath,
        /// The file.
        path: String,
    },
    /// Sets the TLS mode of a listener, which must have TLS settings.
    SetListenerTlsMode {
        /// The virtual node or gateway.
        resource: ResourcePath,
        /// The listener.
        port: Port,
        /// The mode.
        mode: TlsMode,
    },
    /// Enforces TLS in a client policy, which must have TLS settings.
    EnforceClientTls {
        /// The virtual node or gateway.
        resource: ResourcePath,
        /// The backend with the policy; the node's default policy if absent.
        backend: Option<VirtualServiceName>,
    },
    /// Sets the IP preference of a mesh, or of a virtual node's service discovery.
    SetIpPreference {
        /// The mesh or the virtual node.
        resource: ResourcePath,
        /// The IP preference.
        preference: IpPreference,
    },
    /// Sets the ACM certificate of a listener.
    SetListenerCertificate {
        /// The virtual node or gateway.
        resource: ResourcePath,
        /// The listener's port.
        port: Port,
        /// The certificate.
        certificate: CertificateArn,
    },
    /// Sets the private CAs that a client policy trusts. Without a policy, one is created that does not enforce TLS,
    /// like a client without a policy.
    SetTrust {
        /// The virtual node or gateway.
        resource: ResourcePath,
        /// The location of the policy.
        #[serde(flatten)]
        place: SpecLocation,
        /// The CAs, one to three.
        authorities: Vec<AuthorityArn>,
        /// The names that a new policy accepts; empty for the name of the server's service discovery.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        names: Vec<String>,
    },
}

impl Change {
    /// The resource that is changed.
    #[must_use]
    pub fn resource(&self) -> ResourcePath {
        match self {
            Self::SetRouteWeights { route, .. } => ResourcePath::Route(route.clone()),
            Self::SetEgressFilter { mesh, .. } => ResourcePath::Mesh(mesh.clone()),
            Self::RemoveBackend { mesh, virtual_node, .. } => {
                ResourcePath::VirtualNode(mesh.clone(), virtual_node.clone())
            }
            Self::SetTags { resource, .. }
            | Self::SetAccessLog { resource, .. }
            | Self::SetListenerTlsMode { resource, .. }
            | Self::EnforceClientTls { resource, .. }
            | Self::SetIpPreference { resource, .. }
            | Self::SetListenerCertificate { resource, .. }
            | Self::SetTrust { resource, .. } => resource.clone(),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetRouteWeights { route, split } => {
                write!(f, "set the weights of route {route} to {split}")
            }
            Self::SetTags { resource, tags } => {
                let tags: Vec<String> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
                write!(f, "tag {resource} with {}", tags.join(", "))
            }
            Self::SetEgressFilter { mesh, filter } => write!(f, "set the egress filter of mesh {mesh} to {filter}"),
            Self::RemoveBackend { mesh, virtual_node, virtual_service } => {
                write!(f, "remove backend {virtual_service} from virtual node {mesh}/{virtual_node}")
            }
            Self::SetAccessLog { resource, path } => write!(f, "log the requests of {resource} to {path}"),
            Self::SetListenerTlsMode { resource, port, mode } => {
                write!(f, "set the TLS mode of listener {port} of {resource} to {mode}")
            }
            Self::EnforceClientTls { resource, backend: None } => {
                write!(f, "enforce TLS in the backend defaults of {resource}")
            }
            Self::EnforceClientTls { resource, backend: Some(backend) } => {
                write!(f, "enforce TLS from {resource} to backend {backend}")
            }
            Self::SetIpPreference { resource, preference } => {
                write!(f, "set the IP preference of {resource} to {preference}")
            }
            Self::SetListenerCertificate { resource, port, certificate } => {
                write!(f, "set the certificate of listener {port} of {resource} to {certificate}")
            }
            Self::SetTrust { resource, place, authorities, .. } => {
                let authorities: Vec<&str> = authorities.iter().map(AuthorityArn::as_str).collect();
                write!(f, "let the {place} of {resource} trust {}", authorities.join(", "))
            }
        }
    }
}
