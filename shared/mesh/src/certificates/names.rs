//! The names in a certificate, and their match with a wanted name.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::spec::{ServiceDiscovery, VirtualNodeSpec};

/// The names of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateNames {
    /// The common name of its subject, which proxies ignore.
    pub common: Option<String>,
    /// DNS names.
    pub dns: Vec<String>,
    /// URIs, for example SPIFFE ids.
    pub uris: Vec<String>,
    /// IP addresses.
    pub addresses: Vec<IpAddr>,
}

impl CertificateNames {
    /// Whether a certificate with these names is valid for `wanted`, which may be a host, an address or a URI. A
    /// wildcard matches exactly the first label.
    #[must_use]
    pub fn cover(&self, wanted: &str) -> bool {
        if wanted.contains("://") {
            self.uris.iter().any(|uri| uri == wanted)
        } else if let Ok(address) = wanted.parse::<IpAddr>() {
            self.addresses.contains(&address)
        } else {
            self.dns.iter().any(|name| host_matches(name, wanted))
        }
    }

    /// All names except the common name.
    #[must_use]
    pub fn all(&self) -> Vec<String> {
        let addresses = self.addresses.iter().map(ToString::to_string);
        self.dns.iter().chain(&self.uris).cloned().chain(addresses).collect()
    }
}

fn host_matches(name: &str, wanted: &str) -> bool {
    if name.eq_ignore_ascii_case(wanted) {
        return true;
    }
    let (Some(parent), Some((label, rest))) = (name.strip_prefix("*."), wanted.split_once('.')) else {
        return false;
    };
    !label.is_empty() && parent.eq_ignore_ascii_case(rest)
}

/// The name by which a virtual node is discovered: a client without configured names expects it in the certificate.
/// `None` if the node has no service discovery, or one of an unknown type.
#[must_use]
pub fn discovery_name(node: &VirtualNodeSpec) -> Option<String> {
    match node.service_discovery.as_ref()? {
        ServiceDiscovery::Dns(dns) => Some(dns.hostname.clone()),
        ServiceDiscovery::AwsCloudMap(map) => Some(format!("{}.{}", map.service_name, map.namespace_name)),
        ServiceDiscovery::Unrecognised(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_for_its_names_and_no_others() {
        let names = CertificateNames {
            common: Some("web.local".to_owned()),
            dns: vec!["Orders.local".to_owned(), "*.shop.local".to_owned()],
            uris: vec!["spiffe://shop/orders".to_owned()],
            addresses: vec!["10.0.0.1".parse().unwrap()],
        };
        for (wanted, expected) in [
            ("orders.LOCAL", true),
            ("a.shop.local", true),
            ("shop.local", false),
            ("a.b.shop.local", false),
            (".shop.local", false),
            ("web.local", false),
            ("*.shop.local", true),
            ("spiffe://shop/orders", true),
            ("spiffe://shop/Orders", false),
            ("10.0.0.1", true),
            ("10.0.0.2", false),
            ("", false),
        ] {
            assert_eq!(names.cover(wanted), expected, "{wanted}");
        }
    }
}
