//! The decision for one leaf: why it must be issued again, by which CA, and whether that CA may issue it.

use jiff::{SignedDuration, Timestamp};

use super::certificate_template::CertificateTemplate;
use super::decision::RotationVerdict;
use super::facts::{AuthorityFacts, Keeper, LeafFacts, RotationMemory, TrustKeeper};
use super::index::{Acceptance, FactIndex, Rollover};
use super::key_match::KeyMatch;
use super::plan::Action;
use super::proposal::{PATIENCE, Proposal};
use super::reason::{NotKnown, RotationKeepReason, Why};
use super::record::{ConsecutiveFailures, LeafRecord, RotationRecord};
use super::stage::Stage;
use super::subject::RotationSubject;
use super::trust_id::TrustId;
use crate::decision::LastNotification;
use mesh::certificates::{AuthorityArn, Certificate, Chain, RenewalRule, SourceReading};
use mesh::name::ResourcePath;
use policy::CertificatesPolicy;

/// Private CAs backdate the beginning of the validity by one hour, to allow for clock skew.
const BACKDATED: SignedDuration = SignedDuration::from_hours(1);

/// The tolerated clock skew towards a CA that does not backdate.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// The proposal for a leaf, before neighbours and budget are checked.
pub(super) fn propose(leaf: &LeafFacts, index: &FactIndex<'_>) -> Proposal {
    let subject = RotationSubject::Certificate(leaf.source.clone());
    let chain = match (&leaf.keeper, &leaf.current) {
        (Keeper::NotOurs { why }, current) => {
            let ends = match current {
                SourceReading::Known(chain) => Some(chain.leaf.not_after),
                SourceReading::Unread(_) => None,
            };
            return Proposal::keep(subject, RotationKeepReason::NotOurs { why: why.clone(), ends });
        }
        (_, SourceReading::Unread(why)) => {
            return Proposal::keep(subject, RotationKeepReason::Unread { why: why.clone() });
        }
        (_, SourceReading::Known(chain)) => chain,
    };
    let remembered = match &leaf.memory {
        RotationMemory::Unreadable(why) => {
            return Proposal::keep(subject, RotationKeepReason::RecordUnreadable { why: why.clone() });
        }
        RotationMemory::Newer { format } => {
            return Proposal::keep(subject, RotationKeepReason::RecordNewer { format: *format });
        }
        RotationMemory::None => None,
        RotationMemory::Record(record) => Some(&**record),
    };
    let name = leaf.source.to_string();
    let before = remembered.and_then(|record| record.leaf.as_ref());
    let known = match before {
        Some(known) if known.fingerprint == chain.leaf.fingerprint => {
            LeafRecord { ends: Some(chain.leaf.not_after), ..known.clone() }
        }
        Some(_) | None => LeafRecord::first_seen(&name, &chain.leaf, index.policy.jitter, before, index.now),
    };
    let is_new = before.is_none_or(|before| before.fingerprint != known.fingerprint);
    let failures = remembered.and_then(|record| record.failures.clone());
    let failures = match ends_too_soon(&known, chain, index.now).filter(|_| is_new) {
        // The new leaf is in use only because no better leaf exists.
        Some(why) => Some(ConsecutiveFailures::once_more(failures, why, index.now)),
        // A new leaf is current, so earlier failures no longer count.
        None => failures.filter(|_| !is_new),
    };
    // ACM's events were about the previous leaf.
    let is_replaced = is_new && before.is_some();
    let events = remembered.map(|record| record.reported_events.clone()).filter(|_| !is_replaced).unwrap_or_default();
    let changed = |leaf: LeafRecord, failures: Option<ConsecutiveFailures>| {
        let kept = remembered.cloned().unwrap_or_default();
        let record = RotationRecord { leaf: Some(leaf), failures, reported_events: events.clone(), ..kept };
        (remembered != Some(&record)).then_some(record)
    };
    let otherwise = changed(known.clone(), failures.clone());
    let last_notification = remembered.and_then(|record| record.last_notification.as_ref());
    let mut work = LeafEvaluation { leaf, chain, index, name, known, failures, last_notification };
    let proposal = work.propose(subject);
    Proposal { record: changed(work.known, work.failures), otherwise, ..proposal }
}

/// The failure message if the CA issued a new leaf for much less time than ordered.
fn ends_too_soon(known: &LeafRecord, chain: &Chain, now: Timestamp) -> Option<String> {
    // Only a certificate ordered by Meshwarden has a stored validity.
    let ordered = SignedDuration::from_secs(known.validity.filter(|_| known.moved_back.is_none())?);
    let at = chain.leaf.not_after;
    (at < now + ordered / 4).then(|| format!("the CA issued a certificate that ends at {at}, much sooner than ordered"))
}

