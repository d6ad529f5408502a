//! What becomes of a leaf: why it should be issued anew, by whom, and whether that may be.

use jiff::{SignedDuration, Timestamp};

use super::decide::{PATIENCE, Proposal, Subject, Verdict};
use super::facts::{AuthorityFacts, Keeper, KeyMatch, LeafFacts, Memory, TrustId, TrustKeeper};
use super::plan::{Action, Like, Stage};
use super::reason::{KeepReason, NotKnown, Why};
use super::record::{Failures, LeafRecord, Record};
use super::scene::{Acceptance, Rollover, Scene};
use crate::certificates::{AuthorityArn, Certificate, Chain, Reading, RenewalRule};
use crate::failover::Told;
use crate::name::ResourcePath;
use crate::policy::CertificatesPolicy;

/// Private CAs begin a validity an hour before they issue, so that clocks may differ.
const BACKDATED: SignedDuration = SignedDuration::from_hours(1);

/// How much a clock may differ from that of a CA that does not backdate.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// What should become of a leaf, neighbours and budget left aside.
pub(super) fn propose(leaf: &LeafFacts, scene: &Scene<'_>) -> Proposal {
    let subject = Subject::Certificate(leaf.source.clone());
    let chain = match (&leaf.keeper, &leaf.current) {
        (Keeper::NotOurs { why }, current) => {
            let ends = match current {
                Reading::Known(chain) => Some(chain.leaf.not_after),
                Reading::Unread(_) => None,
            };
            return Proposal::keep(subject, KeepReason::NotOurs { why: why.clone(), ends });
        }
        (_, Reading::Unread(why)) => return Proposal::keep(subject, KeepReason::Unread { why: why.clone() }),
        (_, Reading::Known(chain)) => chain,
    };
    let remembered = match &leaf.memory {
        Memory::Unreadable(why) => {
            return Proposal::keep(subject, KeepReason::RecordUnreadable { why: why.clone() });
        }
        Memory::Newer { format } => return Proposal::keep(subject, KeepReason::RecordNewer { format: *format }),
        Memory::None => None,
        Memory::Record(record) => Some(&**record),
    };
    let name = leaf.source.to_string();
    let before = remembered.and_then(|record| record.leaf.as_ref());
    let known = match before {
        Some(known) if known.fingerprint == chain.leaf.fingerprint => {
            LeafRecord { ends: Some(chain.leaf.not_after), ..known.clone() }
        }
        Some(_) | None => LeafRecord::first_seen(&name, &chain.leaf, scene.policy.jitter, before, scene.now),
    };
    let is_new = before.is_none_or(|before| before.fingerprint != known.fingerprint);
    let failures = remembered.and_then(|record| record.failures.clone());
    let failures = match ends_too_soon(&known, chain, scene.now).filter(|_| is_new) {
        // It is served for want of a better one.
        Some(why) => Some(Failures::once_more(failures, why, scene.now)),
        // Whatever failed before, a new leaf is here.
        None => failures.filter(|_| !is_new),
    };
    // What ACM reported was about the leaf before.
    let is_replaced = is_new && before.is_some();
    let events = remembered.map(|record| record.reported_events.clone()).filter(|_| !is_replaced).unwrap_or_default();
    let changed = |leaf: LeafRecord, failures: Option<Failures>| {
        let kept = remembered.cloned().unwrap_or_default();
        let record = Record { leaf: Some(leaf), failures, reported_events: events.clone(), ..kept };
        (remembered != Some(&record)).then_some(record)
    };
    let otherwise = changed(known.clone(), failures.clone());
    let told = remembered.and_then(|record| record.told.as_ref());
    let mut work = Work { leaf, chain, scene, name, known, failures, told };
    let proposal = work.propose(subject);
    Proposal { record: changed(work.known, work.failures), otherwise, ..proposal }
}

/// Why a new leaf is hardly better than none, if it is: the CA has issued it for much less than was ordered.
fn ends_too_soon(known: &LeafRecord, chain: &Chain, now: Timestamp) -> Option<String> {
    // Only what was ordered here has a validity by now.
    let ordered = SignedDuration::from_secs(known.validity.filter(|_| known.moved_back.is_none())?);
    let at = chain.leaf.not_after;
    (at < now + ordered / 4).then(|| format!("the CA issued a certificate that ends at {at}, much sooner than ordered"))
}

