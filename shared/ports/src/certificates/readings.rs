use std::collections::BTreeSet;

use futures::stream::{self, StreamExt};
use mesh::certificates::{Anchor, CertificateSource, Chain, Inventory, KeyLocation, Readings, SourceReading};
use mesh::graph::Mesh;
use policy::CertificatesPolicy;

use super::{
    AuthorityArn, CertificateArn, CertificateAuthority, CertificateKind, CertificateStore, SecretBundles, SecretId,
    Stage,
};
use crate::{PortError, PortErrorKind};

/// The number of concurrent calls. ACM permits ten calls of each kind per second and account; further
/// calls are delayed.
const AT_A_TIME: usize = 8;

/// Reads the certificates that a mesh names, and never a private key.
#[derive(Clone, Copy, Debug)]
pub struct CertificateReader<'a> {
    /// The certificates of listeners.
    pub certificates: &'a dyn CertificateStore,
    /// The private CAs.
    pub authorities: &'a dyn CertificateAuthority,
    /// The managed secrets. Only their metadata is read, never their value, which includes the key.
    pub bundles: &'a dyn SecretBundles,
}

impl CertificateReader<'_> {
    /// The certificates and the trust of a mesh. A source that cannot be read has an error; a source that this reader
    /// never reads (files, unmanaged secrets, values of managed secrets) is absent, which also means unknown.
    pub async fn read(&self, mesh: &Mesh, policy: &CertificatesPolicy) -> Readings {
        let inventory = Inventory::from_mesh(mesh);
        let mut readings = Readings::default();
        let mut issuers = BTreeSet::new();
        let read = stream::iter(inventory.presented.keys().cloned()).map(|source| async move {
            let read = self.source(&source, policy).await;
            (source, read)
        });
        for (source, read) in read.buffer_unordered(AT_A_TIME).collect::<Vec<_>>().await {
            let Some(Read { reading, issuer, key }) = read else { continue };
            if let CertificateSource::Acm(arn) = &source {
                issuers.extend(issuer.map(|issuer| (arn.clone(), issuer)));
                readings.imported.extend(key.map(|key| (arn.clone(), key)));
            }
            readings.chains.insert(source, reading);
        }
        let named = inventory.trusted.keys().filter_map(|anchor| match anchor {
            Anchor::Authority(arn) => Some((anchor.clone(), arn.as_str().to_owned())),
            Anchor::IssuerOf(_) | Anchor::Sds(_) | Anchor::File(..) => None,
        });
        // A caller without a policy trusts the issuer of the certificate.
        let implied = issuers.into_iter().map(|(arn, issuer)| (Anchor::IssuerOf(arn), issuer));
        let wanted: Vec<(Anchor, String)> = named.chain(implied).collect();
        let distinct: BTreeSet<String> = wanted.iter().map(|(_, arn)| arn.clone()).collect();
        let chains = stream::iter(distinct).map(|arn| async move {
            let chain = self.authority(&arn).await;
            (arn, chain)
        });
        let chains: Vec<(String, SourceReading<Chain>)> = chains.buffer_unordered(AT_A_TIME).collect().await;
        for (anchor, arn) in wanted {
            let Some((_, chain)) = chains.iter().find(|(of, _)| *of == arn) else { continue };
            let trusted = match (&anchor, chain) {
                // A trust in a CA's ARN trusts that CA, and not its root.
                (Anchor::Authority(_), SourceReading::Known(chain)) => SourceReading::Known(vec![chain.leaf.clone()]),
                (Anchor::Authority(_), SourceReading::Unread(why)) => SourceReading::Unread(why.clone()),
                // A client without named CAs trusts the certificate's own root.
                (_, SourceReading::Known(chain)) => {
                    SourceReading::Known(vec![chain.others.last().unwrap_or(&chain.leaf).clone()])
                }
                // The chain may include the issuer's root, which then needs no other read.
                (_, SourceReading::Unread(_)) => continue,
            };
            readings.anchors.insert(anchor, trusted);
        }
        readings
    }

    async fn source(&self, source: &CertificateSource, policy: &CertificatesPolicy) -> Option<Read> {
        match source {
            CertificateSource::Acm(arn) => {
                let secret = policy.imported(arn).and_then(|imported| imported.secret.as_deref());
                Some(self.in_acm(arn.as_str(), secret).await.unwrap_or_else(Read::unread))
            }
            CertificateSource::Sds(name) => {
                let why = self.secret(&policy.bundle(name)?.secret).await.err()?;
                Some(Read::unread(why))
            }
            CertificateSource::File(..) => None,
        }
    }

    async fn in_acm(&self, arn: &str, secret: Option<&str>) -> Result<Read, String> {
        let arn = CertificateArn::parse(arn).map_err(|error| error.to_string())?;
        let stored = self
            .certificates
            .describe(&arn)
            .await
            .map_err(|error| unread_reason("ACM", "acm:DescribeCertificate", &error))?;
        let chain =
            self.certificates.chain(&arn).await.map_err(|error| unread_reason("ACM", "acm:GetCertificate", &error))?;
        let reading = match chain {
            Some(chain) => parsed(Chain::read(&chain.whole())),
            None => SourceReading::Unread("it is still being issued".to_owned()),
        };
        let key = match stored.kind {
            CertificateKind::Imported => self.key_location(secret).await,
            CertificateKind::Private | CertificateKind::AmazonIssued | CertificateKind::Unrecognised(_) => None,
        };
        Ok(Read { reading, issuer: stored.authority.map(|authority| authority.as_str().to_owned()), key })
    }

    /// The location of an imported certificate's key. Whether an existing secret holds the same certificate
    /// is not checked.
    async fn key_location(&self, secret: Option<&str>) -> Option<KeyLocation> {
        let Some(secret) = secret else { return Some(KeyLocation::Nowhere) };
        let why = self.secret(secret).await.err()?;
        Some(KeyLocation::Unread { secret: secret.to_owned(), why })
    }

    /// The certificate of a private CA, with its issuers.
    async fn authority(&self, arn: &str) -> SourceReading<Chain> {
        let Ok(arn) = AuthorityArn::parse(arn) else {
            return SourceReading::Unread("invalid ARN of a private CA".to_owned());
        };
        match self.authorities.certificate(&arn).await {
            Ok(chain) => parsed(Chain::read(&chain.whole())),
            Err(error) => SourceReading::Unread(unread_reason(
                "the private CA",
                "acm-pca:GetCertificateAuthorityCertificate",
                &error,
            )),
        }
    }

    /// Checks whether a secret exists and has a current version.
    async fn secret(&self, secret: &str) -> Result<(), String> {
        let id = SecretId::parse(secret).map_err(|error| error.to_string())?;
        let permission = "secretsmanager:DescribeSecret";
        let versions =
            self.bundles.describe(&id).await.map_err(|error| unread_reason("Secrets Manager", permission, &error))?;
        if versions.at.contains_key(&Stage::Current) {
            Ok(())
        } else {
            Err(format!("secret {secret} has no current version"))
        }
    }
}

