//! The sources of secrets.

use std::sync::Arc;

use ports::certificates::{
    AuthorityArn, Bundle, CertificateArn, CertificateAuthority, CertificateKind, CertificateStore, Chain,
    SecretBundles, SecretId, Stage,
};
use ports::{PortError, PortErrorKind};
use xds::{SecretMaterial, SecretRef};
use zeroize::Zeroizing;

use super::bindings::{Binding, Bindings, BundlePart};
use super::material::{self, broken};
use crate::secrets::{KnownSecret, SecretProblem, problem};

/// The services that secrets are fetched from.
#[derive(Debug, Clone)]
pub struct Sources {
    /// Certificates by ARN, from ACM.
    pub store: Arc<dyn CertificateStore>,
    /// The certificates of private CAs.
    pub authorities: Arc<dyn CertificateAuthority>,
    /// Bundles, from Secrets Manager.
    pub bundles: Arc<dyn SecretBundles>,
    /// The bundles that the secret names of meshes are bound to.
    pub bindings: Bindings,
}

/// The result of a successful fetch.
#[derive(Debug)]
pub(super) enum Fetched {
    /// The source has the version that is already served.
    Same,
    /// The source has a new version.
    New(SecretMaterial),
}

/// A failed fetch.
#[derive(Debug)]
pub(super) struct FetchError {
    pub(super) problem: SecretProblem,
    pub(super) kind: FetchErrorKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FetchErrorKind {
    /// The source limits the request rate.
    Throttled,
    /// A later fetch may succeed.
    Transient,
    /// An operator has to act before a fetch can succeed.
    Permanent,
}

impl From<PortError> for FetchError {
    fn from(error: PortError) -> Self {
        let kind = match error.kind {
            PortErrorKind::Throttled => FetchErrorKind::Throttled,
            kind if kind.may_heal() => FetchErrorKind::Transient,
            _ => FetchErrorKind::Permanent,
        };
        Self { problem: SecretProblem { id: problem::UNAVAILABLE, message: error.to_string() }, kind }
    }
}

impl From<SecretProblem> for FetchError {
    fn from(problem: SecretProblem) -> Self {
        Self { problem, kind: FetchErrorKind::Permanent }
    }
}

impl Sources {
    /// Fetches a secret. The fingerprint identifies the served version, so that a key leaves ACM only when there is a
    /// new one.
    pub(super) async fn fetch(&self, secret: &SecretRef, served: Option<&KnownSecret>) -> Result<Fetched, FetchError> {
        match secret {
            SecretRef::AcmCertificate(arn) => self.certificate(arn, served).await,
            SecretRef::AcmIssuer(arn) => {
                let chain = self.chain(&certificate_arn(arn)?).await?;
                Ok(Fetched::New(SecretMaterial::Trust { roots: material::roots(&chain.leaf, &chain.issuers)? }))
            }
            SecretRef::AcmTrust(arns) => self.trust(arns).await,
            SecretRef::Bundle(name) => self.bundle(name).await,
            SecretRef::Files { .. } | SecretRef::TrustFile(_) => {
                Err(unavailable("it is in a file on the proxy's machine").into())
            }
        }
    }

    async fn certificate(&self, arn: &str, served: Option<&KnownSecret>) -> Result<Fetched, FetchError> {
        let arn = certificate_arn(arn)?;
        let chain = self.chain(&arn).await?;
        let fingerprint = fingerprint_of(&chain)?;
        if served.is_some_and(|served| served.certificates.iter().any(|served| served.fingerprint == fingerprint)) {
            return Ok(Fetched::Same);
        }
        match self.store.export(&arn).await {
            Ok(exported) => Ok(Fetched::New(certificate(&exported.chain, exported.key.pem()))),
            Err(error) if error.kind == PortErrorKind::Other => self.find_in_bundle(&arn, &fingerprint, error).await,
            Err(error) => Err(error.into()),
        }
    }

    async fn chain(&self, arn: &CertificateArn) -> Result<Chain, FetchError> {
        let pending = || FetchError { problem: unavailable("it is being issued"), kind: FetchErrorKind::Transient };
        self.store.chain(arn).await?.ok_or_else(pending)
    }