/// A leaf that is being decided about.
pub(super) struct Work<'a> {
    pub(super) leaf: &'a LeafFacts,
    pub(super) chain: &'a Chain,
    pub(super) scene: &'a Scene<'a>,
    /// The source, as texts have it.
    pub(super) name: String,
    /// What is remembered; steps that need to be remembered before they are taken are entered here.
    pub(super) known: LeafRecord,
    /// What has failed since the present leaf became current.
    pub(super) failures: Option<Failures>,
    /// What people were told last.
    pub(super) told: Option<&'a Told>,
}

/// Who is to issue.
pub(super) struct Target<'a> {
    pub(super) authority: &'a AuthorityFacts,
    /// Whether it is another one than the one before.
    pub(super) is_new: bool,
    /// Set where that changes who has to be trusted.
    pub(super) stage: Option<Stage>,
}

/// When what somebody keeps is renewed.
pub(super) fn rule(keeper: &Keeper, policy: &CertificatesPolicy) -> RenewalRule {
    let lead = match keeper {
        Keeper::Private(_) | Keeper::Imported { .. } | Keeper::NotOurs { .. } => policy.lead_times.acm,
        Keeper::Bundle { .. } => policy.lead_times.sds,
    };
    RenewalRule { before: policy.renew_before, lead: lead.get() }
}

impl<'a> Work<'a> {
    fn propose(&mut self, subject: Subject) -> Proposal {
        let patience = self.patience();
        let why = self.why();
        // A renewal that was left in place until the next one is due has been accepted.
        if why.is_some() && self.known.moved_back.is_none() && self.failures.is_none() && self.known.attempt.is_none() {
            self.known.times_moved_back = 0;
        }
        let urgent = self.is_urgent(why.as_ref());
        let failing = why.is_some();
        let proposal = match self.next(why, urgent) {
            Ok(action) => Proposal::act(subject, action),
            Err(KeepReason::Fresh { renew_at, ends }) => {
                let waiting = self.scene.waiting_for_leaf(self.leaf);
                if waiting.is_empty() {
                    Proposal::keep(subject, KeepReason::Fresh { renew_at, ends })
                } else {
                    Proposal {
                        verdict: Verdict::Verify(Why::NotAcknowledged { waiting }),
                        ..Proposal::keep(subject, KeepReason::Settled)
                    }
                }
            }
            Err(reason) => Proposal::keep(subject, reason),
        };
        Proposal { failing, urgent, patience, ..proposal }
    }

    /// How long the same decision may be made: a part of the validity, and less near its end.
    fn patience(&self) -> SignedDuration {
        let leaf = self.counted();
        let part = leaf.not_after.duration_since(leaf.not_before) / 4;
        let is_late = self.scene.now >= self.rule().urgent(&leaf);
        part.min(if is_late { self.scene.policy.paging.repeat_after.get() } else { PATIENCE })
    }

    /// The leaf with its validity counted from its issuance, where that is known: of one that lives for an hour, another
    /// hour before its issuance would be half of it.
    pub(super) fn counted(&self) -> Certificate {
        let leaf = &self.chain.leaf;
        let issued = self.known.validity.map(|seconds| leaf.not_after - SignedDuration::from_secs(seconds));
        Certificate { not_before: issued.map_or(leaf.not_before, |at| at.max(leaf.not_before)), ..leaf.clone() }
    }

    /// Why it should be issued anew, if it should.
    fn why(&self) -> Option<Why> {
        let leaf = &self.chain.leaf;
        if self.leaf.revoked || self.known.revoked {
            return Some(Why::Revoked { fingerprint: leaf.fingerprint.clone() });
        }
        if self.scene.now >= leaf.not_after {
            return Some(Why::Expired { at: leaf.not_after });
        }
        if self.key_is_other() {
            return Some(Why::OtherKey { fingerprint: leaf.fingerprint.clone() });
        }
        if leaf.not_before > self.scene.now + CLOCK_SKEW {
            return Some(Why::NotYetValid { from: leaf.not_before });
        }
        let since = self.rule().point(&self.counted(), self.known.jitter);
        if self.scene.now >= since {
            return Some(Why::RenewalDue { since, ends: leaf.not_after });
        }
        let rollover = self.scene.rollover(self.scene.issuer(leaf)?)?;
        Some(Why::Succession { from: rollover.from.arn.clone(), to: rollover.to.arn.clone() })
    }

