//! ACM, private CAs and Secrets Manager in memory, and certificates to put into them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use control_plane::certificates::{Binding, Bindings, Sources};
use ports::certificates::{
    Authority, AuthorityArn, Bundle, CertificateArn, CertificateAuthority, CertificateKind, CertificateListed,
    CertificateStatus, CertificateStore, Chain, ExportedCertificate, Import, Issuance, IssuedArn, Order, PrivateKey,
    PrivateRequest, SecretBundles, SecretId, SecretVersions, Stage, StoredBundle, StoredCertificate, VersionId,
};
use ports::{PortError, PortErrorKind};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use sha2::{Digest as _, Sha256};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

pub(crate) const CERTIFICATE: &str =
    "arn:aws:acm:eu-west-1:123456789012:certificate/00000000-0000-0000-0000-000000000001";
pub(crate) const OTHER: &str = "arn:aws:acm:eu-west-1:123456789012:certificate/00000000-0000-0000-0000-000000000002";
pub(crate) const ROOT: &str =
    "arn:aws:acm-pca:eu-west-1:123456789012:certificate-authority/00000000-0000-0000-0000-00000000000a";

/// A CA.
pub(crate) struct Issuer(CertifiedIssuer<'static, KeyPair>);

impl Issuer {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A CA that is signed by this one.
    pub(crate) fn subordinate(&self, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &self.0).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Issues a certificate for a name.
    pub(crate) fn issue(&self, name: &str) -> Issued {
        self.issue_until(name, 2100)
    }

    pub(crate) fn issue_until(&self, name: &str, year: i32) -> Issued {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.0).unwrap().pem();
        Issued { chain: Chain { leaf, issuers: self.pem() }, key: key.serialize_pem() }
    }
}

/// A certificate and its key.
#[derive(Clone)]
pub(crate) struct Issued {
    pub(crate) chain: Chain,
    pub(crate) key: String,
}

impl Issued {
    pub(crate) fn fingerprint(&self) -> String {
        fingerprint(&self.chain.leaf)
    }

    /// As a bundle, with trust anchors.
    pub(crate) fn bundle(&self, trust: Option<String>) -> Bundle {
        Bundle { chain: Some(self.chain.clone()), key: Some(self.key()), request: None, trust }
    }

    fn key(&self) -> PrivateKey {
        PrivateKey::new(self.key.clone().into())
    }
}

