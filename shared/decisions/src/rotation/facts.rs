//! The input of a decision: one observation of the certificates of all meshes.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::key_match::KeyMatch;
use super::record::RotationRecord;
use super::trust_id::TrustId;
use crate::decision::KillSwitchFact;
use mesh::certificates::{
    AuthorityArn, Certificate, CertificateArn, CertificateSource, Chain, Fingerprint, SourceReading,
};
use mesh::name::{MeshName, ResourcePath};
use mesh::spec::Port;
use policy::Mode;

/// One observation of the certificates of all meshes. A recorded observation gives the same decisions when
/// it is replayed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RotationFacts {
    /// The meshes, all that may share certificates together.
    pub meshes: BTreeMap<MeshName, MeshFacts>,
    /// All presented leaves.
    pub leaves: Vec<LeafFacts>,
    /// All trust stores.
    pub trusts: Vec<TrustFacts>,
    /// Which leaf is verified by which trust.
    pub meetings: BTreeSet<LeafVerification>,
    /// The private CAs that the meshes or the policy name, including successors.
    pub authorities: Vec<AuthorityFacts>,
    /// The private CAs that could not be read, with the error.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unread_authorities: BTreeMap<AuthorityArn, String>,
    /// The kill switch, if it is on.
    pub kill_switch: Option<KillSwitchFact>,
    /// The number of issuances in the current budget window.
    pub budget_used: u32,
}

/// One mesh.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MeshFacts {
    /// Whether decisions are executed in this mesh, or only reported.
    pub mode: Mode,
    /// The names of the subjects in this mesh that other meshes may share. If the mesh could not be read completely,
    /// the facts contain nothing else of it.
    pub has: SourceReading<BTreeSet<String>>,
    /// The stored record of the mesh.
    pub memory: RotationMemory,
}

/// One verification of a leaf: a client verifies its server, or a server verifies its client.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeafVerification {
    /// The leaf.
    pub leaf: CertificateSource,
    /// The proxy that presents the leaf.
    pub presenter: ResourcePath,
    /// The trust that the leaf is verified by.
    pub trust: TrustId,
    /// The proxy that verifies the leaf.
    pub verifier: ResourcePath,
}

/// A private CA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorityFacts {
    /// The CA.
    pub arn: AuthorityArn,
    /// Why it does not issue certificates; `None` if it does.
    pub inactive: Option<String>,
    /// Its certificate.
    pub certificate: Certificate,
    /// The certificates from its issuer up to the root; empty for a root.
    pub issuers: Vec<Certificate>,
}

impl AuthorityFacts {
    /// The root of every certificate that it issues.
    #[must_use]
    pub fn root(&self) -> &Certificate {
        self.issuers.last().unwrap_or(&self.certificate)
    }

    /// The certificates behind its leaves: its own and its issuers'.
    #[must_use]
    pub fn chain(&self) -> Chain {
        Chain { leaf: self.certificate.clone(), others: self.issuers.clone() }
    }

    /// Its own certificate and those of its issuers.
    pub fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        std::iter::once(&self.certificate).chain(&self.issuers)
    }

    /// Whether trust in the given certificate includes the leaves of this CA.
    #[must_use]
    pub fn is_reached_by(&self, trusted: &Certificate) -> bool {
        self.certificates().any(|one| one.fingerprint == trusted.fingerprint)
    }

    /// The earliest end of its validity and its issuers' validity; no leaf should be valid longer.
    #[must_use]
    pub fn ends(&self) -> Timestamp {
        let issuers = self.issuers.iter().map(|one| one.not_after);
        issuers.fold(self.certificate.not_after, Timestamp::min)
    }
}

/// The acknowledged state of one proxy, over all its streams.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Acknowledgement {
    /// All streams have acknowledged the same certificates: the leaf, or the roots.
    Acknowledged(BTreeSet<Fingerprint>),
    /// At least one stream has not acknowledged the current version.
    Outstanding,
    /// The state is unknown, for the given reason.
    Unknown(String),
}

/// A presented leaf.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeafFacts {
    /// The source of the certificate.
    pub source: CertificateSource,
    /// The proxies that present it, with their acknowledged state.
    pub users: BTreeMap<ResourcePath, Acknowledgement>,
    /// The store that holds it.
    pub keeper: Keeper,
    /// The certificate in the store.
    pub current: SourceReading<Chain>,
    /// Whether it was revoked.
    pub revoked: bool,
    /// The stored record of the certificate.
    pub memory: RotationMemory,
}

/// The store that holds a certificate, with the observed state of its renewal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kept", rename_all = "kebab-case")]
pub enum Keeper {
    /// ACM, with a certificate of a private CA.
    Private(Box<PrivateFacts>),
    /// ACM, with an imported certificate. Optionally a secret has the same key, for proxies that cannot use ACM.
    Imported {
        /// The CA that the policy names.
        authority: Option<AuthorityArn>,
        /// That secret, if it holds the same certificate, or the pending one that ACM has already imported from it.
        bundle: Option<BundleFacts>,
        /// The secret that the policy names, if it holds a different certificate.
        differs: Option<String>,
    },
    /// A secret that Meshwarden manages.
    Bundle {
        /// The CA that the policy names.
        authority: Option<AuthorityArn>,
        /// The secret.
        bundle: BundleFacts,
    },
    /// A store that Meshwarden does not manage.
    NotOurs {
        /// Why Meshwarden does not manage it.
        why: String,
    },
}

