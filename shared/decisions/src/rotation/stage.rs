//! The stages of the rollover of a CA.

use std::fmt;

use serde::Serialize;

use mesh::certificates::AuthorityArn;

/// A stage of the replacement of a CA.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "stage", rename_all = "kebab-case")]
pub enum Stage {
    /// Every trust store with the old root gets the new root as well.
    TrustBoth {
        /// The old CA.
        from: AuthorityArn,
        /// The new one.
        to: AuthorityArn,
    },
    /// The new CA issues every leaf of the old CA again.
    Reissue {
        /// The old CA.
        from: AuthorityArn,
        /// The new one.
        to: AuthorityArn,
    },
    /// The old root is removed from the trust stores.
    DropOld {
        /// The old CA.
        from: AuthorityArn,
        /// The new one.
        to: AuthorityArn,
    },
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TrustBoth { .. } => f.write_str("trust both"),
            Self::Reissue { .. } => f.write_str("reissue"),
            Self::DropOld { .. } => f.write_str("drop old"),
        }
    }
}
