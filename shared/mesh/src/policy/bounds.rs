//! The parts of the policy that give a rule its bounds.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Pattern, Percent};
use crate::name::ResourceKind;
use crate::spec::IpPreference;

/// How calls within a mesh are protected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TlsPolicy {
    /// The least that every call within a mesh must have.
    pub require: Protection,
}

impl Default for TlsPolicy {
    fn default() -> Self {
        Self { require: Protection::Tls }
    }
}

/// How a call is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protection {
    /// By TLS: nobody reads along, and the server has shown who it is.
    Tls,
    /// By mutual TLS: the client has too.
    Mtls,
}

/// How far retries and time limits may go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RoutingPolicy {
    /// How many tries one request may become at the end of a call path.
    #[schemars(range(min = 1))]
    pub retry_amplification: u32,
}

impl Default for RoutingPolicy {
    fn default() -> Self {
        // The service tries three times on its own: this allows three hops of it, and not four.
        Self { retry_amplification: 27 }
    }
}

/// How zones are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ResiliencePolicy {
    /// The tag of a virtual node, or the attribute of its Cloud Map instances, that names its zone.
    pub zone_keys: Vec<String>,
}

impl Default for ResiliencePolicy {
    fn default() -> Self {
        Self { zone_keys: vec!["zone".to_owned(), "availability-zone".to_owned(), "AVAILABILITY_ZONE".to_owned()] }
    }
}

/// The quotas of the server that holds the mesh, and how much of them may be used. AWS's service had quotas; without a
/// service there are none, unless the document names some.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct QuotaPolicy {
    /// The part of a quota from which on it is a finding, in percent.
    pub headroom: Percent,
    /// The quotas that hold where the members below name none.
    pub defaults: QuotaDefaults,
    /// Virtual nodes of a mesh (L-E043DFB4).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_nodes: Option<u32>,
    /// Virtual routers of a mesh (L-50F6C35A).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_routers: Option<u32>,
    /// Virtual services of a mesh (L-DA7495A7).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_services: Option<u32>,
    /// Virtual gateways of a mesh (L-87E74146).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_gateways: Option<u32>,
    /// Routes of a virtual router (L-BB90B7FF).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routes_per_router: Option<u32>,
    /// Gateway routes of a virtual gateway (L-F6F26D09).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routes_per_gateway: Option<u32>,
    /// Backends of a virtual node (L-8775AB18).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backends_per_node: Option<u32>,
}

/// Which quotas hold where none is named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum QuotaDefaults {
    /// None.
    #[default]
    None,
    /// The defaults that App Mesh had as a service of AWS.
    Aws,
}

impl Default for QuotaPolicy {
    fn default() -> Self {
        Self {
            headroom: Percent::constant(80),
            defaults: QuotaDefaults::None,
            virtual_nodes: None,
            virtual_routers: None,
            virtual_services: None,
            virtual_gateways: None,
            routes_per_router: None,
            routes_per_gateway: None,
            backends_per_node: None,
        }
    }
}

impl QuotaPolicy {
    /// The quota of a kind: what the document names, else `aws` where the defaults are those of AWS.
    #[must_use]
    pub fn quota(&self, named: Option<u32>, aws: u32) -> Option<u32> {
        named.or(match self.defaults {
            QuotaDefaults::None => None,
            QuotaDefaults::Aws => Some(aws),
        })
    }
}

/// What names look like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NamingPolicy {
    /// By kind, what the whole of a resource's name must look like, as a regular expression.
    pub patterns: BTreeMap<ResourceKind, Pattern>,
}

/// How environments are told, and kept apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EnvironmentPolicy {
    /// The tag that names a resource's environment.
    pub tag: String,
    /// The environments by name, each with what it is also called. Without a tag, a resource is taken to be of the
    /// environment whose name is a word of its own name, as `staging` is in `cart-staging`.
    pub names: BTreeMap<String, Vec<String>>,
}

impl Default for EnvironmentPolicy {
    fn default() -> Self {
        let name = |name: &str, others: &[&str]| {
            (name.to_owned(), others.iter().map(|other| (*other).to_owned()).collect::<Vec<_>>())
        };
        Self {
            tag: "environment".to_owned(),
            names: BTreeMap::from([
                name("production", &["prod", "prd"]),
                name("staging", &["stage", "stg"]),
                name("test", &["qa", "uat"]),
                name("development", &["dev"]),
            ]),
        }
    }
}

/// Which addresses are used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AddressPolicy {
    /// The IP preference that meshes and virtual nodes must have. Absent: any will do.
    pub ip_preference: Option<RequiredPreference>,
}

/// An IP preference that is required.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RequiredPreference {
    /// IPv6, else IPv4.
    #[serde(rename = "IPv6_PREFERRED")]
    Ipv6Preferred,
    /// IPv4, else IPv6.
    #[serde(rename = "IPv4_PREFERRED")]
    Ipv4Preferred,
    /// IPv4.
    #[serde(rename = "IPv4_ONLY")]
    Ipv4Only,
    /// IPv6.
    #[serde(rename = "IPv6_ONLY")]
    Ipv6Only,
}

impl From<RequiredPreference> for IpPreference {
    fn from(preference: RequiredPreference) -> Self {
        match preference {
            RequiredPreference::Ipv6Preferred => Self::Ipv6Preferred,
            RequiredPreference::Ipv4Preferred => Self::Ipv4Preferred,
            RequiredPreference::Ipv4Only => Self::Ipv4Only,
            RequiredPreference::Ipv6Only => Self::Ipv6Only,
        }
    }
}

impl RoutingPolicy {
    /// What can't be meant: its key and what to do.
    pub(super) fn contradiction(&self) -> Option<(String, String)> {
        (self.retry_amplification == 0).then(|| {
            let problem = "one request is one try already; give at least 1".to_owned();
            ("routing.retryAmplification".to_owned(), problem)
        })
    }
}

impl EnvironmentPolicy {
    /// The environment that a word names.
    #[must_use]
    pub fn named<'p>(&'p self, word: &str) -> Option<&'p str> {
        let is = |name: &str| name.eq_ignore_ascii_case(word);
        let found = self.names.iter().find(|(name, others)| is(name) || others.iter().any(|other| is(other)));
        found.map(|(name, _)| name.as_str())
    }

    /// The environment that a word of a name names, if one does and no other.
    #[must_use]
    pub fn of_name<'p>(&'p self, name: &str) -> Option<&'p str> {
        let words = name.split(|c: char| !c.is_ascii_alphanumeric());
        let mut found = words.filter_map(|word| self.named(word));
        let first = found.next()?;
        found.all(|other| other == first).then_some(first)
    }

    /// The first thing that can't hold together with another: its key and what to do.
    pub(super) fn contradiction(&self) -> Option<(String, String)> {
        let mut owners: BTreeMap<String, &String> = BTreeMap::new();
        for (name, others) in &self.names {
            for word in std::iter::once(name).chain(others) {
                if let Some(earlier) = owners.insert(word.to_ascii_lowercase(), name)
                    && earlier != name
                {
                    let problem = format!("`{word}` is what environment {earlier} is called already");
                    return Some((format!("environments.names.{name}"), problem));
                }
            }
        }
        None
    }
}
