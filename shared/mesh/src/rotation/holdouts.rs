//! What keeps an old CA trusted: everything that is presented and is of it, or that nobody can rule out to be.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{Keeper, LeafFacts, Pending, TrustFacts};
use super::scene::{Rollover, Scene, declared};
use crate::certificates::{Certificate, Chain, Reading, Source, leads_to};
use crate::name::{MeshName, ResourcePath};

/// What needs the old CA whoever checks it, by the mesh in which it is checked. Looked up once for all who trust: there
/// may be as many of those as of leaves.
pub(super) struct Holdouts<'f> {
    by_mesh: BTreeMap<&'f MeshName, BTreeSet<&'f Source>>,
}

/// Leaves that a reason names: there may be as many as certificates, and as many reasons as there are who trust.
const MOST_NAMED: usize = 10;

/// Some leaves, the first of them by name.
pub(super) struct Few {
    pub(super) named: Vec<Source>,
    /// How many others.
    pub(super) more: usize,
}

impl<'f> Holdouts<'f> {
    pub(super) fn of(rollover: Rollover<'_>, scene: &Scene<'f>) -> Self {
        let mut by_mesh: BTreeMap<&MeshName, BTreeSet<&Source>> = BTreeMap::new();
        for leaf in scene.facts.leaves.iter().filter(|leaf| needs_old(leaf, rollover, scene)) {
            for meeting in scene.meetings_of_leaf(&leaf.source) {
                by_mesh.entry(meeting.verifier.mesh()).or_default().insert(&leaf.source);
            }
        }
        Self { by_mesh }
    }

    /// Everything in the meshes of whoever trusts that needs the old CA, and what is checked here and would not be accepted
    /// by what is `kept`. `None` where there is nothing.
    pub(super) fn of_trust(&self, trust: &TrustFacts, kept: &[&Certificate], scene: &Scene<'f>) -> Option<Few> {
        let meshes: BTreeSet<&MeshName> = trust.users.keys().map(ResourcePath::mesh).collect();
        let sets: Vec<&BTreeSet<&Source>> = meshes.into_iter().filter_map(|mesh| self.by_mesh.get(mesh)).collect();
        let together: BTreeSet<&Source>;
        let nothing = BTreeSet::new();
        let needing = match sets.as_slice() {
            [] => &nothing,
            // Not copied: there may be as many as certificates, once for each who trusts.
            [one] => *one,
            several => {
                together = several.iter().copied().flatten().copied().collect();
                &together
            }
        };
        let refused = self::refused(trust, kept, scene);
        let all = needing.len() + refused.difference(needing).count();
        let named: BTreeSet<&Source> = needing.iter().take(MOST_NAMED).chain(&refused).copied().collect();
        let named: Vec<Source> = named.into_iter().take(MOST_NAMED).cloned().collect();
        let more = all - named.len();
        (all > 0).then_some(Few { named, more })
    }
}

/// What is checked by a trust and would not be accepted by what is kept of it.
fn refused<'f>(trust: &TrustFacts, kept: &[&Certificate], scene: &Scene<'f>) -> BTreeSet<&'f Source> {
    let met = scene.meetings_of_trust(&trust.id).filter_map(|meeting| scene.leaf(&meeting.leaf));
    let is_refused = |chain: &Chain| leads_to(chain, kept, scene.now).is_err();
    let refused = met.filter(|leaf| match &leaf.current {
        Reading::Known(chain) => is_refused(chain) || prepared(leaf, is_refused),
        Reading::Unread(_) => false,
    });
    refused.map(|leaf| &leaf.source).collect()
}

/// Whether a leaf is of the old CA, is about to be, or may still be with a proxy that does not tell.
fn needs_old(leaf: &LeafFacts, rollover: Rollover<'_>, scene: &Scene<'_>) -> bool {
    match &leaf.current {
        Reading::Known(chain) => {
            let is_requested = matches!(pending(leaf), Some(Pending::Requested { .. }));
            // From the new CA there is no way back, so what is pending of the old one is never served.
            let has_moved = scene.issuer(&chain.leaf).is_some_and(|issuer| issuer.arn == rollover.to.arn);
            rollover.issued(chain)
                || (!has_moved && (is_requested || prepared(leaf, |chain| rollover.issued(chain))))
                || !scene.waiting_for_leaf(leaf).is_empty()
        }
        // What others keep is judged by what can be read of it.
        Reading::Unread(_) => !matches!(leaf.keeper, Keeper::NotOurs { .. }) || meets(leaf, rollover, scene),
    }
}

/// Whether the certificate that is about to be served is one of those.
fn prepared(leaf: &LeafFacts, is_one: impl Fn(&Chain) -> bool) -> bool {
    matches!(pending(leaf), Some(Pending::Issued { chain, .. }) if is_one(chain))
}

fn pending(leaf: &LeafFacts) -> Option<&Pending> {
    match &leaf.keeper {
        Keeper::Bundle { bundle, .. } | Keeper::Imported { bundle: Some(bundle), .. } => bundle.pending.as_ref(),
        Keeper::Private(_) | Keeper::Imported { bundle: None, .. } | Keeper::NotOurs { .. } => None,
    }
}

/// Whether a leaf that can't be read is checked by something that trusts the old root.
fn meets(leaf: &LeafFacts, rollover: Rollover<'_>, scene: &Scene<'_>) -> bool {
    let mut meetings = scene.meetings_of_leaf(&leaf.source);
    meetings.any(|meeting| scene.trust(&meeting.trust).is_some_and(|trust| trusts_old(trust, rollover)))
}

/// Whether whoever trusts by it trusts the old CA.
pub(super) fn trusts_old(trust: &TrustFacts, rollover: Rollover<'_>) -> bool {
    declared(trust).any(|one| rollover.is_old(&one.root))
}
