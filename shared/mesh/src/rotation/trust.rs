//! What becomes of trust while a CA is replaced: both first, the new one alone last.

use std::collections::BTreeSet;

use super::decide::{Proposal, Subject, Verdict};
use super::facts::{Held, Memory, Pending, TrustFacts, TrustKeeper};
use super::holdouts::{Few, Holdouts, trusts_old};
use super::plan::{Action, Kind, Stage, Step};
use super::reason::{KeepReason, NotKnown, Why};
use super::record::digest;
use super::scene::{Rollover, Scene, declared};
use crate::certificates::{AuthorityArn, Certificate, Fingerprint, Reading};
use crate::change::Change;

/// The most CAs that a client policy takes (API shape `CertificateAuthorityArns`).
const MOST_AUTHORITIES: usize = 3;

/// A replacement of a CA, and what is in its way.
pub(super) struct Replaced<'f> {
    rollover: Rollover<'f>,
    holdouts: Holdouts<'f>,
}

impl<'f> Replaced<'f> {
    /// Every replacement that changes who is trusted.
    pub(super) fn all(scene: &Scene<'f>) -> Vec<Self> {
        let rollovers = scene.trust_rollovers().into_iter();
        rollovers.map(|rollover| Self { rollover, holdouts: Holdouts::of(rollover, scene) }).collect()
    }
}

