//! The leaves that require continued trust in an old CA: presented leaves of that CA, and leaves that may be.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{Keeper, LeafFacts, Pending, TrustFacts};
use super::index::{FactIndex, Rollover, declared};
use mesh::certificates::{Certificate, CertificateSource, Chain, SourceReading, leads_to};
use mesh::name::{MeshName, ResourcePath};

/// The leaves that need the old CA for any verifier, by the verifier's mesh. Computed once for all trusts, since there
/// may be as many trusts as leaves.
pub(super) struct OldCaLeaves<'f> {
    by_mesh: BTreeMap<&'f MeshName, BTreeSet<&'f CertificateSource>>,
}

/// The maximum number of leaves that a reason names; there may be thousands, and as many reasons as trusts.
const MOST_NAMED: usize = 10;

/// The first leaves by name, and the number of others.
pub(super) struct NamedLeaves {
    pub(super) named: Vec<CertificateSource>,
    /// The number of leaves that are not named.
    pub(super) more: usize,
}

impl<'f> OldCaLeaves<'f> {
    pub(super) fn new(rollover: Rollover<'_>, index: &FactIndex<'f>) -> Self {
        let mut by_mesh: BTreeMap<&MeshName, BTreeSet<&CertificateSource>> = BTreeMap::new();
        for leaf in index.facts.leaves.iter().filter(|leaf| needs_old(leaf, rollover, index)) {
            for meeting in index.meetings_of_leaf(&leaf.source) {
                by_mesh.entry(meeting.verifier.mesh()).or_default().insert(&leaf.source);
            }
        }
        Self { by_mesh }
    }

    /// The leaves in the meshes of a trust's users that need the old CA, and the leaves verified by the trust that the
    /// remaining roots would not accept. `None` if there are none.
    pub(super) fn of_trust(
        &self,
        trust: &TrustFacts,
        kept: &[&Certificate],
        index: &FactIndex<'f>,
    ) -> Option<NamedLeaves> {
        let meshes: BTreeSet<&MeshName> = trust.users.keys().map(ResourcePath::mesh).collect();
        let sets: Vec<&BTreeSet<&CertificateSource>> =
            meshes.into_iter().filter_map(|mesh| self.by_mesh.get(mesh)).collect();
        let together: BTreeSet<&CertificateSource>;
        let nothing = BTreeSet::new();
        let needing = match sets.as_slice() {
            [] => &nothing,
            // Not copied: there may be as many leaves as certificates, once for each trust.
            [one] => *one,
            several => {
                together = several.iter().copied().flatten().copied().collect();
                &together
            }
        };
        let refused = self::refused(trust, kept, index);
        let all = needing.len() + refused.difference(needing).count();
        let named: BTreeSet<&CertificateSource> = needing.iter().take(MOST_NAMED).chain(&refused).copied().collect();
        let named: Vec<CertificateSource> = named.into_iter().take(MOST_NAMED).cloned().collect();
        let more = all - named.len();
        (all > 0).then_some(NamedLeaves { named, more })
    }
}

/// The leaves that a trust verifies and that the remaining roots would not accept.
fn refused<'f>(trust: &TrustFacts, kept: &[&Certificate], index: &FactIndex<'f>) -> BTreeSet<&'f CertificateSource> {
    let met = index.meetings_of_trust(&trust.id).filter_map(|meeting| index.leaf(&meeting.leaf));
    let is_refused = |chain: &Chain| leads_to(chain, kept, index.now).is_err();
    let refused = met.filter(|leaf| match &leaf.current {
        SourceReading::Known(chain) => is_refused(chain) || prepared(leaf, is_refused),
        SourceReading::Unread(_) => false,
    });
    refused.map(|leaf| &leaf.source).collect()
}

/// Whether a leaf is of the old CA, is about to be, or may still be presented by a proxy with an unknown state.
fn needs_old(leaf: &LeafFacts, rollover: Rollover<'_>, index: &FactIndex<'_>) -> bool {
    match &leaf.current {
        SourceReading::Known(chain) => {
            let is_requested = matches!(pending(leaf), Some(Pending::Requested { .. }));
            // A leaf of the new CA never returns to the old CA, so its pending version of the old CA is never promoted.
            let has_moved = index.issuer(&chain.leaf).is_some_and(|issuer| issuer.arn == rollover.to.arn);
            rollover.issued(chain)
                || (!has_moved && (is_requested || prepared(leaf, |chain| rollover.issued(chain))))
                || !index.waiting_for_leaf(leaf).is_empty()
        }
        // A leaf of another owner is judged only by its readable verifiers.
        SourceReading::Unread(_) => !matches!(leaf.keeper, Keeper::NotOurs { .. }) || meets(leaf, rollover, index),
    }
}

/// Whether the pending certificate of a leaf satisfies a condition.
fn prepared(leaf: &LeafFacts, is_one: impl Fn(&Chain) -> bool) -> bool {
    matches!(pending(leaf), Some(Pending::Issued { chain, .. }) if is_one(chain))
}

fn pending(leaf: &LeafFacts) -> Option<&Pending> {
    match &leaf.keeper {
        Keeper::Bundle { bundle, .. } | Keeper::Imported { bundle: Some(bundle), .. } => bundle.pending.as_ref(),
        Keeper::Private(_) | Keeper::Imported { bundle: None, .. } | Keeper::NotOurs { .. } => None,
    }
}

/// Whether a trust with the old root verifies an unreadable leaf.
fn meets(leaf: &LeafFacts, rollover: Rollover<'_>, index: &FactIndex<'_>) -> bool {
    let mut meetings = index.meetings_of_leaf(&leaf.source);
    meetings.any(|meeting| index.trust(&meeting.trust).is_some_and(|trust| trusts_old(trust, rollover)))
}

/// Whether a trust includes the old CA.
pub(super) fn trusts_old(trust: &TrustFacts, rollover: Rollover<'_>) -> bool {
    declared(trust).any(|one| rollover.is_old(&one.root))
}