    /// Looks for the key in a bundle, since ACM does not export it.
    async fn find_in_bundle(
        &self,
        arn: &CertificateArn,
        fingerprint: &str,
        refused: PortError,
    ) -> Result<Fetched, FetchError> {
        let reason = match self.store.describe(arn).await?.kind {
            CertificateKind::Private => return Err(refused.into()),
            CertificateKind::Imported => {
                "is imported, and ACM never exports the key of an imported certificate".to_owned()
            }
            CertificateKind::AmazonIssued => "is a public certificate that was not requested for export".to_owned(),
            CertificateKind::Unrecognised(kind) => {
                format!("is of the kind {kind}, for which ACM does not export the key")
            }
        };
        for secret in self.bindings.secrets() {
            let Ok(Some(stored)) = self.bundles.read(secret, Stage::Current).await else { continue };
            let Bundle { chain: Some(chain), key: Some(key), .. } = stored.bundle else { continue };
            if fingerprint_of(&chain).is_ok_and(|of_bundle| of_bundle == fingerprint) {
                return Ok(Fetched::New(certificate(&chain, key.pem())));
            }
        }
        let message = format!(
            "the certificate {reason}; bind a bundle with the same certificate and its key (--bundle), or use a private certificate that ACM issued"
        );
        Err(SecretProblem { id: problem::NOT_DISTRIBUTABLE, message }.into())
    }

    async fn trust(&self, arns: &[String]) -> Result<Fetched, FetchError> {
        let mut roots = String::new();
        for arn in arns {
            let arn = AuthorityArn::parse(arn).map_err(|error| broken(&error.to_string()))?;
            let chain = self.authorities.certificate(&arn).await?;
            // A subordinate CA is enough for Envoy. Its root would make the proxy trust its siblings as well.
            roots.push_str(chain.leaf.trim_end());
            roots.push('\n');
        }
        Ok(Fetched::New(SecretMaterial::Trust { roots }))
    }

    async fn bundle(&self, name: &str) -> Result<Fetched, FetchError> {
        let Some(Binding { secret, part, .. }) = self.bindings.find(name) else {
            let message = format!("no bundle is bound to {name:?}; pass --bundle {name}=SECRET_ARN");
            return Err(SecretProblem { id: problem::NO_SOURCE, message }.into());
        };
        let stored = self.bundles.read(secret, Stage::Current).await?;
        let stored = stored.ok_or_else(|| unavailable("the secret has no current version"))?;
        Ok(Fetched::New(part_of(secret, stored.bundle, *part)?))
    }
}

fn part_of(secret: &SecretId, bundle: Bundle, part: BundlePart) -> Result<SecretMaterial, SecretProblem> {
    let certificate = bundle.chain.zip(bundle.key).map(|(chain, key)| certificate(&chain, key.pem()));
    let trust = bundle.trust.map(|roots| SecretMaterial::Trust { roots });
    let (found, missing) = match part {
        BundlePart::Auto => (certificate.or(trust), "neither `certificate` with `privateKey` nor `trust`"),
        BundlePart::Certificate => (certificate, "no `certificate` with `privateKey`"),
        BundlePart::Trust => (trust, "no `trust`"),
    };
    found.ok_or_else(|| broken(&format!("the bundle {secret} has {missing}")))
}

fn certificate(chain: &Chain, key: &str) -> SecretMaterial {
    SecretMaterial::Certificate { chain: chain.whole(), key: Zeroizing::new(key.to_owned()) }
}

fn fingerprint_of(chain: &Chain) -> Result<String, SecretProblem> {
    let leaf = material::read(&chain.leaf)?.into_iter().next();
    leaf.map(|leaf| leaf.fingerprint).ok_or_else(|| broken("it contains no certificate"))
}

fn certificate_arn(arn: &str) -> Result<CertificateArn, SecretProblem> {
    CertificateArn::parse(arn).map_err(|error| broken(&error.to_string()))
}

fn unavailable(message: &str) -> SecretProblem {
    SecretProblem { id: problem::UNAVAILABLE, message: message.to_owned() }
}
