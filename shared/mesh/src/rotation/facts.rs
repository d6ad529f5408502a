//! What a decision is made from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::record::Record;
use crate::certificates::{
    AuthorityArn, Certificate, CertificateArn, Chain, FilePath, Fingerprint, Place, Reading, SecretName, Source,
};
use crate::failover::KillSwitchFact;
use crate::name::{MeshName, ResourcePath, VirtualServiceName};
use crate::policy::Mode;
use crate::spec::Port;

/// One observation of the certificates of all meshes. Recorded as it is, it gives the same decisions again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// The meshes, all that certificates are shared by together.
    pub meshes: BTreeMap<MeshName, MeshFacts>,
    /// Everything that is presented.
    pub leaves: Vec<LeafFacts>,
    /// Everything by which others are trusted.
    pub trusts: Vec<TrustFacts>,
    /// Who holds which leaf against which trust.
    pub meetings: BTreeSet<Meeting>,
    /// The private CAs that are named by anything, and those that were named as their successors.
    pub authorities: Vec<AuthorityFacts>,
    /// Those of them that could not be read, and why not.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unread_authorities: BTreeMap<AuthorityArn, String>,
    /// The kill switch, if it is on.
    pub kill_switch: Option<KillSwitchFact>,
    /// Issuances that this window has already seen.
    pub budget_used: u32,
}

/// A mesh as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MeshFacts {
    /// Whether what is decided is done there, or only told.
    pub mode: Mode,
    /// What it presents and trusts by that other meshes may have, too, as the subjects of decisions are called. Of one
    /// that could not be read whole, nothing else is among the facts.
    pub has: Reading<BTreeSet<String>>,
    /// What is remembered of it.
    pub memory: Memory,
}

/// A leaf that is shown by one proxy and checked by another: a server's by its client, or a client's by its server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Meeting {
    /// The leaf.
    pub leaf: Source,
    /// Who shows it.
    pub presenter: ResourcePath,
    /// What it is checked by.
    pub trust: TrustId,
    /// Who checks it.
    pub verifier: ResourcePath,
}

/// A private CA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorityFacts {
    /// Which.
    pub arn: AuthorityArn,
    /// Why it issues nothing; `None` where it does.
    pub inactive: Option<String>,
    /// Its certificate.
    pub certificate: Certificate,
    /// What leads from it to its root; empty for a root.
    pub issuers: Vec<Certificate>,
}

impl AuthorityFacts {
    /// The root that everything it issues leads to.
    #[must_use]
    pub fn root(&self) -> &Certificate {
        self.issuers.last().unwrap_or(&self.certificate)
    }

    /// What it issues, as far as trust goes: its own certificate and what leads to the root.
    #[must_use]
    pub fn chain(&self) -> Chain {
        Chain { leaf: self.certificate.clone(), others: self.issuers.clone() }
    }

    /// Its own certificate, and what leads to the root.
    pub fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        std::iter::once(&self.certificate).chain(&self.issuers)
    }

    /// Whether whoever trusts a certificate trusts what this CA issues.
    #[must_use]
    pub fn is_reached_by(&self, trusted: &Certificate) -> bool {
        self.certificates().any(|one| one.fingerprint == trusted.fingerprint)
    }

    /// When the first of it and its issuers ends: nothing that it issues should live longer.
    #[must_use]
    pub fn ends(&self) -> Timestamp {
        let issuers = self.issuers.iter().map(|one| one.not_after);
        issuers.fold(self.certificate.not_after, Timestamp::min)
    }
}

/// What a proxy has of something, over all its streams.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Held {
    /// Every one has acknowledged the same, with these certificates: the leaf, or the roots.
    Acknowledged(BTreeSet<Fingerprint>),
    /// At least one has not.
    Outstanding,
    /// Nobody can tell, and why.
    Unknown(String),
}