/// What should become of trust, neighbours left aside.
pub(super) fn propose(
    trust: &TrustFacts,
    replaced: &[Replaced<'_>],
    moving: &BTreeSet<&str>,
    scene: &Scene<'_>,
) -> Proposal {
    let subject = Subject::Trust(trust.id.clone());
    let concerned: Vec<&Replaced<'_>> = replaced.iter().filter(|one| concerns(trust, one.rollover, scene)).collect();
    if concerned.is_empty() {
        let waiting = scene.waiting_for_trust(trust);
        if !waiting.is_empty() && matches!(trust.keeper, TrustKeeper::Policy | TrustKeeper::Bundle(_)) {
            let verdict = Verdict::Verify(Why::NotAcknowledged { waiting });
            return Proposal { verdict, ..Proposal::keep(subject, KeepReason::Settled) };
        }
        return Proposal::keep(subject, KeepReason::Settled);
    }
    // Without a policy each server is trusted by its own issuer alone, whatever others are trusted by.
    let is_explicit = !matches!(trust.keeper, TrustKeeper::Implicit { .. });
    let trusts_both = |one: &Replaced<'_>| is_explicit && declared(trust).any(|root| one.rollover.is_new(&root.root));
    if let TrustKeeper::NotOurs { why } = &trust.keeper {
        return Proposal::keep(subject, KeepReason::NotOurs { why: why.clone(), ends: None });
    }
    if let Reading::Unread(why) = &trust.declared {
        return Proposal::keep(subject, KeepReason::Unread { why: why.clone() });
    }
    let failures = match &trust.memory {
        Memory::Unreadable(why) => {
            return Proposal::keep(subject, KeepReason::RecordUnreadable { why: why.clone() });
        }
        Memory::Newer { format } => return Proposal::keep(subject, KeepReason::RecordNewer { format: *format }),
        Memory::None => None,
        Memory::Record(record) => record.failures.as_ref(),
    };
    if let Some(failures) = failures
        && let until = failures.retry_at(&scene.policy.back_off)
        && scene.now < until
    {
        let (count, why) = (failures.count, failures.why.clone());
        let reason = if count >= u32::from(scene.policy.back_off.page_after) {
            KeepReason::KeepsFailing { until, failures: count, why }
        } else {
            KeepReason::BackingOff { until, failures: count, why }
        };
        return Proposal::keep(subject, reason);
    }
    let next = if let Some(missing) = concerned.iter().find(|one| !trusts_both(one)) {
        trust_both(trust, missing.rollover, moving)
    } else {
        let waiting = scene.waiting_for_trust(trust);
        if !waiting.is_empty() {
            let verdict = Verdict::Verify(Why::NotAcknowledged { waiting });
            return Proposal { verdict, failing: true, ..Proposal::keep(subject, KeepReason::Settled) };
        }
        let drops = concerned.iter().map(|one| drop_old(trust, one, moving, scene));
        drops.reduce(Result::or).unwrap_or(Err(KeepReason::Settled))
    };
    match next {
        Ok(action) => Proposal { failing: true, ..Proposal::act(subject, action) },
        Err(reason) => Proposal { failing: reason.holds(), ..Proposal::keep(subject, reason) },
    }
}

/// Whether a rollover changes anything here: the old CA is trusted, or by the absence of a policy it is.
fn concerns(trust: &TrustFacts, rollover: Rollover<'_>, scene: &Scene<'_>) -> bool {
    let meets_old = || {
        scene.meetings_of_trust(&trust.id).any(|meeting| {
            let leaf = scene.leaf(&meeting.leaf).map(|leaf| &leaf.current);
            matches!(leaf, Some(Reading::Known(chain)) if rollover.from.certificate.issued(&chain.leaf))
        })
    };
    trusts_old(trust, rollover)
        || (!matches!(trust.keeper, TrustKeeper::Policy | TrustKeeper::Bundle(_)) && meets_old())
}

fn trust_both(trust: &TrustFacts, rollover: Rollover<'_>, moving: &BTreeSet<&str>) -> Result<Action, KeepReason> {
    let (from, to) = (rollover.from.arn.clone(), rollover.to.arn.clone());
    let stage = Stage::TrustBoth { from: from.clone(), to: to.clone() };
    let why = Why::Succession { from: from.clone(), to: to.clone() };
    let with_new = |mut arns: Vec<AuthorityArn>| {
        if !arns.contains(&to) {
            arns.push(to.clone());
        }
        if arns.len() > MOST_AUTHORITIES { Err(KeepReason::TrustFull { authorities: arns }) } else { Ok(arns) }
    };
    let roots = || {
        let old = declared(trust).map(|one| one.root.fingerprint.clone());
        old.chain([rollover.to.root().fingerprint.clone()]).collect::<BTreeSet<_>>()
    };
    let step = match &trust.keeper {
        TrustKeeper::Policy => set_trust(trust, with_new(arns(trust))?, &[])?,
        TrustKeeper::Implicit { names } => {
            let mut old = arns(trust);
            if old.is_empty() {
                old.push(from);
            }
            set_trust(trust, with_new(old)?, names)?
        }
        TrustKeeper::Bundle(bundle) => publish(trust, bundle, moving, roots(), vec![to.clone()])?,
        TrustKeeper::NotOurs { why } => return Err(KeepReason::NotOurs { why: why.clone(), ends: None }),
    };
    Ok(Action { kind: Kind::Distribute, step, why, stage: Some(stage), moves: trust.users.keys().cloned().collect() })
}

fn drop_old(
    trust: &TrustFacts,
    replaced: &Replaced<'_>,
    moving: &BTreeSet<&str>,
    scene: &Scene<'_>,
) -> Result<Action, KeepReason> {
    let Replaced { rollover, holdouts } = replaced;
    if scene.policy.rollover.keep_old {
        return Err(KeepReason::OldKept);
    }
    let kept = || declared(trust).filter(|one| !rollover.is_old(&one.root));
    let kept_roots: Vec<&Certificate> = kept().map(|one| &one.root).collect();
    if let Some(Few { named, more }) = holdouts.of_trust(trust, &kept_roots, scene) {
        return Err(KeepReason::OldStillPresented { authority: rollover.from.arn.clone(), leaves: named, more });
    }
    scene.meshes.all_read(NotKnown::WhatIsPresented)?;
    let (from, to) = (rollover.from.arn.clone(), rollover.to.arn.clone());
    let step = match &trust.keeper {
        TrustKeeper::Policy => {
            let arns: Vec<AuthorityArn> = kept().filter_map(|one| one.authority.clone()).collect();
            set_trust(trust, arns, &[])?
        }
        TrustKeeper::Bundle(bundle) => {
            publish(trust, bundle, moving, kept().map(|one| one.root.fingerprint.clone()).collect(), Vec::new())?
        }
        // It trusts the new one only once the server has it, and then nothing else.
        TrustKeeper::Implicit { .. } => return Err(KeepReason::Settled),
        TrustKeeper::NotOurs { why } => return Err(KeepReason::NotOurs { why: why.clone(), ends: None }),
    };
    Ok(Action {
        kind: Kind::Retire,
        step,
        why: Why::Succession { from: from.clone(), to: to.clone() },
        stage: Some(Stage::DropOld { from, to }),
        moves: trust.users.keys().cloned().collect(),
    })
}

/// The CAs by which a policy names the roots. Without a policy there are none.
fn arns(trust: &TrustFacts) -> Vec<AuthorityArn> {
    declared(trust).filter_map(|one| one.authority.clone()).collect()
}

fn set_trust(trust: &TrustFacts, authorities: Vec<AuthorityArn>, names: &[String]) -> Result<Step, KeepReason> {
    let Some((resource, place)) = trust.id.policy_place() else { return Err(KeepReason::Settled) };
    Ok(Step::Apply { change: Change::SetTrust { resource, place, authorities, names: names.to_vec() } })
}

fn publish(
    trust: &TrustFacts,
    bundle: &super::facts::BundleFacts,
    moving: &BTreeSet<&str>,
    roots: BTreeSet<Fingerprint>,
    authorities: Vec<AuthorityArn>,
) -> Result<Step, KeepReason> {
    match &bundle.pending {
        _ if moving.contains(bundle.secret.as_str()) => return Err(KeepReason::SecretChanging),
        Some(Pending::Unreadable { why }) => return Err(KeepReason::PendingUnusable { why: why.clone() }),
        // A leaf that is pending and goes nowhere loses its place; its next attempt begins with these roots.
        Some(Pending::Requested { .. } | Pending::Issued { .. } | Pending::Trust { .. }) | None => {}
    }
    if bundle.rotated_by_others {
        return Err(KeepReason::RotatedByOthers);
    }
    let listed: Vec<&str> = roots.iter().map(Fingerprint::as_str).collect();
    let current = bundle.current.as_deref().unwrap_or_default();
    let version = digest(&["trust", &trust.id.to_string(), current, &listed.join(" ")], 40);
    Ok(Step::PublishTrust { secret: bundle.secret.clone(), from: bundle.current.clone(), version, roots, authorities })
}

/// Whether a trust has been through a stage, and everybody has it.
pub(super) fn is_through(trust: &TrustFacts, stage: &Stage, scene: &Scene<'_>) -> bool {
    let (old, new, dropped) = match stage {
        Stage::TrustBoth { from, to } => (from, to, false),
        Stage::DropOld { from, to } => (from, to, true),
        Stage::Reissue { .. } => return false,
    };
    let (Some(from), Some(to)) = (scene.authority(old), scene.authority(new)) else { return false };
    let rollover = Rollover { from, to };
    let acknowledged = trust.users.values().any(|held| matches!(held, Held::Acknowledged(_)));
    let trusts_new = declared(trust).any(|one| rollover.is_new(&one.root));
    trusts_new && !(dropped && trusts_old(trust, rollover)) && acknowledged && scene.waiting_for_trust(trust).is_empty()
}
