//! When certificates are rotated, which of those outside of the mesh's own kinds are ours, and which CA follows which.

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::amounts::{Percent, Period};
use super::failover::{Budget, PagingPolicy};
use crate::certificates::{AuthorityArn, CertificateArn, SecretName};
use crate::name::{MeshName, ResourcePath};
use crate::spec::Port;

/// How certificates are rotated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CertificatesPolicy {
    /// The part of a certificate's lifetime that is left when it is renewed.
    pub renew_before: Percent,
    /// The largest part of a lifetime by which a renewal comes earlier, so that not all come at once.
    pub jitter: Percent,
    /// How long a new certificate takes to whoever presents it.
    pub lead_times: LeadTimes,
    /// The secrets of local secret discovery services that are ours.
    pub bundles: Vec<BundlePolicy>,
    /// What is to be known of imported certificates.
    pub imported: Vec<ImportedPolicy>,
    /// The CAs that are being replaced.
    pub successions: Vec<Succession>,
    /// Where listeners can be looked at whose proxies have their certificates from beside them.
    pub probes: Vec<ProbePolicy>,
    /// How the replacement of a CA goes.
    pub rollover: RolloverPolicy,
    /// How many certificates are issued in a window.
    pub budget: Budget,
    /// How long to wait after a failure.
    pub back_off: BackOffPolicy,
    /// How long a private CA may take for a certificate until another one is ordered; at most a quarter of the
    /// certificate's validity.
    pub issued_within: Period,
    /// How often people are told of the same thing.
    pub paging: PagingPolicy,
    /// How long something may be unreadable before a person is called: throttles and timeouts pass by themselves.
    pub unread_after: Period,
    /// Days before the end of a certificate or of any in its chain from which on it is a finding.
    pub expiry_days: u16,
}

impl Default for CertificatesPolicy {
    fn default() -> Self {
        Self {
            // Two thirds into the lifetime, rounded to the safe side.
            renew_before: Percent::constant(34),
            jitter: Percent::constant(5),
            lead_times: LeadTimes::default(),
            bundles: Vec::new(),
            imported: Vec::new(),
            successions: Vec::new(),
            probes: Vec::new(),
            rollover: RolloverPolicy::default(),
            budget: Budget { changes: 50, window: Period::minutes(60) },
            back_off: BackOffPolicy::default(),
            // A private CA takes seconds. An hour covers an incident of the service, and leaves days for another order.
            issued_within: Period::minutes(60),
            paging: PagingPolicy { repeat_after: Period::minutes(240), ..PagingPolicy::default() },
            // Six wakes. A renewal has weeks; whoever is called for each throttle soon looks at none of them.
            unread_after: Period::minutes(30),
            // Renewal is at two thirds of the lifetime, so what is this close to its end was not renewed.
            expiry_days: 30,
        }
    }
}

/// How long a new certificate takes to whoever presents it. A certificate is renewed at least this long before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LeadTimes {
    /// From ACM to the proxies. App Mesh allows itself 35 minutes; ten more are for clocks that differ and for a wake.
    pub acm: Period,
    /// From a secret to the socket beside the proxy.
    pub sds: Period,
}

impl Default for LeadTimes {
    fn default() -> Self {
        Self { acm: Period::minutes(45), sds: Period::minutes(15) }
    }
}

/// A secret of a secret discovery service that Meshwarden keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BundlePolicy {
    /// What the mesh calls it.
    pub secret_name: SecretName,
    /// The name or ARN of the secret that holds it.
    pub secret: String,
    /// The CA that issues its certificate; unset for one that holds trust only, or where the CA that issued the present
    /// certificate is known.
    #[serde(default)]
    pub authority: Option<AuthorityArn>,
}

/// What is to be known of an imported certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImportedPolicy {
    /// Which.
    pub certificate: CertificateArn,
    /// The CA that issues it; unset where the CA that issued the present one is known.
    #[serde(default)]
    pub authority: Option<AuthorityArn>,
    /// The name or ARN of a secret that holds the same certificate with its key, so that proxies can have it: ACM never
    /// gives the key of an imported one. Both are renewed together.
    #[serde(default)]
    pub secret: Option<String>,
}

