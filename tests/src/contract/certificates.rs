//! The contract of [`CertificateStore`].

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use ports::PortErrorKind;
use ports::certificates::{
    AuthorityArn, CertificateArn, CertificateAuthority, CertificateKind, CertificateStatus, CertificateStore, Chain,
    Eligibility, IdempotencyToken, Import, Issuance, KeyAlgorithm, PrivateKey, PrivateRequest,
};
use ports::memory::certificates::{MemoryAuthorities, Validity};
use ports::memory::{Faults, ManualClock};

use super::x509::Leaf;
use super::{authorities, kind};

/// A test fixture with a store of certificates.
#[async_trait]
pub trait World: Sync {
    /// The port under test.
    fn store(&self) -> &dyn CertificateStore;
    /// The private CA that issues its private certificates.
    fn authority(&self) -> AuthorityArn;
    /// Makes an AWS resource use a certificate; returns whether the implementation supports that.
    fn put_to_use(&self, arn: &CertificateArn) -> bool;
    /// Whether the implementation behaves as AWS in this respect; see [`Trait`].
    fn does(&self, what: Trait) -> bool;
}

/// Behaviour of AWS that some stand-ins lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trait {
    /// Checks an import against its key and against the certificate that it replaces.
    ChecksImports,
    /// Renews certificates that were exported, and only those.
    Renews,
    /// Keeps the tags when a certificate is replaced.
    KeepsTags,
    /// Creates the requested key, and has the private CA sign its certificate.
    IssuesAsAsked,
}

/// Runs every check.
pub async fn all(world: &dyn World) {
    let issuer = Issuer::new();
    an_imported_certificate_is_described(world, &issuer).await;
    it_is_replaced_on_its_arn(world, &issuer).await;
    what_has_expired_is_not_imported(world, &issuer).await;
    an_imported_certificate_does_not_come_out(world, &issuer).await;
    a_requested_certificate_comes_out_with_its_key(world).await;
    the_same_token_is_the_same_request(world).await;
    every_key_type_is_listed(world, &issuer).await;
    tags_are_kept(world, &issuer).await;
    what_is_deleted_is_gone(world, &issuer).await;
    if world.does(Trait::ChecksImports) {
        an_import_is_held_against_its_key_and_what_it_replaces(world, &issuer).await;
    }
    if world.does(Trait::Renews) {
        a_renewal_takes_an_export_first(world).await;
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
            other => unreachable!("nobody set a delay or a failure: {other:?}"),
        }
    }

    async fn import(&self, key: &KeyAlgorithm, token: &str) -> Import {
        let (chain, key) = self.issue(key, token).await;
        Import { onto: None, chain, key, tags: BTreeMap::new() }
    }
}

fn request(world: &dyn World, token: &str) -> PrivateRequest {
    PrivateRequest {
        authority: world.authority(),
        common_name: "cart.shop.local".into(),
        other_names: vec!["cart".into()],
        key_algorithm: KeyAlgorithm::EcPrime256v1,
        token: IdempotencyToken::parse(token).unwrap(),
        tags: BTreeMap::new(),
    }
}

async fn an_imported_certificate_is_described(world: &dyn World, issuer: &Issuer) {
    for (token, key) in [("imported_ec", KeyAlgorithm::EcPrime256v1), ("imported_rsa", KeyAlgorithm::Rsa2048)] {
        let import = issuer.import(&key, token).await;
        let leaf = Leaf::read(&import.chain.leaf);
        let arn = world.store().import(&import).await.unwrap();
        let found = world.store().describe(&arn).await.unwrap();
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
        let chain = world.store().chain(&arn).await.unwrap().unwrap();
        assert_eq!(Leaf::read(&chain.leaf), leaf);
        assert!(leaf.is_signed_by(&chain.issuers));
    }
}

async fn it_is_replaced_on_its_arn(world: &dyn World, issuer: &Issuer) {
    let arn = world.store().import(&issuer.import(&KeyAlgorithm::EcPrime256v1, "old").await).await.unwrap();
    let old = world.store().describe(&arn).await.unwrap();
    let new = Import { onto: Some(arn.clone()), ..issuer.import(&KeyAlgorithm::EcPrime256v1, "new").await };
    assert_eq!(world.store().import(&new).await.unwrap(), arn);
    assert_ne!(world.store().describe(&arn).await.unwrap().serial, old.serial);
    let chain = world.store().chain(&arn).await.unwrap().unwrap();
    assert_eq!(Leaf::read(&chain.leaf), Leaf::read(&new.chain.leaf));
}

async fn what_has_expired_is_not_imported(world: &dyn World, issuer: &Issuer) {
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
        unreachable!("nobody set a delay or a failure")
    };
    let import = Import { onto: None, chain, key: fresh.key, tags: BTreeMap::new() };
    assert_eq!(kind(world.store().import(&import).await), PortErrorKind::Other);
}

async fn an_imported_certificate_does_not_come_out(world: &dyn World, issuer: &Issuer) {
    let arn = world.store().import(&issuer.import(&KeyAlgorithm::EcPrime256v1, "inside").await).await.unwrap();
    assert_eq!(kind(world.store().export(&arn).await), PortErrorKind::Other);
}