/// Something that is presented.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeafFacts {
    /// Where it comes from.
    pub source: Source,
    /// Who presents it, and what each of them has.
    pub users: BTreeMap<ResourcePath, Held>,
    /// Who keeps it.
    pub keeper: Keeper,
    /// What is kept.
    pub current: Reading<Chain>,
    /// Whether it was withdrawn.
    pub revoked: bool,
    /// What is remembered of it.
    pub memory: Memory,
}

/// Who keeps a certificate, and what can be seen of a renewal there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kept", rename_all = "kebab-case")]
pub enum Keeper {
    /// ACM, which has it from a private CA.
    Private(Box<PrivateFacts>),
    /// ACM, where it was imported. With a secret that holds the same key, for proxies that ACM can't serve.
    Imported {
        /// The CA that the policy names.
        authority: Option<AuthorityArn>,
        /// That secret, while it holds the same certificate or the one that ACM has got from it.
        bundle: Option<BundleFacts>,
        /// The secret that the policy names and that holds something else.
        differs: Option<String>,
    },
    /// A secret that is ours.
    Bundle {
        /// The CA that the policy names.
        authority: Option<AuthorityArn>,
        /// The secret.
        bundle: BundleFacts,
    },
    /// Somebody else.
    NotOurs {
        /// Why it is theirs.
        why: String,
    },
}

/// A private certificate in ACM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PrivateFacts {
    /// Its ARN.
    pub arn: CertificateArn,
    /// The CA behind it, where ACM tells.
    pub authority: Option<AuthorityArn>,
    /// Whether ACM would renew it now; `None` where that isn't said. One that was never exported it doesn't.
    pub eligible: Option<bool>,
    /// Its renewal.
    pub renewal: RenewalFact,
    /// Certificates that were requested in its place.
    pub replacements: Vec<Replacement>,
    /// The listeners that have it.
    pub listeners: Vec<(ResourcePath, Port)>,
    /// The certificate that it was requested in place of, until that one is marked.
    pub supersedes: Option<CertificateArn>,
}

/// How far a renewal by ACM is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "renewal", rename_all = "kebab-case")]
pub enum RenewalFact {
    /// None is under way.
    None,
    /// ACM is at it.
    UnderWay,
    /// ACM has given up, or waits for somebody.
    Stuck {
        /// Why, as in `PCA_ACCESS_DENIED`.
        reason: Option<String>,
        /// When that was so.
        at: Timestamp,
    },
}

/// A certificate that was requested in place of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replacement {
    /// Its ARN.
    pub arn: CertificateArn,
    /// The CA that it was asked of.
    pub authority: Option<AuthorityArn>,
    /// How far it is.
    pub state: ReplacementState,
}

/// How far a requested certificate is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ReplacementState {
    /// Being issued.
    Pending,
    /// Here it is.
    Issued(Box<Chain>),
    /// It won't come.
    Failed(String),
}

/// A secret with a key and a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BundleFacts {
    /// Its name or ARN.
    pub secret: String,
    /// The version that is served.
    pub current: Option<String>,
    /// The version that is prepared.
    pub pending: Option<Pending>,
    /// Secrets Manager rotates it itself.
    pub rotated_by_others: bool,
    /// Whether the private key of the current version belongs to its certificate.
    #[serde(default, skip_serializing_if = "KeyMatch::is_not_compared")]
    pub key: KeyMatch,
}

/// Whether the private key that lies next to a certificate belongs to it, by the public key (SPKI) of both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "match", rename_all = "kebab-case")]
pub enum KeyMatch {
    /// They were not compared, as in an observation that an earlier version recorded.
    #[default]
    NotCompared,
    /// It does.
    Same,
    /// It belongs to another certificate.
    Other,
    /// There is none.
    Missing,
    /// It could not be read.
    Unreadable {
        /// Why not. Says nothing of what it holds.
        why: String,
    },
}

