//! Encoded resources, each with a version that follows from its content.

use std::fmt;
use std::sync::Arc;

use prost::{Message, Name};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// The resource types of ADS, in the order in which an update can be sent without interrupting traffic: clusters before
/// the routes that name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceType {
    /// Clusters, sent by CDS.
    Cluster,
    /// Endpoints of clusters, sent by EDS.
    Endpoint,
    /// TLS secrets, sent by SDS.
    Secret,
    /// Listeners, sent by LDS.
    Listener,
    /// Route configurations, sent by RDS.
    Route,
}

impl ResourceType {
    /// All resource types, in that order.
    pub const ALL: [Self; 5] = [Self::Cluster, Self::Endpoint, Self::Secret, Self::Listener, Self::Route];

    /// The type URL.
    #[must_use]
    pub const fn url(self) -> &'static str {
        match self {
            Self::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Self::Endpoint => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            Self::Secret => "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            Self::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Self::Route => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        }
    }

    /// The resource type of a type URL.
    #[must_use]
    pub fn of_url(url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.url() == url)
    }

    /// Whether a subscription without names means all resources of the type, and each response carries all of them.
    #[must_use]
    pub const fn is_wildcard(self) -> bool {
        matches!(self, Self::Cluster | Self::Listener)
    }
}

/// The version of a content: the first 8 bytes of its SHA-256, in hexadecimal. Equal contents have equal versions in
/// every process. A proxy that reconnects to a restarted control plane is therefore not sent its resources again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(String);

impl Version {
    /// Computes the version of a sequence of parts. The boundaries between the parts count.
    pub fn from_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        let digest = hash.finalize();
        let first = digest.iter().take(8).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
        Self(format!("{first:016x}"))
    }

    /// A version that a client reports. Another server may have sent it.
    pub(crate) fn from_client(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The version as it is sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An encoded resource. Clones are cheap. The bytes are erased when the last clone is dropped, because a secret may
/// contain a private key.
#[derive(Clone, PartialEq, Eq)]
pub struct Resource {
    version: Version,
    body: Arc<Zeroizing<Vec<u8>>>,
    is_inner_routes: bool,
}

impl Resource {
    /// Encodes a message.
    #[must_use]
    pub fn encode<M: Message + Name>(message: &M) -> Self {
        let body = Zeroizing::new(message.encode_to_vec());
        Self { version: Version::from_parts([body.as_slice()]), body: Arc::new(body), is_inner_routes: false }
    }

    /// Marks a route configuration as the inner one of a virtual gateway: other route configurations of the same proxy
    /// send their requests through it.
    #[must_use]
    pub fn into_inner_routes(self) -> Self {
        Self { is_inner_routes: true, ..self }
    }

    /// Whether other route configurations of the same proxy send their requests through this one.
    #[must_use]
    pub const fn is_inner_routes(&self) -> bool {
        self.is_inner_routes
    }

    /// The version of the content.
    #[must_use]
    pub const fn version(&self) -> &Version {
        &self.version
    }

    /// The message in protobuf's wire format.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resource")
            .field("version", &self.version)
            .field("bytes", &self.body.len())
            .field("is_inner_routes", &self.is_inner_routes)
            .finish()
    }
}
