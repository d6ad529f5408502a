//! The rotation of certificates: renewal times, managed secrets, and successors of CAs.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::failover::{Budget, PagingPolicy};
use mesh::amounts::{Percent, Period};
use mesh::certificates::{AuthorityArn, CertificateArn, SecretName};
use mesh::host_port::HostPort;
use mesh::name::{MeshName, ResourcePath};
use mesh::spec::Port;

/// The settings of certificate rotation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CertificatesPolicy {
    /// The remaining part of a certificate's lifetime at its renewal.
    pub renew_before: Percent,
    /// The largest part of a lifetime by which a renewal is advanced, so that renewals are spread over time.
    pub jitter: Percent,
    /// The time that distributing a new certificate takes.
    pub lead_times: LeadTimes,
    /// The secrets of local secret discovery services that Meshwarden manages.
    pub bundles: Vec<BundlePolicy>,
    /// The settings of imported certificates.
    pub imported: Vec<ImportedPolicy>,
    /// The CAs that are being replaced.
    pub successions: Vec<Succession>,
    /// The addresses of listeners with certificates from files or secrets, for TLS probes.
    pub probes: Vec<ProbePolicy>,
    /// The rollover of CAs.
    pub rollover: RolloverPolicy,
    /// The budget of issuances.
    pub budget: Budget,
    /// The back-off after failures.
    pub back_off: BackOffPolicy,
    /// The time after which a certificate that a private CA has not issued is ordered again; at most a quarter of the
    /// certificate's validity.
    pub issued_within: Period,
    /// The intervals of repeated notifications.
    pub paging: PagingPolicy,
    /// The time after which an unreadable service pages: throttles and timeouts recover on their own.
    pub unread_after: Period,
    /// The number of days before the end of a certificate, or of any in its chain, from which on it is a finding.
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
            // Six invocations. A renewal has weeks; an operator paged for each throttle soon ignores all pages.
            unread_after: Period::minutes(30),
            // Renewal is at two thirds of the lifetime, so a certificate this close to its end was not renewed.
            expiry_days: 30,
        }
    }
}

/// The time that distributing a new certificate takes. A certificate is renewed at least this long before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LeadTimes {
    /// From ACM to the proxies. App Mesh takes up to 35 minutes; ten more cover clock skew and one interval
    /// of the schedule.
    pub acm: Period,
    /// From a secret to the secret discovery service of the proxy.
    pub sds: Period,
}

impl Default for LeadTimes {
    fn default() -> Self {
        Self { acm: Period::minutes(45), sds: Period::minutes(15) }
    }
}

/// A secret of a secret discovery service that Meshwarden manages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BundlePolicy {
    /// The name of the secret in the mesh.
    pub secret_name: SecretName,
    /// The name or ARN of the secret in Secrets Manager.
    pub secret: String,
    /// The CA that issues its certificate. Absent: the issuer of the present certificate; not needed for a secret with
    /// trust only.
    #[serde(default)]
    pub authority: Option<AuthorityArn>,
}

/// The settings of an imported certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImportedPolicy {
    /// The certificate.
    pub certificate: CertificateArn,
    /// The CA that issues it. Absent: the issuer of the present certificate.
    #[serde(default)]
    pub authority: Option<AuthorityArn>,
    /// The name or ARN of a secret with the same certificate and its key, for proxies that cannot use ACM: ACM never
    /// returns the key of an imported certificate. Both are renewed together.
    #[serde(default)]
    pub secret: Option<String>,
}

/// The addresses for TLS probes of a virtual node's or gateway's listeners.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProbePolicy {
    /// The virtual node or gateway.
    #[schemars(with = "String")]
    pub proxy: ResourcePath,
    /// The listener's port in the mesh. Absent: the addresses reach every listener.
    #[serde(default)]
    #[schemars(with = "Option<u16>")]
    pub listener: Option<Port>,
    /// The addresses, for example `pay.shop.local:8080`. They represent all its proxies; a host name represents all
    /// addresses that it resolves to.
    #[schemars(length(min = 1))]
    pub addresses: Vec<HostPort>,
}

