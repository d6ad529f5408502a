//! The contract of [`CertificateStore`].

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use ports::PortErrorKind;
use ports::certificates::{
    AuthorityArn, CertificateArn, CertificateAuthority, CertificateKind, CertificateStatus, CertificateStore, Chain,
    Eligibility, IdempotencyToken, Import, Issuance, KeyAlgorithm, PrivateKey, PrivateRequest,
};
use ports_memory::certificates::{MemoryAuthorities, Validity};
use ports_memory::{Faults, ManualClock};

use super::x509::Leaf;
use super::{authorities, kind};

/// A test fixture with a store of certificates.
#[async_trait]
pub trait CertificatesUnderTest: Sync {
    /// The port under test.
    fn store(&self) -> &dyn CertificateStore;
    /// The private CA that issues its private certificates.
    fn authority(&self) -> AuthorityArn;
    /// Makes an AWS resource use a certificate; returns whether the implementation supports that.
    fn mark_in_use(&self, arn: &CertificateArn) -> bool;
    /// Whether the implementation behaves as AWS in this respect; see [`CertificateBehaviour`].
    fn supports(&self, behaviour: CertificateBehaviour) -> bool;
}

/// Behaviour of AWS that some stand-ins lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateBehaviour {
    /// Checks an import against its key and against the certificate that it replaces.
    ChecksImports,
    /// Renews certificates that were exported, and only those.
    Renews,
    /// Keeps the tags when a certificate is replaced.
    KeepsTags,
    /// Creates the requested key, and has the private CA sign its certificate.
    IssuesAsRequested,
}

/// Runs every check.
pub async fn all(fixture: &dyn CertificatesUnderTest) {
    let issuer = Issuer::new();
    imported_certificate_is_described(fixture, &issuer).await;
    reimport_replaces_the_certificate_of_an_arn(fixture, &issuer).await;
    expired_certificate_is_not_imported(fixture, &issuer).await;
    imported_certificate_is_not_exported(fixture, &issuer).await;
    requested_certificate_is_exported_with_its_key(fixture).await;
    same_token_is_the_same_request(fixture).await;
    every_key_type_is_listed(fixture, &issuer).await;
    tags_are_kept(fixture, &issuer).await;
    deleted_certificate_is_not_found(fixture, &issuer).await;
    if fixture.supports(CertificateBehaviour::ChecksImports) {
        import_must_match_its_key_and_the_replaced_certificate(fixture, &issuer).await;
    }
    if fixture.supports(CertificateBehaviour::Renews) {
        renewal_requires_an_export(fixture).await;
    }
}

/// Signs the certificates that are imported. It has a separate clock, so that it can sign expired certificates.
struct Issuer {
    authorities: MemoryAuthorities,
    clock: ManualClock,
    root: AuthorityArn,
}

impl Issuer {
    fn new() -> Self {
        let now = Timestamp::now();
        let clock = ManualClock::at(now);
        let authorities = MemoryAuthorities::new(Faults::default(), clock.clone(), 7);
        let years = SignedDuration::from_hours(2 * 365 * 24);
        let root = authorities.root(
            "imports",
            &KeyAlgorithm::EcPrime256v1,
            Validity { from: now - years, until: now + years },
        );
        Self { authorities, clock, root: root.unwrap() }
    }

    async fn issue(&self, key: &KeyAlgorithm, token: &str) -> (Chain, PrivateKey) {
        let fresh = authorities::fresh(key);
        let authority = self.authorities.describe(&self.root).await.unwrap();
        let arn = self.authorities.issue(&authorities::order(&authority, &fresh.request, token)).await.unwrap();
        match self.authorities.issued(&arn).await.unwrap() {
            Issuance::Issued(chain) => (chain, fresh.key),
            other => unreachable!("no delay or failure is configured: {other:?}"),
        }
    }

    async fn import(&self, key: &KeyAlgorithm, token: &str) -> Import {
        let (chain, key) = self.issue(key, token).await;
        Import { onto: None, chain, key, tags: BTreeMap::new() }
    }
}

fn request(fixture: &dyn CertificatesUnderTest, token: &str) -> PrivateRequest {
    PrivateRequest {
        authority: fixture.authority(),
        common_name: "cart.shop.local".into(),
        other_names: vec!["cart".into()],
        key_algorithm: KeyAlgorithm::EcPrime256v1,
        token: IdempotencyToken::parse(token).unwrap(),
        tags: BTreeMap::new(),
    }
}

