//! The end of certificates, and the time of their renewal.
//!
//! ```text
//!   not before ├──────────────── lifetime ────────────────┤ not after
//!                          renewal point ▲ └─ jitter earlier ─ at the latest: lead time before the end
//! ```

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::certificate::{Certificate, Chain};
use super::path::ChainLink;
use super::readings::{Readings, SourceReading};
use super::source::CertificateSource;
use crate::amounts::Percent;

/// The first certificate of a chain that ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ending {
    /// Its part in the chain.
    pub link: ChainLink,
    /// Its subject.
    pub subject: String,
    /// Its end.
    pub at: Timestamp,
}

/// The first end within a chain and its anchors: the chain is invalid from then on.
#[must_use]
pub fn first_ending(chain: &Chain, anchors: &[&Certificate]) -> Ending {
    let leaf = ending(&chain.leaf, ChainLink::Leaf);
    above(chain, anchors).fold(leaf, |first, other| if other.at < first.at { other } else { first })
}

/// The first authority of a chain that ends before the leaf; a renewal of the leaf does not help then.
#[must_use]
pub fn outlived(chain: &Chain, anchors: &[&Certificate]) -> Option<Ending> {
    let early = above(chain, anchors).filter(|other| other.at < chain.leaf.not_after);
    early.min_by_key(|ending| ending.at)
}

/// The certificates above the leaf: the rest of its chain, and the anchors that issued any of it.
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

/// The part of a lifetime by which a renewal is advanced, in thousandths, so that renewals are spread over time. Drawn
/// once for each certificate, and stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Jitter(pub u16);

impl Jitter {
    /// Draws a part of at most `most` from a uniformly distributed number.
    #[must_use]
    pub fn draw(most: Percent, by: u64) -> Self {
        let thousandths = u64::from(most.get()) * 10;
        Self(u16::try_from(by % (thousandths + 1)).unwrap_or_default())
    }
}

/// The rule for the time of renewals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenewalRule {
    /// The remaining part of the lifetime at the renewal.
    pub before: Percent,
    /// The time that distributing a new certificate to all proxies takes.
    pub lead: SignedDuration,
}

impl RenewalRule {
    /// The time of the renewal. It is never in the first half of the lifetime, regardless of the lead time: otherwise a
    /// certificate with a shorter lifetime than its distribution would be renewed without end.
    #[must_use]
    pub fn point(&self, leaf: &Certificate, jitter: Jitter) -> Timestamp {
        let lifetime = leaf.not_after.duration_since(leaf.not_before);
        let left = part(lifetime, u32::from(self.before.get()) * 10 + u32::from(jitter.0));
        let at = (leaf.not_after - left).min(leaf.not_after - self.lead);
        at.max(leaf.not_before + part(lifetime, 500))
    }

    /// The time from which no other condition may delay the renewal.
    #[must_use]
    pub fn urgent(&self, leaf: &Certificate) -> Timestamp {
        let lifetime = leaf.not_after.duration_since(leaf.not_before);
        let margin = part(lifetime, 100).max(self.lead.saturating_mul(4)).min(part(lifetime, 250));
        leaf.not_after - margin
    }
}

/// A number of thousandths of a duration.
fn part(length: SignedDuration, thousandths: u32) -> SignedDuration {
    let seconds = i128::from(length.as_secs()) * i128::from(thousandths) / 1000;
    SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX))
}

/// The end of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Forecast {
    /// The source.
    pub source: CertificateSource,
    /// The end of its leaf.
    pub leaf: Timestamp,
    /// The first end in its chain.
    pub chain: Ending,
    /// Whole days until that end; negative after it.
    pub days: i64,
}

/// The end of each known certificate, the earliest first.
#[must_use]
pub fn forecast(readings: &Readings, now: Timestamp) -> Vec<Forecast> {
    let anchors: Vec<&Certificate> = readings
        .anchors
        .values()
        .flat_map(|reading| match reading {
            SourceReading::Known(certificates) => certificates.as_slice(),
            SourceReading::Unread(_) => &[],
        })
        .collect();
    let known = readings.chains.iter().filter_map(|(source, reading)| match reading {
        SourceReading::Known(chain) => Some((source, chain)),
        SourceReading::Unread(_) => None,
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
