//! The certificates and trust anchors that were read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::certificate::{Certificate, Chain};
use super::source::{Anchor, CertificateArn, CertificateSource};

/// The result of reading one source. A source without an attempt is in no map; that is unknown, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SourceReading<T> {
    /// The contents.
    Known(T),
    /// The source could not be read, for the given reason.
    Unread(String),
}

/// The known certificates and trust anchors of a mesh. Without any, everything about them is unknown; unknown never
/// counts as good or bad.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Readings {
    /// The presented certificates, by source.
    pub chains: BTreeMap<CertificateSource, SourceReading<Chain>>,
    /// The trusted certificates, by anchor.
    pub anchors: BTreeMap<Anchor, SourceReading<Vec<Certificate>>>,
    /// Imported certificates, with the location of their keys. Certificates that were not checked are absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub imported: BTreeMap<CertificateArn, KeyLocation>,
    /// The attributes of the instances of Cloud Map services. Services that were not looked up are absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instances: Vec<ServiceInstances>,
}

/// The instances of a Cloud Map service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceInstances {
    /// The namespace of the service.
    pub namespace: String,
    /// The name of the service.
    pub service: String,
    /// The attributes of each instance.
    pub attributes: Vec<BTreeMap<String, String>>,
}

/// The location of an imported certificate's key, which ACM never returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "key", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum KeyLocation {
    /// A secret with the same certificate.
    Secret {
        /// The secret.
        secret: String,
    },
    /// The secret named for it holds a different certificate.
    OtherSecret {
        /// The secret.
        secret: String,
    },
    /// No secret is named for it.
    Nowhere,
    /// The secret named for it could not be read.
    Unread {
        /// The secret.
        secret: String,
        /// The error.
        why: String,
    },
}

impl Readings {
    /// The chain of a source, or the reason why it is unknown.
    pub fn chain(&self, source: &CertificateSource) -> Result<&Chain, String> {
        known(self.chains.get(source))
    }

    /// The certificates of an anchor, or the reason why they are unknown. The issuer of an ACM certificate is also
    /// known by the root in its chain.
    pub fn anchor(&self, anchor: &Anchor) -> Result<Vec<&Certificate>, String> {
        let read = known(self.anchors.get(anchor)).map(|certificates| certificates.iter().collect());
        match anchor {
            Anchor::IssuerOf(arn) => read.or_else(|why| {
                let chain = self.chain(&CertificateSource::Acm(arn.clone()));
                let roots: Vec<_> =
                    chain.into_iter().flat_map(|chain| &chain.others).filter(|one| one.is_root()).collect();
                if roots.is_empty() { Err(why) } else { Ok(roots) }
            }),
            Anchor::Authority(_) | Anchor::Sds(_) | Anchor::File(..) => read,
        }
    }
}

fn known<T>(reading: Option<&SourceReading<T>>) -> Result<&T, String> {
    match reading {
        Some(SourceReading::Known(value)) => Ok(value),
        Some(SourceReading::Unread(why)) => Err(why.clone()),
        None => Err("it was not read".to_owned()),
    }
}
