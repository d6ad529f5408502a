//! The contract of the certificate ports, with the in-memory ports and with the real SDKs.
//!
//! moto is the more complete stand-in. It parses certificates, exports keys, issues real certificates from private CAs,
//! and moves the labels of secrets. `MiniStack` parses no certificate: every import becomes an RSA key for a made-up
//! name. It supports no private certificates, leaves old versions of a secret pending, and its `RenewCertificate` does
//! nothing. Each fixture's `supports` names the behaviour that it lacks. The tests in `shared/aws/tests/wire` replay
//! behaviour that both lack.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use async_trait::async_trait;
use aws::Aws;
use aws_sdk_acmpca::types::CertificateAuthorityStatus;
use jiff::{SignedDuration, Timestamp};
use meshwarden_tests::contract::{authorities, bundles, certificates};
use meshwarden_tests::moto::{Moto, PrivateRoot};
use meshwarden_tests::stack::{ControlPlane, MiniStack, sdk_config};
use ports::certificates::{
    AuthorityArn, AuthorityStatus, CertificateArn, CertificateAuthority, CertificateStore, ProxyEvidence,
    SecretBundles, SecretId, VersionId,
};
use ports_memory::certificates::CertificatePorts;
use ports_memory::{Faults, ManualClock};

/// The fixture in memory.
struct InMemory {
    ports: CertificatePorts,
    root: AuthorityArn,
}

impl InMemory {
    fn new() -> Self {
        let ports = CertificatePorts::new(&Faults::default(), &ManualClock::at(Timestamp::now()), 3);
        let root = root_in(&ports, "requests");
        Self { ports, root }
    }
}

fn root_in(ports: &CertificatePorts, name: &str) -> AuthorityArn {
    let (now, years) = (Timestamp::now(), SignedDuration::from_hours(5 * 365 * 24));
    let now = Timestamp::from_second(now.as_second()).unwrap();
    let validity = ports_memory::certificates::Validity { from: now - years, until: now + years };
    ports.authorities.root(name, &ports::certificates::KeyAlgorithm::Rsa2048, validity).unwrap()
}

#[async_trait]
impl authorities::AuthoritiesUnderTest for InMemory {
    fn authorities(&self) -> &dyn CertificateAuthority {
        &self.ports.authorities
    }

    async fn root(&self, name: &str) -> AuthorityArn {
        root_in(&self.ports, name)
    }

    async fn disable(&self, authority: &AuthorityArn) {
        self.ports.authorities.set_status(authority, AuthorityStatus::Disabled);
    }

    fn supports(&self, _: authorities::AuthorityBehaviour) -> bool {
        true
    }
}

#[async_trait]
impl certificates::CertificatesUnderTest for InMemory {
    fn store(&self) -> &dyn CertificateStore {
        &self.ports.certificates
    }

    fn authority(&self) -> AuthorityArn {
        self.root.clone()
    }

    fn mark_in_use(&self, arn: &CertificateArn) -> bool {
        self.ports.certificates.set_in_use_by(arn, &["arn:aws:elasticloadbalancing:…"]);
        true
    }

    fn supports(&self, _: certificates::CertificateBehaviour) -> bool {
        true
    }
}

#[async_trait]
impl bundles::BundlesUnderTest for InMemory {
    fn bundles(&self) -> &dyn SecretBundles {
        &self.ports.bundles
    }

    async fn create(&self, name: &str, version: &VersionId, text: &str) -> VersionId {
        self.ports.bundles.create(name);
        self.ports.bundles.set_text(name, version, text);
        version.clone()
    }

    fn supports(&self, _: bundles::BundleBehaviour) -> bool {
        true
    }
}

/// The fixture over an ACM Private CA endpoint.
struct PrivateCas {
    port: aws::PrivateCa,
    client: aws_sdk_acmpca::Client,
}

#[async_trait]
impl authorities::AuthoritiesUnderTest for PrivateCas {
    fn authorities(&self) -> &dyn CertificateAuthority {
        &self.port
    }

    async fn root(&self, name: &str) -> AuthorityArn {
        PrivateRoot::make(&self.client, name).await.arn
    }

    async fn disable(&self, authority: &AuthorityArn) {
        let update = self.client.update_certificate_authority().certificate_authority_arn(authority.as_str());
        update.status(CertificateAuthorityStatus::Disabled).send().await.unwrap();
    }

