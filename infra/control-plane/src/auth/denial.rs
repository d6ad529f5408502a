//! Why a request is refused.

/// Why a request is refused. Its text does not tell whether a key exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// A name that resolves to loopback, in a browser that was led here.
    #[error("the Host header names neither loopback nor the address listened on")]
    Host,
    /// A page of another site.
    #[error("the Origin header names another site")]
    Origin,
    /// No signature.
    #[error("the request is not signed: the Authorization header with an AWS signature (version 4) is missing")]
    Unsigned,
    /// A header that is not as signature version 4 has it.
    #[error("the Authorization header is not a complete AWS4-HMAC-SHA256 one")]
    Malformed,
    /// The scope is that of another service, region or day.
    #[error("the credential's scope must be the day of x-amz-date, this server's region, appmesh, aws4_request")]
    Scope,
    /// What has to be signed is not.
    #[error(
        "host, x-amz-date and whatever begins with x-meshwarden- must be signed, and every signed header must be sent once"
    )]
    Headers,
    /// Too old.
    #[error("the signature has expired: x-amz-date is more than 5 minutes ago")]
    Expired,
    /// Too new.
    #[error("the signature is not valid yet: x-amz-date is more than 5 minutes ahead")]
    Future,
    /// Another key, or another request than the signed one.
    #[error("the key is unknown, or the signature does not match the request")]
    Mismatch,
    /// A write that was sent before.
    #[error("this signed write was received before; sign it again")]
    Replayed,
    /// More writes than can be remembered.
    #[error("too many writes within the last minutes; try again later")]
    Crowded,
    /// The key is for reading.
    #[error("this key may only read")]
    ReadOnly,
    /// The keys are not known at the moment.
    #[error("nobody can be let in at the moment, since the key file can't be used; the server's log says why")]
    NoKeys,
    /// No identity.
    #[error("the x-meshwarden-identity header with a presigned GetCallerIdentity is missing")]
    NoIdentity,
    /// The identity is something else, or has more in it.
    #[error(
        "the x-meshwarden-identity header is not the URL of a presigned GetCallerIdentity with each of its parameters once and no others"
    )]
    NotAnIdentity,
    /// It leads elsewhere.
    #[error("x-meshwarden-identity must lead to sts.<region>.amazonaws.com, or where this server was told that STS is")]
    StsHost,
    /// It is not bound to a server, or not to the write.
    #[error(
        "the identity's signed headers must be host, x-meshwarden-audience and, for a write only, x-meshwarden-request"
    )]
    Audience,
    /// Too old, or too long.
    #[error("the identity has expired, or is meant to be good for more than 15 minutes")]
    IdentityExpired,
    /// Too new.
    #[error("the identity is not valid yet: it was made more than 5 minutes ahead")]
    IdentityFuture,
    /// AWS says no.
    #[error(
        "STS does not vouch for the identity: its credentials are wrong or have expired, or it was made for another server or another request"
    )]
    Unvouched,
    /// AWS vouches for somebody who has no business here.
    #[error("this caller may not call: it is no session of a role that is allowed")]
    Role,
    /// AWS says nothing.
    #[error("STS can't be asked who is calling; the server's log says why")]
    StsAway,
    /// There is no memory for what callers send that are not known yet.
    #[error("too many requests of callers that are not known yet; try again later")]
    Congested,
    /// The body does not come.
    #[error("the body did not arrive in time")]
    Slow,
}

impl Denial {
    /// Whether the same request may pass later.
    #[must_use]
    pub const fn is_temporary(self) -> bool {
        match self {
            Self::Crowded | Self::NoKeys | Self::StsAway | Self::Congested | Self::Slow => true,
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
            | Self::Role => false,
        }
    }
}