impl KeyMatch {
    /// Whether they were not compared.
    #[must_use]
    pub const fn is_not_compared(&self) -> bool {
        matches!(self, Self::NotCompared)
    }
}

/// A prepared version of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "pending", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Pending {
    /// A key and a request for its certificate.
    Requested {
        /// The version.
        version: String,
        /// Whether the roots in it differ from those of the current version: promoted, it would put them back.
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
        /// Whether the roots in it differ from those of the current version: promoted, it would put them back.
        #[serde(default, skip_serializing_if = "is_false")]
        other_trust: bool,
    },
    /// The same certificate as now, and other trust.
    Trust {
        /// The version.
        version: String,
    },
    /// Something else.
    Unreadable {
        /// Why.
        why: String,
    },
}

/// Something by which others are trusted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrustFacts {
    /// Which.
    pub id: TrustId,
    /// Who trusts by it, and what each of them has.
    pub users: BTreeMap<ResourcePath, Held>,
    /// Who is trusted.
    pub declared: Reading<Vec<Trusted>>,
    /// Who keeps it.
    pub keeper: TrustKeeper,
    /// What is remembered of it.
    pub memory: Memory,
}

/// What is trusted: a root, or a CA below one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trusted {
    /// The CA by which it is named, where it is.
    pub authority: Option<AuthorityArn>,
    /// Its certificate.
    pub root: Certificate,
}

/// Who keeps trust.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kept", rename_all = "kebab-case")]
pub enum TrustKeeper {
    /// The client policy, as ARNs of private CAs.
    Policy,
    /// Nobody: the client has no policy, and trusts whoever issued the server's certificate.
    Implicit {
        /// The names in the certificates of the servers, for the policy that is to be made.
        names: Vec<String>,
    },
    /// A secret that is ours.
    Bundle(BundleFacts),
    /// Somebody else.
    NotOurs {
        /// Why it is theirs.
        why: String,
    },
}

/// What trust is told by. Written `policy:PLACE of RESOURCE`, `none:…`, `sds:NAME` or `file:PATH of RESOURCE`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "trust", rename_all = "kebab-case")]
pub enum TrustId {
    /// A client policy.
    Policy {
        /// Whose.
        by: ResourcePath,
        /// Which.
        at: Place,
    },
    /// The absence of one, towards a virtual service.
    Implicit {
        /// Whose.
        by: ResourcePath,
        /// Towards what.
        service: VirtualServiceName,
    },
    /// A secret of a secret discovery service.
    Sds {
        /// Its name.
        name: SecretName,
    },
    /// A file beside a proxy.
    File {
        /// Whose.
        by: ResourcePath,
        /// Which.
        path: FilePath,
    },
}

impl TrustId {
    /// Where a policy is, or would be made: a gateway has only its default.
    #[must_use]
    pub fn policy_place(&self) -> Option<(ResourcePath, Place)> {
        match self {
            Self::Policy { by, at } => Some((by.clone(), at.clone())),
            Self::Implicit { by: by @ ResourcePath::VirtualGateway(..), .. } => {
                Some((by.clone(), Place::BackendDefaults))
            }
            Self::Implicit { by, service } => Some((by.clone(), Place::Backend { service: service.clone() })),
            Self::Sds { .. } | Self::File { .. } => None,
        }
    }
}

impl fmt::Display for TrustId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy { by, at } => write!(f, "policy:{at} of {by}"),
            Self::Implicit { by, service } => write!(f, "none:{service} of {by}"),
            Self::Sds { name } => write!(f, "sds:{name}"),
            Self::File { by, path } => write!(f, "file:{path} of {by}"),
        }
    }
}

/// What the state table has of a certificate or of trust.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Memory {
    /// Nothing.
    None,
    /// Its record.
    Record(Box<Record>),
    /// Something that this version can't read.
    Unreadable(String),
    /// A record that a newer version has stored, in a format that this one does not read.
    Newer {
        /// The version of the format.
        format: u64,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes members by reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}