    /// moto returns an internal error for invalid input. `infra/dev/local/moto_server.py` adds the other behaviour.
    fn supports(&self, behaviour: authorities::AuthorityBehaviour) -> bool {
        match behaviour {
            authorities::AuthorityBehaviour::HonoursValidity
            | authorities::AuthorityBehaviour::HonoursTokens
            | authorities::AuthorityBehaviour::RefusesLongValidity
            | authorities::AuthorityBehaviour::RefusesWhenDisabled => true,
            authorities::AuthorityBehaviour::ReportsInvalidInput => false,
        }
    }
}

/// The fixture over an ACM endpoint.
struct Certificates(aws::Acm);

#[async_trait]
impl certificates::CertificatesUnderTest for Certificates {
    fn store(&self) -> &dyn CertificateStore {
        &self.0
    }

    fn authority(&self) -> AuthorityArn {
        AuthorityArn::parse("arn:aws:acm-pca:eu-west-1:123456789012:certificate-authority/never-called").unwrap()
    }

    fn mark_in_use(&self, _: &CertificateArn) -> bool {
        false
    }

    /// moto accepts any import and renews nothing. It signs requested certificates with its own RSA key instead of a
    /// private CA's.
    fn supports(&self, behaviour: certificates::CertificateBehaviour) -> bool {
        match behaviour {
            certificates::CertificateBehaviour::ChecksImports
            | certificates::CertificateBehaviour::Renews
            | certificates::CertificateBehaviour::KeepsTags
            | certificates::CertificateBehaviour::IssuesAsRequested => false,
        }
    }
}

/// The fixture over a Secrets Manager endpoint.
struct Secrets {
    port: aws::Secrets,
    client: aws_sdk_secretsmanager::Client,
    supports: fn(bundles::BundleBehaviour) -> bool,
}

impl Secrets {
    async fn at(endpoint: &str, supports: fn(bundles::BundleBehaviour) -> bool) -> Self {
        let config = sdk_config(endpoint).await;
        let client = aws_sdk_secretsmanager::Client::new(&config);
        Self { port: Aws::with_config(config).bundles(), client, supports }
    }
}

#[async_trait]
impl bundles::BundlesUnderTest for Secrets {
    fn bundles(&self) -> &dyn SecretBundles {
        &self.port
    }

    async fn create(&self, name: &str, version: &VersionId, text: &str) -> VersionId {
        let create = self.client.create_secret().name(SecretId::parse(name).unwrap().as_str()).secret_string(text);
        let made = create.client_request_token(version.as_str()).send().await.unwrap();
        VersionId::parse(&made.version_id.unwrap()).unwrap()
    }

    fn supports(&self, behaviour: bundles::BundleBehaviour) -> bool {
        (self.supports)(behaviour)
    }
}

#[tokio::test]
async fn authorities_in_memory() {
    authorities::all(&InMemory::new()).await;
}

#[tokio::test]
async fn certificates_in_memory() {
    certificates::all(&InMemory::new()).await;
}

#[tokio::test]
async fn bundles_in_memory() {
    bundles::all(&InMemory::new()).await;
}

#[tokio::test]
async fn authorities_on_moto() {
    let Some(moto) = Moto::start().await else { return };
    let config = sdk_config(&moto.endpoint).await;
    let client = aws_sdk_acmpca::Client::new(&config);
    authorities::all(&PrivateCas { port: Aws::with_config(config).authorities(), client }).await;
}

#[tokio::test]
async fn certificates_on_moto() {
    let Some(moto) = Moto::start().await else { return };
    certificates::all(&Certificates(Aws::with_config(sdk_config(&moto.endpoint).await).certificates())).await;
}

#[tokio::test]
async fn bundles_on_moto() {
    let Some(moto) = Moto::start().await else { return };
    // It overwrites a version as long as the version is pending.
    let supports = |behaviour| match behaviour {
        bundles::BundleBehaviour::MovesLabels => true,
        bundles::BundleBehaviour::KeepsVersions => false,
    };
    bundles::all(&Secrets::at(&moto.endpoint, supports).await).await;
}

#[tokio::test]
async fn bundles_on_ministack() {
    let Some(stack) = MiniStack::start().await else { return };
    let supports = |behaviour| match behaviour {
        bundles::BundleBehaviour::MovesLabels | bundles::BundleBehaviour::KeepsVersions => false,
    };
    bundles::all(&Secrets::at(&stack.endpoint, supports).await).await;
}

#[tokio::test]
async fn control_plane_without_proxies_reports_none() {
    let plane = ControlPlane::start().await;
    let aws = Aws::with_config(sdk_config(&plane.endpoint).await);
    assert_eq!(aws.mesh().proxies().await.unwrap(), []);
}