async fn a_requested_certificate_comes_out_with_its_key(world: &dyn World) {
    let request = request(world, "comes_out");
    let arn = world.store().request(&request).await.unwrap();
    let found = world.store().describe(&arn).await.unwrap();
    assert_eq!((found.kind, found.status), (CertificateKind::Private, CertificateStatus::Issued));
    assert_eq!(found.authority, Some(request.authority));
    assert_eq!(found.common_name, "cart.shop.local");
    let exported = world.store().export(&arn).await.unwrap();
    let leaf = Leaf::read(&exported.chain.leaf);
    assert!(leaf.belongs_to(&exported.key));
    assert_eq!(world.store().chain(&arn).await.unwrap().unwrap().leaf, exported.chain.leaf);
    if world.does(Trait::IssuesAsAsked) {
        assert_eq!(found.key_algorithm, Some(request.key_algorithm));
        assert_eq!(leaf.names, ["cart.shop.local", "cart"]);
        assert!(leaf.is_signed_by(&exported.chain.issuers));
    }
}

async fn the_same_token_is_the_same_request(world: &dyn World) {
    let one = world.store().request(&request(world, "same")).await.unwrap();
    assert_eq!(world.store().request(&request(world, "same")).await.unwrap(), one);
    assert_ne!(world.store().request(&request(world, "another")).await.unwrap(), one);
}

async fn every_key_type_is_listed(world: &dyn World, issuer: &Issuer) {
    for (token, key) in [("listed_ec", KeyAlgorithm::EcSecp384r1), ("listed_rsa", KeyAlgorithm::Rsa3072)] {
        let arn = world.store().import(&issuer.import(&key, token).await).await.unwrap();
        let listed = world.store().list().await.unwrap();
        let found = listed.iter().find(|found| found.arn == arn).unwrap();
        assert_eq!((&found.kind, &found.status), (&CertificateKind::Imported, &CertificateStatus::Issued));
        assert_eq!(found.not_after, world.store().describe(&arn).await.unwrap().not_after);
    }
}

async fn tags_are_kept(world: &dyn World, issuer: &Issuer) {
    let of = |key: &str| BTreeMap::from([(key.to_owned(), "shop".to_owned())]);
    let import = Import { tags: of("mesh"), ..issuer.import(&KeyAlgorithm::EcPrime256v1, "tagged").await };
    let arn = world.store().import(&import).await.unwrap();
    assert_eq!(world.store().tags(&arn).await.unwrap(), of("mesh"));
    world.store().tag(&arn, &of("owner")).await.unwrap();
    let both: BTreeMap<_, _> = of("mesh").into_iter().chain(of("owner")).collect();
    assert_eq!(world.store().tags(&arn).await.unwrap(), both);
    let new = Import { onto: Some(arn.clone()), ..issuer.import(&KeyAlgorithm::EcPrime256v1, "tagged_anew").await };
    world.store().import(&new).await.unwrap();
    if world.does(Trait::KeepsTags) {
        assert_eq!(world.store().tags(&arn).await.unwrap(), both);
    }
}

async fn what_is_deleted_is_gone(world: &dyn World, issuer: &Issuer) {
    let arn = world.store().import(&issuer.import(&KeyAlgorithm::EcPrime256v1, "gone").await).await.unwrap();
    world.store().delete(&arn).await.unwrap();
    let store = world.store();
    assert_eq!(kind(store.describe(&arn).await), PortErrorKind::NotFound);
    assert_eq!(kind(store.chain(&arn).await), PortErrorKind::NotFound);
    assert_eq!(kind(store.export(&arn).await), PortErrorKind::NotFound);
    assert_eq!(kind(store.delete(&arn).await), PortErrorKind::NotFound);
    assert_eq!(kind(store.tags(&arn).await), PortErrorKind::NotFound);
    let onto = Import { onto: Some(arn), ..issuer.import(&KeyAlgorithm::EcPrime256v1, "gone_again").await };
    assert_eq!(kind(store.import(&onto).await), PortErrorKind::NotFound);
    let used = store.import(&issuer.import(&KeyAlgorithm::EcPrime256v1, "used").await).await.unwrap();
    if world.put_to_use(&used) {
        assert_eq!(kind(store.delete(&used).await), PortErrorKind::Conflict);
    }
}

async fn an_import_is_held_against_its_key_and_what_it_replaces(world: &dyn World, issuer: &Issuer) {
    let import = issuer.import(&KeyAlgorithm::EcPrime256v1, "held").await;
    let arn = world.store().import(&import).await.unwrap();
    let other = issuer.import(&KeyAlgorithm::EcPrime256v1, "held_other").await;
    let other_key = Import { key: other.key.clone(), ..import.clone() };
    let other_issuer =
        Import { chain: Chain { issuers: other.chain.leaf.clone(), ..import.chain.clone() }, ..import.clone() };
    let no_issuer = Import { chain: Chain { issuers: String::new(), ..import.chain.clone() }, ..import };
    let larger = issuer.import(&KeyAlgorithm::EcSecp384r1, "held_larger").await;
    let larger = Import { onto: Some(arn.clone()), ..larger };
    let rsa = Import { onto: Some(arn.clone()), ..issuer.import(&KeyAlgorithm::Rsa2048, "held_rsa").await };
    let private = world.store().request(&request(world, "held_private")).await.unwrap();
    let onto_private = Import { onto: Some(private), ..other.clone() };
    let tagged = BTreeMap::from([("mesh".to_owned(), "shop".to_owned())]);
    let tagged = Import { onto: Some(arn.clone()), tags: tagged, ..other };
    for refused in [other_key, other_issuer, no_issuer, larger, rsa, onto_private, tagged] {
        let serial = world.store().describe(&arn).await.unwrap().serial;
        assert_eq!(kind(world.store().import(&refused).await), PortErrorKind::Other);
        assert_eq!(world.store().describe(&arn).await.unwrap().serial, serial);
    }
}

async fn a_renewal_takes_an_export_first(world: &dyn World) {
    let store = world.store();
    let arn = store.request(&request(world, "renewed")).await.unwrap();
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
