//! The contract of [`CertificateAuthority`].

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use ports::PortErrorKind;
use ports::certificates::{
    Authority, AuthorityArn, AuthorityKind, AuthorityStatus, CertificateAuthority, Chain, FreshKey, IdempotencyToken,
    Issuance, IssuedArn, KeyAlgorithm, KeyMaker, Order, SigningAlgorithm, SubjectNames, SystemKeys, Template,
};

use super::kind;
use super::x509::Leaf;

/// A test fixture that can set up authorities without the port.
#[async_trait]
pub trait AuthoritiesUnderTest: Sync {
    /// The port under test.
    fn authorities(&self) -> &dyn CertificateAuthority;
    /// Creates an active root with an RSA key of 2048 bits, valid for a year or more.
    async fn root(&self, name: &str) -> AuthorityArn;
    /// Disables an authority.
    async fn disable(&self, authority: &AuthorityArn);
    /// Whether the implementation behaves as AWS in this respect; see [`AuthorityBehaviour`].
    fn supports(&self, behaviour: AuthorityBehaviour) -> bool;
}

/// Behaviour of AWS that some stand-ins lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorityBehaviour {
    /// The certificate ends at the requested time.
    HonoursValidity,
    /// The same token within five minutes is the same order.
    HonoursTokens,
    /// Refuses a validity beyond the authority's own.
    RefusesLongValidity,
    /// A disabled authority does not issue.
    RefusesWhenDisabled,
    /// Reports a missing certificate and an invalid request as such, instead of an internal error.
    ReportsInvalidInput,
}

/// Runs every check.
pub async fn all(fixture: &dyn AuthoritiesUnderTest) {
    authority_is_described(fixture).await;
    order_becomes_a_certificate(fixture).await;
    another_token_issues_another_certificate(fixture).await;
    missing_authority_is_not_found(fixture).await;
    if fixture.supports(AuthorityBehaviour::HonoursValidity) {
        certificate_ends_at_the_requested_time(fixture).await;
    }
    if fixture.supports(AuthorityBehaviour::HonoursTokens) {
        same_token_is_the_same_order(fixture).await;
    }
    if fixture.supports(AuthorityBehaviour::RefusesLongValidity) {
        validity_beyond_the_authority_is_refused(fixture).await;
    }
    if fixture.supports(AuthorityBehaviour::RefusesWhenDisabled) {
        disabled_authority_does_not_issue(fixture).await;
    }
    if fixture.supports(AuthorityBehaviour::ReportsInvalidInput) {
        invalid_request_is_refused(fixture).await;
    }
}

/// Creates a key with its request for `orders.shop.local`.
#[must_use]
pub fn fresh(algorithm: &KeyAlgorithm) -> FreshKey {
    let names = SubjectNames {
        common_name: Some("orders.shop.local".into()),
        dns: vec!["orders.shop.local".into(), "orders".into()],
        uris: vec!["spiffe://shop/orders".into()],
    };
    SystemKeys.make(algorithm, &names).unwrap()
}

/// Creates an order for a month.
#[must_use]
pub fn order(authority: &Authority, request: &str, token: &str) -> Order {
    Order {
        authority: authority.arn.clone(),
        request: request.to_owned(),
        template: Template::EndEntity,
        signing: SigningAlgorithm::suiting(authority.key_algorithm.as_ref().unwrap()).unwrap(),
        not_after: in_days(30),
        token: IdempotencyToken::parse(token).unwrap(),
    }
}

fn in_days(days: i64) -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap() + SignedDuration::from_hours(24 * days)
}

async fn issue(fixture: &dyn AuthoritiesUnderTest, order: &Order) -> (IssuedArn, Chain) {
    let arn = fixture.authorities().issue(order).await.unwrap();
    assert_eq!(arn.authority(), order.authority);
    match fixture.authorities().issued(&arn).await.unwrap() {
        Issuance::Issued(chain) => (arn, chain),
        other => unreachable!("no delay or failure is configured: {other:?}"),
    }
}

async fn described(fixture: &dyn AuthoritiesUnderTest, name: &str) -> Authority {
    let arn = fixture.root(name).await;
    fixture.authorities().describe(&arn).await.unwrap()
}

async fn authority_is_described(fixture: &dyn AuthoritiesUnderTest) {
    let authority = described(fixture, "described").await;
    assert_eq!(authority.kind, AuthorityKind::Root);
    assert_eq!(authority.status, AuthorityStatus::Active);
    assert_eq!(authority.common_name.as_deref(), Some("described"));
    assert_eq!(authority.key_algorithm, Some(KeyAlgorithm::Rsa2048));
    assert!(authority.not_before.unwrap() <= Timestamp::now() && in_days(300) < authority.not_after.unwrap());
    let chain = fixture.authorities().certificate(&authority.arn).await.unwrap();
    let root = Leaf::read(&chain.leaf);
    assert!(root.is_signed_by(&chain.leaf));
    assert_eq!(Some(root.not_after), authority.not_after);
}

