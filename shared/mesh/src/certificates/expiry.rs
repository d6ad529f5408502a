//! When a certificate ends, and when it has to be renewed so that it never does.
//!
//! ```text
//!   not before ├──────────────── lifetime ────────────────┤ not after
//!                          renewal point ▲ └─ jitter earlier ─ at the latest: lead time before the end
//! ```

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::certificate::{Certificate, Chain};
use super::path::ChainLink;
use super::readings::{Reading, Readings};
use super::source::Source;
use crate::policy::Percent;

/// Which part of a chain ends, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ending {
    /// Which part.
    pub link: ChainLink,
    /// Whose certificate.
    pub subject: String,
    /// When.
    pub at: Timestamp,
}

/// The first end within a chain and the authorities that it leads to: from then on it is worth nothing.
#[must_use]
pub fn first_ending(chain: &Chain, anchors: &[&Certificate]) -> Ending {
    let leaf = ending(&chain.leaf, ChainLink::Leaf);
    above(chain, anchors).fold(leaf, |first, other| if other.at < first.at { other } else { first })
}

/// The first of a chain's authorities that ends before the leaf does: renewing the leaf doesn't help then.
#[must_use]
pub fn outlived(chain: &Chain, anchors: &[&Certificate]) -> Option<Ending> {
    let early = above(chain, anchors).filter(|other| other.at < chain.leaf.not_after);
    early.min_by_key(|ending| ending.at)
}

/// What stands above the leaf: what came with it, and those anchors that signed any of it.
fn above(chain: &Chain, anchors: &[&Certificate]) -> impl Iterator<Item = Ending> {
    let signed = |anchor: &Certificate| chain.certificates().any(|one| anchor.issued(one));
    let anchors = anchors.iter().filter(move |anchor| signed(anchor)).map(|anchor| ending(anchor, ChainLink::Anchor));
    let sent = chain.others.iter().map(|one| {
        let link = if one.is_root() { ChainLink::Anchor } else { ChainLink::Intermediate };
        ending(one, link)
    });
    sent.chain(anchors).collect::<Vec<_>>().into_iter()
}

fn ending(certificate: &Certificate, link: ChainLink) -> Ending {
    Ending { link, subject: certificate.subject.clone(), at: certificate.not_after }
}

/// A part of a lifetime by which a renewal comes earlier, in thousandths, so that not all come at once. Drawn once for
/// each certificate, and stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Jitter(pub u16);

impl Jitter {
    /// Draws up to `most` of a lifetime by a number that is as good as random.
    #[must_use]
    pub fn draw(most: Percent, by: u64) -> Self {
        let thousandths = u64::from(most.get()) * 10;
        Self(u16::try_from(by % (thousandths + 1)).unwrap_or_default())
    }
}

/// When certificates are renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenewalRule {
    /// The part of the lifetime that is left then.
    pub before: Percent,
    /// How long it takes until whoever presents a new certificate has it.
    pub lead: SignedDuration,
}

impl RenewalRule {
    /// From when on a certificate is to be renewed. Never before its first half is over, whatever the lead time says: a
    /// certificate that lives shorter than its distribution takes must not be issued for ever.
    #[must_use]
    pub fn point(&self, leaf: &Certificate, jitter: Jitter) -> Timestamp {
        let lifetime = leaf.not_after.duration_since(leaf.not_before);
        let left = part(lifetime, u32::from(self.before.get()) * 10 + u32::from(jitter.0));
        let at = (leaf.not_after - left).min(leaf.not_after - self.lead);
        at.max(leaf.not_before + part(lifetime, 500))
    }

    /// From when on nothing may keep a renewal waiting that could be done.
    #[must_use]
    pub fn urgent(&self, leaf: &Certificate) -> Timestamp {
        let lifetime = leaf.not_after.duration_since(leaf.not_before);
        let margin = part(lifetime, 100).max(self.lead.saturating_mul(4)).min(part(lifetime, 250));
        leaf.not_after - margin
    }
}

/// So many thousandths of a length of time.
fn part(length: SignedDuration, thousandths: u32) -> SignedDuration {
    let seconds = i128::from(length.as_secs()) * i128::from(thousandths) / 1000;
    SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX))
}

/// When a source ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Forecast {
    /// Which.
    pub source: Source,
    /// When its leaf ends.
    pub leaf: Timestamp,
    /// What of its chain ends first.
    pub chain: Ending,
    /// Whole days until then; negative once it is over.
    pub days: i64,
}

/// When each certificate that is known ends, the first to end first.
#[must_use]
pub fn forecast(readings: &Readings, now: Timestamp) -> Vec<Forecast> {
    let anchors: Vec<&Certificate> = readings
        .anchors
        .values()
        .flat_map(|reading| match reading {
            Reading::Known(certificates) => certificates.as_slice(),
            Reading::Unread(_) => &[],
        })
        .collect();
    let known = readings.chains.iter().filter_map(|(source, reading)| match reading {
        Reading::Known(chain) => Some((source, chain)),
        Reading::Unread(_) => None,
    });
    let mut all: Vec<Forecast> = known
        .map(|(source, chain)| {
            let ending = first_ending(chain, &anchors);
            let days = ending.at.duration_since(now).as_secs().div_euclid(24 * 60 * 60);
            Forecast { source: source.clone(), leaf: chain.leaf.not_after, chain: ending, days }
        })
        .collect();
    all.sort_by(|one, other| (one.chain.at, &one.source).cmp(&(other.chain.at, &other.source)));
    all
}
