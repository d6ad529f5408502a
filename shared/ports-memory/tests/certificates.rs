//! The in-memory authorities and certificate stores, with a virtual clock and with faults.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use ports::PortErrorKind;
use ports::certificates::{
    AuthorityArn, AuthorityStatus, AuthorityUsage, CertificateArn, CertificateAuthority, CertificateStatus,
    CertificateStore, Eligibility, IdempotencyToken, Issuance, KeyAlgorithm, KeyMaker, Order, PrivateRequest,
    RenewalState, SigningAlgorithm, SubjectNames, Template,
};
use ports_memory::certificates::{CertificatePorts, PCA_TOKEN_LASTS, Validity};
use ports_memory::{Effect, Failure, Fault, MemoryPorts};

const YEAR: SignedDuration = SignedDuration::from_hours(365 * 24);

struct World {
    ports: MemoryPorts,
    root: AuthorityArn,
}

impl World {
    /// A root of ten years.
    fn new() -> Self {
        let ports = MemoryPorts::at("2026-01-01T00:00:00Z".parse().unwrap());
        let validity = Validity { from: at(&ports) - YEAR, until: at(&ports) + 10 * YEAR };
        let root = ports.certificates.authorities.root("root", &KeyAlgorithm::EcPrime256v1, validity).unwrap();
        Self { ports, root }
    }

    fn certificates(&self) -> &CertificatePorts {
        &self.ports.certificates
    }

    fn order(&self, token: &str, lasts: SignedDuration) -> Order {
        let names = SubjectNames { dns: vec!["orders.shop.local".into()], ..SubjectNames::default() };
        let fresh = self.certificates().keys.make(&KeyAlgorithm::EcPrime256v1, &names).unwrap();
        Order {
            authority: self.root.clone(),
            request: fresh.request,
            template: Template::EndEntity,
            signing: SigningAlgorithm::Sha256WithEcdsa,
            not_after: at(&self.ports) + lasts,
            token: IdempotencyToken::parse(token).unwrap(),
        }
    }

    async fn requested(&self, token: &str) -> CertificateArn {
        let request = PrivateRequest {
            authority: self.root.clone(),
            common_name: "cart.shop.local".into(),
            other_names: Vec::new(),
            key_algorithm: KeyAlgorithm::EcPrime256v1,
            token: IdempotencyToken::parse(token).unwrap(),
            tags: BTreeMap::new(),
        };
        self.certificates().certificates.request(&request).await.unwrap()
    }
}

fn at(ports: &MemoryPorts) -> Timestamp {
    use ports::Clock;
    ports.clock.now()
}

#[tokio::test]
async fn token_of_an_authority_lasts_five_minutes() {
    let world = World::new();
    let authorities = &world.certificates().authorities;
    let order = world.order("t", YEAR);
    let first = authorities.issue(&order).await.unwrap();
    world.ports.clock.advance(PCA_TOKEN_LASTS - SignedDuration::from_secs(1));
    assert_eq!(authorities.issue(&order).await.unwrap(), first);
    world.ports.clock.advance(SignedDuration::from_secs(1));
    assert_ne!(authorities.issue(&order).await.unwrap(), first);
    assert_eq!(authorities.issuances(), 2);
}

#[tokio::test]
async fn order_is_issued_after_the_delay() {
    let world = World::new();
    let authorities = &world.certificates().authorities;
    authorities.set_delay(SignedDuration::from_secs(20));
    let arn = authorities.issue(&world.order("slow", YEAR)).await.unwrap();
    assert_eq!(authorities.issued(&arn).await.unwrap(), Issuance::InProgress);
    world.ports.clock.advance(SignedDuration::from_secs(20));
    assert!(matches!(authorities.issued(&arn).await.unwrap(), Issuance::Issued(_)));
    authorities.set_failure(Some("the key is too weak"));
    let arn = authorities.issue(&world.order("failing", YEAR)).await.unwrap();
    world.ports.clock.advance(SignedDuration::from_secs(20));
    assert_eq!(authorities.issued(&arn).await.unwrap(), Issuance::Failed { reason: "the key is too weak".into() });
}

#[tokio::test]
async fn expired_authority_issues_after_its_renewal() {
    let world = World::new();
    let authorities = &world.certificates().authorities;
    world.ports.clock.advance(10 * YEAR);
    assert_eq!(authorities.describe(&world.root).await.unwrap().status, AuthorityStatus::Expired);
    let order = world.order("late", SignedDuration::from_hours(1));
    assert_eq!(authorities.issue(&order).await.unwrap_err().kind, PortErrorKind::Other);
    let before = authorities.certificate(&world.root).await.unwrap();
    authorities.renew(&world.root, Validity { from: at(&world.ports), until: at(&world.ports) + YEAR }).unwrap();
    assert_eq!(authorities.describe(&world.root).await.unwrap().status, AuthorityStatus::Active);
    assert_ne!(authorities.certificate(&world.root).await.unwrap(), before);
    authorities.issue(&order).await.unwrap();
}

#[tokio::test]
async fn short_lived_certificates_last_a_week() {
    let world = World::new();
    let authorities = &world.certificates().authorities;
    authorities.set_usage(&world.root, AuthorityUsage::ShortLived);
    let week = SignedDuration::from_hours(7 * 24);
    authorities.issue(&world.order("week", week)).await.unwrap();
    let longer = authorities.issue(&world.order("longer", week + SignedDuration::from_secs(1))).await;
    assert_eq!(longer.unwrap_err().kind, PortErrorKind::Other);
}

