//! Whether a chain leads to somebody who is trusted.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::certificate::{Certificate, Chain};

/// Which part of a chain something is said of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ChainLink {
    /// The certificate itself.
    Leaf,
    /// One between the certificate and the authority that is trusted.
    Intermediate,
    /// The authority that is trusted.
    Anchor,
}

/// Why a chain doesn't lead to any of the anchors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum ChainFault {
    /// None of the anchors signed anything in it.
    Untrusted {
        /// Who signed the last certificate that was reached.
        issuer: String,
    },
    /// It leads to an anchor, but a part of it has ended.
    Expired {
        /// Which part.
        link: ChainLink,
        /// Whose certificate.
        subject: String,
        /// When it ended.
        at: Timestamp,
    },
    /// It leads to an anchor, but a part of it has not begun.
    NotYetValid {
        /// Which part.
        link: ChainLink,
        /// Whose certificate.
        subject: String,
        /// When it begins.
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
            Self::Untrusted { issuer } => write!(f, "nobody who is trusted signed it; {issuer} did"),
            Self::Expired { link, subject, at } => write!(f, "the {link} of {subject} ended at {at:.0}"),
            Self::NotYetValid { link, subject, at } => write!(f, "the {link} of {subject} begins at {at:.0}"),
        }
    }
}

/// Whether a chain leads to one of `anchors` at a time. An anchor needs not be a root.
pub fn leads_to(chain: &Chain, anchors: &[&Certificate], now: Timestamp) -> Result<(), ChainFault> {
    check(&chain.leaf, ChainLink::Leaf, now)?;
    let mut walk = Walk { others: &chain.others, anchors, now, fault: None, last: &chain.leaf };
    if walk.on_from(&chain.leaf, &mut Vec::new()) {
        return Ok(());
    }
    Err(walk.fault.unwrap_or_else(|| ChainFault::Untrusted { issuer: walk.last.issuer.clone() }))
}

struct Walk<'c> {
    others: &'c [Certificate],
    anchors: &'c [&'c Certificate],
    now: Timestamp,
    /// What is wrong with a way that leads to an anchor.
    fault: Option<ChainFault>,
    /// Where the longest way ended.
    last: &'c Certificate,
}

impl<'c> Walk<'c> {
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