/// Where the listeners of a virtual node or gateway can be looked at, by a TLS handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProbePolicy {
    /// Whose.
    #[schemars(with = "String")]
    pub proxy: ResourcePath,
    /// The listener's port in the mesh; unset, every listener is behind these addresses.
    #[serde(default)]
    #[schemars(with = "Option<u16>")]
    pub listener: Option<Port>,
    /// The addresses, as in `pay.shop.local:8080`. They stand for every proxy of it: a host name for all that it resolves
    /// to.
    #[schemars(length(min = 1))]
    pub addresses: Vec<HostPort>,
}

impl ProbePolicy {
    /// Whether it is about a listener.
    #[must_use]
    pub fn is_of(&self, proxy: &ResourcePath, listener: Port) -> bool {
        self.proxy == *proxy && self.listener.is_none_or(|port| port == listener)
    }
}

/// A host and a port, as in `pay.shop.local:8080` or `[::1]:8080`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct HostPort {
    host: String,
    port: u16,
}

impl HostPort {
    /// The host: a name or an address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl TryFrom<String> for HostPort {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no address; give HOST:PORT");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port: u16 = port.parse().map_err(|_| wrong())?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let is_host = bare.parse::<std::net::IpAddr>().is_ok() || (bare == host && bare.bytes().all(is_name));
        if bare.is_empty() || port == 0 || !is_host || (bare.contains(':') && bare == host) {
            return Err(wrong());
        }
        Ok(Self { host: bare.to_owned(), port })
    }
}

impl From<HostPort> for String {
    fn from(address: HostPort) -> Self {
        address.to_string()
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A CA that is replaced by another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Succession {
    /// The old one.
    pub from: AuthorityArn,
    /// The new one.
    pub to: AuthorityArn,
}

/// How the replacement of a CA goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RolloverPolicy {
    /// The virtual node or gateway that changes first; unset, the one with the fewest neighbours.
    #[schemars(with = "Option<String>")]
    pub canary: Option<ResourcePath>,
    /// Virtual nodes and gateways without any proxy, by somebody's word: nothing waits for them.
    #[schemars(with = "BTreeSet<String>")]
    pub absent: BTreeSet<ResourcePath>,
    /// Meshes that share no certificate and no secret with others, by somebody's word: while one of them can't be read,
    /// nothing outside of it waits for it.
    pub separate: BTreeSet<MeshName>,
    /// The old CA stays trusted.
    pub keep_old: bool,
}

/// How long to wait after a failure: twice as long each time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct BackOffPolicy {
    /// After the first.
    pub first: Period,
    /// At most. A certificate that ends is tried again sooner: after at most a quarter of the time that is left.
    pub most: Period,
    /// The number of failures in a row from which on they are paged.
    pub page_after: u8,
}

impl Default for BackOffPolicy {
    fn default() -> Self {
        // Four failures are half an hour: a CA that recovers by itself has done so by then.
        Self { first: Period::minutes(5), most: Period::minutes(240), page_after: 4 }
    }
}

impl CertificatesPolicy {
    /// The binding of a secret's name, if it is ours.
    #[must_use]
    pub fn bundle(&self, name: &SecretName) -> Option<&BundlePolicy> {
        self.bundles.iter().find(|bundle| bundle.secret_name == *name)
    }

    /// What is known of an imported certificate.
    #[must_use]
    pub fn imported(&self, certificate: &CertificateArn) -> Option<&ImportedPolicy> {
        self.imported.iter().find(|imported| imported.certificate == *certificate)
    }

    /// Who replaces a CA in the end, if anybody does.
    #[must_use]
    pub fn successor(&self, of: &AuthorityArn) -> Option<&AuthorityArn> {
        let next = |of: &AuthorityArn| self.successions.iter().find(|one| one.from == *of).map(|one| &one.to);
        let first = next(of)?;
        // The document has no circles, so this ends.
        Some(std::iter::successors(Some(first), |one| next(one)).last().unwrap_or(first))
    }