#[tokio::test]
async fn chain_leads_from_the_leaf_to_the_root() {
    let world = World::new();
    let authorities = &world.certificates().authorities;
    let validity = Validity { from: at(&world.ports), until: at(&world.ports) + 5 * YEAR };
    let under = authorities.subordinate(&world.root, "under", &KeyAlgorithm::EcSecp384r1, validity).unwrap();
    let order = Order { authority: under.clone(), ..world.order("chain", YEAR) };
    let Issuance::Issued(chain) = authorities.issued(&authorities.issue(&order).await.unwrap()).await.unwrap() else {
        panic!("no delay or failure was set")
    };
    let above = authorities.certificate(&under).await.unwrap();
    assert_eq!(chain.issuers, above.whole());
    assert_eq!(above.issuers.trim(), authorities.certificate(&world.root).await.unwrap().leaf.trim());
    assert_eq!(chain.whole().matches("BEGIN CERTIFICATE").count(), 3);
}

#[tokio::test]
async fn renewal_is_issued_after_the_delay_and_needs_another_export() {
    let world = World::new();
    let store = &world.certificates().certificates;
    store.set_delay(SignedDuration::from_mins(1));
    let arn = world.requested("r").await;
    assert_eq!(store.describe(&arn).await.unwrap().status, CertificateStatus::PendingValidation);
    assert_eq!(store.chain(&arn).await.unwrap(), None);
    assert_eq!(store.export(&arn).await.unwrap_err().kind, PortErrorKind::Conflict);
    world.ports.clock.advance(SignedDuration::from_mins(1));
    let old = store.export(&arn).await.unwrap();

    world.ports.clock.advance(YEAR);
    store.renew(&arn).await.unwrap();
    assert_eq!(store.renew(&arn).await.unwrap_err().kind, PortErrorKind::Conflict);
    assert_eq!(store.export(&arn).await.unwrap_err().kind, PortErrorKind::Conflict);
    let under_way = store.describe(&arn).await.unwrap();
    assert_eq!(under_way.renewal.unwrap().state, RenewalState::PendingAutoRenewal);
    assert_eq!(store.chain(&arn).await.unwrap().unwrap(), old.chain);

    world.ports.clock.advance(SignedDuration::from_mins(1));
    let renewed = store.describe(&arn).await.unwrap();
    assert_eq!(renewed.renewal.unwrap().state, RenewalState::Success);
    assert_eq!(renewed.eligibility, Some(Eligibility::Ineligible));
    assert!(at(&world.ports) + YEAR < renewed.not_after.unwrap());
    assert_eq!(store.renew(&arn).await.unwrap_err().kind, PortErrorKind::Other);
    assert_ne!(store.export(&arn).await.unwrap().key, old.key);
    assert_eq!(store.issuances(), 2);
}

#[tokio::test]
async fn failed_renewal_keeps_the_old_certificate() {
    let world = World::new();
    let store = &world.certificates().certificates;
    let arn = world.requested("f").await;
    let old = store.export(&arn).await.unwrap();
    world.certificates().authorities.set_status(&world.root, AuthorityStatus::Disabled);
    store.renew(&arn).await.unwrap();
    let found = store.describe(&arn).await.unwrap();
    assert_eq!(found.renewal.unwrap().reason.as_deref(), Some("PCA_INVALID_STATE"));
    assert_eq!(found.status, CertificateStatus::Issued);
    assert_eq!(store.export(&arn).await.unwrap(), old);
    let failed = world.requested("f2").await;
    let failed = store.describe(&failed).await.unwrap();
    assert_eq!((failed.status, failed.failure.as_deref()), (CertificateStatus::Failed, Some("PCA_INVALID_STATE")));
}

#[tokio::test]
async fn expired_certificate_has_status_expired() {
    let world = World::new();
    let store = &world.certificates().certificates;
    let (revoked, expired) = (world.requested("a").await, world.requested("b").await);
    store.revoke(&revoked);
    world.ports.clock.advance(2 * YEAR);
    assert_eq!(store.describe(&revoked).await.unwrap().status, CertificateStatus::Revoked);
    assert_eq!(store.describe(&expired).await.unwrap().status, CertificateStatus::Expired);
    for arn in [&revoked, &expired] {
        assert_eq!(store.export(arn).await.unwrap_err().kind, PortErrorKind::Other);
    }
}

#[tokio::test]
async fn order_with_a_lost_answer_is_issued() {
    let world = World::new();
    let authorities = &world.certificates().authorities;
    let order = world.order("lost", YEAR);
    world.ports.faults.at(0, Fault::Fails(Failure::TimedOut, Effect::Done));
    assert_eq!(authorities.issue(&order).await.unwrap_err().kind, PortErrorKind::TimedOut);
    authorities.issue(&order).await.unwrap();
    assert_eq!(authorities.issuances(), 1);
    world.ports.faults.at(2, Fault::Fails(Failure::Throttled, Effect::NotDone));
    assert_eq!(authorities.issue(&world.order("t", YEAR)).await.unwrap_err().kind, PortErrorKind::Throttled);
    assert_eq!(authorities.issuances(), 1);
    let names: Vec<_> = world.ports.faults.calls().iter().map(|call| (call.name, call.writes)).collect();
    assert_eq!(names, [("issue under", true); 3]);
}

#[tokio::test]
async fn identical_runs_give_identical_identifiers() {
    let run = || async {
        let world = World::new();
        let issued = world.certificates().authorities.issue(&world.order("s", YEAR)).await.unwrap();
        let requested = world.requested("s").await;
        let serial = world.certificates().certificates.describe(&requested).await.unwrap().serial;
        (issued, requested, serial)
    };
    assert_eq!(run().await, run().await);
}