/// The evaluation of one leaf.
pub(super) struct LeafEvaluation<'a> {
    pub(super) leaf: &'a LeafFacts,
    pub(super) chain: &'a Chain,
    pub(super) index: &'a FactIndex<'a>,
    /// The source, as displayed in texts.
    pub(super) name: String,
    /// The record; updated before steps that must be recorded first.
    pub(super) known: LeafRecord,
    /// The failures since the present leaf became current.
    pub(super) failures: Option<ConsecutiveFailures>,
    /// The last notification.
    pub(super) last_notification: Option<&'a LastNotification>,
}

/// The CA that issues the next certificate.
pub(super) struct SelectedIssuer<'a> {
    pub(super) authority: &'a AuthorityFacts,
    /// Whether it differs from the present issuer.
    pub(super) is_new: bool,
    /// The stage, if the new issuer requires changed trust.
    pub(super) stage: Option<Stage>,
}

/// The rule for the renewal time of a certificate in a store.
pub(super) fn rule(keeper: &Keeper, policy: &CertificatesPolicy) -> RenewalRule {
    let lead = match keeper {
        Keeper::Private(_) | Keeper::Imported { .. } | Keeper::NotOurs { .. } => policy.lead_times.acm,
        Keeper::Bundle { .. } => policy.lead_times.sds,
    };
    RenewalRule { before: policy.renew_before, lead: lead.get() }
}

impl<'a> LeafEvaluation<'a> {
    fn propose(&mut self, subject: RotationSubject) -> Proposal {
        let patience = self.patience();
        let why = self.why();
        // A renewed leaf that stayed current until its next renewal was accepted by operators.
        if why.is_some() && self.known.moved_back.is_none() && self.failures.is_none() && self.known.attempt.is_none() {
            self.known.times_moved_back = 0;
        }
        let urgent = self.is_urgent(why.as_ref());
        let failing = why.is_some();
        let proposal = match self.next(why, urgent) {
            Ok(action) => Proposal::act(subject, action),
            Err(RotationKeepReason::Fresh { renew_at, ends }) => {
                let waiting = self.index.waiting_for_leaf(self.leaf);
                if waiting.is_empty() {
                    Proposal::keep(subject, RotationKeepReason::Fresh { renew_at, ends })
                } else {
                    Proposal {
                        verdict: RotationVerdict::Verify(Why::NotAcknowledged { waiting }),
                        ..Proposal::keep(subject, RotationKeepReason::Settled)
                    }
                }
            }
            Err(reason) => Proposal::keep(subject, reason),
        };
        Proposal { failing, urgent, patience, ..proposal }
    }

    /// The maximum time of a repeated decision: a part of the validity, and less near its end.
    fn patience(&self) -> SignedDuration {
        let leaf = self.counted();
        let part = leaf.not_after.duration_since(leaf.not_before) / 4;
        let is_late = self.index.now >= self.rule().urgent(&leaf);
        part.min(if is_late { self.index.policy.paging.repeat_after.get() } else { PATIENCE })
    }

    /// The leaf with its validity counted from its issuance, if known. For a leaf of one hour, the hour of backdating
    /// would be half of the validity.
    pub(super) fn counted(&self) -> Certificate {
        let leaf = &self.chain.leaf;
        let issued = self.known.validity.map(|seconds| leaf.not_after - SignedDuration::from_secs(seconds));
        Certificate { not_before: issued.map_or(leaf.not_before, |at| at.max(leaf.not_before)), ..leaf.clone() }
    }

    /// The reason to issue the leaf again, if there is one.
    fn why(&self) -> Option<Why> {
        let leaf = &self.chain.leaf;
        if self.leaf.revoked || self.known.revoked {
            return Some(Why::Revoked { fingerprint: leaf.fingerprint.clone() });
        }
        if self.index.now >= leaf.not_after {
            return Some(Why::Expired { at: leaf.not_after });
        }
        if self.key_is_other() {
            return Some(Why::OtherKey { fingerprint: leaf.fingerprint.clone() });
        }
        if leaf.not_before > self.index.now + CLOCK_SKEW {
            return Some(Why::NotYetValid { from: leaf.not_before });
        }
        let since = self.rule().point(&self.counted(), self.known.jitter);
        if self.index.now >= since {
            return Some(Why::RenewalDue { since, ends: leaf.not_after });
        }
        let rollover = self.index.rollover(self.index.issuer(leaf)?)?;
        Some(Why::Succession { from: rollover.from.arn.clone(), to: rollover.to.arn.clone() })
    }

