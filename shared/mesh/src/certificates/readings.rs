//! What was read of certificates and trust.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::certificate::{Certificate, Chain};
use super::source::{Anchor, CertificateArn, Source};

/// What was read of one source. A source that nobody tried to read is in no map; that is unknown too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reading<T> {
    /// This is in it.
    Known(T),
    /// It could not be read, and why.
    Unread(String),
}

/// What is known of the certificates and the trust of a mesh. Without any, nothing is known of them: that is a state,
/// and never taken for good or bad.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Readings {
    /// What is presented, by where it comes from.
    pub chains: BTreeMap<Source, Reading<Chain>>,
    /// Who is trusted, by where that comes from.
    pub anchors: BTreeMap<Anchor, Reading<Vec<Certificate>>>,
    /// Imported certificates, and who else has their keys. One of which nobody looked is not in it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub imported: BTreeMap<CertificateArn, KeyPlace>,
    /// The attributes of the instances of Cloud Map services. A service that nobody looked up is not in it.
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

/// Where the key of an imported certificate can be had: ACM never gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "key", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum KeyPlace {
    /// In a secret, with the same certificate.
    Secret {
        /// Which.
        secret: String,
    },
    /// The secret that is named for it holds another certificate.
    OtherSecret {
        /// Which.
        secret: String,
    },
    /// No secret is named for it.
    Nowhere,
    /// The secret that is named for it could not be read.
    Unread {
        /// Which.
        secret: String,
        /// Why not.
        why: String,
    },
}

impl Readings {
    /// The chain of a source, or why it is not known.
    pub fn chain(&self, source: &Source) -> Result<&Chain, String> {
        known(self.chains.get(source))
    }

    /// The certificates of an anchor, or why they are not known. Whoever issued an ACM certificate is also known by the
    /// root in its chain.
    pub fn anchor(&self, anchor: &Anchor) -> Result<Vec<&Certificate>, String> {
        let read = known(self.anchors.get(anchor)).map(|certificates| certificates.iter().collect());
        match anchor {
            Anchor::IssuerOf(arn) => read.or_else(|why| {
                let chain = self.chain(&Source::Acm(arn.clone()));
                let roots: Vec<_> =
                    chain.into_iter().flat_map(|chain| &chain.others).filter(|one| one.is_root()).collect();
                if roots.is_empty() { Err(why) } else { Ok(roots) }
            }),
            Anchor::Authority(_) | Anchor::Sds(_) | Anchor::File(..) => read,
        }
    }
}

fn known<T>(reading: Option<&Reading<T>>) -> Result<&T, String> {
    match reading {
        Some(Reading::Known(value)) => Ok(value),
        Some(Reading::Unread(why)) => Err(why.clone()),
        None => Err("it was not read".to_owned()),
    }
}
