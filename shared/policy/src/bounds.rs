//! The bounds of single rules.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Pattern, Percent};
use mesh::name::ResourceKind;
use mesh::spec::IpPreference;

/// The required protection of calls within a mesh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TlsPolicy {
    /// The minimum protection of every call within a mesh.
    pub require: Protection,
}

impl Default for TlsPolicy {
    fn default() -> Self {
        Self { require: Protection::Tls }
    }
}

/// The protection of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protection {
    /// TLS: the call is encrypted, and the server is authenticated.
    Tls,
    /// Mutual TLS: the client is authenticated, too.
    Mtls,
}

/// The bounds of retries and timeouts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RoutingPolicy {
    /// The maximum number of attempts that one request may cause at the end of a call path.
    #[schemars(range(min = 1))]
    pub retry_amplification: u32,
}

impl Default for RoutingPolicy {
    fn default() -> Self {
        // Three attempts per service are common: this permits three hops of it, but not four.
        Self { retry_amplification: 27 }
    }
}

/// The definition of zones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ResiliencePolicy {
    /// The tag of a virtual node, or the attribute of its Cloud Map instances, with the name of its zone.
    pub zone_keys: Vec<String>,
}

impl Default for ResiliencePolicy {
    fn default() -> Self {
        Self { zone_keys: vec!["zone".to_owned(), "availability-zone".to_owned(), "AVAILABILITY_ZONE".to_owned()] }
    }
}

/// The quotas of the server that holds the mesh. AWS's service had quotas; without that service there are none, unless
/// the policy sets them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct QuotaPolicy {
    /// The used part of a quota, in percent, from which on it is a finding.
    pub headroom: Percent,
    /// The quotas for kinds that the members below do not set.
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

/// The default quotas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum QuotaDefaults {
    /// No quota applies by default.
    #[default]
    None,
    /// The defaults of App Mesh as an AWS service.
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
    /// The quota of a kind: the configured one, else `aws` if the defaults are those of AWS.
    #[must_use]
    pub fn quota(&self, named: Option<u32>, aws: u32) -> Option<u32> {
        named.or(match self.defaults {
            QuotaDefaults::None => None,
            QuotaDefaults::Aws => Some(aws),
        })
    }
}

/// The required form of names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NamingPolicy {
    /// By kind, a regular expression that the whole name of a resource must match.
    pub patterns: BTreeMap<ResourceKind, Pattern>,
}

/// The definition of environments, which must be separate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EnvironmentPolicy {
    /// The tag with the name of a resource's environment.
    pub tag: String,
    /// The environments by name, each with its aliases. A resource without the tag belongs to the environment with a
    /// name that is a word of the resource's name, like `staging` in `cart-staging`.
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

/// The address families that are used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AddressPolicy {
    /// The IP preference that meshes and virtual nodes must have. Absent: any.
    pub ip_preference: Option<RequiredPreference>,
}

/// A required IP preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RequiredPreference {
    /// IPv6, IPv4 as fallback.
    #[serde(rename = "IPv6_PREFERRED")]
    Ipv6Preferred,
    /// IPv4, IPv6 as fallback.
    #[serde(rename = "IPv4_PREFERRED")]
    Ipv4Preferred,
    /// IPv4 only.
    #[serde(rename = "IPv4_ONLY")]
    Ipv4Only,
    /// IPv6 only.
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
    /// The first contradiction: its key and its remedy.
    pub(super) fn contradiction(&self) -> Option<(String, String)> {
        (self.retry_amplification == 0).then(|| {
            let problem = "invalid number of attempts: expected at least 1".to_owned();
            ("routing.retryAmplification".to_owned(), problem)
        })
    }
}

impl EnvironmentPolicy {
    /// The environment with this name or alias.
    #[must_use]
    pub fn named<'p>(&'p self, word: &str) -> Option<&'p str> {
        let is = |name: &str| name.eq_ignore_ascii_case(word);
        let found = self.names.iter().find(|(name, others)| is(name) || others.iter().any(|other| is(other)));
        found.map(|(name, _)| name.as_str())
    }

    /// The environment that the words of a name identify, if exactly one.
    #[must_use]
    pub fn of_name<'p>(&'p self, name: &str) -> Option<&'p str> {
        let words = name.split(|c: char| !c.is_ascii_alphanumeric());
        let mut found = words.filter_map(|word| self.named(word));
        let first = found.next()?;
        found.all(|other| other == first).then_some(first)
    }

    /// The first contradiction: its key and its remedy.
    pub(super) fn contradiction(&self) -> Option<(String, String)> {
        let mut owners: BTreeMap<String, &String> = BTreeMap::new();
        for (name, others) in &self.names {
            for word in std::iter::once(name).chain(others) {
                if let Some(earlier) = owners.insert(word.to_ascii_lowercase(), name)
                    && earlier != name
                {
                    let problem = format!("`{word}` is already a name of environment {earlier}");
                    return Some((format!("environments.names.{name}"), problem));
                }
            }
        }
        None
    }
}
