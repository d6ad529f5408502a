//! Where each secret comes from.

use std::sync::Arc;

use ports::certificates::{
    AuthorityArn, Bundle, CertificateArn, CertificateAuthority, CertificateKind, CertificateStore, Chain,
    SecretBundles, SecretId, Stage,
};
use ports::{PortError, PortErrorKind};
use xds::{SecretMaterial, SecretRef};
use zeroize::Zeroizing;

use super::bindings::{Binding, Bindings, Part};
use super::material::{self, broken};
use crate::secrets::{KnownSecret, SecretProblem, problem};

/// Whoever is asked for certificates.
#[derive(Debug, Clone)]
pub struct Sources {
    /// Certificates by ARN: ACM.
    pub store: Arc<dyn CertificateStore>,
    /// What private CAs sign with.
    pub authorities: Arc<dyn CertificateAuthority>,
    /// Bundles: Secrets Manager.
    pub bundles: Arc<dyn SecretBundles>,
    /// Which names of meshes are which bundles.
    pub bindings: Bindings,
}

/// What a source has.
#[derive(Debug)]
pub(super) enum Fetched {
    /// What is had already.
    Same,
    /// This.
    New(SecretMaterial),
}

/// Why a source has nothing to give.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) problem: SecretProblem,
    pub(super) kind: RefusalKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RefusalKind {
    /// It asks for patience.
    Throttled,
    /// It may give it later.
    MayPass,
    /// Somebody has to do something first.
    Lasting,
}

impl From<PortError> for Refusal {
    fn from(error: PortError) -> Self {
        let kind = match error.kind {
            PortErrorKind::Throttled => RefusalKind::Throttled,
            kind if kind.may_heal() => RefusalKind::MayPass,
            _ => RefusalKind::Lasting,
        };
        Self { problem: SecretProblem { id: problem::UNAVAILABLE, message: error.to_string() }, kind }
    }
}

impl From<SecretProblem> for Refusal {
    fn from(problem: SecretProblem) -> Self {
        Self { problem, kind: RefusalKind::Lasting }
    }
}

impl Sources {
    /// Fetches a secret. What is had already is known by its fingerprint, so that a key leaves ACM only when there is a
    /// new one.
    pub(super) async fn fetch(&self, secret: &SecretRef, had: Option<&KnownSecret>) -> Result<Fetched, Refusal> {
        match secret {
            SecretRef::AcmCertificate(arn) => self.certificate(arn, had).await,
            SecretRef::AcmIssuer(arn) => {
                let chain = self.chain(&certificate_arn(arn)?).await?;
                Ok(Fetched::New(SecretMaterial::Trust { roots: material::roots(&chain.leaf, &chain.issuers)? }))
            }
            SecretRef::AcmTrust(arns) => self.trust(arns).await,
            SecretRef::Bundle(name) => self.bundle(name).await,
            SecretRef::Files { .. } | SecretRef::TrustFile(_) => {
                Err(unavailable("it is in a file beside the proxy").into())
            }
        }
    }

    async fn certificate(&self, arn: &str, had: Option<&KnownSecret>) -> Result<Fetched, Refusal> {
        let arn = certificate_arn(arn)?;
        let chain = self.chain(&arn).await?;
        let fingerprint = fingerprint_of(&chain)?;
        if had.is_some_and(|had| had.certificates.iter().any(|served| served.fingerprint == fingerprint)) {
            return Ok(Fetched::Same);
        }
        match self.store.export(&arn).await {
            Ok(exported) => Ok(Fetched::New(certificate(&exported.chain, exported.key.pem()))),
            Err(error) if error.kind == PortErrorKind::Other => self.kept_elsewhere(&arn, &fingerprint, error).await,
            Err(error) => Err(error.into()),
        }
    }

    async fn chain(&self, arn: &CertificateArn) -> Result<Chain, Refusal> {
        let pending = || Refusal { problem: unavailable("it is being issued"), kind: RefusalKind::MayPass };
        self.store.chain(arn).await?.ok_or_else(pending)
    }