    fn rule(&self) -> RenewalRule {
        rule(&self.leaf.keeper, self.scene.policy)
    }

    /// Whether no proxy can present it, since the key next to it is another one's.
    fn key_is_other(&self) -> bool {
        match &self.leaf.keeper {
            Keeper::Bundle { bundle, .. } => bundle.key == KeyMatch::Other,
            // Proxies have it from ACM, which has compared the key.
            Keeper::Private(_) | Keeper::Imported { .. } | Keeper::NotOurs { .. } => false,
        }
    }

    /// Whether the next thing that happens to it, if nothing is done, is that it is worth nothing.
    fn is_urgent(&self, why: Option<&Why>) -> bool {
        match why {
            Some(Why::Revoked { .. } | Why::Expired { .. } | Why::OtherKey { .. } | Why::NotYetValid { .. }) => true,
            Some(_) => self.scene.now >= self.urgent_at(),
            None => false,
        }
    }

    /// From when on nothing may keep its renewal waiting.
    pub(super) fn urgent_at(&self) -> Timestamp {
        self.rule().urgent(&self.counted())
    }

    pub(super) fn fresh(&self) -> KeepReason {
        let leaf = &self.chain.leaf;
        KeepReason::Fresh { renew_at: self.rule().point(&self.counted(), self.known.jitter), ends: leaf.not_after }
    }

    fn next(&mut self, why: Option<Why>, urgent: bool) -> Result<Action, KeepReason> {
        if why.is_some() {
            self.may_act()?;
        }
        match &self.leaf.keeper {
            Keeper::Private(facts) => self.in_store(facts, why, urgent),
            Keeper::Imported { authority, bundle: None, differs } => match differs {
                Some(secret) if why.is_some() && !urgent => Err(KeepReason::SecretDiffers { secret: secret.clone() }),
                Some(_) | None => self.reimport(authority.as_ref(), why, urgent),
            },
            Keeper::Imported { authority, bundle: Some(bundle), .. } | Keeper::Bundle { authority, bundle } => {
                self.in_secret(authority.as_ref(), bundle, why, urgent)
            }
            Keeper::NotOurs { why } => {
                Err(KeepReason::NotOurs { why: why.clone(), ends: Some(self.chain.leaf.not_after) })
            }
        }
    }

