//! The decision for one trust during a rollover: first both CAs, at the end only the new one.

use std::collections::BTreeSet;

use super::decision::RotationVerdict;
use super::facts::{Acknowledgement, Pending, RotationMemory, TrustFacts, TrustKeeper};
use super::index::{FactIndex, Rollover, declared};
use super::old_ca_leaves::{NamedLeaves, OldCaLeaves, trusts_old};
use super::plan::{Action, PlanKind, RotationStep};
use super::proposal::Proposal;
use super::reason::{NotKnown, RotationKeepReason, Why};
use super::record::digest;
use super::stage::Stage;
use super::subject::RotationSubject;
use mesh::certificates::{AuthorityArn, Certificate, Fingerprint, SourceReading};
use mesh::change::Change;

/// The maximum number of CAs in a client policy (API shape `CertificateAuthorityArns`).
const MOST_AUTHORITIES: usize = 3;

/// A rollover, with the leaves that still need its old CA.
pub(super) struct BlockedRollover<'f> {
    rollover: Rollover<'f>,
    old_ca_leaves: OldCaLeaves<'f>,
}

impl<'f> BlockedRollover<'f> {
    /// Every rollover that requires changes of trust.
    pub(super) fn all(index: &FactIndex<'f>) -> Vec<Self> {
        let rollovers = index.trust_rollovers().into_iter();
        rollovers.map(|rollover| Self { rollover, old_ca_leaves: OldCaLeaves::new(rollover, index) }).collect()
    }
}