async fn imported_certificate_is_described(fixture: &dyn CertificatesUnderTest, issuer: &Issuer) {
    for (token, key) in [("imported_ec", KeyAlgorithm::EcPrime256v1), ("imported_rsa", KeyAlgorithm::Rsa2048)] {
        let import = issuer.import(&key, token).await;
        let leaf = Leaf::read(&import.chain.leaf);
        let arn = fixture.store().import(&import).await.unwrap();
        let found = fixture.store().describe(&arn).await.unwrap();
        assert_eq!(
            (&found.arn, &found.kind, &found.status),
            (&arn, &CertificateKind::Imported, &CertificateStatus::Issued)
        );
        assert_eq!(found.key_algorithm, Some(key));
        assert_eq!(found.common_name, "orders.shop.local");
        assert_eq!(found.names, leaf.names);
        assert_eq!((found.not_before, found.not_after), (Some(leaf.not_before), Some(leaf.not_after)));
        assert_eq!(found.eligibility, Some(Eligibility::Ineligible));
        assert_eq!(found.authority, None);
        let chain = fixture.store().chain(&arn).await.unwrap().unwrap();
        assert_eq!(Leaf::read(&chain.leaf), leaf);
        assert!(leaf.is_signed_by(&chain.issuers));
    }
}

async fn reimport_replaces_the_certificate_of_an_arn(fixture: &dyn CertificatesUnderTest, issuer: &Issuer) {
    let arn = fixture.store().import(&issuer.import(&KeyAlgorithm::EcPrime256v1, "old").await).await.unwrap();
    let old = fixture.store().describe(&arn).await.unwrap();
    let new = Import { onto: Some(arn.clone()), ..issuer.import(&KeyAlgorithm::EcPrime256v1, "new").await };
    assert_eq!(fixture.store().import(&new).await.unwrap(), arn);
    assert_ne!(fixture.store().describe(&arn).await.unwrap().serial, old.serial);
    let chain = fixture.store().chain(&arn).await.unwrap().unwrap();
    assert_eq!(Leaf::read(&chain.leaf), Leaf::read(&new.chain.leaf));
}

async fn expired_certificate_is_not_imported(fixture: &dyn CertificatesUnderTest, issuer: &Issuer) {
    let year = SignedDuration::from_hours(365 * 24);
    issuer.clock.advance(-year);
    // The order ends in a month from the real time, so the test sets its end back.
    let authority = issuer.authorities.describe(&issuer.root).await.unwrap();
    let fresh = authorities::fresh(&KeyAlgorithm::EcPrime256v1);
    let mut order = authorities::order(&authority, &fresh.request, "expired");
    order.not_after -= year;
    let arn = issuer.authorities.issue(&order).await.unwrap();
    issuer.clock.advance(year);
    let Issuance::Issued(chain) = issuer.authorities.issued(&arn).await.unwrap() else {
        unreachable!("no delay or failure is configured")
    };
    let import = Import { onto: None, chain, key: fresh.key, tags: BTreeMap::new() };
    assert_eq!(kind(fixture.store().import(&import).await), PortErrorKind::Other);
}

async fn imported_certificate_is_not_exported(fixture: &dyn CertificatesUnderTest, issuer: &Issuer) {
    let arn = fixture.store().import(&issuer.import(&KeyAlgorithm::EcPrime256v1, "inside").await).await.unwrap();
    assert_eq!(kind(fixture.store().export(&arn).await), PortErrorKind::Other);
}

async fn requested_certificate_is_exported_with_its_key(fixture: &dyn CertificatesUnderTest) {
    let request = request(fixture, "comes_out");
    let arn = fixture.store().request(&request).await.unwrap();
    let found = fixture.store().describe(&arn).await.unwrap();
    assert_eq!((found.kind, found.status), (CertificateKind::Private, CertificateStatus::Issued));
    assert_eq!(found.authority, Some(request.authority));
    assert_eq!(found.common_name, "cart.shop.local");
    let exported = fixture.store().export(&arn).await.unwrap();
    let leaf = Leaf::read(&exported.chain.leaf);
    assert!(leaf.belongs_to(&exported.key));
    assert_eq!(fixture.store().chain(&arn).await.unwrap().unwrap().leaf, exported.chain.leaf);
    if fixture.supports(CertificateBehaviour::IssuesAsRequested) {
        assert_eq!(found.key_algorithm, Some(request.key_algorithm));
        assert_eq!(leaf.names, ["cart.shop.local", "cart"]);
        assert!(leaf.is_signed_by(&exported.chain.issuers));
    }
}

async fn same_token_is_the_same_request(fixture: &dyn CertificatesUnderTest) {
    let one = fixture.store().request(&request(fixture, "same")).await.unwrap();
    assert_eq!(fixture.store().request(&request(fixture, "same")).await.unwrap(), one);
    assert_ne!(fixture.store().request(&request(fixture, "another")).await.unwrap(), one);
}

async fn every_key_type_is_listed(fixture: &dyn CertificatesUnderTest, issuer: &Issuer) {
    for (token, key) in [("listed_ec", KeyAlgorithm::EcSecp384r1), ("listed_rsa", KeyAlgorithm::Rsa3072)] {
        let arn = fixture.store().import(&issuer.import(&key, token).await).await.unwrap();
        let listed = fixture.store().list().await.unwrap();
        let found = listed.iter().find(|found| found.arn == arn).unwrap();
        assert_eq!((&found.kind, &found.status), (&CertificateKind::Imported, &CertificateStatus::Issued));
        assert_eq!(found.not_after, fixture.store().describe(&arn).await.unwrap().not_after);
    }
}

