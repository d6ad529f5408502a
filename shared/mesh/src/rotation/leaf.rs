//! What becomes of a leaf: why it should be issued anew, by whom, and whether that may be.

use jiff::{SignedDuration, Timestamp};

use super::decide::{Proposal, Subject, Verdict};
use super::facts::{AuthorityFacts, Keeper, LeafFacts, Memory, TrustId, TrustKeeper};
use super::plan::{Action, Like, Stage};
use super::reason::{KeepReason, NotKnown, Why};
use super::record::{LeafRecord, Record};
use super::scene::{Acceptance, Rollover, Scene};
use crate::certificates::{AuthorityArn, Certificate, Chain, Reading, RenewalRule};
use crate::name::ResourcePath;
use crate::policy::CertificatesPolicy;

/// Private CAs begin a validity an hour before they issue, so that clocks may differ.
const BACKDATED: SignedDuration = SignedDuration::from_hours(1);

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
        Memory::None => None,
        Memory::Record(record) => Some(&**record),
    };
    let name = leaf.source.to_string();
    let before = remembered.and_then(|record| record.leaf.as_ref());
    let known = match before {
        Some(known) if known.fingerprint == chain.leaf.fingerprint => {
            LeafRecord { ends: Some(chain.leaf.not_after), ..known.clone() }
        }
        Some(_) | None => LeafRecord::first_seen(&name, &chain.leaf, scene.policy.jitter, before),
    };
    let is_new = before.is_none_or(|before| before.fingerprint != known.fingerprint);
    // Whatever failed before, a new leaf is here.
    let failures = remembered.and_then(|record| record.failures.clone()).filter(|_| !is_new);
    let told = remembered.and_then(|record| record.told.clone());
    let retry_at = failures.as_ref().map(|failures| (failures.retry_at(&scene.policy.back_off), failures.clone()));
    let changed = |leaf: LeafRecord| {
        let record = Record { leaf: Some(leaf), failures: failures.clone(), told: told.clone(), had: None };
        (remembered != Some(&record)).then_some(record)
    };
    let otherwise = changed(known.clone());
    let mut work = Work { leaf, chain, scene, name, known, retry_at };
    let proposal = work.propose(subject);
    Proposal { record: changed(work.known), otherwise, ..proposal }
}

/// A leaf that is being looked at.
pub(super) struct Work<'a> {
    pub(super) leaf: &'a LeafFacts,
    pub(super) chain: &'a Chain,
    pub(super) scene: &'a Scene<'a>,
    /// The source, as texts have it.
    pub(super) name: String,
    /// What is remembered; steps that need to be remembered before they are taken are entered here.
    pub(super) known: LeafRecord,
    retry_at: Option<(Timestamp, super::record::Failures)>,
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
        let why = self.why();
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
        Proposal { failing, urgent, ..proposal }
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
        let since = self.rule().point(leaf, self.known.jitter);
        if self.scene.now >= since {
            return Some(Why::RenewalDue { since, ends: leaf.not_after });
        }
        let rollover = self.scene.rollover(self.scene.issuer(leaf)?)?;
        Some(Why::Succession { from: rollover.from.arn.clone(), to: rollover.to.arn.clone() })
    }

    fn rule(&self) -> RenewalRule {
        rule(&self.leaf.keeper, self.scene.policy)
    }

    /// Whether the next thing that happens to it, if nothing is done, is that it is worth nothing.
    fn is_urgent(&self, why: Option<&Why>) -> bool {
        match why {
            Some(Why::Revoked { .. } | Why::Expired { .. }) => true,
            Some(_) => self.scene.now >= self.rule().urgent(&self.chain.leaf),
            None => false,
        }
    }

    pub(super) fn fresh(&self) -> KeepReason {
        let leaf = &self.chain.leaf;
        KeepReason::Fresh { renew_at: self.rule().point(leaf, self.known.jitter), ends: leaf.not_after }
    }

    fn next(&mut self, why: Option<Why>, urgent: bool) -> Result<Action, KeepReason> {
        if why.is_some()
            && let Some((until, failures)) = self.retry_at.clone().filter(|(until, _)| self.scene.now < *until)
        {
            return Err(KeepReason::BackingOff { until, failures: failures.count, why: failures.why });
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
        let target = match successor.map(|to| (to, self.may_come_from(to))) {
            Some((to, Ok(()))) => to,
            Some((_, Err(reason))) if !urgent => return Err(reason),
            Some((_, Err(_))) => {
                if issuer.is_none() {
                    self.may_come_from(own)?;
                }
                issuer.unwrap_or(own)
            }
            None => {
                self.may_come_from(own)?;
                own
            }
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

    /// The end of a new certificate: as long a life as now, within that of the CA.
    pub(super) fn not_after(&self, authority: &AuthorityFacts, why: &Why) -> Result<Timestamp, KeepReason> {
        let leaf = &self.chain.leaf;
        let lifetime = leaf.not_after.duration_since(leaf.not_before);
        let life = lifetime.saturating_sub(BACKDATED).max(SignedDuration::from_secs(lifetime.as_secs() / 2));
        let end = (self.scene.now + life).min(authority.ends());
        let gained = end.duration_since(leaf.not_after).as_secs();
        // Else each renewal would live shorter than the one before, and they would never end.
        let in_vain = gained < lifetime.as_secs() / 10;
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