impl ProbePolicy {
    /// Whether these addresses reach a listener.
    #[must_use]
    pub fn is_of(&self, proxy: &ResourcePath, listener: Port) -> bool {
        self.proxy == *proxy && self.listener.is_none_or(|port| port == listener)
    }
}

/// A CA and its successor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Succession {
    /// The old CA.
    pub from: AuthorityArn,
    /// The new CA.
    pub to: AuthorityArn,
}

/// The rollover of CAs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RolloverPolicy {
    /// The virtual node or gateway that changes first. Absent: the one with the fewest neighbours.
    #[schemars(with = "Option<String>")]
    pub canary: Option<ResourcePath>,
    /// Virtual nodes and gateways that are declared to have no proxy: no step waits for them.
    #[schemars(with = "BTreeSet<String>")]
    pub absent: BTreeSet<ResourcePath>,
    /// Meshes that are declared to share no certificate and no secret with others: an unreadable one of them blocks no
    /// change in other meshes.
    pub separate: BTreeSet<MeshName>,
    /// Whether the old CA stays trusted.
    pub keep_old: bool,
}

/// The back-off after failures; it doubles with each failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct BackOffPolicy {
    /// The back-off after the first failure.
    pub first: Period,
    /// The maximum back-off. For a certificate near its end it is shorter: at most a quarter of the remaining time.
    pub most: Period,
    /// The number of consecutive failures from which on they page.
    pub page_after: u8,
}

impl Default for BackOffPolicy {
    fn default() -> Self {
        // Four failures last half an hour; a CA that recovers on its own has done so by then.
        Self { first: Period::minutes(5), most: Period::minutes(240), page_after: 4 }
    }
}

impl CertificatesPolicy {
    /// The binding of a secret's name, if Meshwarden manages it.
    #[must_use]
    pub fn bundle(&self, name: &SecretName) -> Option<&BundlePolicy> {
        self.bundles.iter().find(|bundle| bundle.secret_name == *name)
    }

    /// The settings of an imported certificate.
    #[must_use]
    pub fn imported(&self, certificate: &CertificateArn) -> Option<&ImportedPolicy> {
        self.imported.iter().find(|imported| imported.certificate == *certificate)
    }

    /// The final successor of a CA, if it has one.
    #[must_use]
    pub fn successor(&self, of: &AuthorityArn) -> Option<&AuthorityArn> {
        let next = |of: &AuthorityArn| self.successions.iter().find(|one| one.from == *of).map(|one| &one.to);
        let first = next(of)?;
        // The policy has no cycles, so this terminates.
        Some(std::iter::successors(Some(first), |one| next(one)).last().unwrap_or(first))
    }

    /// The first contradiction in the document: its key and its remedy.
    pub(super) fn contradiction(&self) -> Option<(String, String)> {
        let mut names = BTreeSet::new();
        for (index, bundle) in self.bundles.iter().enumerate() {
            if !names.insert(&bundle.secret_name) {
                let problem = format!("{} is already bound; keep one binding", bundle.secret_name);
                return Some((format!("certificates.bundles[{index}]"), problem));
            }
        }
        let mut secrets: BTreeSet<&str> = self.bundles.iter().map(|bundle| bundle.secret.as_str()).collect();
        for (index, imported) in self.imported.iter().enumerate() {
            if let Some(secret) = imported.secret.as_deref().filter(|secret| !secrets.insert(secret)) {
                // Two managed sources would store different keys in it.
                let problem = format!("{secret} already holds another certificate; name a separate secret");
                return Some((format!("certificates.imported[{index}].secret"), problem));
            }
        }
        let mut from = BTreeSet::new();
        for (index, one) in self.successions.iter().enumerate() {
            let key = || format!("certificates.successions[{index}]");
            if !from.insert(&one.from) {
                return Some((key(), format!("{} already has a successor; keep one", one.from)));
            }
            if self.leads_back(one) {
                return Some((key(), format!("{} would succeed itself; remove the cycle", one.from)));
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
    use crate::Policy;

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
        let arn = mesh::certificates::AuthorityArn::new;
        assert_eq!(policy.successor(&arn("arn:a")), Some(&arn("arn:c")));
        assert_eq!(policy.successor(&arn("arn:c")), None);
        assert_eq!(policy.bundles.len(), 1);
        assert!(policy.rollover.keep_old);
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