async fn tags_are_kept(fixture: &dyn CertificatesUnderTest, issuer: &Issuer) {
    let of = |key: &str| BTreeMap::from([(key.to_owned(), "shop".to_owned())]);
    let import = Import { tags: of("mesh"), ..issuer.import(&KeyAlgorithm::EcPrime256v1, "tagged").await };
    let arn = fixture.store().import(&import).await.unwrap();
    assert_eq!(fixture.store().tags(&arn).await.unwrap(), of("mesh"));
    fixture.store().tag(&arn, &of("owner")).await.unwrap();
    let both: BTreeMap<_, _> = of("mesh").into_iter().chain(of("owner")).collect();
    assert_eq!(fixture.store().tags(&arn).await.unwrap(), both);
    let new = Import { onto: Some(arn.clone()), ..issuer.import(&KeyAlgorithm::EcPrime256v1, "tagged_anew").await };
    fixture.store().import(&new).await.unwrap();
    if fixture.supports(CertificateBehaviour::KeepsTags) {
        assert_eq!(fixture.store().tags(&arn).await.unwrap(), both);
    }
}

async fn deleted_certificate_is_not_found(fixture: &dyn CertificatesUnderTest, issuer: &Issuer) {
    let arn = fixture.store().import(&issuer.import(&KeyAlgorithm::EcPrime256v1, "gone").await).await.unwrap();
    fixture.store().delete(&arn).await.unwrap();
    let store = fixture.store();
    assert_eq!(kind(store.describe(&arn).await), PortErrorKind::NotFound);
    assert_eq!(kind(store.chain(&arn).await), PortErrorKind::NotFound);
    assert_eq!(kind(store.export(&arn).await), PortErrorKind::NotFound);
    assert_eq!(kind(store.delete(&arn).await), PortErrorKind::NotFound);
    assert_eq!(kind(store.tags(&arn).await), PortErrorKind::NotFound);
    let onto = Import { onto: Some(arn), ..issuer.import(&KeyAlgorithm::EcPrime256v1, "gone_again").await };
    assert_eq!(kind(store.import(&onto).await), PortErrorKind::NotFound);
    let used = store.import(&issuer.import(&KeyAlgorithm::EcPrime256v1, "used").await).await.unwrap();
    if fixture.mark_in_use(&used) {
        assert_eq!(kind(store.delete(&used).await), PortErrorKind::Conflict);
    }
}

async fn import_must_match_its_key_and_the_replaced_certificate(fixture: &dyn CertificatesUnderTest, issuer: &Issuer) {
    let import = issuer.import(&KeyAlgorithm::EcPrime256v1, "held").await;
    let arn = fixture.store().import(&import).await.unwrap();
    let other = issuer.import(&KeyAlgorithm::EcPrime256v1, "held_other").await;
    let other_key = Import { key: other.key.clone(), ..import.clone() };
    let other_issuer =
        Import { chain: Chain { issuers: other.chain.leaf.clone(), ..import.chain.clone() }, ..import.clone() };
    let no_issuer = Import { chain: Chain { issuers: String::new(), ..import.chain.clone() }, ..import };
    let larger = issuer.import(&KeyAlgorithm::EcSecp384r1, "held_larger").await;
    let larger = Import { onto: Some(arn.clone()), ..larger };
    let rsa = Import { onto: Some(arn.clone()), ..issuer.import(&KeyAlgorithm::Rsa2048, "held_rsa").await };
    let private = fixture.store().request(&request(fixture, "held_private")).await.unwrap();
    let onto_private = Import { onto: Some(private), ..other.clone() };
    let tagged = BTreeMap::from([("mesh".to_owned(), "shop".to_owned())]);
    let tagged = Import { onto: Some(arn.clone()), tags: tagged, ..other };
    for refused in [other_key, other_issuer, no_issuer, larger, rsa, onto_private, tagged] {
        let serial = fixture.store().describe(&arn).await.unwrap().serial;
        assert_eq!(kind(fixture.store().import(&refused).await), PortErrorKind::Other);
        assert_eq!(fixture.store().describe(&arn).await.unwrap().serial, serial);
    }
}

async fn renewal_requires_an_export(fixture: &dyn CertificatesUnderTest) {
    let store = fixture.store();
    let arn = store.request(&request(fixture, "renewed")).await.unwrap();
    assert_eq!(store.describe(&arn).await.unwrap().eligibility, Some(Eligibility::Ineligible));
    assert_eq!(kind(store.renew(&arn).await), PortErrorKind::Other);
    let old = store.export(&arn).await.unwrap();
    assert_eq!(store.describe(&arn).await.unwrap().eligibility, Some(Eligibility::Eligible));
    store.renew(&arn).await.unwrap();
    let new = store.export(&arn).await.unwrap();
    assert_ne!(old.key, new.key);
    assert_ne!(Leaf::read(&old.chain.leaf).serial, Leaf::read(&new.chain.leaf).serial);
    assert_eq!(Leaf::read(&old.chain.leaf).names, Leaf::read(&new.chain.leaf).names);
}
