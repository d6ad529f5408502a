//! Reads the current contents of ACM, the private CAs and the secrets.

use std::collections::{BTreeMap, BTreeSet};

use decisions::rotation::{
    AuthorityFacts, BundleFacts, KeyMatch, Pending, PrivateFacts, RenewalFact, Replacement, ReplacementState,
};
use mesh::certificates::{AuthorityArn, Certificate, CertificateArn, Chain, Fingerprint, SourceReading as Reading};
use ports::certificates::{
    AuthorityStatus, Bundle, CertificateKind, CertificateListed, CertificateStatus, Eligibility, PrivateKey,
    RenewalState, SecretId, Stage, StoredCertificate,
};
use ports::{Pace, PortError, PortErrorKind};

use crate::Ports;

/// The tag of a certificate that was requested to replace another: the ARN of the replaced certificate.
pub(crate) const REPLACES: &str = "meshwarden:replaces";
/// The tag of certificates that may be rotated: the template's role may export, import and renew only these.
pub(crate) const ROTATE: &str = "meshwarden:rotate";
/// The tag of a certificate that was replaced: the ARN of its replacement.
pub(crate) const SUPERSEDED_BY: &str = "meshwarden:superseded-by";

/// A certificate in ACM.
#[derive(Debug)]
pub(crate) struct InAcm {
    pub(crate) kind: Result<CertificateKind, String>,
    pub(crate) chain: Reading<Chain>,
    pub(crate) revoked: bool,
    /// The facts of a private certificate; its listeners are not known here.
    pub(crate) private: Option<PrivateFacts>,
    /// Whether ACM would not renew the certificate, because it is revoked or expired.
    pub(crate) needs_replacement: bool,
}

/// A secret that the policy binds.
#[derive(Debug)]
pub(crate) struct InSecret {
    pub(crate) facts: BundleFacts,
    pub(crate) chain: Reading<Chain>,
    pub(crate) trust: Reading<Vec<Certificate>>,
    /// Why the secret could not be read.
    pub(crate) unread: Option<String>,
}

impl InAcm {
    /// A certificate that could not be read.
    pub(crate) fn unread(why: String) -> Self {
        Self {
            kind: Err(why.clone()),
            chain: Reading::Unread(why),
            revoked: false,
            private: None,
            needs_replacement: false,
        }
    }
}

/// Reads a certificate of ACM.
pub(crate) async fn certificate(ports: &Ports, arn: &CertificateArn) -> Result<InAcm, PortError> {
    let known =
        ports::certificates::CertificateArn::parse(arn.as_str()).map_err(|error| no_name("certificate", error))?;
    let stored = ports.certificates.describe(&known).await?;
    let chain = match ports.certificates.chain(&known).await? {
        Some(chain) => {
            Chain::read(&chain.whole()).map_or_else(|error| Reading::Unread(error.to_string()), Reading::Known)
        }
        None => Reading::Unread("it is still being issued".to_owned()),
    };
    let needs_replacement = matches!(stored.status, CertificateStatus::Revoked | CertificateStatus::Expired);
    Ok(InAcm {
        revoked: stored.status == CertificateStatus::Revoked,
        private: (stored.kind == CertificateKind::Private).then(|| private(arn, &stored)),
        kind: Ok(stored.kind),
        needs_replacement,
        chain,
    })
}

fn private(arn: &CertificateArn, stored: &StoredCertificate) -> PrivateFacts {
    let renewal = match &stored.renewal {
        _ if stored.status == CertificateStatus::PendingValidation => RenewalFact::UnderWay,
        Some(renewal) => match &renewal.state {
            RenewalState::PendingAutoRenewal => RenewalFact::UnderWay,
            RenewalState::Success => RenewalFact::None,
            RenewalState::PendingValidation | RenewalState::Failed | RenewalState::Unrecognised(_) => {
                RenewalFact::Stuck { reason: renewal.reason.clone(), at: renewal.at }
            }
        },
        None => RenewalFact::None,
    };
    PrivateFacts {
        arn: arn.clone(),
        authority: stored.authority.as_ref().map(|authority| AuthorityArn::new(authority.as_str())),
        eligible: stored.eligibility.map(|eligibility| eligibility == Eligibility::Eligible),
        renewal,
        replacements: Vec::new(),
        listeners: Vec::new(),
        supersedes: None,
    }
}

