use std::error::Error;

use mesh::failures::FailureClass;

/// A failed call of a port.
#[derive(Debug, thiserror::Error)]
#[error("failed to {call}: {kind}: {message}")]
pub struct PortError {
    /// The failed operation, for example `describe route shop/recs/main`.
    pub call: String,
    /// The class of the failure: the only part that logic may depend on.
    pub kind: PortErrorKind,
    /// The service's message.
    pub message: String,
    /// The error of the SDK or of the transport.
    #[source]
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

/// The classes of failures.
///
/// | class | example | retried within the call | class for the run | page |
/// |-|-|-|-|-|
/// | `Throttled` | `ThrottlingException`, 429 | yes, after 50 to 1,000 ms | transient | if it lasts |
/// | `Unavailable` | 5xx, reset connection | yes, after 50 to 1,000 ms | transient | if it lasts |
/// | `TimedOut` | no answer | once; a write keeps its intent | transient | if it lasts |
/// | `Expired` | expired signature or token | with corrected clock and fresh credentials | transient | if it lasts |
/// | `Conflict` | 409, failed condition | no | superseded: decided again | no |
/// | `NotFound` | 404 | no | a value: deleted | no |
/// | `Denied` | 403 | no | permanent | at once |
/// | `Other` | 400, unreadable answer | no | permanent | at once |
///
/// "If it lasts" and "at once" are decided by [`mesh::failures`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PortErrorKind {
    /// The resource does not exist.
    NotFound,
    /// The service throttles requests, after the adapter's own retries. The call had no effect.
    Throttled,
    /// Another writer changed the resource first.
    Conflict,
    /// The caller lacks the permission.
    Denied,
    /// The signature or the session token has expired, after the adapter's own retries with a corrected clock and new
    /// credentials. The call had no effect. A later invocation signs again, possibly in a new process.
    Expired,
    /// A reset connection or an error of the server; whether the call had an effect is unknown.
    Unavailable,
    /// No answer within the timeout; whether the call had an effect is unknown.
    TimedOut,
    /// The request is invalid, or the answer cannot be read.
    Other,
}

impl PortErrorKind {
    /// Every class.
    pub const ALL: [Self; 8] = [
        Self::NotFound,
        Self::Throttled,
        Self::Conflict,
        Self::Denied,
        Self::Expired,
        Self::Unavailable,
        Self::TimedOut,
        Self::Other,
    ];

    /// Whether the same call may succeed later, so that the event is worth a retry.
    #[must_use]
    pub const fn may_heal(self) -> bool {
        match self.class() {
            FailureClass::Transient => true,
            FailureClass::Permanent => false,
        }
    }

    /// Whether a failure of this class is transient or permanent, for [`mesh::failures`].
    #[must_use]
    pub const fn class(self) -> FailureClass {
        match self {
            Self::Throttled | Self::Conflict | Self::Expired | Self::Unavailable | Self::TimedOut => {
                FailureClass::Transient
            }
            Self::NotFound | Self::Denied | Self::Other => FailureClass::Permanent,
        }
    }

    /// The class as words, for error texts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotFound => "not found",
            Self::Throttled => "throttled",
            Self::Conflict => "conflict",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Unavailable => "unavailable",
            Self::TimedOut => "timed out",
            Self::Other => "refused",
        }
    }
}

impl std::fmt::Display for PortErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl PortError {
    /// A failure of `call` without a source.
    pub fn new(call: impl Into<String>, kind: PortErrorKind, message: impl Into<String>) -> Self {
        Self { call: call.into(), kind, message: message.into(), source: None }
    }
}
