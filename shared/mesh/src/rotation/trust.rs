//! What becomes of trust while a CA is replaced: both first, the new one alone last.

use std::collections::BTreeSet;

use super::decide::{Proposal, Subject, Verdict};
use super::facts::{Held, Keeper, Memory, Pending, TrustFacts, TrustKeeper};
use super::plan::{Action, Kind, Stage, Step};
use super::reason::{KeepReason, NotKnown, Why};
use super::record::digest;
use super::scene::{Rollover, Scene, declared};
use crate::certificates::{AuthorityArn, Certificate, Chain, Fingerprint, Reading, Source, leads_to};
use crate::change::Change;
use crate::name::{MeshName, ResourcePath};

/// The most CAs that a client policy takes (API shape `CertificateAuthorityArns`).
const MOST_AUTHORITIES: usize = 3;

/// What should become of trust, neighbours left aside.
pub(super) fn propose(trust: &TrustFacts, rollovers: &[Rollover<'_>], scene: &Scene<'_>) -> Proposal {
    let subject = Subject::Trust(trust.id.clone());
    let concerned: Vec<Rollover<'_>> = rollovers.iter().copied().filter(|one| concerns(trust, *one, scene)).collect();
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
    let trusts_both = |one: &Rollover<'_>| is_explicit && declared(trust).any(|root| one.is_new(&root.root));
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
        Memory::None => None,
        Memory::Record(record) => record.failures.as_ref(),
    };
    if let Some(failures) = failures
        && let until = failures.retry_at(&scene.policy.back_off)
        && scene.now < until
    {
        let reason = KeepReason::BackingOff { until, failures: failures.count, why: failures.why.clone() };
        return Proposal::keep(subject, reason);
    }
    let next = if let Some(missing) = concerned.iter().find(|one| !trusts_both(one)) {
        trust_both(trust, *missing)
    } else {
        let waiting = scene.waiting_for_trust(trust);
        if !waiting.is_empty() {
            let verdict = Verdict::Verify(Why::NotAcknowledged { waiting });
            return Proposal { verdict, failing: true, ..Proposal::keep(subject, KeepReason::Settled) };
        }
        let drops = concerned.iter().map(|one| drop_old(trust, *one, scene));
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

fn trusts_old(trust: &TrustFacts, rollover: Rollover<'_>) -> bool {
    declared(trust).any(|one| rollover.is_old(&one.root))
}

fn trust_both(trust: &TrustFacts, rollover: Rollover<'_>) -> Result<Action, KeepReason> {
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
        TrustKeeper::Bundle(bundle) => publish(trust, bundle, roots(), vec![to.clone()])?,
        TrustKeeper::NotOurs { why } => return Err(KeepReason::NotOurs { why: why.clone(), ends: None }),
    };
    Ok(Action { kind: Kind::Distribute, step, why, stage: Some(stage), moves: trust.users.keys().cloned().collect() })
}

fn drop_old(trust: &TrustFacts, rollover: Rollover<'_>, scene: &Scene<'_>) -> Result<Action, KeepReason> {
    if scene.policy.rollover.keep_old {
        return Err(KeepReason::OldKept);
    }
    let kept = || declared(trust).filter(|one| !rollover.is_old(&one.root));
    let leaves = still_presented(trust, rollover, &kept().map(|one| &one.root).collect::<Vec<_>>(), scene);
    if !leaves.is_empty() {
        return Err(KeepReason::OldStillPresented { authority: rollover.from.arn.clone(), leaves });
    }
    scene.meshes.all_read(NotKnown::WhatIsPresented)?;
    let (from, to) = (rollover.from.arn.clone(), rollover.to.arn.clone());
    let step = match &trust.keeper {
        TrustKeeper::Policy => {
            let arns: Vec<AuthorityArn> = kept().filter_map(|one| one.authority.clone()).collect();
            set_trust(trust, arns, &[])?
        }
        TrustKeeper::Bundle(bundle) => {
            publish(trust, bundle, kept().map(|one| one.root.fingerprint.clone()).collect(), Vec::new())?
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

/// Everything in the meshes of whoever trusts that is of the old CA, or that nobody can rule out to be: also what is about
/// to be served, what a proxy may still have, and what is checked here and would not be accepted by what is `kept`.
fn still_presented(
    trust: &TrustFacts,
    rollover: Rollover<'_>,
    kept: &[&Certificate],
    scene: &Scene<'_>,
) -> Vec<Source> {
    let meshes: BTreeSet<&MeshName> = trust.users.keys().map(ResourcePath::mesh).collect();
    let presented = scene.facts.leaves.iter().filter(|leaf| {
        let mut meetings = scene.meetings_of_leaf(&leaf.source).filter(|one| meshes.contains(one.verifier.mesh()));
        if meetings.next().is_none() {
            return false;
        }
        let is_met = scene.meetings_of_leaf(&leaf.source).any(|meeting| meeting.trust == trust.id);
        let needs_old = |chain: &Chain| rollover.issued(chain) || (is_met && leads_to(chain, kept, scene.now).is_err());
        let pending = match &leaf.keeper {
            Keeper::Bundle { bundle, .. } | Keeper::Imported { bundle: Some(bundle), .. } => bundle.pending.as_ref(),
            Keeper::Private(_) | Keeper::Imported { bundle: None, .. } | Keeper::NotOurs { .. } => None,
        };
        let prepared = match pending {
            Some(Pending::Issued { chain, .. }) => needs_old(chain),
            Some(Pending::Requested { .. }) => true,
            Some(Pending::Trust { .. } | Pending::Unreadable { .. }) | None => false,
        };
        let ours = !matches!(leaf.keeper, Keeper::NotOurs { .. });
        match &leaf.current {
            Reading::Known(chain) => needs_old(chain) || prepared || !scene.waiting_for_leaf(leaf).is_empty(),
            // What others keep is judged by what can be read of it.
            Reading::Unread(_) => ours || meets(leaf, rollover, scene),
        }
    });
    presented.map(|leaf| leaf.source.clone()).collect()
}

/// Whether a leaf that can't be read is checked by something that trusts the old root.
fn meets(leaf: &super::facts::LeafFacts, rollover: Rollover<'_>, scene: &Scene<'_>) -> bool {
    let mut meetings = scene.meetings_of_leaf(&leaf.source);
    meetings.any(|meeting| scene.trust(&meeting.trust).is_some_and(|trust| trusts_old(trust, rollover)))
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
    roots: BTreeSet<Fingerprint>,
    authorities: Vec<AuthorityArn>,
) -> Result<Step, KeepReason> {
    match &bundle.pending {
        Some(Pending::Requested { .. } | Pending::Issued { .. }) => return Err(KeepReason::SecretChanging),
        Some(Pending::Unreadable { why }) => return Err(KeepReason::PendingUnusable { why: why.clone() }),
        Some(Pending::Trust { .. }) | None => {}
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
