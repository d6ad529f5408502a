use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Chain, PrivateKey, SecretId, VersionId};
use crate::PortError;

/// Keeps the bundles that local SDS sockets serve, as versions of secrets.
///
/// ```text
/// put_pending: key, request ─▶ put_pending: key, certificate ─▶ promote
///   AWSPENDING                   AWSPENDING                       AWSCURRENT, and what was current is AWSPREVIOUS
/// ```
#[async_trait]
pub trait SecretBundles: Send + Sync + std::fmt::Debug {
    /// Which versions there are, and at which stages.
    async fn describe(&self, secret: &SecretId) -> Result<SecretVersions, PortError>;

    /// The bundle at a stage; `None` where the secret has no version there.
    async fn read(&self, secret: &SecretId, stage: Stage) -> Result<Option<StoredBundle>, PortError>;

    /// Stores a bundle as this version, at [`Stage::Pending`] instead of what was there. Once stored, the same again is
    /// no change, and another bundle under the same version is a [`Conflict`](crate::PortErrorKind::Conflict).
    async fn put_pending(&self, secret: &SecretId, version: &VersionId, bundle: &Bundle) -> Result<(), PortError>;

    /// Makes `to` the current version if `from` is, which becomes the previous one; a
    /// [`Conflict`](crate::PortErrorKind::Conflict) otherwise. `from` is `None` for a secret without a current version.
    /// A version that is current is not pending any more, whatever labels it still has.
    async fn promote(&self, secret: &SecretId, from: Option<&VersionId>, to: &VersionId) -> Result<(), PortError>;
}

/// The stages of a secret's versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Prepared, not served.
    Pending,
    /// Served.
    Current,
    /// What was served before.
    Previous,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Current, Self::Previous];

    /// As Secrets Manager spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "AWSPENDING",
            Self::Current => "AWSCURRENT",
            Self::Previous => "AWSPREVIOUS",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The versions of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretVersions {
    /// The secret's ARN.
    pub arn: String,
    /// Which version is at which stage; other stages are left out.
    pub at: BTreeMap<Stage, VersionId>,
    /// The secret's tags.
    pub tags: BTreeMap<String, String>,
    /// Whether somebody has Secrets Manager rotate it.
    pub rotated_by_others: bool,
}

impl SecretVersions {
    /// The stages that a version is at.
    #[must_use]
    pub fn stages_of(&self, version: &VersionId) -> BTreeSet<Stage> {
        self.at.iter().filter(|(_, at)| *at == version).map(|(stage, _)| *stage).collect()
    }
}

/// A bundle with the version that it was read at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBundle {
    /// The version.
    pub version: VersionId,
    /// What it holds.
    pub bundle: Bundle,
}

/// What a secret holds: what is presented, what is trusted, or both.
///
/// Stored as a JSON object of PEM texts, members that are not there left out: `certificate` (the leaf alone), `chain`
/// (its issuers), `privateKey`, `signingRequest` (while the certificate is being issued) and `trust` (root certificates).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundle {
    /// The certificate and its issuers; not there while it is being issued.
    pub chain: Option<Chain>,
    /// Its key.
    pub key: Option<PrivateKey>,
    /// The request for the certificate, PEM; not there once it is issued.
    pub request: Option<String>,
    /// The roots that peers are held against, PEM.
    pub trust: Option<String>,
}

/// Why a secret is not a bundle. Says nothing of what it holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Not JSON, or a member that is no text.
    #[error(
        "it is not a JSON object of PEM texts: line {line}, column {column}; members are `certificate`, `chain`, \
         `privateKey`, `signingRequest` and `trust`"
    )]
    Malformed {
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// Issuers of nothing.
    #[error("`chain` is there without `certificate`")]
    ChainAlone,
    /// Binary, and no text.
    #[error("it holds bytes; write the bundle as its text")]
    Binary,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    certificate: Option<String>,
    chain: Option<String>,
    private_key: Option<String>,
    signing_request: Option<String>,
    trust: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Writing<'b> {
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<&'b str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chain: Option<&'b str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_key: Option<&'b str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signing_request: Option<&'b str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trust: Option<&'b str>,
}

impl Bundle {
    /// Reads the text of a secret. Members that are not known here are left alone.
    pub fn parse(text: &str) -> Result<Self, BundleError> {
        // The message of the parser quotes what it stumbled over, which may be the key: only the place is told.
        let written: Written = serde_json::from_str(text)
            .map_err(|error| BundleError::Malformed { line: error.line(), column: error.column() })?;
        let Written { certificate, chain, private_key, signing_request, trust } = written;
        let key = private_key.map(|pem| PrivateKey::new(Zeroizing::new(pem)));
        let chain = match (certificate, chain) {
            (Some(leaf), issuers) => Some(Chain { leaf, issuers: issuers.unwrap_or_default() }),
            (None, None) => None,
            (None, Some(_)) => return Err(BundleError::ChainAlone),
        };
        Ok(Self { chain, key, request: signing_request, trust })
    }

    /// The text that the secret holds.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        let writing = Writing {
            certificate: self.chain.as_ref().map(|chain| chain.leaf.as_str()),
            chain: self.chain.as_ref().map(|chain| chain.issuers.as_str()).filter(|issuers| !issuers.is_empty()),
            private_key: self.key.as_ref().map(PrivateKey::pem),
            signing_request: self.request.as_deref(),
            trust: self.trust.as_deref(),
        };
        // Large enough from the start: a buffer that grows leaves copies behind that nobody wipes. Escapes of line ends
        // are what makes the text longer than its parts.
        let parts = [writing.certificate, writing.chain, writing.private_key, writing.signing_request, writing.trust];
        let size = parts.iter().flatten().map(|part| part.len() + part.len() / 8 + 64).sum::<usize>() + 256;
        let mut text = Zeroizing::new(Vec::with_capacity(size));
        // Texts only, into memory: nothing in it can fail.
        drop(serde_json::to_writer(&mut *text, &writing));
        Zeroizing::new(String::from_utf8(std::mem::take(&mut *text)).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> PrivateKey {
        PrivateKey::new(Zeroizing::new("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n".into()))
    }

    #[test]
    fn a_bundle_comes_back_as_it_was_written() {
        let chain = |issuers: &str| Some(Chain { leaf: "leaf\n".into(), issuers: issuers.into() });
        for bundle in [
            Bundle::default(),
            Bundle { key: Some(key()), request: Some("csr".into()), ..Bundle::default() },
            Bundle { chain: chain(""), key: Some(key()), ..Bundle::default() },
            Bundle { chain: chain("ca\n"), key: Some(key()), trust: Some("\"root\"\n".into()), request: None },
            Bundle { trust: Some("roots".into()), ..Bundle::default() },
        ] {
            assert_eq!(Bundle::parse(&bundle.text()), Ok(bundle));
        }
    }

    #[test]
    fn what_is_wrong_is_told_without_what_it_holds() {
        for text in ["\"hush\"", "{\"privateKey\": [\"hush\"]}", "hush", "{\"certificate\": {\"hush\": 1}}", ""] {
            let error = Bundle::parse(text).unwrap_err();
            assert!(matches!(error, BundleError::Malformed { .. }), "{error}");
            assert!(!format!("{error} {error:?}").contains("hush"), "{error}");
        }
        assert_eq!(Bundle::parse("{\"chain\": \"ca\"}"), Err(BundleError::ChainAlone));
    }
}
