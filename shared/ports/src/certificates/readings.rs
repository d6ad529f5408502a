use std::collections::BTreeSet;

use futures::stream::{self, StreamExt};
use mesh::certificates::{Anchor, Chain, Inventory, KeyPlace, Reading, Readings, Source};
use mesh::graph::Mesh;
use mesh::policy::CertificatesPolicy;

use super::{
    AuthorityArn, CertificateArn, CertificateAuthority, CertificateKind, CertificateStore, SecretBundles, SecretId,
    Stage,
};
use crate::{PortError, PortErrorKind};

/// Calls at a time. ACM gives an account ten a second of each kind, and more are waited for.
const AT_A_TIME: usize = 8;

/// Reads the certificates that a mesh names, without a private key ever being asked for.
#[derive(Clone, Copy, Debug)]
pub struct CertificateReader<'a> {
    /// The certificates of listeners.
    pub certificates: &'a dyn CertificateStore,
    /// The private CAs.
    pub authorities: &'a dyn CertificateAuthority,
    /// The secrets that are bound. Only what they are is asked, never what they hold: the key is beside the certificate.
    pub bundles: &'a dyn SecretBundles,
}

impl CertificateReader<'_> {
    /// What is known of the certificates and the trust of a mesh. What can't be read is known to be unread, and why; what
    /// nobody here can read (files, secrets of others, what a secret of ours holds) is left out, which is unknown too.
    pub async fn read(&self, mesh: &Mesh, policy: &CertificatesPolicy) -> Readings {
        let inventory = Inventory::of(mesh);
        let mut readings = Readings::default();
        let mut issuers = BTreeSet::new();
        let read = stream::iter(inventory.presented.keys().cloned()).map(|source| async move {
            let read = self.source(&source, policy).await;
            (source, read)
        });
        for (source, read) in read.buffer_unordered(AT_A_TIME).collect::<Vec<_>>().await {
            let Some(Read { reading, issuer, key }) = read else { continue };
            if let Source::Acm(arn) = &source {
                issuers.extend(issuer.map(|issuer| (arn.clone(), issuer)));
                readings.imported.extend(key.map(|key| (arn.clone(), key)));
            }
            readings.chains.insert(source, reading);
        }
        let named = inventory.trusted.keys().filter_map(|anchor| match anchor {
            Anchor::Authority(arn) => Some((anchor.clone(), arn.as_str().to_owned())),
            Anchor::IssuerOf(_) | Anchor::Sds(_) | Anchor::File(..) => None,
        });
        // Who calls without a policy trusts whoever issued the certificate.
        let implied = issuers.into_iter().map(|(arn, issuer)| (Anchor::IssuerOf(arn), issuer));
        let wanted: Vec<(Anchor, String)> = named.chain(implied).collect();
        let distinct: BTreeSet<String> = wanted.iter().map(|(_, arn)| arn.clone()).collect();
        let chains = stream::iter(distinct).map(|arn| async move {
            let chain = self.authority(&arn).await;
            (arn, chain)
        });
        let chains: Vec<(String, Reading<Chain>)> = chains.buffer_unordered(AT_A_TIME).collect().await;
        for (anchor, arn) in wanted {
            let Some((_, chain)) = chains.iter().find(|(of, _)| *of == arn) else { continue };
            let trusted = match (&anchor, chain) {
                // Whoever trusts a CA by its name trusts that one, and not its root.
                (Anchor::Authority(_), Reading::Known(chain)) => Reading::Known(vec![chain.leaf.clone()]),
                (Anchor::Authority(_), Reading::Unread(why)) => Reading::Unread(why.clone()),
                // Who names nobody trusts where the certificate leads to.
                (_, Reading::Known(chain)) => Reading::Known(vec![chain.others.last().unwrap_or(&chain.leaf).clone()]),
                // The chain itself may name the issuer's root, so that an issuer which isn't read isn't missed.
                (_, Reading::Unread(_)) => continue,
            };
            readings.anchors.insert(anchor, trusted);
        }
        readings
    }

    async fn source(&self, source: &Source, policy: &CertificatesPolicy) -> Option<Read> {
        match source {
            Source::Acm(arn) => {
                let secret = policy.imported(arn).and_then(|imported| imported.secret.as_deref());
                Some(self.in_acm(arn.as_str(), secret).await.unwrap_or_else(Read::unread))
            }
            Source::Sds(name) => {
                let why = self.secret(&policy.bundle(name)?.secret).await.err()?;
                Some(Read::unread(why))
            }
            Source::File(..) => None,
        }
    }

    async fn in_acm(&self, arn: &str, secret: Option<&str>) -> Result<Read, String> {
        let arn = CertificateArn::parse(arn).map_err(|error| error.to_string())?;
        let stored =
            self.certificates.describe(&arn).await.map_err(|error| told("ACM", "acm:DescribeCertificate", &error))?;
        let chain = self.certificates.chain(&arn).await.map_err(|error| told("ACM", "acm:GetCertificate", &error))?;
        let reading = match chain {
            Some(chain) => parsed(Chain::read(&chain.whole())),
            None => Reading::Unread("it is still being issued".to_owned()),
        };
        let key = match stored.kind {
            CertificateKind::Imported => self.key_place(secret).await,
            CertificateKind::Private | CertificateKind::AmazonIssued | CertificateKind::Unrecognised(_) => None,
        };
        Ok(Read { reading, issuer: stored.authority.map(|authority| authority.as_str().to_owned()), key })
    }

    /// Who has the key of an imported certificate. Whether a secret that is there holds that one is not looked at here.
    async fn key_place(&self, secret: Option<&str>) -> Option<KeyPlace> {
        let Some(secret) = secret else { return Some(KeyPlace::Nowhere) };
        let why = self.secret(secret).await.err()?;
        Some(KeyPlace::Unread { secret: secret.to_owned(), why })
    }

    /// The certificate of a private CA, with what it leads to.
    async fn authority(&self, arn: &str) -> Reading<Chain> {
        let Ok(arn) = AuthorityArn::parse(arn) else {
            return Reading::Unread("it is no ARN of a private CA".to_owned());
        };
        match self.authorities.certificate(&arn).await {
            Ok(chain) => parsed(Chain::read(&chain.whole())),
            Err(error) => Reading::Unread(told("the private CA", "acm-pca:GetCertificateAuthorityCertificate", &error)),
        }
    }

    /// Whether a secret is there and in use; why not.
    async fn secret(&self, secret: &str) -> Result<(), String> {
        let id = SecretId::parse(secret).map_err(|error| error.to_string())?;
        let permission = "secretsmanager:DescribeSecret";
        let versions = self.bundles.describe(&id).await.map_err(|error| told("Secrets Manager", permission, &error))?;
        if versions.at.contains_key(&Stage::Current) {
            Ok(())
        } else {
            Err(format!("secret {secret} has no current version"))
        }
    }
}

struct Read {
    reading: Reading<Chain>,
    /// The private CA that issued it.
    issuer: Option<String>,
    /// Of an imported one: who has its key, as far as it was looked.
    key: Option<KeyPlace>,
}

impl Read {
    fn unread(why: String) -> Self {
        Self { reading: Reading::Unread(why), issuer: None, key: None }
    }
}

fn parsed<E: std::fmt::Display>(chain: Result<Chain, E>) -> Reading<Chain> {
    chain.map_or_else(|error| Reading::Unread(error.to_string()), Reading::Known)
}

/// Why something was not read, the same each time: what the other side says of one call names that call.
fn told(service: &str, permission: &str, error: &PortError) -> String {
    match error.kind {
        PortErrorKind::NotFound => format!("{service} doesn't have it"),
        PortErrorKind::Denied => format!("{service} doesn't let it be read: allow {permission}"),
        PortErrorKind::Throttled => format!("{service} asks for patience"),
        PortErrorKind::Expired => format!("{service} rejected an expired signature or token"),
        PortErrorKind::Unavailable | PortErrorKind::TimedOut | PortErrorKind::Conflict => {
            format!("{service} can't be reached")
        }
        PortErrorKind::Other => format!("{service} refuses to tell: {permission} failed"),
    }
}
