//! The reasons to refuse a request.

use crate::token_refusal::TokenRefusal;

/// The reason to refuse a request. Its text does not reveal whether a key exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// The Host header names neither loopback nor the server's address, as after DNS rebinding in a browser.
    #[error("the Host header names neither loopback nor the server's address")]
    Host,
    /// The Origin header names another site.
    #[error("the Origin header names another site")]
    Origin,
    /// The request has no signature.
    #[error("the request is not signed: the Authorization header with an AWS signature (version 4) is missing")]
    Unsigned,
    /// The Authorization header does not have the format of signature version 4.
    #[error("the Authorization header is not a complete AWS4-HMAC-SHA256 one")]
    Malformed,
    /// The credential scope names another service, region or day.
    #[error("the credential's scope must be the day of x-amz-date, this server's region, appmesh, aws4_request")]
    Scope,
    /// A required header is not signed.
    #[error("host, x-amz-date and all x-meshwarden- headers must be signed, and every signed header must be sent once")]
    Headers,
    /// The signature is too old.
    #[error("the signature has expired: x-amz-date is more than 5 minutes ago")]
    Expired,
    /// The signature's date is in the future.
    #[error("the signature is not valid yet: x-amz-date is more than 5 minutes ahead")]
    Future,
    /// The key is unknown, or the signature is that of another request.
    #[error("the key is unknown, or the signature does not match the request")]
    Mismatch,
    /// The same signed write was received before.
    #[error("this signed write was received before; sign it again")]
    Replayed,
    /// The memory of signed writes is full.
    #[error("too many writes within the last minutes; try again later")]
    Crowded,
    /// The key is read-only.
    #[error("this key is read-only")]
    ReadOnly,
    /// The key file is invalid at the moment.
    #[error("every request is refused while the key file is invalid; the server's log has the reason")]
    NoKeys,
    /// The rights file is invalid at the moment.
    #[error("every request is refused while the rights file is invalid; the server's log has the reason")]
    NoRights,
    /// The request has no identity.
    #[error("the x-meshwarden-identity header with a presigned GetCallerIdentity is missing")]
    NoIdentity,
    /// The identity header is not exactly a presigned `GetCallerIdentity`.
    #[error(
        "the x-meshwarden-identity header is not the URL of a presigned GetCallerIdentity with each of its parameters once and no others"
    )]
    NotAnIdentity,
    /// The identity's host is not STS.
    #[error("x-meshwarden-identity must have the host sts.<region>.amazonaws.com, or that of --sts-endpoint")]
    StsHost,
    /// The identity is not bound to a server, or not to the write.
    #[error(
        "the identity's signed headers must be host, x-meshwarden-audience and, for a write only, x-meshwarden-request"
    )]
    Audience,
    /// The identity has expired, or its lifetime is too long.
    #[error("the identity has expired, or its lifetime is longer than 15 minutes")]
    IdentityExpired,
    /// The identity's date is in the future.
    #[error("the identity is not valid yet: it is dated more than 5 minutes ahead")]
    IdentityFuture,
    /// STS refuses the identity.
    #[error(
        "STS refuses the identity: its credentials are wrong or have expired, or it was signed for another server or another request"
    )]
    Unvouched,
    /// STS confirms the identity, but its role is not allowed.
    #[error("this caller is not a session of an allowed role")]
    Role,
    /// STS does not answer.
    #[error("the request to STS failed; the server's log has the reason")]
    StsAway,
    /// The memory for requests of unknown callers is full.
    #[error("too many requests of unknown callers; try again later")]
    Congested,
    /// The token of a service account is refused, or no token can be issued.
    #[error("{0}")]
    Token(TokenRefusal),
    /// The body did not arrive in time.
    #[error("the body did not arrive in time")]
    Slow,
}

impl Denial {
    /// Whether the same request may pass later.
    #[must_use]
    pub const fn is_temporary(self) -> bool {
        match self {
            Self::Crowded
            | Self::NoKeys
            | Self::NoRights
            | Self::StsAway
            | Self::Congested
            | Self::Slow
            | Self::Token(TokenRefusal::NoKeys) => true,
            Self::Host
            | Self::Origin
            | Self::Unsigned
            | Self::Malformed
            | Self::Scope
            | Self::Headers
            | Self::Expired
            | Self::Future
            | Self::Mismatch
            | Self::Replayed
            | Self::ReadOnly
            | Self::NoIdentity
            | Self::NotAnIdentity
            | Self::StsHost
            | Self::Audience
            | Self::IdentityExpired
            | Self::IdentityFuture
            | Self::Unvouched
            | Self::Role
            | Self::Token(_) => false,
        }
    }
}
