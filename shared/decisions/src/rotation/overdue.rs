//! The progress of overdue renewals, independent of the validity of the certificates.

use jiff::Timestamp;

use super::facts::{AuthorityFacts, Keeper, LeafFacts, RotationFacts};
use super::leaf::rule;
use mesh::certificates::{Certificate, Jitter, SourceReading, first_ending};
use policy::CertificatesPolicy;

/// The elapsed part of the time between renewal point and end, in percent, of the certificate with the largest part: 0
/// while none is due, 100 after an end. `None` if no managed certificate could be read.
#[must_use]
pub fn overdue(facts: &RotationFacts, policy: &CertificatesPolicy, now: Timestamp) -> Option<u8> {
    let authorities = facts.authorities.iter();
    let anchors: Vec<&Certificate> = authorities.flat_map(AuthorityFacts::certificates).collect();
    facts.leaves.iter().filter_map(|leaf| overdue_of(leaf, &anchors, policy, now)).max()
}

fn overdue_of(leaf: &LeafFacts, anchors: &[&Certificate], policy: &CertificatesPolicy, now: Timestamp) -> Option<u8> {
    let (SourceReading::Known(chain), false) = (&leaf.current, matches!(leaf.keeper, Keeper::NotOurs { .. })) else {
        return None;
    };
    // A certificate is valid until the first end in its chain.
    let ends = first_ending(chain, anchors).at;
    let living = Certificate { not_after: ends, ..chain.leaf.clone() };
    let due = rule(&leaf.keeper, policy).point(&living, Jitter::default());
    let (over, all) = (now.duration_since(due).as_secs().max(0), ends.duration_since(due).as_secs().max(1));
    u8::try_from((over.saturating_mul(100) / all).min(100)).ok()
}
