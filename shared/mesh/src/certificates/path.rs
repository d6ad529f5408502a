//! Paths from a chain to a trust anchor.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::certificate::{Certificate, Chain};

/// A part of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ChainLink {
    /// The leaf.
    Leaf,
    /// A certificate between the leaf and the trust anchor.
    Intermediate,
    /// The trust anchor.
    Anchor,
}

/// The reason why a chain does not lead to any of the anchors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum ChainFault {
    /// None of the anchors issued a certificate of the chain.
    Untrusted {
        /// The issuer of the last certificate on the longest path.
        issuer: String,
    },
    /// The path leads to an anchor, but a certificate on it has expired.
    Expired {
        /// The part of the chain.
        link: ChainLink,
        /// The subject of the certificate.
        subject: String,
        /// The end of its validity.
        at: Timestamp,
    },
    /// The path leads to an anchor, but a certificate on it is not valid yet.
    NotYetValid {
        /// The part of the chain.
        link: ChainLink,
        /// The subject of the certificate.
        subject: String,
        /// The beginning of its validity.
        at: Timestamp,
    },
}

impl fmt::Display for ChainLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Leaf => "certificate",
            Self::Intermediate => "intermediate",
            Self::Anchor => "authority",
        })
    }
}

impl fmt::Display for ChainFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untrusted { issuer } => write!(f, "it was issued by {issuer}, which is not trusted"),
            Self::Expired { link, subject, at } => write!(f, "the {link} of {subject} expired at {at:.0}"),
            Self::NotYetValid { link, subject, at } => write!(f, "the {link} of {subject} is not valid before {at:.0}"),
        }
    }
}

/// Checks whether a chain leads to one of `anchors` at a time. An anchor does not have to be a root.
pub fn leads_to(chain: &Chain, anchors: &[&Certificate], now: Timestamp) -> Result<(), ChainFault> {
    check(&chain.leaf, ChainLink::Leaf, now)?;
    let mut walk = ChainWalk { others: &chain.others, anchors, now, fault: None, last: &chain.leaf };
    if walk.on_from(&chain.leaf, &mut Vec::new()) {
        return Ok(());
    }
    Err(walk.fault.unwrap_or_else(|| ChainFault::Untrusted { issuer: walk.last.issuer.clone() }))
}

struct ChainWalk<'c> {
    others: &'c [Certificate],
    anchors: &'c [&'c Certificate],
    now: Timestamp,
    /// The failure of a path that leads to an anchor.
    fault: Option<ChainFault>,
    /// The issuer at the end of the longest path.
    last: &'c Certificate,
}

impl<'c> ChainWalk<'c> {
    fn on_from(&mut self, from: &'c Certificate, passed: &mut Vec<usize>) -> bool {
        for anchor in self.anchors.iter().filter(|anchor| anchor.fingerprint == from.fingerprint || anchor.issued(from))
        {
            match check(anchor, ChainLink::Anchor, self.now) {
                Ok(()) => return true,
                Err(fault) => self.fault = Some(fault),
            }
        }
        let others = self.others;
        for (index, next) in others.iter().enumerate() {
            if passed.contains(&index) || next.fingerprint == from.fingerprint || !next.issued(from) {
                continue;
            }
            self.last = next;
            match check(next, ChainLink::Intermediate, self.now) {
                Ok(()) => {
                    passed.push(index);
                    if self.on_from(next, passed) {
                        return true;
                    }
                    passed.pop();
                }
                Err(fault) => self.fault = self.fault.take().or(Some(fault)),
            }
        }
        false
    }
}

fn check(certificate: &Certificate, link: ChainLink, now: Timestamp) -> Result<(), ChainFault> {
    let subject = || certificate.subject.clone();
    if now > certificate.not_after {
        return Err(ChainFault::Expired { link, subject: subject(), at: certificate.not_after });
    }
    if now < certificate.not_before {
        return Err(ChainFault::NotYetValid { link, subject: subject(), at: certificate.not_before });
    }
    Ok(())
}
