//! The facts that a replica reports about its streams.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Everything that a replica reports about proxies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ReplicaFacts {
    /// The open streams.
    pub(crate) instances: Vec<InstanceFacts>,
    /// The instances that disconnected a short time ago.
    pub(crate) left: Vec<LeftInstance>,
    /// The certificates of every secret that the replica would send now, as fingerprints, by name.
    pub(crate) secrets: BTreeMap<String, Vec<String>>,
}

/// An open stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InstanceFacts {
    /// The id of the proxy: `mesh/shop/virtualNode/front`.
    pub(crate) id: String,
    /// What distinguishes the Envoy from others of the same resource; empty if it reported nothing.
    #[serde(default)]
    pub(crate) instance: String,
    /// Its address.
    pub(crate) peer: String,
    /// When the stream was opened, by the replica's clock.
    pub(crate) since: Timestamp,
    /// The `cluster` of its node.
    pub(crate) cluster: String,
    /// The client's name and version.
    pub(crate) user_agent: String,
    /// `sotw` or `delta`.
    pub(crate) protocol: String,
    /// The version of the proxy's whole snapshot at the replica; `None` if it has none.
    pub(crate) snapshot: Option<String>,
    /// Whether the proxy acknowledged that snapshot.
    pub(crate) up_to_date: bool,
    /// The sent and acknowledged versions by resource type.
    pub(crate) types: BTreeMap<String, TypeFacts>,
    /// The acknowledged secrets by name.
    pub(crate) secrets: BTreeMap<String, SecretFacts>,
}

/// The versions of one resource type.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TypeFacts {
    /// The version sent last.
    pub(crate) sent: Option<String>,
    /// The version acknowledged last.
    pub(crate) acknowledged: Option<String>,
    /// The last refusal.
    pub(crate) nack: Option<NackFacts>,
}

/// A refused version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NackFacts {
    /// The version.
    pub(crate) version: String,
    /// The message of the proxy.
    pub(crate) message: String,
}

/// An acknowledged secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SecretFacts {
    /// The acknowledged version.
    pub(crate) version: String,
    /// Its certificates with the end of their validity; `None` if they are not known any more.
    pub(crate) certificates: Option<Vec<(String, Timestamp)>>,
}

/// An instance that disconnected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeftInstance {
    /// The id of the proxy.
    pub(crate) id: String,
    /// What distinguishes the Envoy; empty if it reported nothing.
    #[serde(default)]
    pub(crate) instance: String,
    /// When the first of its consecutive streams was opened, by the replica's clock.
    pub(crate) first: Timestamp,
    /// When the last of them was opened.
    pub(crate) since: Timestamp,
    /// When the last of them ended.
    pub(crate) at: Timestamp,
}