/// The proposal for a trust, before neighbours are checked.
pub(super) fn propose(
    trust: &TrustFacts,
    replaced: &[BlockedRollover<'_>],
    moving: &BTreeSet<&str>,
    index: &FactIndex<'_>,
) -> Proposal {
    let subject = RotationSubject::Trust(trust.id.clone());
    let concerned: Vec<&BlockedRollover<'_>> =
        replaced.iter().filter(|one| concerns(trust, one.rollover, index)).collect();
    if concerned.is_empty() {
        let waiting = index.waiting_for_trust(trust);
        if !waiting.is_empty() && matches!(trust.keeper, TrustKeeper::Policy | TrustKeeper::Bundle(_)) {
            let verdict = RotationVerdict::Verify(Why::NotAcknowledged { waiting });
            return Proposal { verdict, ..Proposal::keep(subject, RotationKeepReason::Settled) };
        }
        return Proposal::keep(subject, RotationKeepReason::Settled);
    }
    // Without a policy, each server is verified only by its own issuer.
    let is_explicit = !matches!(trust.keeper, TrustKeeper::Implicit { .. });
    let trusts_both =
        |one: &BlockedRollover<'_>| is_explicit && declared(trust).any(|root| one.rollover.is_new(&root.root));
    if let TrustKeeper::NotOurs { why } = &trust.keeper {
        return Proposal::keep(subject, RotationKeepReason::NotOurs { why: why.clone(), ends: None });
    }
    if let SourceReading::Unread(why) = &trust.declared {
        return Proposal::keep(subject, RotationKeepReason::Unread { why: why.clone() });
    }
    let failures = match &trust.memory {
        RotationMemory::Unreadable(why) => {
            return Proposal::keep(subject, RotationKeepReason::RecordUnreadable { why: why.clone() });
        }
        RotationMemory::Newer { format } => {
            return Proposal::keep(subject, RotationKeepReason::RecordNewer { format: *format });
        }
        RotationMemory::None => None,
        RotationMemory::Record(record) => record.failures.as_ref(),
    };
    if let Some(failures) = failures
        && let until = failures.retry_at(&index.policy.back_off)
        && index.now < until
    {
        let (count, why) = (failures.count, failures.why.clone());
        let reason = if count >= u32::from(index.policy.back_off.page_after) {
            RotationKeepReason::KeepsFailing { until, failures: count, why }
        } else {
            RotationKeepReason::BackingOff { until, failures: count, why }
        };
        return Proposal::keep(subject, reason);
    }
    let next = if let Some(missing) = concerned.iter().find(|one| !trusts_both(one)) {
        trust_both(trust, missing.rollover, moving)
    } else {
        let waiting = index.waiting_for_trust(trust);
        if !waiting.is_empty() {
            let verdict = RotationVerdict::Verify(Why::NotAcknowledged { waiting });
            return Proposal { verdict, failing: true, ..Proposal::keep(subject, RotationKeepReason::Settled) };
        }
        let drops = concerned.iter().map(|one| drop_old(trust, one, moving, index));
        drops.reduce(Result::or).unwrap_or(Err(RotationKeepReason::Settled))
    };
    match next {
        Ok(action) => Proposal { failing: true, ..Proposal::act(subject, action) },
        Err(reason) => Proposal { failing: reason.holds(), ..Proposal::keep(subject, reason) },
    }
}

/// Whether a rollover affects the trust: it includes the old CA, explicitly or because a policy is missing.
fn concerns(trust: &TrustFacts, rollover: Rollover<'_>, index: &FactIndex<'_>) -> bool {
    let meets_old = || {
        index.meetings_of_trust(&trust.id).any(|meeting| {
            let leaf = index.leaf(&meeting.leaf).map(|leaf| &leaf.current);
            matches!(leaf, Some(SourceReading::Known(chain)) if rollover.from.certificate.issued(&chain.leaf))
        })
    };
    trusts_old(trust, rollover)
        || (!matches!(trust.keeper, TrustKeeper::Policy | TrustKeeper::Bundle(_)) && meets_old())
}

fn trust_both(
    trust: &TrustFacts,
    rollover: Rollover<'_>,
    moving: &BTreeSet<&str>,
) -> Result<Action, RotationKeepReason> {
    let (from, to) = (rollover.from.arn.clone(), rollover.to.arn.clone());
    let stage = Stage::TrustBoth { from: from.clone(), to: to.clone() };
    let why = Why::Succession { from: from.clone(), to: to.clone() };
    let with_new = |mut arns: Vec<AuthorityArn>| {
        if !arns.contains(&to) {
            arns.push(to.clone());
        }
        if arns.len() > MOST_AUTHORITIES { Err(RotationKeepReason::TrustFull { authorities: arns }) } else { Ok(arns) }
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
        TrustKeeper::NotOurs { why } => return Err(RotationKeepReason::NotOurs { why: why.clone(), ends: None }),
    };
    Ok(Action {
        kind: PlanKind::Distribute,
        step,
        why,
        stage: Some(stage),
        moves: trust.users.keys().cloned().collect(),
    })
}

fn drop_old(
    trust: &TrustFacts,
    replaced: &BlockedRollover<'_>,
    moving: &BTreeSet<&str>,
    index: &FactIndex<'_>,
) -> Result<Action, RotationKeepReason> {
    let BlockedRollover { rollover, old_ca_leaves } = replaced;
    if index.policy.rollover.keep_old {
        return Err(RotationKeepReason::OldKept);
    }
    let kept = || declared(trust).filter(|one| !rollover.is_old(&one.root));
    let remaining_roots: Vec<&Certificate> = kept().map(|one| &one.root).collect();
    if let Some(NamedLeaves { named, more }) = old_ca_leaves.of_trust(trust, &remaining_roots, index) {
        return Err(RotationKeepReason::OldStillPresented {
            authority: rollover.from.arn.clone(),
            leaves: named,
            more,
        });
    }
    index.meshes.all_read(NotKnown::WhatIsPresented)?;
    let (from, to) = (rollover.from.arn.clone(), rollover.to.arn.clone());
    let step = match &trust.keeper {
        TrustKeeper::Policy => {
            let arns: Vec<AuthorityArn> = kept().filter_map(|one| one.authority.clone()).collect();
            set_trust(trust, arns, &[])?
        }
        TrustKeeper::Bundle(bundle) => {
            publish(trust, bundle, moving, kept().map(|one| one.root.fingerprint.clone()).collect(), Vec::new())?
        }
        // Without a policy, the client trusts only the new CA as soon as the server presents a leaf of it.
        TrustKeeper::Implicit { .. } => return Err(RotationKeepReason::Settled),
        TrustKeeper::NotOurs { why } => return Err(RotationKeepReason::NotOurs { why: why.clone(), ends: None }),
    };
    Ok(Action {
        kind: PlanKind::Retire,
        step,
        why: Why::Succession { from: from.clone(), to: to.clone() },
        stage: Some(Stage::DropOld { from, to }),
        moves: trust.users.keys().cloned().collect(),
    })
}

/// The ARNs of the CAs in a client policy; empty without a policy.
fn arns(trust: &TrustFacts) -> Vec<AuthorityArn> {
    declared(trust).filter_map(|one| one.authority.clone()).collect()
}

fn set_trust(
    trust: &TrustFacts,
    authorities: Vec<AuthorityArn>,
    names: &[String],
) -> Result<RotationStep, RotationKeepReason> {
    let Some((resource, place)) = trust.id.policy_place() else { return Err(RotationKeepReason::Settled) };
    Ok(RotationStep::Apply { change: Change::SetTrust { resource, place, authorities, names: names.to_vec() } })
}

fn publish(
    trust: &TrustFacts,
    bundle: &super::facts::BundleFacts,
    moving: &BTreeSet<&str>,
    roots: BTreeSet<Fingerprint>,
    authorities: Vec<AuthorityArn>,
) -> Result<RotationStep, RotationKeepReason> {
    match &bundle.pending {
        _ if moving.contains(bundle.secret.as_str()) => return Err(RotationKeepReason::SecretChanging),
        Some(Pending::Unreadable { why }) => return Err(RotationKeepReason::PendingUnusable { why: why.clone() }),
        // A pending leaf that is never promoted is replaced; its next attempt uses these roots.
        Some(Pending::Requested { .. } | Pending::Issued { .. } | Pending::Trust { .. }) | None => {}
    }
    if bundle.rotated_by_others {
        return Err(RotationKeepReason::RotatedByOthers);
    }
    let listed: Vec<&str> = roots.iter().map(Fingerprint::as_str).collect();
    let current = bundle.current.as_deref().unwrap_or_default();
    let version = digest(&["trust", &trust.id.to_string(), current, &listed.join(" ")], 40);
    Ok(RotationStep::PublishTrust {
        secret: bundle.secret.clone(),
        from: bundle.current.clone(),
        version,
        roots,
        authorities,
    })
}

/// Whether a trust has completed a stage, and all its proxies have acknowledged it.
pub(super) fn is_through(trust: &TrustFacts, stage: &Stage, index: &FactIndex<'_>) -> bool {
    let (old, new, dropped) = match stage {
        Stage::TrustBoth { from, to } => (from, to, false),
        Stage::DropOld { from, to } => (from, to, true),
        Stage::Reissue { .. } => return false,
    };
    let (Some(from), Some(to)) = (index.authority(old), index.authority(new)) else { return false };
    let rollover = Rollover { from, to };
    let acknowledged = trust.users.values().any(|held| matches!(held, Acknowledgement::Acknowledged(_)));
    let trusts_new = declared(trust).any(|one| rollover.is_new(&one.root));
    trusts_new && !(dropped && trusts_old(trust, rollover)) && acknowledged && index.waiting_for_trust(trust).is_empty()
}