/// Finds certificates that were requested to replace others, by the ARN of the replaced certificate. Also finds
/// certificates in use that replaced a certificate which is not marked yet.
pub(crate) async fn replacements(
    ports: &Ports,
    used: &BTreeSet<CertificateArn>,
    pace: &mut Pace,
) -> Result<(BTreeMap<CertificateArn, Vec<Replacement>>, BTreeMap<CertificateArn, CertificateArn>), PortError> {
    let mut replacements: BTreeMap<CertificateArn, Vec<Replacement>> = BTreeMap::new();
    let mut supersedes = BTreeMap::new();
    let listed = ports.certificates.list().await?;
    let private: Vec<CertificateListed> =
        listed.into_iter().filter(|listed| listed.kind == CertificateKind::Private).collect();
    let tagged = pace.each(private, |listed| async move { ports.certificates.tags(&listed.arn).await }).await;
    if let Some((_, error)) = tagged.failed.into_iter().next() {
        return Err(error);
    }
    for (listed, tags) in tagged.done {
        let Some(replaced) = tags.get(REPLACES).map(CertificateArn::new) else { continue };
        let arn = CertificateArn::new(listed.arn.as_str());
        if used.contains(&arn) {
            let old = ports::certificates::CertificateArn::parse(replaced.as_str()).ok();
            let marked = match &old {
                // A deleted certificate needs no mark.
                Some(old) => match ports.certificates.tags(old).await {
                    Ok(tags) => tags.contains_key(SUPERSEDED_BY),
                    Err(error) if error.kind == PortErrorKind::NotFound => true,
                    Err(error) => return Err(error),
                },
                None => true,
            };
            if !marked && !used.contains(&replaced) {
                supersedes.insert(arn, replaced);
            }
        } else if used.contains(&replaced) {
            let read = certificate(ports, &arn).await.unwrap_or_else(|error| InAcm::unread(error.to_string()));
            let state = match (&listed.status, read.chain) {
                (CertificateStatus::Failed | CertificateStatus::ValidationTimedOut, _) => {
                    ReplacementState::Failed("ACM could not issue it".to_owned())
                }
                (CertificateStatus::Revoked | CertificateStatus::Expired, _) => {
                    ReplacementState::Failed("it is revoked or expired".to_owned())
                }
                (_, Reading::Known(chain)) => ReplacementState::Issued(Box::new(chain)),
                (_, Reading::Unread(_)) => ReplacementState::Pending,
            };
            let authority = read.private.and_then(|private| private.authority);
            replacements.entry(replaced).or_default().push(Replacement { arn, authority, state });
        }
    }
    Ok((replacements, supersedes))
}

/// Reads a private CA.
pub(crate) async fn authority(ports: &Ports, arn: &AuthorityArn) -> Result<AuthorityFacts, PortError> {
    let known = ports::certificates::AuthorityArn::parse(arn.as_str()).map_err(|error| no_name("private CA", error))?;
    let described = ports.authorities.describe(&known).await?;
    let chain = ports.authorities.certificate(&known).await?;
    let broken = |error: mesh::certificates::ParseError| {
        PortError::new(format!("read the certificate of {arn}"), PortErrorKind::Other, error.to_string())
    };
    let chain = Chain::read(&chain.whole()).map_err(broken)?;
    let inactive = match described.status {
        AuthorityStatus::Active => None,
        AuthorityStatus::Creating => Some("it is being created".to_owned()),
        AuthorityStatus::PendingCertificate => Some("it waits for its own certificate".to_owned()),
        AuthorityStatus::Deleted => Some("it is deleted".to_owned()),
        AuthorityStatus::Disabled => Some("it is disabled".to_owned()),
        AuthorityStatus::Expired => Some("it has expired".to_owned()),
        AuthorityStatus::Failed => Some("its creation failed".to_owned()),
        AuthorityStatus::Unrecognised(status) => Some(format!("its state is `{status}`")),
    };
    Ok(AuthorityFacts { arn: arn.clone(), inactive, certificate: chain.leaf, issuers: chain.others })
}

impl InSecret {
    /// A secret that could not be read.
    pub(crate) fn unread(secret: &str, why: String) -> Self {
        let key = KeyMatch::NotCompared;
        let facts =
            BundleFacts { secret: secret.to_owned(), current: None, pending: None, rotated_by_others: false, key };
        Self { facts, chain: Reading::Unread(why.clone()), trust: Reading::Unread(why.clone()), unread: Some(why) }
    }
}