async fn order_becomes_a_certificate(fixture: &dyn AuthoritiesUnderTest) {
    let authority = described(fixture, "orders").await;
    let root = fixture.authorities().certificate(&authority.arn).await.unwrap().leaf;
    for (token, algorithm) in [("ec", KeyAlgorithm::EcPrime256v1), ("rsa", KeyAlgorithm::Rsa2048)] {
        let fresh = fresh(&algorithm);
        let (_, chain) = issue(fixture, &order(&authority, &fresh.request, token)).await;
        let leaf = Leaf::read(&chain.leaf);
        assert_eq!(leaf.names, ["orders.shop.local", "orders", "spiffe://shop/orders"]);
        assert!(leaf.belongs_to(&fresh.key), "{algorithm}");
        assert!(leaf.is_signed_by(&root));
        assert!(leaf.is_for_servers_and_clients);
        assert_eq!(Leaf::read(&chain.issuers), Leaf::read(&root));
    }
}

async fn another_token_issues_another_certificate(fixture: &dyn AuthoritiesUnderTest) {
    let authority = described(fixture, "twice").await;
    let request = fresh(&KeyAlgorithm::EcPrime256v1).request;
    let (one, first) = issue(fixture, &order(&authority, &request, "one")).await;
    let (other, second) = issue(fixture, &order(&authority, &request, "other")).await;
    assert_ne!(one, other);
    assert_ne!(Leaf::read(&first.leaf).serial, Leaf::read(&second.leaf).serial);
}

async fn missing_authority_is_not_found(fixture: &dyn AuthoritiesUnderTest) {
    let authority = described(fixture, "there").await;
    let nowhere = AuthorityArn::parse(&format!("{}0", authority.arn)).unwrap();
    let request = fresh(&KeyAlgorithm::EcPrime256v1).request;
    let order = Order { authority: nowhere.clone(), ..order(&authority, &request, "nowhere") };
    assert_eq!(kind(fixture.authorities().describe(&nowhere).await), PortErrorKind::NotFound);
    assert_eq!(kind(fixture.authorities().certificate(&nowhere).await), PortErrorKind::NotFound);
    assert_eq!(kind(fixture.authorities().issue(&order).await), PortErrorKind::NotFound);
    if fixture.supports(AuthorityBehaviour::ReportsInvalidInput) {
        let nothing = IssuedArn::parse(&format!("{}/certificate/0b0b", authority.arn)).unwrap();
        assert_eq!(kind(fixture.authorities().issued(&nothing).await), PortErrorKind::NotFound);
    }
}

async fn certificate_ends_at_the_requested_time(fixture: &dyn AuthoritiesUnderTest) {
    let authority = described(fixture, "ends").await;
    let order = order(&authority, &fresh(&KeyAlgorithm::EcPrime256v1).request, "ends");
    let leaf = Leaf::read(&issue(fixture, &order).await.1.leaf);
    assert_eq!(leaf.not_after, order.not_after);
    assert!(leaf.not_before < Timestamp::now());
}

async fn same_token_is_the_same_order(fixture: &dyn AuthoritiesUnderTest) {
    let authority = described(fixture, "once").await;
    let order = order(&authority, &fresh(&KeyAlgorithm::EcPrime256v1).request, "once");
    let first = issue(fixture, &order).await;
    assert_eq!(issue(fixture, &order).await, first);
}

async fn validity_beyond_the_authority_is_refused(fixture: &dyn AuthoritiesUnderTest) {
    let authority = described(fixture, "shorter").await;
    let request = fresh(&KeyAlgorithm::EcPrime256v1).request;
    let at_the_end = Order { not_after: authority.not_after.unwrap(), ..order(&authority, &request, "end") };
    let beyond = at_the_end.not_after + SignedDuration::from_secs(1);
    let beyond = Order { not_after: beyond, ..order(&authority, &request, "beyond") };
    assert_eq!(kind(fixture.authorities().issue(&beyond).await), PortErrorKind::Other);
    issue(fixture, &at_the_end).await;
}

async fn disabled_authority_does_not_issue(fixture: &dyn AuthoritiesUnderTest) {
    let authority = described(fixture, "off").await;
    fixture.disable(&authority.arn).await;
    assert_eq!(fixture.authorities().describe(&authority.arn).await.unwrap().status, AuthorityStatus::Disabled);
    let order = order(&authority, &fresh(&KeyAlgorithm::EcPrime256v1).request, "off");
    assert_eq!(kind(fixture.authorities().issue(&order).await), PortErrorKind::Other);
}

async fn invalid_request_is_refused(fixture: &dyn AuthoritiesUnderTest) {
    let authority = described(fixture, "refuses").await;
    let order = order(&authority, "no request", "none");
    assert_eq!(kind(fixture.authorities().issue(&order).await), PortErrorKind::Other);
}
