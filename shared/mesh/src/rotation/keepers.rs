//! The next step for a leaf, by who keeps it: read off what is there already.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::defect::Defect;
use super::facts::{BundleFacts, Keeper, Pending, PrivateFacts, RenewalFact, ReplacementState};
use super::judge::Judgement;
use super::leaf::Work;
use super::moved::{MovedBack, Repointed};
use super::plan::{Action, Kind, Step};
use super::reason::{KeepReason, NotKnown, Why, renewal_reason};
use super::record::{Attempt, Failures, digest};
use crate::certificates::{AuthorityArn, CertificateArn, Chain, Source};
use crate::change::Change;

/// How long a private CA takes the same token for the same order.
const TOKEN_LASTS: SignedDuration = SignedDuration::from_mins(5);

/// After so long a bad certificate is not taken for the answer of the CA to the order.
const OLD_ATTEMPT: SignedDuration = SignedDuration::from_hours(6);

/// After so long a listener is read as it was written.
const READ_AFTER: SignedDuration = SignedDuration::from_mins(1);

impl Work<'_> {
    /// A private certificate in ACM: renewed there, or requested anew where another CA is to issue it or it is withdrawn.
    pub(super) fn in_store(
        &mut self,
        facts: &PrivateFacts,
        why: Option<Why>,
        urgent: bool,
    ) -> Result<Action, KeepReason> {
        let Some(why) = why else { return self.mark_superseded(facts) };
        if facts.renewal == RenewalFact::UnderWay {
            return Err(KeepReason::BeingIssued);
        }
        let can_renew = matches!(why, Why::RenewalDue { .. });
        let target = match self.target(facts.authority.as_ref(), urgent) {
            Ok(target) => Some(target),
            // ACM knows whom to ask.
            Err(KeepReason::IssuerUnknown { .. } | KeepReason::Unread { .. }) if can_renew => None,
            Err(reason) => return Err(reason),
        };
        match target {
            Some(target) if target.is_new || !can_renew => self.request_anew(facts, why, target.authority),
            Some(_) | None => {
                if let Some(target) = &target {
                    self.not_after(target.authority, &why)?;
                }
                self.renew(facts, why)
            }
        }
    }

    fn renew(&self, facts: &PrivateFacts, why: Why) -> Result<Action, KeepReason> {
        if let RenewalFact::Stuck { reason, at } = &facts.renewal
            && *at >= self.chain.leaf.not_before
        {
            let meaning = reason.as_deref().map_or("ACM gives no reason", renewal_reason).to_owned();
            return Err(KeepReason::RenewalStuck { code: reason.clone(), meaning });
        }
        let step = Step::RenewInStore { arn: facts.arn.clone(), export_first: facts.eligible != Some(true) };
        Ok(Action { kind: Kind::Issue, step, why, stage: None, moves: self.users() })
    }

    fn request_anew(
        &mut self,
        facts: &PrivateFacts,
        why: Why,
        authority: &super::facts::AuthorityFacts,
    ) -> Result<Action, KeepReason> {
        let requested = facts.replacements.iter().filter(|one| one.authority.as_ref() == Some(&authority.arn));
        let mut failed = 0;
        let mut given_up = None;
        for replacement in requested {
            let arn = replacement.arn.as_str();
            let is_known = self.known.discarded.iter().any(|one| one == arn);
            match &replacement.state {
                _ if is_known => failed += 1,
                ReplacementState::Issued(chain) => match self.judge_replacement(chain, authority, &why) {
                    Ok(()) => return self.repoint(facts, &replacement.arn, chain),
                    Err(defect) => given_up = Some((arn.to_owned(), defect.to_string(), Some(defect))),
                },
                ReplacementState::Pending => return Err(KeepReason::BeingIssued),
                ReplacementState::Failed(why) => given_up = Some((arn.to_owned(), why.clone(), None)),
            }
        }
        match given_up {
            Some((arn, _, Some(defect))) => return Err(self.discard(&arn, defect)),
            Some((arn, failure, None)) => return Err(self.failed(&arn, failure)),
            None => {}
        }
        self.not_after(authority, &why)?;
        let token = self.known.token(&format!("{} {}", self.name, authority.arn), failed + 1);
        let (arn, like) = (facts.arn.clone(), self.like());
        let step = Step::RequestAnew { arn, authority: authority.arn.clone(), like, token };
        Ok(Action { kind: Kind::Issue, step, why, stage: None, moves: BTreeSet::new() })
    }

    /// One listener after the other gets the new certificate.
    fn repoint(&mut self, facts: &PrivateFacts, new: &CertificateArn, chain: &Chain) -> Result<Action, KeepReason> {
        self.pointed_back(facts, new, chain)?;
        if let Some(issuer) = self.scene.issuer(&chain.leaf) {
            self.may_come_from(issuer)?;
        }
        let Some((resource, port)) = facts.listeners.first() else { return Err(self.fresh()) };
        let change =
            Change::SetListenerCertificate { resource: resource.clone(), port: *port, certificate: new.clone() };
        Ok(Action {
            kind: Kind::Distribute,
            step: Step::Apply { change },
            why: Why::NewLeaf { replaces: self.chain.leaf.fingerprint.clone() },
            stage: self.stage_towards(&chain.leaf),
            moves: BTreeSet::from([resource.clone()]),
        })
    }

    /// A listener that was given the replacement and has the old certificate again was moved back by an operator or
    /// another controller: that is respected like a version that was moved back.
    fn pointed_back(&mut self, facts: &PrivateFacts, new: &CertificateArn, chain: &Chain) -> Result<(), KeepReason> {
        let now = self.scene.now;
        let is_back = |one: &Repointed| {
            let is_here = facts.listeners.iter().any(|(resource, port)| (resource, *port) == (&one.resource, one.port));
            // A reading may be older than the write for some seconds.
            is_here && one.to == *new && one.at + READ_AFTER <= now
        };
        if !self.known.repointed.iter().any(is_back) {
            return Ok(());
        }
        self.known.repointed.retain(|one| !is_back(one));
        self.known.times_moved_back = self.known.times_moved_back.saturating_add(1);
        self.known.moved_back = Some(MovedBack { from: chain.leaf.fingerprint.clone(), seen: now, released: None });
        self.may_act()
    }

    fn mark_superseded(&self, facts: &PrivateFacts) -> Result<Action, KeepReason> {
        match &facts.supersedes {
            Some(old) if self.scene.waiting_for_leaf(self.leaf).is_empty() => {
                // Whoever sees the mark takes it for nobody's any more.
                self.scene.meshes.all_read(NotKnown::WhatIsPresented)?;
                Ok(Action {
                    kind: Kind::Retire,
                    step: Step::MarkSuperseded { arn: old.clone(), by: facts.arn.clone() },
                    why: Why::NewLeaf { replaces: self.chain.leaf.fingerprint.clone() },
                    stage: None,
                    moves: BTreeSet::new(),
                })
            }
            Some(_) | None => Err(self.fresh()),
        }
    }

    /// An imported certificate without a secret: its key is never seen again, so key, order and import are one step.
    pub(super) fn reimport(
        &mut self,
        authority: Option<&AuthorityArn>,
        why: Option<Why>,
        urgent: bool,
    ) -> Result<Action, KeepReason> {
        let (Some(why), Source::Acm(arn)) = (why, &self.leaf.source) else { return Err(self.fresh()) };
        let target = self.target(authority, urgent)?;
        let not_after = self.not_after(target.authority, &why)?;
        let number = self.known.begin(self.scene.now, true);
        let step = Step::Reimport {
            arn: arn.clone(),
            authority: target.authority.arn.clone(),
            like: self.like(),
            not_after,
            token: self.known.token(&self.name, number),
        };
        Ok(Action { kind: Kind::Issue, step, why, stage: target.stage, moves: self.users() })
    }

    /// A bundle: key and request first, then the order, then both together, then what was prepared is served.
    pub(super) fn in_secret(
        &mut self,
        authority: Option<&AuthorityArn>,
        bundle: &BundleFacts,
        why: Option<Why>,
        urgent: bool,
    ) -> Result<Action, KeepReason> {
        if bundle.rotated_by_others && why.is_some() {
            return Err(KeepReason::RotatedByOthers);
        }
        let same = |chain: &Chain| chain.leaf.fingerprint == self.chain.leaf.fingerprint;
        match (&bundle.pending, why) {
            // ACM has it already, and only the secret lags behind.
            (Some(Pending::Issued { version, chain, .. }), _) if self.is_imported() && same(chain) => {
                self.catch_up(bundle, version, chain)
            }
            (_, None) => Err(self.fresh()),
            (Some(Pending::Issued { chain, .. }), Some(why)) if same(chain) => {
                self.prepare(authority, bundle, why, urgent)
            }
            (Some(pending @ Pending::Issued { version, chain, .. }), Some(why)) => {
                if self.known.discarded.contains(version) {
                    return self.prepare(authority, bundle, why, urgent);
                }
                match self.judge(pending, authority, &why, urgent) {
                    Judgement::Good => Ok(self.hand_over(bundle, version, chain)),
                    Judgement::Wait(reason) => Err(reason),
                    // It was not the CA that failed.
                    Judgement::Bad(Defect::MovedAway | Defect::OtherTrust) => {
                        self.prepare(authority, bundle, why, urgent)
                    }
                    Judgement::Bad(defect) if defect.is_of_time() && self.is_ours(version) && self.is_old_attempt() => {
                        self.prepare(authority, bundle, why, urgent)
                    }
                    Judgement::Bad(defect)
                        if urgent || defect.is_of_time() || self.is_ours(version) || self.was_told_of_pending() =>
                    {
                        Err(self.discard(version, defect))
                    }
                    // Whoever put it there may be about to finish what they began.
                    Judgement::Bad(defect) => Err(KeepReason::PendingUnusable { why: defect.to_string() }),
                }
            }
            (Some(Pending::Requested { other_trust: true, .. }), Some(why)) => {
                self.prepare(authority, bundle, why, urgent)
            }
            (Some(Pending::Requested { version, .. }), Some(why)) => {
                self.go_on(authority, bundle, version, why, urgent)
            }
            // Trust is published in one step, so it is pending only where that was cut short, and is published again.
            (Some(Pending::Trust { .. }), Some(_)) if !urgent && self.scene.publishes_trust(&bundle.secret) => {
                Err(KeepReason::SecretChanging)
            }
            (Some(Pending::Unreadable { why: wrong }), Some(_)) if !urgent && !self.was_told_of_pending() => {
                Err(KeepReason::PendingUnusable { why: wrong.clone() })
            }
            (Some(Pending::Trust { .. } | Pending::Unreadable { .. }) | None, Some(why)) => {
                self.prepare(authority, bundle, why, urgent)
            }
        }
    }

    pub(super) const fn is_imported(&self) -> bool {
        matches!(self.leaf.keeper, Keeper::Imported { .. })
    }

    /// What ACM could not have issued is given up as what can't be used.
    fn failed(&mut self, arn: &str, why: String) -> KeepReason {
        self.known.discard(arn, self.scene.now);
        self.failures = Some(Failures::once_more(self.failures.take(), why, self.scene.now));
        match self.may_act() {
            Err(reason) => reason,
            Ok(()) => KeepReason::BeingIssued,
        }
    }

    fn prepare(
        &mut self,
        authority: Option<&AuthorityArn>,
        bundle: &BundleFacts,
        why: Why,
        urgent: bool,
    ) -> Result<Action, KeepReason> {
        let target = self.target(authority, urgent)?;
        self.not_after(target.authority, &why)?;
        let number = self.known.begin(self.scene.now, false);
        let version = self.known.version(&self.name, number, "key");
        let step = Step::Prepare { secret: bundle.secret.clone(), version, like: self.like() };
        Ok(Action { kind: Kind::Issue, step, why, stage: None, moves: BTreeSet::new() })
    }

    fn go_on(
        &mut self,
        authority: Option<&AuthorityArn>,
        bundle: &BundleFacts,
        version: &str,
        why: Why,
        urgent: bool,
    ) -> Result<Action, KeepReason> {
        let secret = bundle.secret.clone();
        let attempt = self.known.attempt.clone();
        // Where the record was lost, the key that is pending still tells which attempt it was made for.
        let first_numbers = 1..=20;
        let is_of = |number: &u32| self.known.version(&self.name, *number, "key") == version;
        let number = match &attempt {
            Some(attempt) => Some(attempt.number).filter(is_of),
            None => first_numbers.into_iter().find(is_of),
        };
        let Some(number) = number else {
            // Refused for good, or of a leaf that is gone.
            return self.prepare(authority, bundle, why, urgent);
        };
        if let Some((issued, at)) = attempt.as_ref().and_then(|attempt| Some((attempt.order.clone()?, attempt.at))) {
            let becomes = issued_version(version, &issued);
            let give_up_at = at + self.issued_within();
            let step = Step::Collect { secret, version: version.to_owned(), issued, becomes, give_up_at };
            return Ok(Action { kind: Kind::Issue, step, why, stage: None, moves: BTreeSet::new() });
        }
        let target = self.target(authority, urgent)?;
        let not_after = self.not_after(target.authority, &why)?;
        let forgotten = |attempt: &Attempt| attempt.placed && self.scene.now >= attempt.at + TOKEN_LASTS;
        if attempt.as_ref().is_some_and(forgotten) {
            self.known.lost = self.known.lost.saturating_add(1);
        }
        let begun = attempt.as_ref().filter(|attempt| attempt.placed && !forgotten(attempt));
        let at = begun.map_or(self.scene.now, |attempt| attempt.at);
        self.known.attempt = Some(Attempt { number, at, order: None, placed: true });
        let step = Step::Order {
            secret,
            version: version.to_owned(),
            authority: target.authority.arn.clone(),
            not_after,
            token: digest(&["order", version, target.authority.arn.as_str()], 32),
        };
        Ok(Action { kind: Kind::Issue, step, why, stage: None, moves: BTreeSet::new() })
    }

    /// How long a CA may take.
    fn issued_within(&self) -> SignedDuration {
        let leaf = self.counted();
        let part = leaf.not_after.duration_since(leaf.not_before) / 4;
        self.scene.policy.issued_within.get().min(part)
    }

    /// Whether a version is the certificate of the present attempt.
    pub(super) fn is_ours(&self, version: &str) -> bool {
        let Some(attempt) = &self.known.attempt else { return false };
        let key = self.known.version(&self.name, attempt.number, "key");
        attempt.order.as_ref().is_some_and(|order| issued_version(&key, order) == version)
    }

    /// Whether the present attempt was ordered so long ago that its certificate was good then: it was kept from being
    /// promoted, as by the kill switch.
    fn is_old_attempt(&self) -> bool {
        self.known.attempt.as_ref().is_some_and(|attempt| attempt.at + OLD_ATTEMPT <= self.scene.now)
    }

    /// Whether people were told that the pending version can't be used, and have left it there for as long as a page is
    /// not repeated.
    fn was_told_of_pending(&self) -> bool {
        let told = self.told.filter(|told| told.code == "PendingUnusable" && told.paged.is_some());
        told.is_some_and(|told| told.since + self.scene.policy.paging.repeat_after.get() <= self.scene.now)
    }

    fn hand_over(&self, bundle: &BundleFacts, version: &str, next: &Chain) -> Action {
        let secret = bundle.secret.clone();
        let step = match (&self.leaf.source, &self.leaf.keeper) {
            (Source::Acm(arn), Keeper::Imported { .. }) => {
                Step::ImportPending { arn: arn.clone(), secret, version: version.to_owned() }
            }
            _ => Step::Promote { secret, from: bundle.current.clone(), to: version.to_owned() },
        };
        self.serves(step, next)
    }

    /// Serves what ACM has already got from the secret, unless it was served before and somebody has moved it away.
    fn catch_up(&self, bundle: &BundleFacts, version: &str, next: &Chain) -> Result<Action, KeepReason> {
        if self.known.promoted.as_deref() == Some(version) {
            let (certificate, from) = (self.name.clone(), next.leaf.fingerprint.clone());
            return Err(KeepReason::MovedBack { certificate, from, since: next.leaf.not_before, resumes: None });
        }
        let step =
            Step::Promote { secret: bundle.secret.clone(), from: bundle.current.clone(), to: version.to_owned() };
        Ok(self.serves(step, next))
    }

    fn serves(&self, step: Step, next: &Chain) -> Action {
        Action {
            kind: Kind::Distribute,
            step,
            why: Why::NewLeaf { replaces: self.chain.leaf.fingerprint.clone() },
            stage: self.stage_towards(&next.leaf),
            moves: self.users(),
        }
    }
}

/// The version that a key and its certificate become.
fn issued_version(key: &str, order: &str) -> String {
    digest(&["issued", key, order], 40)
}