    /// Who is to issue it: the successor of who did, once everybody who meets it trusts that one. Before it would come
    /// to harm, the old one is asked once more.
    pub(super) fn target(&self, named: Option<&AuthorityArn>, urgent: bool) -> Result<Target<'a>, KeepReason> {
        let issuer = self.scene.issuer(&self.chain.leaf);
        let known = named.and_then(|arn| self.scene.authority(arn));
        let own = known.or(issuer).ok_or_else(|| self.issuer_unknown(named))?;
        if let Some(why) = self.scene.policy.successor(&own.arn).and_then(|arn| self.unread(arn))
            && !urgent
        {
            // Issued by the old one, it would have to be issued once more.
            return Err(KeepReason::Unread { why });
        }
        let successor = self.scene.rollover(own).map(|rollover| rollover.to);
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
            return Err(KeepReason::AuthorityInactive { authority: target.arn.clone(), why: why.clone() });
        }
        let stage = issuer.and_then(|issuer| self.stage(issuer, target));
        let is_new = issuer.is_none_or(|issuer| issuer.arn != target.arn);
        Ok(Target { authority: target, is_new, stage })
    }

    /// Why nobody knows whom to ask: a CA that can't be read may be readable again before anybody is awake.
    fn issuer_unknown(&self, named: Option<&AuthorityArn>) -> KeepReason {
        let unread = &self.scene.facts.unread_authorities;
        let why = match named {
            Some(arn) => self.unread(arn),
            // Any of them may be the one.
            None => unread.keys().find_map(|arn| self.unread(arn)),
        };
        match why {
            Some(why) => KeepReason::Unread { why },
            None => KeepReason::IssuerUnknown { issuer: self.chain.leaf.issuer.clone() },
        }
    }

    fn unread(&self, authority: &AuthorityArn) -> Option<String> {
        let why = self.scene.facts.unread_authorities.get(authority)?;
        Some(format!("{authority}: {why}"))
    }

    /// Whether everybody who meets the leaf would take one that `authority` issues. Where the same CA issued the present
    /// one, everybody does.
    pub(super) fn may_come_from(&self, authority: &AuthorityFacts) -> Result<(), KeepReason> {
        let issuer = self.scene.issuer(&self.chain.leaf);
        if issuer.is_some_and(|issuer| issuer.arn == authority.arn) {
            return Ok(());
        }
        let chain = authority.chain();
        let mut missing: Vec<(ResourcePath, TrustId)> = Vec::new();
        let mut theirs: Vec<(ResourcePath, TrustId)> = Vec::new();
        for meeting in self.scene.meetings_of_leaf(&self.leaf.source) {
            let Some(trust) = self.scene.trust(&meeting.trust) else { continue };
            let is_theirs = matches!(trust.keeper, TrustKeeper::NotOurs { .. });
            let place = (meeting.verifier.clone(), meeting.trust.clone());
            match (self.scene.accepts(trust, &meeting.verifier, &chain), is_theirs) {
                (Acceptance::Yes, _) => {}
                (Acceptance::No | Acceptance::Unknown, true) => theirs.push(place),
                (Acceptance::No | Acceptance::Unknown, false) => missing.push(place),
            }
        }
        let authority = authority.arn.clone();
        if !theirs.is_empty() {
            return Err(KeepReason::TrustNotOurs { authority, trusts: theirs });
        }
        if !missing.is_empty() {
            return Err(KeepReason::AwaitingTrust { authority, missing });
        }
        // Somebody may have put it there since it was last read, and then whoever checks it there has to be asked too.
        self.scene.meshes.all_read(NotKnown::WhoChecksIt)
    }

    /// The end of a new certificate: valid for as long as the present one, within the validity of the CA.
    pub(super) fn not_after(&mut self, authority: &AuthorityFacts, why: &Why) -> Result<Timestamp, KeepReason> {
        let validity = self.validity();
        let end = (self.scene.now + validity).min(authority.ends());
        let gained = end.duration_since(self.chain.leaf.not_after);
        // Else each renewal would live shorter than the one before, and they would never end.
        let in_vain = end == authority.ends() && gained < validity / 10;
        match why {
            Why::RenewalDue { .. } if in_vain => {
                Err(KeepReason::AuthorityEnds { authority: authority.arn.clone(), at: authority.ends() })
            }
            _ if end <= self.scene.now => {
                Err(KeepReason::AuthorityEnds { authority: authority.arn.clone(), at: authority.ends() })
            }
            _ => Ok(end),
        }
    }

    /// For how long a certificate of this source is valid from its issuance on. Of the first one that was not ordered
    /// here nobody knows whether it was backdated; from then on it is remembered, so that it never drifts.
    fn validity(&mut self) -> SignedDuration {
        let leaf = &self.chain.leaf;
        let lifetime = leaf.not_after.duration_since(leaf.not_before);
        let derived = lifetime.saturating_sub(BACKDATED).max(lifetime.min(BACKDATED));
        SignedDuration::from_secs(*self.known.validity.get_or_insert(derived.as_secs()))
    }

    pub(super) fn like(&self) -> Like {
        Like { names: self.chain.leaf.names.clone(), key: self.chain.leaf.key.clone() }
    }

    pub(super) fn users(&self) -> std::collections::BTreeSet<ResourcePath> {
        self.leaf.users.keys().cloned().collect()
    }

    /// The stage of which handing over a leaf is part, by who issued both.
    pub(super) fn stage_towards(&self, next: &Certificate) -> Option<Stage> {
        self.stage(self.scene.issuer(&self.chain.leaf)?, self.scene.issuer(next)?)
    }

    fn stage(&self, from: &AuthorityFacts, to: &AuthorityFacts) -> Option<Stage> {
        let is_another = from.arn != to.arn && self.scene.changes_trust(Rollover { from, to });
        is_another.then(|| Stage::Reissue { from: from.arn.clone(), to: to.arn.clone() })
    }
}
