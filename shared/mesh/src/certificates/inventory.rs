//! The uses of certificates and trust in listeners, client policies and validation contexts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::source::{Anchor, CertificateSource};
use crate::graph::Mesh;
use crate::name::{ResourcePath, VirtualServiceName};
use crate::spec::{Backend, BackendDefaults, ClientPolicy, ListenerTls, Port};

/// A member of a spec that names a certificate or a trust anchor.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateUse {
    /// The virtual node or gateway.
    pub by: ResourcePath,
    /// The location in its spec.
    pub place: SpecLocation,
}

/// A location in the spec of a virtual node or gateway.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, serde::Deserialize)]
#[serde(tag = "place", rename_all = "kebab-case")]
pub enum SpecLocation {
    /// A listener.
    Listener {
        /// Its port.
        port: Port,
    },
    /// The default client policy.
    BackendDefaults,
    /// The client policy of one backend.
    Backend {
        /// The virtual service.
        service: VirtualServiceName,
    },
}

impl fmt::Display for SpecLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listener { port } => write!(f, "listener {port}"),
            Self::BackendDefaults => f.write_str("backend defaults"),
            Self::Backend { service } => write!(f, "backend {service}"),
        }
    }
}

/// Every use of every certificate and trust anchor of a mesh, except uses of unknown types.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inventory {
    /// The presented certificates, with their uses.
    pub presented: BTreeMap<CertificateSource, BTreeSet<CertificateUse>>,
    /// The trust anchors, with their uses.
    pub trusted: BTreeMap<Anchor, BTreeSet<CertificateUse>>,
}

impl Inventory {
    /// Collects the uses of a mesh.
    #[must_use]
    pub fn from_mesh(mesh: &Mesh) -> Self {
        let mut inventory = Self::default();
        for (name, node) in &mesh.nodes {
            let path = ResourcePath::VirtualNode(mesh.name.clone(), name.clone());
            for listener in node.listeners() {
                inventory.add_listener(&path, listener.port_mapping.port, listener.tls.as_ref());
            }
            inventory.add_defaults(&path, node.backend_defaults.as_ref());
            for backend in node.backends.iter().flatten() {
                if let Backend::VirtualService(backend) = backend {
                    let place = SpecLocation::Backend { service: backend.virtual_service_name.clone() };
                    inventory.add_policy(&path, &place, backend.client_policy.as_ref());
                }
            }
        }
        for (name, gateway) in &mesh.gateways {
            let path = ResourcePath::VirtualGateway(mesh.name.clone(), name.clone());
            for listener in gateway.spec.iter().flat_map(|spec| &spec.listeners) {
                inventory.add_listener(&path, listener.port_mapping.port, listener.tls.as_ref());
            }
            inventory.add_defaults(&path, gateway.spec.as_ref().and_then(|spec| spec.backend_defaults.as_ref()));
        }
        inventory
    }

    fn add_listener(&mut self, by: &ResourcePath, port: Port, tls: Option<&ListenerTls>) {
        let Some(tls) = tls else { return };
        let place = SpecLocation::Listener { port };
        self.add_source(by, &place, CertificateSource::of_listener(by, &tls.certificate));
        let trust = tls.validation.as_ref().and_then(|validation| Anchor::of_listener(by, &validation.trust));
        self.add_anchors(by, &place, trust);
    }

    fn add_defaults(&mut self, by: &ResourcePath, defaults: Option<&BackendDefaults>) {
        self.add_policy(
            by,
            &SpecLocation::BackendDefaults,
            defaults.and_then(|defaults| defaults.client_policy.as_ref()),
        );
    }

    fn add_policy(&mut self, by: &ResourcePath, place: &SpecLocation, policy: Option<&ClientPolicy>) {
        let Some(tls) = policy.and_then(|policy| policy.tls.as_ref()) else { return };
        let own = tls.certificate.as_ref().and_then(|own| CertificateSource::of_client(by, own));
        self.add_source(by, place, own);
        self.add_anchors(by, place, Anchor::of_client(by, &tls.validation.trust).into_iter().flatten());
    }

    fn add_source(&mut self, by: &ResourcePath, place: &SpecLocation, source: Option<CertificateSource>) {
        if let Some(source) = source {
            let used = CertificateUse { by: by.clone(), place: place.clone() };
            self.presented.entry(source).or_default().insert(used);
        }
    }

    fn add_anchors(&mut self, by: &ResourcePath, place: &SpecLocation, anchors: impl IntoIterator<Item = Anchor>) {
        for anchor in anchors {
            let used = CertificateUse { by: by.clone(), place: place.clone() };
            self.trusted.entry(anchor).or_default().insert(used);
        }
    }
}