    /// ACM doesn't give the key: perhaps a bundle has it.
    async fn kept_elsewhere(
        &self,
        arn: &CertificateArn,
        fingerprint: &str,
        refused: PortError,
    ) -> Result<Fetched, Refusal> {
        let what = match self.store.describe(arn).await?.kind {
            CertificateKind::Private => return Err(refused.into()),
            CertificateKind::Imported => "is imported, and ACM never gives the key of an imported one".to_owned(),
            CertificateKind::AmazonIssued => "is a public one that was not requested for export".to_owned(),
            CertificateKind::Unrecognised(kind) => format!("is of the kind {kind}, whose key ACM doesn't give"),
        };
        for secret in self.bindings.secrets() {
            let Ok(Some(stored)) = self.bundles.read(secret, Stage::Current).await else { continue };
            let Bundle { chain: Some(chain), key: Some(key), .. } = stored.bundle else { continue };
            if fingerprint_of(&chain).is_ok_and(|of_bundle| of_bundle == fingerprint) {
                return Ok(Fetched::New(certificate(&chain, key.pem())));
            }
        }
        let message = format!(
            "the certificate {what}; bind a bundle with the same certificate and its key (--bundle), or use a private certificate that ACM issued"
        );
        Err(SecretProblem { id: problem::NOT_DISTRIBUTABLE, message }.into())
    }

    async fn trust(&self, arns: &[String]) -> Result<Fetched, Refusal> {
        let mut roots = String::new();
        for arn in arns {
            let arn = AuthorityArn::parse(arn).map_err(|error| broken(&error.to_string()))?;
            let chain = self.authorities.certificate(&arn).await?;
            // Of a CA below another this is enough for Envoy, and its root would vouch for its siblings as well.
            roots.push_str(chain.leaf.trim_end());
            roots.push('\n');
        }
        Ok(Fetched::New(SecretMaterial::Trust { roots }))
    }

    async fn bundle(&self, name: &str) -> Result<Fetched, Refusal> {
        let Some(Binding { secret, part, .. }) = self.bindings.find(name) else {
            let message = format!("nothing is bound to {name:?}: give --bundle {name}=SECRET_ARN");
            return Err(SecretProblem { id: problem::NO_SOURCE, message }.into());
        };
        let stored = self.bundles.read(secret, Stage::Current).await?;
        let stored = stored.ok_or_else(|| unavailable("the secret has no current version"))?;
        Ok(Fetched::New(part_of(secret, stored.bundle, *part)?))
    }
}

fn part_of(secret: &SecretId, bundle: Bundle, part: Part) -> Result<SecretMaterial, SecretProblem> {
    let certificate = bundle.chain.zip(bundle.key).map(|(chain, key)| certificate(&chain, key.pem()));
    let trust = bundle.trust.map(|roots| SecretMaterial::Trust { roots });
    let (found, what) = match part {
        Part::Whatever => (certificate.or(trust), "neither `certificate` with `privateKey` nor `trust`"),
        Part::Certificate => (certificate, "no `certificate` with `privateKey`"),
        Part::Trust => (trust, "no `trust`"),
    };
    found.ok_or_else(|| broken(&format!("the bundle {secret} has {what}")))
}

fn certificate(chain: &Chain, key: &str) -> SecretMaterial {
    SecretMaterial::Certificate { chain: chain.whole(), key: Zeroizing::new(key.to_owned()) }
}

fn fingerprint_of(chain: &Chain) -> Result<String, SecretProblem> {
    let leaf = material::read(&chain.leaf)?.into_iter().next();
    leaf.map(|leaf| leaf.fingerprint).ok_or_else(|| broken("there is no certificate in it"))
}

fn certificate_arn(arn: &str) -> Result<CertificateArn, SecretProblem> {
    CertificateArn::parse(arn).map_err(|error| broken(&error.to_string()))
}

fn unavailable(message: &str) -> SecretProblem {
    SecretProblem { id: problem::UNAVAILABLE, message: message.to_owned() }
}
