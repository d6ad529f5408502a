//! The next step for a leaf, by who keeps it: read off what is there already.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::facts::{BundleFacts, Keeper, Pending, PrivateFacts, RenewalFact, ReplacementState};
use super::leaf::Work;
use super::plan::{Action, Kind, Step};
use super::reason::{KeepReason, NotKnown, Why, renewal_reason};
use super::record::{Attempt, digest};
use crate::certificates::{AuthorityArn, CertificateArn, Chain, Source};
use crate::change::Change;

/// How long a private CA takes the same token for the same order.
const TOKEN_LASTS: SignedDuration = SignedDuration::from_mins(5);

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
        let asked = facts.replacements.iter().filter(|one| one.authority.as_ref() == Some(&authority.arn));
        let mut failed = 0;
        for replacement in asked {
            match &replacement.state {
                ReplacementState::Issued(chain) if chain.leaf.not_after > self.chain.leaf.not_before => {
                    return self.repoint(facts, &replacement.arn, chain);
                }
                ReplacementState::Pending => return Err(KeepReason::BeingIssued),
                ReplacementState::Issued(_) | ReplacementState::Failed(_) => failed += 1,
            }
        }
        self.not_after(authority, &why)?;
        let token = self.known.token(&format!("{} {}", self.name, authority.arn), failed + 1);
        let (arn, like) = (facts.arn.clone(), self.like());
        let step = Step::RequestAnew { arn, authority: authority.arn.clone(), like, token };
        Ok(Action { kind: Kind::Issue, step, why, stage: None, moves: BTreeSet::new() })
    }

    /// One listener after the other gets the new certificate.
    fn repoint(&self, facts: &PrivateFacts, new: &CertificateArn, chain: &Chain) -> Result<Action, KeepReason> {
        self.check(chain)?;
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
        match &bundle.pending {
            Some(Pending::Issued { version, chain }) if self.is_next(chain) => self.hand_over(bundle, version, chain),
            Some(Pending::Requested { version }) => match why {
                Some(why) => self.go_on(authority, bundle, version, why, urgent),
                None => Err(self.fresh()),
            },
            Some(Pending::Trust { .. }) if why.is_some() => Err(KeepReason::SecretChanging),
            Some(Pending::Unreadable { why: wrong }) if why.is_some() => {
                Err(KeepReason::PendingUnusable { why: wrong.clone() })
            }
            Some(Pending::Issued { .. } | Pending::Trust { .. } | Pending::Unreadable { .. }) | None => match why {
                Some(why) => self.prepare(authority, bundle, why, urgent),
                None => Err(self.fresh()),
            },
        }
    }

    /// Whether what is pending is to follow the present leaf, or is already there and only its secret lags behind.
    fn is_next(&self, pending: &Chain) -> bool {
        let imported = matches!(self.leaf.keeper, Keeper::Imported { .. });
        let same = pending.leaf.fingerprint == self.chain.leaf.fingerprint;
        let later = pending.leaf.not_before > self.chain.leaf.not_before;
        if same { imported } else { later && self.scene.now < pending.leaf.not_after }
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
        let first_numbers = 1..=9;
        let is_of = |number: &u32| self.known.version(&self.name, *number, "key") == version;
        let number = match &attempt {
            Some(attempt) => Some(attempt.number).filter(is_of),
            None => first_numbers.into_iter().find(is_of),
        };
        let Some(number) = number else {
            // Refused for good, or of a leaf that is gone.
            return self.prepare(authority, bundle, why, urgent);
        };
        if let Some(issued) = attempt.as_ref().and_then(|attempt| attempt.order.clone()) {
            let becomes = digest(&["issued", version, &issued], 40);
            let step = Step::Collect { secret, version: version.to_owned(), issued, becomes };
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

    fn hand_over(&self, bundle: &BundleFacts, version: &str, next: &Chain) -> Result<Action, KeepReason> {
        let secret = bundle.secret.clone();
        let same = next.leaf.fingerprint == self.chain.leaf.fingerprint;
        let (step, moves) = match (&self.leaf.source, &self.leaf.keeper) {
            (Source::Acm(arn), Keeper::Imported { .. }) if !same => {
                let step = Step::ImportPending { arn: arn.clone(), secret, version: version.to_owned() };
                (step, self.users())
            }
            _ => {
                let step = Step::Promote { secret, from: bundle.current.clone(), to: version.to_owned() };
                (step, self.users())
            }
        };
        if !same {
            self.check(next)?;
        }
        Ok(Action {
            kind: Kind::Distribute,
            step,
            why: Why::NewLeaf { replaces: self.chain.leaf.fingerprint.clone() },
            stage: self.stage_towards(&next.leaf),
            moves,
        })
    }

    /// Whether a new leaf may take the place of the present one.
    fn check(&self, next: &Chain) -> Result<(), KeepReason> {
        let unusable = |why: &str| Err(KeepReason::PendingUnusable { why: why.to_owned() });
        let Some(issuer) = self.scene.issuer(&next.leaf) else {
            return unusable("no private CA that is known issued it");
        };
        if self.scene.now < next.leaf.not_before || self.scene.now >= next.leaf.not_after {
            return unusable("it is not in force");
        }
        if !self.chain.leaf.names.all().iter().all(|name| next.leaf.names.cover(name)) {
            return unusable("it is not for all the names of the present one");
        }
        if next.leaf.key != self.chain.leaf.key && matches!(self.leaf.keeper, Keeper::Imported { .. }) {
            return unusable("its key is of another kind, which ACM doesn't take on the same ARN");
        }
        self.may_come_from(issuer)
    }
}
