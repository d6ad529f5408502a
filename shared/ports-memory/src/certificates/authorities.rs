use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use super::Validity;
use super::numbers::{Numbers, in_pairs};
use super::signer::Signer;
use crate::{ACCOUNT, Cell, Faults, ManualClock};
use ports::certificates::key_pair;
use ports::certificates::{
    Authority, AuthorityArn, AuthorityKind, AuthorityStatus, AuthorityUsage, CertificateAuthority, Chain,
    IdempotencyToken, Issuance, IssuedArn, KeyAlgorithm, Order, SigningAlgorithm, Template,
};
use ports::{Clock, PortError, PortErrorKind};

/// The time for which a private CA recognises an idempotency token.
pub const PCA_TOKEN_LASTS: SignedDuration = SignedDuration::from_mins(5);

/// The time by which a certificate's validity is backdated, to allow for clock skew.
const BEGINS_EARLIER: SignedDuration = SignedDuration::from_hours(1);

/// The maximum validity of short-lived certificates.
const SHORT_LIVED: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Private CAs created by a test, which sign real certificates.
#[derive(Clone, Debug)]
pub struct MemoryAuthorities {
    cell: Cell<AuthoritiesState>,
    clock: ManualClock,
}

#[derive(Clone, Debug, PartialEq)]
struct AuthoritiesState {
    numbers: Numbers,
    delay: SignedDuration,
    failure: Option<String>,
    authorities: BTreeMap<AuthorityArn, AuthorityEntry>,
    issued: BTreeMap<IssuedArn, Arc<Issued>>,
    tokens: BTreeMap<(AuthorityArn, IdempotencyToken), (Timestamp, IssuedArn)>,
}

#[derive(Clone, Debug, PartialEq)]
struct AuthorityEntry {
    facts: Authority,
    name: String,
    parent: Option<AuthorityArn>,
    signer: Signer,
}

#[derive(Debug, PartialEq, Eq)]
struct Issued {
    ready: Timestamp,
    outcome: Issuance,
}

impl MemoryAuthorities {
    /// No authorities yet.
    #[must_use]
    pub fn new(faults: Faults, clock: ManualClock, seed: u64) -> Self {
        let state = AuthoritiesState {
            numbers: Numbers::new(seed, 0),
            delay: SignedDuration::ZERO,
            failure: None,
            authorities: BTreeMap::new(),
            issued: BTreeMap::new(),
            tokens: BTreeMap::new(),
        };
        Self { cell: Cell::new(state, faults), clock }
    }

    /// Creates an active root authority.
    pub fn root(&self, name: &str, key: &KeyAlgorithm, validity: Validity) -> Result<AuthorityArn, PortError> {
        self.make(name, key, validity, None)
    }

    /// Creates an active subordinate authority.
    pub fn subordinate(
        &self,
        parent: &AuthorityArn,
        name: &str,
        key: &KeyAlgorithm,
        validity: Validity,
    ) -> Result<AuthorityArn, PortError> {
        self.make(name, key, validity, Some(parent))
    }

    /// Replaces an authority's certificate: same ARN, same key, another validity.
    pub fn renew(&self, authority: &AuthorityArn, validity: Validity) -> Result<(), PortError> {
        self.cell.poke(|state| {
            let serial = state.numbers.serial();
            let held = state.held(authority)?.clone();
            let parent = held.parent.as_ref().map(|parent| state.held(parent)).transpose()?;
            let parent = parent.map(|parent| parent.signer.clone());
            let signer =
                held.signer.again(parent.as_ref(), &held.name, validity, &serial).map_err(|error| unmade(&error))?;
            let held = AuthorityEntry { signer, facts: within(held.facts, validity), ..held };
            state.authorities.insert(authority.clone(), held);
            Ok(())
        })
    }

    /// Sets the status of an authority.
    pub fn set_status(&self, authority: &AuthorityArn, status: AuthorityStatus) {
        self.change(authority, |facts| facts.status = status);
    }

    /// Sets the usage mode of an authority.
    pub fn set_usage(&self, authority: &AuthorityArn, usage: AuthorityUsage) {
        self.change(authority, |facts| facts.usage = usage);
    }

    /// Sets the duration of orders; initially zero.
    pub fn set_delay(&self, delay: SignedDuration) {
        self.cell.poke(|state| state.delay = delay);
    }

