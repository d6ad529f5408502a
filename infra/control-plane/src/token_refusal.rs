//! The reasons to refuse a token.

/// The reason to refuse a token. Its text describes the token only: it reveals nothing about proxies or resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    /// The request has no token.
    #[error("the token is missing: send it as `authorization: Bearer TOKEN`")]
    Missing,
    /// The text is not a token.
    #[error("invalid token: expected a signed JWT in compact form")]
    Malformed,
    /// The token has another type or algorithm than its issuer uses.
    #[error("the type or the algorithm of the token is not that of its issuer")]
    Algorithm,
    /// No known key has the id of the token's key.
    #[error("the token is signed with an unknown key")]
    Key,
    /// The signature is not that of the token.
    #[error("the signature of the token is invalid")]
    Signature,
    /// A claim is missing or invalid.
    #[error("the token has missing or invalid claims")]
    Claims,
    /// The token has another issuer.
    #[error("the token has another issuer")]
    Issuer,
    /// The token is for another server.
    #[error("the token is for another audience")]
    Audience,
    /// The token has expired.
    #[error("the token has expired")]
    Expired,
    /// The token is not valid yet.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// The token was revoked.
    #[error("the token was revoked")]
    Revoked,
    /// The keys that verify tokens cannot be read at the moment.
    #[error("every token is refused while the keys are invalid; the server's log has the reason")]
    NoKeys,
}

impl TokenRefusal {
    /// The reason as a label of a metric.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Algorithm => "algorithm",
            Self::Key => "key",
            Self::Signature => "signature",
            Self::Claims => "claims",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Revoked => "revoked",
            Self::NoKeys => "no_keys",
        }
    }
}
