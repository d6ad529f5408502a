//! Resources as they are sent: encoded once, with a version that follows from the content.

use std::fmt;
use std::sync::Arc;

use prost::{Message, Name};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// The resource types of ADS, in the order in which an update is made before anything is broken: clusters before the
/// routes that name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceType {
    /// CDS.
    Cluster,
    /// EDS.
    Endpoint,
    /// SDS.
    Secret,
    /// LDS.
    Listener,
    /// RDS.
    Route,
}

impl ResourceType {
    /// All of them, in that order.
    pub const ALL: [Self; 5] = [Self::Cluster, Self::Endpoint, Self::Secret, Self::Listener, Self::Route];

    /// The type's URL.
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

    /// The type of a URL.
    #[must_use]
    pub fn of_url(url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.url() == url)
    }

    /// Whether a subscription without names means all of them, and a response always carries them all.
    #[must_use]
    pub const fn is_wildcard(self) -> bool {
        matches!(self, Self::Cluster | Self::Listener)
    }
}

/// What a content is known by: the beginning of its SHA-256. Equal contents have equal versions in every process, so a
/// proxy that reconnects to a restarted control plane is not sent what it has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(String);

impl Version {
    /// Of a sequence of parts, where the boundaries count.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        let digest = hash.finalize();
        let first = digest.iter().take(8).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
        Self(format!("{first:016x}"))
    }

    /// As a client tells it, which may be one of another server's.
    pub(crate) fn told(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// As it is sent.
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

/// An encoded resource. Cheap to clone; the bytes are wiped when the last clone goes, since a secret may hold a key.
#[derive(Clone, PartialEq, Eq)]
pub struct Resource {
    version: Version,
    body: Arc<Zeroizing<Vec<u8>>>,
}

impl Resource {
    /// Encodes a message.
    #[must_use]
    pub fn encode<M: Message + Name>(message: &M) -> Self {
        let body = Zeroizing::new(message.encode_to_vec());
        Self { version: Version::of([body.as_slice()]), body: Arc::new(body) }
    }

    /// The version.
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
        f.debug_struct("Resource").field("version", &self.version).field("bytes", &self.body.len()).finish()
    }
}