    fn rule(&self) -> RenewalRule {
        rule(&self.leaf.keeper, self.index.policy)
    }

    /// Whether no proxy can present the leaf, because its stored key belongs to another certificate.
    fn key_is_other(&self) -> bool {
        match &self.leaf.keeper {
            Keeper::Bundle { bundle, .. } => bundle.key == KeyMatch::Other,
            // Proxies get the certificate from ACM, which has compared the key.
            Keeper::Private(_) | Keeper::Imported { .. } | Keeper::NotOurs { .. } => false,
        }
    }

    /// Whether the leaf becomes useless unless it is renewed now, or already is.
    fn is_urgent(&self, why: Option<&Why>) -> bool {
        match why {
            Some(Why::Revoked { .. } | Why::Expired { .. } | Why::OtherKey { .. } | Why::NotYetValid { .. }) => true,
            Some(_) => self.index.now >= self.urgent_at(),
            None => false,
        }
    }

    /// The time from which no other condition may delay the renewal.
    pub(super) fn urgent_at(&self) -> Timestamp {
        self.rule().urgent(&self.counted())
    }

    pub(super) fn fresh(&self) -> RotationKeepReason {
        let leaf = &self.chain.leaf;
        RotationKeepReason::Fresh {
            renew_at: self.rule().point(&self.counted(), self.known.jitter),
            ends: leaf.not_after,
        }
    }

    fn next(&mut self, why: Option<Why>, urgent: bool) -> Result<Action, RotationKeepReason> {
        if why.is_some() {
            self.may_act()?;
        }
        match &self.leaf.keeper {
            Keeper::Private(facts) => self.in_store(facts, why, urgent),
            Keeper::Imported { authority, bundle: None, differs } => match differs {
                Some(secret) if why.is_some() && !urgent => {
                    Err(RotationKeepReason::SecretDiffers { secret: secret.clone() })
                }
                Some(_) | None => self.reimport(authority.as_ref(), why, urgent),
            },
            Keeper::Imported { authority, bundle: Some(bundle), .. } | Keeper::Bundle { authority, bundle } => {
                self.in_secret(authority.as_ref(), bundle, why, urgent)
            }
            Keeper::NotOurs { why } => {
                Err(RotationKeepReason::NotOurs { why: why.clone(), ends: Some(self.chain.leaf.not_after) })
            }
        }
    }