struct Read {
    reading: SourceReading<Chain>,
    /// The issuing private CA.
    issuer: Option<String>,
    /// The location of an imported certificate's key, as far as it was checked.
    key: Option<KeyLocation>,
}

impl Read {
    fn unread(why: String) -> Self {
        Self { reading: SourceReading::Unread(why), issuer: None, key: None }
    }
}

fn parsed<E: std::fmt::Display>(chain: Result<Chain, E>) -> SourceReading<Chain> {
    chain.map_or_else(|error| SourceReading::Unread(error.to_string()), SourceReading::Known)
}

/// The reason for an unread source, without the details of a single call, so that it stays the same.
fn unread_reason(service: &str, permission: &str, error: &PortError) -> String {
    match error.kind {
        PortErrorKind::NotFound => format!("it does not exist in {service}"),
        PortErrorKind::Denied => format!("access to {service} is denied: allow {permission}"),
        PortErrorKind::Throttled => format!("{service} throttles requests"),
        PortErrorKind::Expired => format!("{service} rejected an expired signature or token"),
        PortErrorKind::Unavailable | PortErrorKind::TimedOut | PortErrorKind::Conflict => {
            format!("{service} cannot be reached")
        }
        PortErrorKind::Other => format!("{service} rejected the request: {permission} failed"),
    }
}