    /// Makes every further order fail with this reason; `None` ends that.
    pub fn set_failure(&self, reason: Option<&str>) {
        self.cell.poke(|state| state.failure = reason.map(ToOwned::to_owned));
    }

    /// The number of orders through the port without repetitions: each is billed.
    #[must_use]
    pub fn issuances(&self) -> usize {
        self.cell.peek(|state| state.issued.len())
    }

    fn make(
        &self,
        name: &str,
        key: &KeyAlgorithm,
        validity: Validity,
        parent: Option<&AuthorityArn>,
    ) -> Result<AuthorityArn, PortError> {
        let pair = Arc::new(key_pair(key)?);
        self.cell.poke(|state| {
            let serial = state.numbers.serial();
            let signer = match parent {
                None => Signer::root(pair, name, validity, &serial),
                Some(parent) => state.held(parent)?.signer.subordinate(pair, name, validity, &serial),
            };
            let signer = signer.map_err(|error| unmade(&error))?;
            let id = state.numbers.uuid();
            let text = format!("arn:aws:acm-pca:eu-west-1:{ACCOUNT}:certificate-authority/{id}");
            let arn = AuthorityArn::parse(&text).map_err(|error| unmade(&error))?;
            let facts = Authority {
                arn: arn.clone(),
                kind: if parent.is_some() { AuthorityKind::Subordinate } else { AuthorityKind::Root },
                status: AuthorityStatus::Active,
                usage: AuthorityUsage::GeneralPurpose,
                common_name: Some(name.to_owned()),
                key_algorithm: Some(key.clone()),
                not_before: None,
                not_after: None,
            };
            let facts = within(facts, validity);
            let held = AuthorityEntry { facts, name: name.to_owned(), parent: parent.cloned(), signer };
            state.authorities.insert(arn.clone(), held);
            Ok(arn)
        })
    }

    fn change(&self, authority: &AuthorityArn, change: impl FnOnce(&mut Authority)) {
        self.cell.poke(|state| {
            if let Some(held) = state.authorities.get_mut(authority) {
                change(&mut held.facts);
            }
        });
    }

    /// Signs for ACM, which does not count as a call of the port. The error is ACM's reason.
    pub(super) fn sign_for_acm(
        &self,
        authority: &AuthorityArn,
        request: &str,
        lasts: SignedDuration,
    ) -> Result<Chain, &'static str> {
        let now = self.clock.now();
        self.cell.poke(|state| {
            let serial = state.numbers.serial();
            let held = state.authorities.get(authority).ok_or("PCA_RESOURCE_NOT_FOUND")?;
            let until = now.saturating_add(lasts).unwrap_or(Timestamp::MAX);
            match held.refuses(until, now) {
                Some(IssueRefusal::State(_)) => Err("PCA_INVALID_STATE"),
                Some(IssueRefusal::Validity(_)) => Err("PCA_INVALID_DURATION"),
                None => held
                    .signer
                    .sign(request, Template::EndEntity, begun_earlier(now, until), &serial)
                    .map_err(|_| "PCA_REQUEST_FAILED"),
            }
        })
    }
}

#[async_trait]
impl CertificateAuthority for MemoryAuthorities {
    async fn describe(&self, authority: &AuthorityArn) -> Result<Authority, PortError> {
        let now = self.clock.now();
        self.cell.read("describe authority", authority, |state| Ok(state.held(authority)?.at(now))).await
    }

    async fn certificate(&self, authority: &AuthorityArn) -> Result<Chain, PortError> {
        self.cell
            .read("read the certificate of authority", authority, |state| {
                Ok(state.held(authority)?.signer.chain().clone())
            })
            .await
    }

    async fn issue(&self, order: &Order) -> Result<IssuedArn, PortError> {
        let now = self.clock.now();
        self.cell.write("issue under", &order.authority, |state| state.issue(order, now)).await
    }

    async fn issued(&self, certificate: &IssuedArn) -> Result<Issuance, PortError> {
        let now = self.clock.now();
        self.cell
            .read("read the issued certificate", certificate, |state| {
                let issued = state.issued.get(certificate).ok_or_else(|| missing(certificate))?;
                Ok(if now < issued.ready { Issuance::InProgress } else { issued.outcome.clone() })
            })
            .await
    }
}

