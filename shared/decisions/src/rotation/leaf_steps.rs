//! The next step for a leaf in each kind of store, derived from the observed state.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::defect::ReplacementDefect;
use super::facts::{BundleFacts, Keeper, Pending, PrivateFacts, RenewalFact, ReplacementState};
use super::leaf::LeafEvaluation;
use super::moved::{MovedBack, Repointed};
use super::pending_verdict::PendingVerdict;
use super::plan::{Action, PlanKind, RotationStep};
use super::reason::{NotKnown, RotationKeepReason, Why, renewal_reason};
use super::record::{Attempt, ConsecutiveFailures, digest};
use mesh::certificates::{AuthorityArn, CertificateArn, CertificateSource, Chain};
use mesh::change::Change;

/// The time for which a private CA recognises the token of an order.
const TOKEN_LASTS: SignedDuration = SignedDuration::from_mins(5);

/// The age of an attempt after which a defect of time in its certificate is not the fault of the CA.
const OLD_ATTEMPT: SignedDuration = SignedDuration::from_hours(6);

/// The time after which a read of a listener reflects the last write.
const READ_AFTER: SignedDuration = SignedDuration::from_mins(1);

impl LeafEvaluation<'_> {
    /// Steps for a private certificate in ACM: renewal, or a new request if another CA issues it or it was revoked.
    pub(super) fn in_store(
        &mut self,
        facts: &PrivateFacts,
        why: Option<Why>,
        urgent: bool,
    ) -> Result<Action, RotationKeepReason> {
        let Some(why) = why else { return self.mark_superseded(facts) };
        if facts.renewal == RenewalFact::UnderWay {
            return Err(RotationKeepReason::BeingIssued);
        }
        let can_renew = matches!(why, Why::RenewalDue { .. });
        let target = match self.target(facts.authority.as_ref(), urgent) {
            Ok(target) => Some(target),
            // ACM knows the CA of the certificate.
            Err(RotationKeepReason::IssuerUnknown { .. } | RotationKeepReason::Unread { .. }) if can_renew => None,
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

    fn renew(&self, facts: &PrivateFacts, why: Why) -> Result<Action, RotationKeepReason> {
        if let RenewalFact::Stuck { reason, at } = &facts.renewal
            && *at >= self.chain.leaf.not_before
        {
            let meaning = reason.as_deref().map_or("ACM gives no reason", renewal_reason).to_owned();
            return Err(RotationKeepReason::RenewalStuck { code: reason.clone(), meaning });
        }
        let step = RotationStep::RenewInStore { arn: facts.arn.clone(), export_first: facts.eligible != Some(true) };
        Ok(Action { kind: PlanKind::Issue, step, why, stage: None, moves: self.users() })
    }

    fn request_anew(
        &mut self,
        facts: &PrivateFacts,
        why: Why,
        authority: &super::facts::AuthorityFacts,
    ) -> Result<Action, RotationKeepReason> {
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
                ReplacementState::Pending => return Err(RotationKeepReason::BeingIssued),
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
        let step = RotationStep::RequestAnew { arn, authority: authority.arn.clone(), like, token };
        Ok(Action { kind: PlanKind::Issue, step, why, stage: None, moves: BTreeSet::new() })
    }

    /// Moves one listener after another to the new certificate.
    fn repoint(
        &mut self,
        facts: &PrivateFacts,
        new: &CertificateArn,
        chain: &Chain,
    ) -> Result<Action, RotationKeepReason> {
        self.pointed_back(facts, new, chain)?;
        if let Some(issuer) = self.index.issuer(&chain.leaf) {
            self.may_come_from(issuer)?;
        }
        let Some((resource, port)) = facts.listeners.first() else { return Err(self.fresh()) };
        let change =
            Change::SetListenerCertificate { resource: resource.clone(), port: *port, certificate: new.clone() };
        Ok(Action {
            kind: PlanKind::Distribute,
            step: RotationStep::Apply { change },
            why: Why::NewLeaf { replaces: self.chain.leaf.fingerprint.clone() },
            stage: self.stage_towards(&chain.leaf),
            moves: BTreeSet::from([resource.clone()]),
        })
    }

    /// Detects a listener with the old certificate that already had the replacement: an operator or another controller
    /// moved it back. It is held like a version that was moved back.
    fn pointed_back(
        &mut self,
        facts: &PrivateFacts,
        new: &CertificateArn,
        chain: &Chain,
    ) -> Result<(), RotationKeepReason> {
        let now = self.index.now;
        let is_back = |one: &Repointed| {
            let is_here = facts.listeners.iter().any(|(resource, port)| (resource, *port) == (&one.resource, one.port));
            // For some seconds, a read may return the state before the write.
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

    fn mark_superseded(&self, facts: &PrivateFacts) -> Result<Action, RotationKeepReason> {
        match &facts.supersedes {
            Some(old) if self.index.waiting_for_leaf(self.leaf).is_empty() => {
                // A certificate with the tag no longer counts as used.
                self.index.meshes.all_read(NotKnown::WhatIsPresented)?;
                Ok(Action {
                    kind: PlanKind::Retire,
                    step: RotationStep::MarkSuperseded { arn: old.clone(), by: facts.arn.clone() },
                    why: Why::NewLeaf { replaces: self.chain.leaf.fingerprint.clone() },
                    stage: None,
                    moves: BTreeSet::new(),
                })
            }
            Some(_) | None => Err(self.fresh()),
        }
    }

    /// Steps for an imported certificate without a secret. Its key cannot be read again, so key, order and import are
    /// one step.
    pub(super) fn reimport(
        &mut self,
        authority: Option<&AuthorityArn>,
        why: Option<Why>,
        urgent: bool,
    ) -> Result<Action, RotationKeepReason> {
        let (Some(why), CertificateSource::Acm(arn)) = (why, &self.leaf.source) else { return Err(self.fresh()) };
        let target = self.target(authority, urgent)?;
        let not_after = self.not_after(target.authority, &why)?;
        let number = self.known.begin(self.index.now, true);
        let step = RotationStep::Reimport {
            arn: arn.clone(),
            authority: target.authority.arn.clone(),
            like: self.like(),
            not_after,
            token: self.known.token(&self.name, number),
        };
        Ok(Action { kind: PlanKind::Issue, step, why, stage: target.stage, moves: self.users() })
    }

    /// Steps for a bundle: prepare key and request, order, collect the certificate, promote.
    pub(super) fn in_secret(
        &mut self,
        authority: Option<&AuthorityArn>,
        bundle: &BundleFacts,
        why: Option<Why>,
        urgent: bool,
    ) -> Result<Action, RotationKeepReason> {
        if bundle.rotated_by_others && why.is_some() {
            return Err(RotationKeepReason::RotatedByOthers);
        }
        let same = |chain: &Chain| chain.leaf.fingerprint == self.chain.leaf.fingerprint;
        match (&bundle.pending, why) {
            // ACM already has the pending certificate, and the secret is not promoted yet.
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
                    PendingVerdict::Good => Ok(self.hand_over(bundle, version, chain)),
                    PendingVerdict::Wait(reason) => Err(reason),
                    // These defects are not failures of the CA.
                    PendingVerdict::Bad(ReplacementDefect::MovedAway | ReplacementDefect::OtherTrust) => {
                        self.prepare(authority, bundle, why, urgent)
                    }
                    PendingVerdict::Bad(defect)
                        if defect.is_of_time() && self.is_ours(version) && self.is_old_attempt() =>
                    {
                        self.prepare(authority, bundle, why, urgent)
                    }
                    PendingVerdict::Bad(defect)
                        if urgent || defect.is_of_time() || self.is_ours(version) || self.was_notified_of_pending() =>
                    {
                        Err(self.discard(version, defect))
                    }
                    // Its owner may still complete it.
                    PendingVerdict::Bad(defect) => Err(RotationKeepReason::PendingUnusable { why: defect.to_string() }),
                }
            }
            (Some(Pending::Requested { other_trust: true, .. }), Some(why)) => {
                self.prepare(authority, bundle, why, urgent)
            }
            (Some(Pending::Requested { version, .. }), Some(why)) => {
                self.continue_attempt(authority, bundle, version, why, urgent)
            }
            // Trust is published in one step; a pending version is left only by an interruption, and is published
            // again.
            (Some(Pending::Trust { .. }), Some(_)) if !urgent && self.index.publishes_trust(&bundle.secret) => {
                Err(RotationKeepReason::SecretChanging)
            }
            (Some(Pending::Unreadable { why: wrong }), Some(_)) if !urgent && !self.was_notified_of_pending() => {
                Err(RotationKeepReason::PendingUnusable { why: wrong.clone() })
            }
            (Some(Pending::Trust { .. } | Pending::Unreadable { .. }) | None, Some(why)) => {
                self.prepare(authority, bundle, why, urgent)
            }
        }
    }

    pub(super) const fn is_imported(&self) -> bool {
        matches!(self.leaf.keeper, Keeper::Imported { .. })
    }

    /// Discards a replacement that ACM failed to issue, like a version that cannot be used.
    fn failed(&mut self, arn: &str, why: String) -> RotationKeepReason {
        self.known.discard(arn, self.index.now);
        self.failures = Some(ConsecutiveFailures::once_more(self.failures.take(), why, self.index.now));
        match self.may_act() {
            Err(reason) => reason,
            Ok(()) => RotationKeepReason::BeingIssued,
        }
    }

    fn prepare(
        &mut self,
        authority: Option<&AuthorityArn>,
        bundle: &BundleFacts,
        why: Why,
        urgent: bool,
    ) -> Result<Action, RotationKeepReason> {
        let target = self.target(authority, urgent)?;
        self.not_after(target.authority, &why)?;
        let number = self.known.begin(self.index.now, false);
        let version = self.known.version(&self.name, number, "key");
        let step = RotationStep::Prepare { secret: bundle.secret.clone(), version, like: self.like() };
        Ok(Action { kind: PlanKind::Issue, step, why, stage: None, moves: BTreeSet::new() })
    }

    fn continue_attempt(
        &mut self,
        authority: Option<&AuthorityArn>,
        bundle: &BundleFacts,
        version: &str,
        why: Why,
        urgent: bool,
    ) -> Result<Action, RotationKeepReason> {
        let secret = bundle.secret.clone();
        let attempt = self.known.attempt.clone();
        // If the record was lost, the id of the pending version identifies the attempt.
        let first_numbers = 1..=20;
        let is_of = |number: &u32| self.known.version(&self.name, *number, "key") == version;
        let number = match &attempt {
            Some(attempt) => Some(attempt.number).filter(is_of),
            None => first_numbers.into_iter().find(is_of),
        };
        let Some(number) = number else {
            // The attempt was rejected permanently, or its leaf was replaced.
            return self.prepare(authority, bundle, why, urgent);
        };
        if let Some((issued, at)) = attempt.as_ref().and_then(|attempt| Some((attempt.order.clone()?, attempt.at))) {
            let becomes = issued_version(version, &issued);
            let give_up_at = at + self.issued_within();
            let step = RotationStep::Collect { secret, version: version.to_owned(), issued, becomes, give_up_at };
            return Ok(Action { kind: PlanKind::Issue, step, why, stage: None, moves: BTreeSet::new() });
        }
        let target = self.target(authority, urgent)?;
        let not_after = self.not_after(target.authority, &why)?;
        let forgotten = |attempt: &Attempt| attempt.placed && self.index.now >= attempt.at + TOKEN_LASTS;
        if attempt.as_ref().is_some_and(forgotten) {
            self.known.lost = self.known.lost.saturating_add(1);
        }
        let begun = attempt.as_ref().filter(|attempt| attempt.placed && !forgotten(attempt));
        let at = begun.map_or(self.index.now, |attempt| attempt.at);
        self.known.attempt = Some(Attempt { number, at, order: None, placed: true });
        let step = RotationStep::Order {
            secret,
            version: version.to_owned(),
            authority: target.authority.arn.clone(),
            not_after,
            token: digest(&["order", version, target.authority.arn.as_str()], 32),
        };
        Ok(Action { kind: PlanKind::Issue, step, why, stage: None, moves: BTreeSet::new() })
    }

    /// The maximum time for the issuance of a certificate.
    fn issued_within(&self) -> SignedDuration {
        let leaf = self.counted();
        let part = leaf.not_after.duration_since(leaf.not_before) / 4;
        self.index.policy.issued_within.get().min(part)
    }

    /// Whether a version holds the certificate of the present attempt.
    pub(super) fn is_ours(&self, version: &str) -> bool {
        let Some(attempt) = &self.known.attempt else { return false };
        let key = self.known.version(&self.name, attempt.number, "key");
        attempt.order.as_ref().is_some_and(|order| issued_version(&key, order) == version)
    }

    /// Whether the present attempt is so old that its certificate was good when it was ordered: its promotion was
    /// prevented, for example by the kill switch.
    fn is_old_attempt(&self) -> bool {
        self.known.attempt.as_ref().is_some_and(|attempt| attempt.at + OLD_ATTEMPT <= self.index.now)
    }

    /// Whether operators were notified that the pending version cannot be used, and have left it in place for one
    /// repeat interval of pages.
    fn was_notified_of_pending(&self) -> bool {
        let last = self.last_notification.filter(|last| last.code == "PendingUnusable" && last.paged.is_some());
        last.is_some_and(|last| last.since + self.index.policy.paging.repeat_after.get() <= self.index.now)
    }

    fn hand_over(&self, bundle: &BundleFacts, version: &str, next: &Chain) -> Action {
        let secret = bundle.secret.clone();
        let step = match (&self.leaf.source, &self.leaf.keeper) {
            (CertificateSource::Acm(arn), Keeper::Imported { .. }) => {
                RotationStep::ImportPending { arn: arn.clone(), secret, version: version.to_owned() }
            }
            _ => RotationStep::Promote { secret, from: bundle.current.clone(), to: version.to_owned() },
        };
        self.serves(step, next)
    }

    /// Promotes the version that ACM already imported from the secret, unless it was current before and was moved back.
    fn catch_up(&self, bundle: &BundleFacts, version: &str, next: &Chain) -> Result<Action, RotationKeepReason> {
        if self.known.promoted.as_deref() == Some(version) {
            let (certificate, from) = (self.name.clone(), next.leaf.fingerprint.clone());
            return Err(RotationKeepReason::MovedBack {
                certificate,
                from,
                since: next.leaf.not_before,
                resumes: None,
            });
        }
        let step = RotationStep::Promote {
            secret: bundle.secret.clone(),
            from: bundle.current.clone(),
            to: version.to_owned(),
        };
        Ok(self.serves(step, next))
    }

    fn serves(&self, step: RotationStep, next: &Chain) -> Action {
        Action {
            kind: PlanKind::Distribute,
            step,
            why: Why::NewLeaf { replaces: self.chain.leaf.fingerprint.clone() },
            stage: self.stage_towards(&next.leaf),
            moves: self.users(),
        }
    }
}

/// The id of the version with a key and its certificate.
fn issued_version(key: &str, order: &str) -> String {
    digest(&["issued", key, order], 40)
}