pub(crate) fn fingerprint(pem: &str) -> String {
    fingerprint_of(&CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
}

pub(crate) fn fingerprint_of(der: &[u8]) -> String {
    Sha256::digest(der).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// All three services.
#[derive(Debug, Default)]
pub(crate) struct Vault(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    certificates: BTreeMap<String, (CertificateKind, Chain, PrivateKey)>,
    authorities: BTreeMap<String, Chain>,
    bundles: BTreeMap<String, Bundle>,
    failing: Option<PortErrorKind>,
    calls: Vec<&'static str>,
}

impl Vault {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// The sources of a secret cache.
    pub(crate) fn sources(self: &Arc<Self>, bindings: &[&str]) -> Sources {
        Sources {
            store: Arc::<Self>::clone(self),
            authorities: Arc::<Self>::clone(self),
            bundles: Arc::<Self>::clone(self),
            bindings: Bindings::new(bindings.iter().map(|binding| binding.parse::<Binding>().unwrap())),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Stores a private certificate, replacing an earlier one.
    pub(crate) fn put(&self, arn: &str, issued: &Issued) {
        self.put_kind(arn, CertificateKind::Private, issued);
    }

    pub(crate) fn put_kind(&self, arn: &str, kind: CertificateKind, issued: &Issued) {
        self.state().certificates.insert(arn.to_owned(), (kind, issued.chain.clone(), issued.key()));
    }

    pub(crate) fn put_authority(&self, arn: &str, issuer: &Issuer) {
        self.put_authority_below(arn, issuer, String::new());
    }

    /// The same for a subordinate CA.
    pub(crate) fn put_authority_below(&self, arn: &str, issuer: &Issuer, issuers: String) {
        self.state().authorities.insert(arn.to_owned(), Chain { leaf: issuer.pem(), issuers });
    }

    pub(crate) fn put_bundle(&self, secret: &str, bundle: Bundle) {
        self.state().bundles.insert(secret.to_owned(), bundle);
    }

    /// Makes every later call fail with this kind of error; `None` ends that.
    pub(crate) fn fail(&self, failing: Option<PortErrorKind>) {
        self.state().failing = failing;
    }

    /// The number of calls of an operation.
    pub(crate) fn calls(&self, name: &str) -> usize {
        self.state().calls.iter().filter(|call| **call == name).count()
    }

    fn call(&self, name: &'static str) -> Result<MutexGuard<'_, State>, PortError> {
        let mut state = self.state();
        state.calls.push(name);
        match state.failing {
            Some(kind) => Err(PortError::new(name, kind, "the test lets it fail")),
            None => Ok(state),
        }
    }
}

fn not_found(call: &str, subject: &str) -> PortError {
    PortError::new(call, PortErrorKind::NotFound, format!("{subject} does not exist"))
}

fn not_here<T>(call: &str) -> Result<T, PortError> {
    Err(PortError::new(call, PortErrorKind::Denied, "a secret cache does not need this call"))
}

#[async_trait]
impl CertificateStore for Vault {
    async fn describe(&self, arn: &CertificateArn) -> Result<StoredCertificate, PortError> {
        let state = self.call("describe")?;
        let (kind, ..) = state.certificates.get(arn.as_str()).ok_or_else(|| not_found("describe", arn.as_str()))?;
        Ok(StoredCertificate {
            arn: arn.clone(),
            kind: kind.clone(),
            status: CertificateStatus::Issued,
            failure: None,
            common_name: String::new(),
            names: Vec::new(),
            key_algorithm: None,
            serial: None,
            not_before: None,
            not_after: None,
            in_use_by: Vec::new(),
            eligibility: None,
            renewal: None,
            authority: None,
        })
    }

    async fn chain(&self, arn: &CertificateArn) -> Result<Option<Chain>, PortError> {
        let state = self.call("chain")?;
        let (_, chain, _) = state.certificates.get(arn.as_str()).ok_or_else(|| not_found("chain", arn.as_str()))?;
        Ok(Some(chain.clone()))
    }

    async fn export(&self, arn: &CertificateArn) -> Result<ExportedCertificate, PortError> {
        let state = self.call("export")?;
        match state.certificates.get(arn.as_str()) {
            None => Err(not_found("export", arn.as_str())),
            Some((CertificateKind::Private, chain, key)) => {
                Ok(ExportedCertificate { chain: chain.clone(), key: key.clone() })
            }
            Some(_) => Err(PortError::new("export", PortErrorKind::Other, "it is not private")),
        }
    }

    async fn list(&self) -> Result<Vec<CertificateListed>, PortError> {
        not_here("list")
    }

    async fn renew(&self, _: &CertificateArn) -> Result<(), PortError> {
        not_here("renew")
    }

    async fn request(&self, _: &PrivateRequest) -> Result<CertificateArn, PortError> {
        not_here("request")
    }

    async fn import(&self, _: &Import) -> Result<CertificateArn, PortError> {
        not_here("import")
    }

    async fn delete(&self, _: &CertificateArn) -> Result<(), PortError> {
        not_here("delete")
    }

    async fn tags(&self, _: &CertificateArn) -> Result<BTreeMap<String, String>, PortError> {
        not_here("tags")
    }

    async fn tag(&self, _: &CertificateArn, _: &BTreeMap<String, String>) -> Result<(), PortError> {
        not_here("tag")
    }
}

#[async_trait]
impl CertificateAuthority for Vault {
    async fn certificate(&self, authority: &AuthorityArn) -> Result<Chain, PortError> {
        let state = self.call("certificate")?;
        let chain = state.authorities.get(authority.as_str());
        chain.cloned().ok_or_else(|| not_found("certificate", authority.as_str()))
    }

    async fn describe(&self, _: &AuthorityArn) -> Result<Authority, PortError> {
        not_here("describe")
    }

    async fn issue(&self, _: &Order) -> Result<IssuedArn, PortError> {
        not_here("issue")
    }

    async fn issued(&self, _: &IssuedArn) -> Result<Issuance, PortError> {
        not_here("issued")
    }
}

#[async_trait]
impl SecretBundles for Vault {
    async fn read(&self, secret: &SecretId, at: Stage) -> Result<Option<StoredBundle>, PortError> {
        let state = self.call("read")?;
        assert_eq!(at, Stage::Current);
        let bundle = state.bundles.get(secret.as_str()).ok_or_else(|| not_found("read", secret.as_str()))?;
        let version = VersionId::parse("8f0d5f7a-2f0e-4a0a-9a43-8f4c3a8f7c11").unwrap();
        Ok(Some(StoredBundle { version, bundle: bundle.clone() }))
    }

    async fn describe(&self, _: &SecretId) -> Result<SecretVersions, PortError> {
        not_here("describe")
    }

    async fn put_pending(&self, _: &SecretId, _: &VersionId, _: &Bundle) -> Result<(), PortError> {
        not_here("put_pending")
    }

    async fn promote(&self, _: &SecretId, _: Option<&VersionId>, _: &VersionId) -> Result<(), PortError> {
        not_here("promote")
    }
}
