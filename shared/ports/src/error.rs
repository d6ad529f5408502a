use std::error::Error;

/// A call to the outside that did not give what it was asked for.
#[derive(Debug, thiserror::Error)]
#[error("failed to {call}: {kind}: {message}")]
pub struct PortError {
    /// What was tried, as in `describe route shop/recs/main`.
    pub call: String,
    /// What sort of failure it is: all that logic may go by.
    pub kind: PortErrorKind,
    /// What the other side said, for people.
    pub message: String,
    /// Where it came from.
    #[source]
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

/// The sorts of failure that logic can tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PortErrorKind {
    /// The thing does not exist.
    NotFound,
    /// The other side asks for patience, after the adapter's own retries.
    Throttled,
    /// Somebody else changed it first.
    Conflict,
    /// The caller may not.
    Denied,
    /// No answer, a reset connection or a server's fault; whether it was done is unknown.
    Unavailable,
    /// No answer within the time given; whether it was done is unknown.
    TimedOut,
    /// The request itself is wrong, or the answer can't be read.
    Other,
}

impl PortErrorKind {
    /// Whether trying again later may help, so that the event is worth a retry.
    #[must_use]
    pub fn may_heal(self) -> bool {
        match self {
            Self::Throttled | Self::Conflict | Self::Unavailable | Self::TimedOut => true,
            Self::NotFound | Self::Denied | Self::Other => false,
        }
    }
}

impl std::fmt::Display for PortErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotFound => "not found",
            Self::Throttled => "throttled",
            Self::Conflict => "conflict",
            Self::Denied => "denied",
            Self::Unavailable => "unavailable",
            Self::TimedOut => "timed out",
            Self::Other => "refused",
        })
    }
}

impl PortError {
    /// A failure of `call` without a source.
    pub fn new(call: impl Into<String>, kind: PortErrorKind, message: impl Into<String>) -> Self {
        Self { call: call.into(), kind, message: message.into(), source: None }
    }
}
