use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Chain, PrivateKey, SecretId, VersionId};
use crate::PortError;

/// Stores the bundles that local SDS sockets serve, as versions of secrets.
///
/// ```text
/// put_pending: key, request ─▶ put_pending: key, certificate ─▶ promote
///   AWSPENDING                   AWSPENDING                       AWSCURRENT; the previous one is AWSPREVIOUS
/// ```
#[async_trait]
pub trait SecretBundles: Send + Sync + std::fmt::Debug {
    /// The versions of a secret, with their stages.
    async fn describe(&self, secret: &SecretId) -> Result<SecretVersions, PortError>;

    /// The bundle at a stage; `None` if the secret has no version there.
    async fn read(&self, secret: &SecretId, stage: Stage) -> Result<Option<StoredBundle>, PortError>;

    /// Stores a bundle as this version, replacing the version at [`Stage::Pending`]. Storing the same bundle again
    /// changes nothing; a different bundle under the same version returns [`Conflict`](crate::PortErrorKind::Conflict).
    async fn put_pending(&self, secret: &SecretId, version: &VersionId, bundle: &Bundle) -> Result<(), PortError>;

    /// Makes `to` the current version if `from` is the current one, which becomes the previous version; otherwise
    /// returns [`Conflict`](crate::PortErrorKind::Conflict). `from` is `None` for a secret without a current version. A
    /// current version does not count as pending, independent of its labels.
    async fn promote(&self, secret: &SecretId, from: Option<&VersionId>, to: &VersionId) -> Result<(), PortError>;
}

/// The stages of a secret's versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Prepared, but not served.
    Pending,
    /// The served version.
    Current,
    /// The previously served version.
    Previous,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Current, Self::Previous];

    /// The name in Secrets Manager.
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
    /// The versions by stage; other stages are left out.
    pub at: BTreeMap<Stage, VersionId>,
    /// The secret's tags.
    pub tags: BTreeMap<String, String>,
    /// Whether Secrets Manager's own rotation is enabled.
    pub rotated_by_others: bool,
}

impl SecretVersions {
    /// The stages of a version.
    #[must_use]
    pub fn stages_of(&self, version: &VersionId) -> BTreeSet<Stage> {
        self.at.iter().filter(|(_, at)| *at == version).map(|(stage, _)| *stage).collect()
    }
}

/// A bundle with its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBundle {
    /// The version.
    pub version: VersionId,
    /// The bundle.
    pub bundle: Bundle,
}

/// The contents of a secret: a certificate, trust, or both.
///
/// Stored as a JSON object of PEM texts without absent members: `certificate` (the leaf alone), `chain` (its issuers),
/// `privateKey`, `signingRequest` (while the certificate is being issued) and `trust` (root certificates).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundle {
    /// The certificate and its issuers; absent while it is being issued.
    pub chain: Option<Chain>,
    /// Its key.
    pub key: Option<PrivateKey>,
    /// The certificate request in PEM form; absent once the certificate is issued.
    pub request: Option<String>,
    /// The roots to verify peers with, in PEM form.
    pub trust: Option<String>,
}

/// The reason why a secret is not a bundle. Contains no part of the secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// The text is not JSON, or a member is not a text.
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
    /// A chain without a certificate.
    #[error("`chain` requires `certificate`")]
    ChainAlone,
    /// The secret is binary.
    #[error("it is binary; store the bundle as text")]
    Binary,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenVersion {
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
    /// Parses the text of a secret. Unknown members are ignored.
    pub fn parse(text: &str) -> Result<Self, BundleError> {
        // The parser's message may quote the key, so only its position is used.
        let written: WrittenVersion = serde_json::from_str(text)
            .map_err(|error| BundleError::Malformed { line: error.line(), column: error.column() })?;
        let WrittenVersion { certificate, chain, private_key, signing_request, trust } = written;
        let key = private_key.map(|pem| PrivateKey::new(Zeroizing::new(pem)));
        let chain = match (certificate, chain) {
            (Some(leaf), issuers) => Some(Chain { leaf, issuers: issuers.unwrap_or_default() }),
            (None, None) => None,
            (None, Some(_)) => return Err(BundleError::ChainAlone),
        };
        Ok(Self { chain, key, request: signing_request, trust })
    }

    /// The text of the secret.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        let writing = Writing {
            certificate: self.chain.as_ref().map(|chain| chain.leaf.as_str()),
            chain: self.chain.as_ref().map(|chain| chain.issuers.as_str()).filter(|issuers| !issuers.is_empty()),
            private_key: self.key.as_ref().map(PrivateKey::pem),
            signing_request: self.request.as_deref(),
            trust: self.trust.as_deref(),
        };
        // Allocated large enough at the start: a growing buffer would leave copies in memory that are never wiped. The
        // text is longer than its parts because of escaped line ends.
        let parts = [writing.certificate, writing.chain, writing.private_key, writing.signing_request, writing.trust];
        let size = parts.iter().flatten().map(|part| part.len() + part.len() / 8 + 64).sum::<usize>() + 256;
        let mut text = Zeroizing::new(Vec::with_capacity(size));
        // Texts written to memory, so this cannot fail.
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
    fn error_of_a_bundle_omits_its_content() {
        for text in ["\"hush\"", "{\"privateKey\": [\"hush\"]}", "hush", "{\"certificate\": {\"hush\": 1}}", ""] {
            let error = Bundle::parse(text).unwrap_err();
            assert!(matches!(error, BundleError::Malformed { .. }), "{error}");
            assert!(!format!("{error} {error:?}").contains("hush"), "{error}");
        }
        assert_eq!(Bundle::parse("{\"chain\": \"ca\"}"), Err(BundleError::ChainAlone));
    }
}
