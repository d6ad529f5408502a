//! Virtual nodes and virtual gateways: the proxies of the mesh.

use super::IpPreference;
use super::bounded::{AttributeKey, AttributeValue, Text};
use super::listener::{GatewayListener, Listener, Logging};
use super::tls::ClientPolicy;
use crate::name::VirtualServiceName;
use crate::spec::shapes::{structure, union, words};

structure! {
    /// The spec of a virtual node. `{}` is a valid one.
    pub struct VirtualNodeSpec {
        /// How backends are called that say nothing else.
        "backendDefaults" => backend_defaults: Option<BackendDefaults>,
        /// What the node calls. They need not exist.
        "backends" => backends: Option<Vec<Backend>>,
        /// What the node answers on.
        "listeners" => listeners: Option<Vec<Listener>>,
        /// Where requests are logged.
        "logging" => logging: Option<Logging>,
        /// How clients find the node; needed when it has a listener.
        "serviceDiscovery" => service_discovery: Option<ServiceDiscovery>,
    }
}

impl VirtualNodeSpec {
    /// The listeners, none when the member is absent.
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
        /// How virtual services are called.
        "backendDefaults" => backend_defaults: Option<BackendDefaults>,
        /// What the gateway answers on.
        "listeners" => listeners: Vec<GatewayListener>,
        /// Where requests are logged.
        "logging" => logging: Option<Logging>,
    }
}

structure! {
    /// How backends are called.
    pub struct BackendDefaults {
        /// TLS towards them.
        "clientPolicy" => client_policy: Option<ClientPolicy>,
    }
}

union! {
    /// What a virtual node calls.
    pub enum Backend {
        /// A virtual service.
        "virtualService" => VirtualService(Box<VirtualServiceBackend>),
    }
}

structure! {
    /// A virtual service that a virtual node calls.
    pub struct VirtualServiceBackend {
        /// How it is called; the node's default when absent.
        "clientPolicy" => client_policy: Option<ClientPolicy>,
        /// Its name.
        "virtualServiceName" => virtual_service_name: VirtualServiceName,
    }
}

union! {
    /// How clients find a virtual node.
    pub enum ServiceDiscovery {
        /// Instances in AWS Cloud Map.
        "awsCloudMap" => AwsCloudMap(AwsCloudMapServiceDiscovery),
        /// A host name.
        "dns" => Dns(DnsServiceDiscovery),
    }
}

structure! {
    /// Instances in AWS Cloud Map.
    pub struct AwsCloudMapServiceDiscovery {
        /// Attributes that an instance must have.
        "attributes" => attributes: Option<Vec<InstanceAttribute>>,
        /// Which addresses; the mesh's preference when absent.
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
        /// Which addresses; the mesh's preference when absent.
        "ipPreference" => ip_preference: Option<IpPreference>,
        /// What the answer means; `LOADBALANCER` when absent.
        "responseType" => response_type: Option<DnsResponseType>,
    }
}

words! {
    /// What the addresses of a DNS answer mean.
    pub enum DnsResponseType {
        /// Any of them stands for all endpoints.
        "LOADBALANCER" => LoadBalancer,
        /// Each is an endpoint.
        "ENDPOINTS" => Endpoints,
    }
}
