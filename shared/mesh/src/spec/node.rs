//! Virtual nodes and virtual gateways: the proxies of the mesh.

use super::IpPreference;
use super::bounded::{AttributeKey, AttributeValue, Text};
use super::listener::{GatewayListener, Listener, Logging};
use super::tls::ClientPolicy;
use crate::name::VirtualServiceName;
use crate::spec::shapes::{structure, union, words};

structure! {
    /// The spec of a virtual node. `{}` is a valid spec.
    pub struct VirtualNodeSpec {
        /// The defaults of all backends.
        "backendDefaults" => backend_defaults: Option<BackendDefaults>,
        /// The backends of the node. They may be missing.
        "backends" => backends: Option<Vec<Backend>>,
        /// The listeners of the node.
        "listeners" => listeners: Option<Vec<Listener>>,
        /// The logging of requests.
        "logging" => logging: Option<Logging>,
        /// The service discovery of the node; required if it has a listener.
        "serviceDiscovery" => service_discovery: Option<ServiceDiscovery>,
    }
}

impl VirtualNodeSpec {
    /// The listeners, empty if the member is absent.
    #[must_use]
    pub fn listeners(&self) -> &[Listener] {
        self.listeners.as_deref().unwrap_or_default()
    }

    /// The virtual services that the node calls.
    pub fn backend_services(&self) -> impl Iterator<Item = &VirtualServiceName> {
        self.backends.iter().flatten().filter_map(|backend| match backend {
            Backend::VirtualService(backend) => Some(&backend.virtual_service_name),
            Backend::Unrecognised(_) => None,
        })
    }
}

structure! {
    /// The spec of a virtual gateway.
    pub struct VirtualGatewaySpec {
        /// The defaults of all called virtual services.
        "backendDefaults" => backend_defaults: Option<BackendDefaults>,
        /// The listeners of the gateway.
        "listeners" => listeners: Vec<GatewayListener>,
        /// The logging of requests.
        "logging" => logging: Option<Logging>,
    }
}

structure! {
    /// The defaults of backends.
    pub struct BackendDefaults {
        /// The client policy with TLS settings.
        "clientPolicy" => client_policy: Option<ClientPolicy>,
    }
}

union! {
    /// A backend of a virtual node.
    pub enum Backend {
        /// A virtual service.
        "virtualService" => VirtualService(Box<VirtualServiceBackend>),
    }
}

structure! {
    /// A virtual service as a backend.
    pub struct VirtualServiceBackend {
        /// The client policy of this backend; the node's default if absent.
        "clientPolicy" => client_policy: Option<ClientPolicy>,
        /// Its name.
        "virtualServiceName" => virtual_service_name: VirtualServiceName,
    }
}

union! {
    /// The service discovery of a virtual node.
    pub enum ServiceDiscovery {
        /// Discovery by instances in AWS Cloud Map.
        "awsCloudMap" => AwsCloudMap(AwsCloudMapServiceDiscovery),
        /// Discovery by a DNS host name.
        "dns" => Dns(DnsServiceDiscovery),
    }
}

structure! {
    /// Instances in AWS Cloud Map.
    pub struct AwsCloudMapServiceDiscovery {
        /// Attributes that an instance must have.
        "attributes" => attributes: Option<Vec<InstanceAttribute>>,
        /// The preferred IP version; the mesh's preference if absent.
        "ipPreference" => ip_preference: Option<IpPreference>,
        /// The namespace.
        "namespaceName" => namespace_name: Text<1, 1024>,
        /// The service in it.
        "serviceName" => service_name: Text<1, 1024>,
    }
}

structure! {
    /// An attribute of an AWS Cloud Map instance.
    pub struct InstanceAttribute {
        /// Its key.
        "key" => key: AttributeKey,
        /// Its value.
        "value" => value: AttributeValue,
    }
}

structure! {
    /// A host name.
    pub struct DnsServiceDiscovery {
        /// The host name.
        "hostname" => hostname: String,
        /// The preferred IP version; the mesh's preference if absent.
        "ipPreference" => ip_preference: Option<IpPreference>,
        /// The meaning of the DNS answer; `LOADBALANCER` if absent.
        "responseType" => response_type: Option<DnsResponseType>,
    }
}

words! {
    /// The meaning of the addresses in a DNS answer.
    pub enum DnsResponseType {
        /// Each address represents all endpoints.
        "LOADBALANCER" => LoadBalancer,
        /// Each address is an endpoint.
        "ENDPOINTS" => Endpoints,
    }
}