    /// The CA that issues the next certificate: the successor of the present issuer, once all verifiers trust it. Near
    /// the end of the leaf, the old CA issues it once more.
    pub(super) fn target(
        &self,
        named: Option<&AuthorityArn>,
        urgent: bool,
    ) -> Result<SelectedIssuer<'a>, RotationKeepReason> {
        let issuer = self.index.issuer(&self.chain.leaf);
        let known = named.and_then(|arn| self.index.authority(arn));
        let own = known.or(issuer).ok_or_else(|| self.issuer_unknown(named))?;
        if let Some(why) = self.index.policy.successor(&own.arn).and_then(|arn| self.unread(arn))
            && !urgent
        {
            // A certificate of the old CA would have to be issued again by the successor.
            return Err(RotationKeepReason::Unread { why });
        }
        let successor = self.index.rollover(own).map(|rollover| rollover.to);
        let wanted = successor.unwrap_or(own);
        let target = match (self.may_come_from(wanted), issuer) {
            (Ok(()), _) => wanted,
            (Err(_), Some(issuer)) if urgent => issuer,
            (Err(_), None) if urgent && wanted.arn != own.arn => {
                self.may_come_from(own)?;
                own
            }
            (Err(reason), _) => return Err(reason),
        };
        if let Some(why) = &target.inactive {
            return Err(RotationKeepReason::AuthorityInactive { authority: target.arn.clone(), why: why.clone() });
        }
        let stage = issuer.and_then(|issuer| self.stage(issuer, target));
        let is_new = issuer.is_none_or(|issuer| issuer.arn != target.arn);
        Ok(SelectedIssuer { authority: target, is_new, stage })
    }

    /// The reason why the issuer is unknown. An unreadable CA may be readable again before an operator reacts.
    fn issuer_unknown(&self, named: Option<&AuthorityArn>) -> RotationKeepReason {
        let unread = &self.index.facts.unread_authorities;
        let why = match named {
            Some(arn) => self.unread(arn),
            // Any of the unreadable CAs may be the issuer.
            None => unread.keys().find_map(|arn| self.unread(arn)),
        };
        match why {
            Some(why) => RotationKeepReason::Unread { why },
            None => RotationKeepReason::IssuerUnknown { issuer: self.chain.leaf.issuer.clone() },
        }
    }

    fn unread(&self, authority: &AuthorityArn) -> Option<String> {
        let why = self.index.facts.unread_authorities.get(authority)?;
        Some(format!("{authority}: {why}"))
    }

    /// Checks whether all verifiers would accept a leaf of `authority`. They do if the same CA issued the present one.
    pub(super) fn may_come_from(&self, authority: &AuthorityFacts) -> Result<(), RotationKeepReason> {
        let issuer = self.index.issuer(&self.chain.leaf);
        if issuer.is_some_and(|issuer| issuer.arn == authority.arn) {
            return Ok(());
        }
        let chain = authority.chain();
        let mut missing: Vec<(ResourcePath, TrustId)> = Vec::new();
        let mut theirs: Vec<(ResourcePath, TrustId)> = Vec::new();
        for meeting in self.index.meetings_of_leaf(&self.leaf.source) {
            let Some(trust) = self.index.trust(&meeting.trust) else { continue };
            let is_theirs = matches!(trust.keeper, TrustKeeper::NotOurs { .. });
            let place = (meeting.verifier.clone(), meeting.trust.clone());
            match (self.index.accepts(trust, &meeting.verifier, &chain), is_theirs) {
                (Acceptance::Yes, _) => {}
                (Acceptance::No | Acceptance::Unknown, true) => theirs.push(place),
                (Acceptance::No | Acceptance::Unknown, false) => missing.push(place),
            }
        }
        let authority = authority.arn.clone();
        if !theirs.is_empty() {
            return Err(RotationKeepReason::TrustNotOurs { authority, trusts: theirs });
        }
        if !missing.is_empty() {
            return Err(RotationKeepReason::AwaitingTrust { authority, missing });
        }
        // A mesh may have started to use it since its last read, and would then have more verifiers.
        self.index.meshes.all_read(NotKnown::WhoChecksIt)
    }

    /// The end of a new certificate: as long a validity as the present one, within the validity of the CA.
    pub(super) fn not_after(&mut self, authority: &AuthorityFacts, why: &Why) -> Result<Timestamp, RotationKeepReason> {
        let validity = self.validity();
        let end = (self.index.now + validity).min(authority.ends());
        let gained = end.duration_since(self.chain.leaf.not_after);
        // Otherwise each renewal would be shorter than the one before, without end.
        let in_vain = end == authority.ends() && gained < validity / 10;
        match why {
            Why::RenewalDue { .. } if in_vain => {
                Err(RotationKeepReason::AuthorityEnds { authority: authority.arn.clone(), at: authority.ends() })
            }
            _ if end <= self.index.now => {
                Err(RotationKeepReason::AuthorityEnds { authority: authority.arn.clone(), at: authority.ends() })
            }
            _ => Ok(end),
        }
    }

    /// The validity of this source's certificates from their issuance on. For a first certificate that Meshwarden did
    /// not order, the backdating is unknown. The value is stored then, so it never drifts.
    fn validity(&mut self) -> SignedDuration {
        let leaf = &self.chain.leaf;
        let lifetime = leaf.not_after.duration_since(leaf.not_before);
        let derived = lifetime.saturating_sub(BACKDATED).max(lifetime.min(BACKDATED));
        SignedDuration::from_secs(*self.known.validity.get_or_insert(derived.as_secs()))
    }

    pub(super) fn like(&self) -> CertificateTemplate {
        CertificateTemplate { names: self.chain.leaf.names.clone(), key: self.chain.leaf.key.clone() }
    }

    pub(super) fn users(&self) -> std::collections::BTreeSet<ResourcePath> {
        self.leaf.users.keys().cloned().collect()
    }

    /// The rollover stage that the change to a new leaf belongs to, by the issuers of both.
    pub(super) fn stage_towards(&self, next: &Certificate) -> Option<Stage> {
        self.stage(self.index.issuer(&self.chain.leaf)?, self.index.issuer(next)?)
    }

    fn stage(&self, from: &AuthorityFacts, to: &AuthorityFacts) -> Option<Stage> {
        let is_another = from.arn != to.arn && self.index.changes_trust(Rollover { from, to });
        is_another.then(|| Stage::Reissue { from: from.arn.clone(), to: to.arn.clone() })
    }
}