/// Reads a secret that the policy binds.
pub(crate) async fn secret(ports: &Ports, secret: &str) -> Result<InSecret, PortError> {
    let id = SecretId::parse(secret).map_err(|error| no_name("secret", error))?;
    let versions = ports.bundles.describe(&id).await?;
    let current = ports.bundles.read(&id, Stage::Current).await?;
    let (chain, trust) = if let Some(current) = &current {
        (chain_of(&current.bundle), trust_of(&current.bundle))
    } else {
        let nothing = || "the secret has no current version".to_owned();
        (Reading::Unread(nothing()), Reading::Unread(nothing()))
    };
    let at = |stage| versions.at.get(&stage).map(ToString::to_string);
    let pending = match at(Stage::Pending) {
        Some(version) => Some(match ports.bundles.read(&id, Stage::Pending).await {
            Ok(Some(stored)) => {
                let served = current.as_ref().map(|current| &current.bundle);
                pending(ports, stored.version.to_string(), &stored.bundle, &chain, served)
            }
            Ok(None) => Pending::Unreadable { why: format!("version {version} was deleted") },
            Err(error) if error.kind.may_heal() => return Err(error),
            Err(error) => Pending::Unreadable { why: error.to_string() },
        }),
        None => None,
    };
    let facts = BundleFacts {
        secret: secret.to_owned(),
        current: at(Stage::Current),
        pending,
        rotated_by_others: versions.rotated_by_others,
        key: current.as_ref().map_or(KeyMatch::NotCompared, |current| key_match(ports, &current.bundle, &chain)),
    };
    Ok(InSecret { facts, chain, trust, unread: None })
}

fn pending(
    ports: &Ports,
    version: String,
    bundle: &Bundle,
    current: &Reading<Chain>,
    served: Option<&Bundle>,
) -> Pending {
    let other_trust = served.is_some_and(|served| !is_same_trust(bundle, served));
    match (chain_of(bundle), &bundle.request) {
        (Reading::Known(chain), _) => match current {
            Reading::Known(current) if *current == chain => Pending::Trust { version },
            Reading::Known(_) | Reading::Unread(_) => {
                let chain = Reading::Known(chain);
                let key = key_match(ports, bundle, &chain);
                match chain {
                    Reading::Known(chain) => Pending::Issued { version, chain: Box::new(chain), key, other_trust },
                    Reading::Unread(why) => Pending::Unreadable { why },
                }
            }
        },
        (Reading::Unread(_), Some(_)) if bundle.chain.is_none() => Pending::Requested { version, other_trust },
        (Reading::Unread(_), _) if bundle.chain.is_none() && bundle.trust.is_some() => Pending::Trust { version },
        (Reading::Unread(why), _) => Pending::Unreadable { why },
    }
}

/// Whether two bundles hold the same roots, in any order and form.
fn is_same_trust(one: &Bundle, other: &Bundle) -> bool {
    let roots = |bundle: &Bundle| match trust_of(bundle) {
        Reading::Known(roots) => Some(roots.into_iter().map(|root| root.fingerprint).collect::<BTreeSet<_>>()),
        Reading::Unread(_) => None,
    };
    roots(one) == roots(other) && one.trust.is_some() == other.trust.is_some()
}

/// Whether the private key in a bundle belongs to its certificate.
fn key_match(ports: &Ports, bundle: &Bundle, chain: &Reading<Chain>) -> KeyMatch {
    match (&bundle.key, chain) {
        (_, Reading::Unread(_)) => KeyMatch::NotCompared,
        (None, Reading::Known(_)) => KeyMatch::Missing,
        (Some(key), Reading::Known(chain)) => key_belongs(ports, key, &chain.leaf),
    }
}

/// Whether a private key belongs to a certificate, by the public key of both.
pub(crate) fn key_belongs(ports: &Ports, key: &PrivateKey, leaf: &Certificate) -> KeyMatch {
    match ports.keys.public_key(key) {
        Ok(public) if Fingerprint::from_der(&public).as_str() == leaf.public_key => KeyMatch::Same,
        Ok(_) => KeyMatch::Other,
        Err(error) => KeyMatch::Unreadable { why: error.to_string() },
    }
}

fn chain_of(bundle: &Bundle) -> Reading<Chain> {
    match &bundle.chain {
        Some(chain) => {
            Chain::read(&chain.whole()).map_or_else(|error| Reading::Unread(error.to_string()), Reading::Known)
        }
        None => Reading::Unread("it has no certificate".to_owned()),
    }
}

fn trust_of(bundle: &Bundle) -> Reading<Vec<Certificate>> {
    match &bundle.trust {
        Some(pem) => Certificate::read_all(pem).map_or_else(|error| Reading::Unread(error.to_string()), Reading::Known),
        None => Reading::Unread("it has no roots".to_owned()),
    }
}

fn no_name(what: &str, error: impl std::fmt::Display) -> PortError {
    PortError::new(format!("name a {what}"), PortErrorKind::Other, error.to_string())
}
