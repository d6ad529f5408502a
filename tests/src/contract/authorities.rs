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
pub trait World: Sync {
    /// The port under test.
    fn authorities(&self) -> &dyn CertificateAuthority;
    /// Creates an active root with an RSA key of 2048 bits, valid for a year or more.
    async fn root(&self, name: &str) -> AuthorityArn;
    /// Disables an authority.
    async fn disable(&self, authority: &AuthorityArn);
    /// Whether the implementation behaves as AWS in this respect; see [`Trait`].
    fn does(&self, what: Trait) -> bool;
}

/// Behaviour of AWS that some stand-ins lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trait {
    /// The certificate ends at the requested time.
    HonoursValidity,
    /// The same token within five minutes is the same order.
    KnowsTokens,
    /// Refuses a validity beyond the authority's own.
    RefusesLongValidity,
    /// A disabled authority does not issue.
    RefusesWhenDisabled,
    /// Reports a missing certificate and an invalid request as such, instead of an internal error.
    TellsWhatIsWrong,
}

/// Runs every check.
pub async fn all(world: &dyn World) {
    an_authority_is_described(world).await;
    an_order_becomes_a_certificate(world).await;
    another_token_is_another_certificate(world).await;
    what_does_not_exist_is_not_found(world).await;
    if world.does(Trait::HonoursValidity) {
        it_ends_when_it_was_ordered_to(world).await;
    }
    if world.does(Trait::KnowsTokens) {
        the_same_token_is_the_same_order(world).await;
    }
    if world.does(Trait::RefusesLongValidity) {
        nothing_outlives_its_authority(world).await;
    }
    if world.does(Trait::RefusesWhenDisabled) {
        what_is_switched_off_does_not_issue(world).await;
    }
    if world.does(Trait::TellsWhatIsWrong) {
        what_is_no_request_is_refused(world).await;
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

async fn issue(world: &dyn World, order: &Order) -> (IssuedArn, Chain) {
    let arn = world.authorities().issue(order).await.unwrap();
    assert_eq!(arn.authority(), order.authority);
    match world.authorities().issued(&arn).await.unwrap() {
        Issuance::Issued(chain) => (arn, chain),
        other => unreachable!("nobody set a delay or a failure: {other:?}"),
    }
}

async fn described(world: &dyn World, name: &str) -> Authority {
    let arn = world.root(name).await;
    world.authorities().describe(&arn).await.unwrap()
}

async fn an_authority_is_described(world: &dyn World) {
    let authority = described(world, "described").await;
    assert_eq!(authority.kind, AuthorityKind::Root);
    assert_eq!(authority.status, AuthorityStatus::Active);
    assert_eq!(authority.common_name.as_deref(), Some("described"));
    assert_eq!(authority.key_algorithm, Some(KeyAlgorithm::Rsa2048));
    assert!(authority.not_before.unwrap() <= Timestamp::now() && in_days(300) < authority.not_after.unwrap());
    let chain = world.authorities().certificate(&authority.arn).await.unwrap();
    let root = Leaf::read(&chain.leaf);
    assert!(root.is_signed_by(&chain.leaf));
    assert_eq!(Some(root.not_after), authority.not_after);
}

async fn an_order_becomes_a_certificate(world: &dyn World) {
    let authority = described(world, "orders").await;
    let root = world.authorities().certificate(&authority.arn).await.unwrap().leaf;
    for (token, algorithm) in [("ec", KeyAlgorithm::EcPrime256v1), ("rsa", KeyAlgorithm::Rsa2048)] {
        let fresh = fresh(&algorithm);
        let (_, chain) = issue(world, &order(&authority, &fresh.request, token)).await;
        let leaf = Leaf::read(&chain.leaf);
        assert_eq!(leaf.names, ["orders.shop.local", "orders", "spiffe://shop/orders"]);
        assert!(leaf.belongs_to(&fresh.key), "{algorithm}");
        assert!(leaf.is_signed_by(&root));
        assert!(leaf.is_for_servers_and_clients);
        assert_eq!(Leaf::read(&chain.issuers), Leaf::read(&root));
    }
}

async fn another_token_is_another_certificate(world: &dyn World) {
    let authority = described(world, "twice").await;
    let request = fresh(&KeyAlgorithm::EcPrime256v1).request;
    let (one, first) = issue(world, &order(&authority, &request, "one")).await;
    let (other, second) = issue(world, &order(&authority, &request, "other")).await;
    assert_ne!(one, other);
    assert_ne!(Leaf::read(&first.leaf).serial, Leaf::read(&second.leaf).serial);
}

async fn what_does_not_exist_is_not_found(world: &dyn World) {
    let authority = described(world, "there").await;
    let nowhere = AuthorityArn::parse(&format!("{}0", authority.arn)).unwrap();
    let request = fresh(&KeyAlgorithm::EcPrime256v1).request;
    let order = Order { authority: nowhere.clone(), ..order(&authority, &request, "nowhere") };
    assert_eq!(kind(world.authorities().describe(&nowhere).await), PortErrorKind::NotFound);
    assert_eq!(kind(world.authorities().certificate(&nowhere).await), PortErrorKind::NotFound);
    assert_eq!(kind(world.authorities().issue(&order).await), PortErrorKind::NotFound);
    if world.does(Trait::TellsWhatIsWrong) {
        let nothing = IssuedArn::parse(&format!("{}/certificate/0b0b", authority.arn)).unwrap();
        assert_eq!(kind(world.authorities().issued(&nothing).await), PortErrorKind::NotFound);
    }
}

async fn it_ends_when_it_was_ordered_to(world: &dyn World) {
    let authority = described(world, "ends").await;
    let order = order(&authority, &fresh(&KeyAlgorithm::EcPrime256v1).request, "ends");
    let leaf = Leaf::read(&issue(world, &order).await.1.leaf);
    assert_eq!(leaf.not_after, order.not_after);
    assert!(leaf.not_before < Timestamp::now());
}

async fn the_same_token_is_the_same_order(world: &dyn World) {
    let authority = described(world, "once").await;
    let order = order(&authority, &fresh(&KeyAlgorithm::EcPrime256v1).request, "once");
    let first = issue(world, &order).await;
    assert_eq!(issue(world, &order).await, first);
}

async fn nothing_outlives_its_authority(world: &dyn World) {
    let authority = described(world, "shorter").await;
    let request = fresh(&KeyAlgorithm::EcPrime256v1).request;
    let at_the_end = Order { not_after: authority.not_after.unwrap(), ..order(&authority, &request, "end") };
    let beyond = at_the_end.not_after + SignedDuration::from_secs(1);
    let beyond = Order { not_after: beyond, ..order(&authority, &request, "beyond") };
    assert_eq!(kind(world.authorities().issue(&beyond).await), PortErrorKind::Other);
    issue(world, &at_the_end).await;
}

async fn what_is_switched_off_does_not_issue(world: &dyn World) {
    let authority = described(world, "off").await;
    world.disable(&authority.arn).await;
    assert_eq!(world.authorities().describe(&authority.arn).await.unwrap().status, AuthorityStatus::Disabled);
    let order = order(&authority, &fresh(&KeyAlgorithm::EcPrime256v1).request, "off");
    assert_eq!(kind(world.authorities().issue(&order).await), PortErrorKind::Other);
}

async fn what_is_no_request_is_refused(world: &dyn World) {
    let authority = described(world, "refuses").await;
    let order = order(&authority, "no request", "none");
    assert_eq!(kind(world.authorities().issue(&order).await), PortErrorKind::Other);
}