impl AuthoritiesState {
    fn held(&self, authority: &AuthorityArn) -> Result<&AuthorityEntry, PortError> {
        self.authorities.get(authority).ok_or_else(|| missing(authority))
    }

    fn issue(&mut self, order: &Order, now: Timestamp) -> Result<IssuedArn, PortError> {
        let refused =
            |message: String| PortError::new(format!("issue under {}", order.authority), PortErrorKind::Other, message);
        let held = self.held(&order.authority)?.clone();
        let token = (order.authority.clone(), order.token.clone());
        if let Some((at, issued)) = self.tokens.get(&token)
            && now.duration_since(*at) < PCA_TOKEN_LASTS
        {
            return Ok(issued.clone());
        }
        match held.refuses(order.not_after, now) {
            Some(IssueRefusal::State(message)) => return Err(refused(format!("{message} (InvalidStateException)"))),
            Some(IssueRefusal::Validity(message)) => return Err(refused(format!("{message} (ValidationException)"))),
            None => {}
        }
        if !suits(order.signing, held.facts.key_algorithm.as_ref()) {
            return Err(refused(
                "the signing algorithm does not suit the authority's key (ValidationException)".into(),
            ));
        }
        let serial = self.numbers.serial();
        let chain = held
            .signer
            .sign(&order.request, order.template, begun_earlier(now, order.not_after), &serial)
            .map_err(|error| refused(format!("{error} (MalformedCSRException)")))?;
        let text = format!("{}/certificate/{}", order.authority, in_pairs(&serial).replace(':', ""));
        let arn = IssuedArn::parse(&text).map_err(|error| unmade(&error))?;
        let outcome = match &self.failure {
            Some(reason) => Issuance::Failed { reason: reason.clone() },
            None => Issuance::Issued(chain),
        };
        let ready = now.saturating_add(self.delay).unwrap_or(now);
        self.issued.insert(arn.clone(), Arc::new(Issued { ready, outcome }));
        self.tokens.retain(|_, (at, _)| now.duration_since(*at) < PCA_TOKEN_LASTS);
        self.tokens.insert(token, (now, arn.clone()));
        Ok(arn)
    }
}

/// The reason why an authority does not issue.
enum IssueRefusal {
    State(&'static str),
    Validity(&'static str),
}

impl AuthorityEntry {
    fn at(&self, now: Timestamp) -> Authority {
        let mut facts = self.facts.clone();
        if facts.status == AuthorityStatus::Active && facts.not_after.is_some_and(|end| end <= now) {
            facts.status = AuthorityStatus::Expired;
        }
        facts
    }

    fn refuses(&self, until: Timestamp, now: Timestamp) -> Option<IssueRefusal> {
        let facts = self.at(now);
        if facts.status != AuthorityStatus::Active {
            Some(IssueRefusal::State("the certificate authority is not in a state to issue"))
        } else if until <= now {
            Some(IssueRefusal::Validity("the validity ends before it begins"))
        } else if facts.not_after.is_some_and(|end| end < until) {
            Some(IssueRefusal::Validity("the certificate validity specified exceeds that of the certificate authority"))
        } else if facts.usage == AuthorityUsage::ShortLived && now.duration_until(until) > SHORT_LIVED {
            Some(IssueRefusal::Validity("the certificate authority issues for at most seven days"))
        } else {
            None
        }
    }
}

fn within(facts: Authority, validity: Validity) -> Authority {
    Authority { not_before: Some(validity.from), not_after: Some(validity.until), ..facts }
}

fn begun_earlier(now: Timestamp, until: Timestamp) -> Validity {
    Validity { from: now.saturating_sub(BEGINS_EARLIER).unwrap_or(now), until }
}

fn suits(signing: SigningAlgorithm, key: Option<&KeyAlgorithm>) -> bool {
    let rsa = |signing| matches!(signing, SigningAlgorithm::Sha256WithRsa | SigningAlgorithm::Sha384WithRsa);
    key.and_then(SigningAlgorithm::suiting).is_some_and(|suiting| rsa(suiting) == rsa(signing))
}

fn missing(what: &impl std::fmt::Display) -> PortError {
    PortError::new(format!("find {what}"), PortErrorKind::NotFound, "it does not exist (ResourceNotFoundException)")
}

fn unmade(why: &dyn std::fmt::Display) -> PortError {
    PortError::new("make an authority", PortErrorKind::Other, why.to_string())
}
