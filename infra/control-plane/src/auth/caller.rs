//! The caller of a request.

use std::fmt;
use std::sync::Arc;

/// The caller of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A client on this machine; the server requires no authentication.
    Local,
    /// The owner of a key.
    Key { id: String, name: String },
    /// A session of a role.
    Session {
        /// The session's ARN.
        arn: String,
        account: String,
        /// The role's ARN.
        role: String,
        /// The role's name.
        name: String,
    },
    /// A service account of a Kubernetes cluster, by the subject of its token.
    ServiceAccount { subject: String },
}

impl Caller {
    /// The key or role, for bounds on what one caller may occupy.
    pub(crate) fn owner(&self) -> &str {
        match self {
            Self::Local => "",
            Self::Key { id, .. } => id,
            Self::Session { role, .. } => role,
            Self::ServiceAccount { subject } => subject,
        }
    }

    /// The caller as each version that it writes names it: the key id or the ARN of the role. `None` without
    /// authentication.
    pub(crate) fn written_by(&self) -> Option<Arc<str>> {
        Some(self.owner()).filter(|owner| !owner.is_empty()).map(Arc::from)
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("the caller"),
            Self::Key { id, .. } => write!(f, "key {id}"),
            Self::Session { role, .. } => write!(f, "role {role}"),
            Self::ServiceAccount { subject } => write!(f, "service account {subject}"),
        }
    }
}
