//! The revocation of node tokens.

use std::fmt;

use jiff::Timestamp;
use mesh::name::ResourcePath;

/// The tokens that a revocation concerns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RevokedSubject {
    /// The token with this id.
    Token(String),
    /// The tokens of this virtual node or virtual gateway that were issued before the revocation.
    Proxy(ResourcePath),
}

/// A revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// The tokens.
    pub subject: RevokedSubject,
    /// The time of the revocation.
    pub at: Timestamp,
    /// The time at which every token that it concerns has expired.
    pub until: Timestamp,
}

impl RevokedSubject {
    /// Reads the text form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':')? {
            ("token", id) if !id.is_empty() => Some(Self::Token(id.to_owned())),
            ("proxy", path) => ResourcePath::parse(path).ok().map(Self::Proxy),
            _ => None,
        }
    }
}

/// The text form: the kind, a colon, and the id or the path.
impl fmt::Display for RevokedSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(id) => write!(f, "token:{id}"),
            Self::Proxy(path) => write!(f, "proxy:{path}"),
        }
    }
}
