//! Whether a pending certificate may become current: by its key, names, issuer, validity, and its verifiers.

use jiff::SignedDuration;

use super::defect::{ReplacementDefect, key_defect, name_defect};
use super::facts::{AuthorityFacts, Pending};
use super::leaf::LeafEvaluation;
use super::reason::{RotationKeepReason, Why};
use mesh::certificates::{AuthorityArn, Certificate, Chain};

/// The maximum wait for a certificate that is not valid yet.
const WAIT_FOR_BEGIN: SignedDuration = SignedDuration::from_hours(24);

/// The verdict on a pending certificate.
pub(super) enum PendingVerdict {
    /// It may become current.
    Good,
    /// It may become current later.
    Wait(RotationKeepReason),
    /// It may never become current.
    Bad(ReplacementDefect),
}

impl LeafEvaluation<'_> {
    pub(super) fn judge(
        &self,
        pending: &Pending,
        named: Option<&AuthorityArn>,
        why: &Why,
        urgent: bool,
    ) -> PendingVerdict {
        let Pending::Issued { version, chain, key, other_trust } = pending else {
            return PendingVerdict::Bad(ReplacementDefect::NoKey);
        };
        let next = &chain.leaf;
        let ordered = self.known.attempt.as_ref().and_then(|attempt| attempt.order.as_deref());
        let ordered = ordered.filter(|_| self.is_ours(version));
        let moved_away = || self.known.replaced.contains(&next.fingerprint).then_some(ReplacementDefect::MovedAway);
        let other_kind = || {
            let is_other = self.is_imported() && next.key != self.chain.leaf.key;
            is_other.then(|| ReplacementDefect::OtherKeyKind { kind: next.key.clone() })
        };
        let defect = key_defect(key)
            .or_else(moved_away)
            .or_else(|| name_defect(&self.like(), next, ordered.is_some()))
            .or_else(|| other_trust.then_some(ReplacementDefect::OtherTrust))
            .or_else(other_kind)
            .or_else(|| self.validity_defect(next, why, urgent));
        if let Some(defect) = defect {
            return PendingVerdict::Bad(defect);
        }
        let Some(issuer) = self.index.issuer(next) else {
            // An unreadable CA may be its issuer.
            let unread = self.index.facts.unread_authorities.iter().next();
            return match unread.filter(|_| !urgent) {
                Some((arn, why)) => PendingVerdict::Wait(RotationKeepReason::Unread { why: format!("{arn}: {why}") }),
                None => PendingVerdict::Bad(ReplacementDefect::OtherIssuer {
                    issuer: next.issuer.clone(),
                    wanted: named.cloned(),
                }),
            };
        };
        let other_issuer = || ReplacementDefect::OtherIssuer { issuer: next.issuer.clone(), wanted: named.cloned() };
        let by_another = ordered.is_some_and(|order| !order.starts_with(&format!("{}/", issuer.arn)));
        // The certificate must not return to a CA that is being replaced, even while that CA is trusted.
        let present = self.index.issuer(&self.chain.leaf);
        let is_step_back = self.index.rollover(issuer).is_some() && present.is_some_and(|one| one.arn != issuer.arn);
        let by_replaced = is_step_back || matches!(why, Why::Succession { from, .. } if *from == issuer.arn);
        if by_another || by_replaced {
            return PendingVerdict::Bad(other_issuer());
        }
        if next.not_before > self.index.now {
            return PendingVerdict::Wait(RotationKeepReason::PendingNotYetValid { from: next.not_before });
        }
        self.judge_trust(issuer, named, urgent)
    }

    /// Whether all verifiers of the leaf trust the issuer, or will.
    fn judge_trust(&self, issuer: &AuthorityFacts, named: Option<&AuthorityArn>, urgent: bool) -> PendingVerdict {
        let Err(reason) = self.may_come_from(issuer) else { return PendingVerdict::Good };
        let present = self.index.issuer(&self.chain.leaf);
        let is_successor = present.and_then(|present| self.index.rollover(present)).is_some_and(|one| {
            // Trust in the issuer is being distributed only if it is the successor.
            one.to.arn == issuer.arn
        });
        let is_wanted = is_successor || named == Some(&issuer.arn) || present.is_none();
        if is_wanted && !urgent {
            PendingVerdict::Wait(reason)
        } else {
            PendingVerdict::Bad(ReplacementDefect::NotTrusted { authority: issuer.arn.clone() })
        }
    }

    /// The defect of a certificate's validity period.
    fn validity_defect(&self, next: &Certificate, why: &Why, urgent: bool) -> Option<ReplacementDefect> {
        let (now, at) = (self.index.now, next.not_after);
        if at <= now {
            return Some(ReplacementDefect::Ended { at });
        }
        let present = self.chain.leaf.not_after;
        let is_renewal = matches!(why, Why::RenewalDue { .. } | Why::Expired { .. });
        if is_renewal && at <= present {
            return Some(ReplacementDefect::EndsTooSoon { at });
        }
        // Near the end of the present certificate, every additional hour counts.
        let validity = self.known.validity.map_or(SignedDuration::ZERO, SignedDuration::from_secs);
        let is_cut_by_ca =
            self.index.issuer(next).is_some_and(|issuer| issuer.ends() <= at + SignedDuration::from_mins(1));
        if !urgent && !is_cut_by_ca && at < now + validity / 2 {
            return Some(ReplacementDefect::EndsTooSoon { at });
        }
        let latest = if urgent { now + self.index.policy.back_off.first.get() } else { self.urgent_at() };
        let is_late = next.not_before > latest.min(now + WAIT_FOR_BEGIN);
        (next.not_before > now && is_late).then_some(ReplacementDefect::NotYetValid { from: next.not_before })
    }

    /// The defect of a certificate that ACM issued in place of the present one.
    pub(super) fn judge_replacement(
        &self,
        chain: &Chain,
        authority: &AuthorityFacts,
        why: &Why,
    ) -> Result<(), ReplacementDefect> {
        let next = &chain.leaf;
        let issuer =
            || ReplacementDefect::OtherIssuer { issuer: next.issuer.clone(), wanted: Some(authority.arn.clone()) };
        let defect = name_defect(&self.like(), next, true)
            .or_else(|| (next.not_after <= self.index.now).then_some(ReplacementDefect::Ended { at: next.not_after }))
            .or_else(|| self.validity_defect(next, why, true))
            .or_else(|| (!authority.certificate.issued(next)).then(issuer));
        defect.map_or(Ok(()), Err)
    }
}