    /// The first thing in the document that can't hold together with another: its key and what to do.
    pub(super) fn contradiction(&self) -> Option<(String, String)> {
        let mut names = BTreeSet::new();
        for (index, bundle) in self.bundles.iter().enumerate() {
            if !names.insert(&bundle.secret_name) {
                let problem = format!("{} is bound already; keep one", bundle.secret_name);
                return Some((format!("certificates.bundles[{index}]"), problem));
            }
        }
        let mut secrets: BTreeSet<&str> = self.bundles.iter().map(|bundle| bundle.secret.as_str()).collect();
        for (index, imported) in self.imported.iter().enumerate() {
            if let Some(secret) = imported.secret.as_deref().filter(|secret| !secrets.insert(secret)) {
                // Two keepers would each put another key in it.
                let problem = format!("{secret} holds another certificate already; name a secret of its own");
                return Some((format!("certificates.imported[{index}].secret"), problem));
            }
        }
        let mut from = BTreeSet::new();
        for (index, one) in self.successions.iter().enumerate() {
            let key = || format!("certificates.successions[{index}]");
            if !from.insert(&one.from) {
                return Some((key(), format!("{} has a successor already; keep one", one.from)));
            }
            if self.leads_back(one) {
                return Some((key(), format!("{} would follow itself; successions have an end", one.from)));
            }
        }
        None
    }

    fn leads_back(&self, one: &Succession) -> bool {
        let mut to = &one.to;
        for _ in 0..=self.successions.len() {
            if *to == one.from {
                return true;
            }
            match self.successions.iter().find(|next| next.from == *to) {
                Some(next) => to = &next.to,
                None => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::HostPort;
    use crate::policy::Policy;

    #[test]
    fn a_whole_section_is_read() {
        let text = "
version: 1
certificates:
  renewBefore: 40
  jitter: 1
  leadTimes: {acm: 1h, sds: 1m}
  bundles:
    - {secretName: 'spiffe://shop/web', secret: mesh/web, authority: 'arn:a'}
  imported:
    - {certificate: 'arn:c', authority: 'arn:a', secret: mesh/orders}
  successions:
    - {from: 'arn:a', to: 'arn:b'}
    - {from: 'arn:b', to: 'arn:c'}
  rollover: {canary: mesh/shop/virtualNode/web, absent: [mesh/shop/virtualNode/batch], separate: [lab], keepOld: true}
  probes:
    - {proxy: mesh/shop/virtualNode/pay, listener: 8080, addresses: ['pay.shop.local:8080', '[::1]:1']}
  unreadAfter: 1h
  budget: {changes: 3, window: 1h}
  backOff: {first: 1m, most: 1h}
";
        let policy = Policy::read(text).unwrap().certificates;
        let arn = crate::certificates::AuthorityArn::new;
        assert_eq!(policy.successor(&arn("arn:a")), Some(&arn("arn:c")));
        assert_eq!(policy.successor(&arn("arn:c")), None);
        assert_eq!(policy.bundles.len(), 1);
        assert!(policy.rollover.keep_old);
    }

    #[test]
    fn addresses_are_hosts_with_ports() {
        for text in ["pay.shop.local:8080", "127.0.0.1:1", "[::1]:443"] {
            assert_eq!(HostPort::try_from(text.to_owned()).unwrap().to_string(), text);
        }
        for text in ["", "pay", "pay:", ":80", "pay:0", "pay:70000", "::1:80", "a b:80", "[pay]:80", "http://pay:80"] {
            assert!(HostPort::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn contradictions_are_refused() {
        for (section, key) in [
            ("bundles: [{secretName: a, secret: b}, {secretName: a, secret: c}]", "certificates.bundles[1]"),
            (
                "bundles: [{secretName: a, secret: b}]\n  imported: [{certificate: c, secret: b}]",
                "certificates.imported[0].secret",
            ),
            ("imported: [{certificate: c, secret: b}, {certificate: d, secret: b}]", "certificates.imported[1].secret"),
            ("successions: [{from: a, to: b}, {from: a, to: c}]", "certificates.successions[1]"),
            ("successions: [{from: a, to: b}, {from: b, to: a}]", "certificates.successions[0]"),
            ("successions: [{from: x, to: a}, {from: a, to: b}, {from: b, to: a}]", "certificates.successions[0]"),
        ] {
            let error = Policy::read(&format!("version: 1\ncertificates:\n  {section}\n")).unwrap_err();
            assert_eq!(error.key, key, "{error}");
        }
    }
}