/// A private certificate in ACM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PrivateFacts {
    /// Its ARN.
    pub arn: CertificateArn,
    /// The CA behind it, if ACM returns it.
    pub authority: Option<AuthorityArn>,
    /// Whether ACM would renew it now; `None` if ACM does not return it. ACM never renews a certificate that
    /// was not exported.
    pub eligible: Option<bool>,
    /// The state of its renewal.
    pub renewal: RenewalFact,
    /// The certificates that were requested to replace it.
    pub replacements: Vec<Replacement>,
    /// The listeners that use it.
    pub listeners: Vec<(ResourcePath, Port)>,
    /// The certificate that it replaces, until that one is tagged as superseded.
    pub supersedes: Option<CertificateArn>,
}

/// The state of a renewal by ACM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "renewal", rename_all = "kebab-case")]
pub enum RenewalFact {
    /// No renewal is in progress.
    None,
    /// A renewal is in progress.
    UnderWay,
    /// The renewal failed, or waits for an operator.
    Stuck {
        /// ACM's reason, for example `PCA_ACCESS_DENIED`.
        reason: Option<String>,
        /// When ACM reported that state.
        at: Timestamp,
    },
}

/// A certificate that was requested to replace another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replacement {
    /// Its ARN.
    pub arn: CertificateArn,
    /// The CA that it was requested from.
    pub authority: Option<AuthorityArn>,
    /// The state of the request.
    pub state: ReplacementState,
}

/// The state of a requested certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ReplacementState {
    /// It is being issued.
    Pending,
    /// It was issued.
    Issued(Box<Chain>),
    /// Its issuance failed, for the given reason.
    Failed(String),
}

/// A secret with a key and a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BundleFacts {
    /// Its name or ARN.
    pub secret: String,
    /// The current version.
    pub current: Option<String>,
    /// The pending version.
    pub pending: Option<Pending>,
    /// Whether Secrets Manager's own rotation is enabled.
    pub rotated_by_others: bool,
    /// Whether the private key of the current version belongs to its certificate.
    #[serde(default, skip_serializing_if = "KeyMatch::is_not_compared")]
    pub key: KeyMatch,
}

/// A pending version of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "pending", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Pending {
    /// A key and a request for its certificate.
    Requested {
        /// The version.
        version: String,
        /// Whether its roots differ from the current version's; promoting it would restore the roots it has.
        #[serde(default, skip_serializing_if = "is_false")]
        other_trust: bool,
    },
    /// A key and its certificate.
    Issued {
        /// The version.
        version: String,
        /// The certificate.
        chain: Box<Chain>,
        /// Whether the key belongs to the certificate.
        #[serde(default, skip_serializing_if = "KeyMatch::is_not_compared")]
        key: KeyMatch,
        /// Whether its roots differ from the current version's; promoting it would restore the roots it has.
        #[serde(default, skip_serializing_if = "is_false")]
        other_trust: bool,
    },
    /// The current certificate with different roots.
    Trust {
        /// The version.
        version: String,
    },
    /// A version that cannot be read.
    Unreadable {
        /// The error.
        why: String,
    },
}

/// A trust store or policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrustFacts {
    /// The trust.
    pub id: TrustId,
    /// The proxies that use it, with their acknowledged state.
    pub users: BTreeMap<ResourcePath, Acknowledgement>,
    /// The trusted roots and CAs.
    pub declared: SourceReading<Vec<Trusted>>,
    /// The store that holds it.
    pub keeper: TrustKeeper,
    /// The stored record of the trust.
    pub memory: RotationMemory,
}

/// A trusted certificate: a root, or a CA below a root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trusted {
    /// The CA, if the trust names it by its ARN.
    pub authority: Option<AuthorityArn>,
    /// Its certificate.
    pub root: Certificate,
}

/// The store that holds a trust.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kept", rename_all = "kebab-case")]
pub enum TrustKeeper {
    /// The client policy, as ARNs of private CAs.
    Policy,
    /// No store: the client has no policy, and trusts the issuer of the server's certificate.
    Implicit {
        /// The names in the servers' certificates, for the policy to create.
        names: Vec<String>,
    },
    /// A secret that Meshwarden manages.
    Bundle(BundleFacts),
    /// A store that Meshwarden does not manage.
    NotOurs {
        /// Why Meshwarden does not manage it.
        why: String,
    },
}

/// The stored record of a subject, as read from the state table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RotationMemory {
    /// The state table has no record.
    None,
    /// The record.
    Record(Box<RotationRecord>),
    /// A document that this version cannot read, with the error.
    Unreadable(String),
    /// A record in the format of a newer version, which this version does not read.
    Newer {
        /// The version of the format.
        format: u64,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes members by reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}
