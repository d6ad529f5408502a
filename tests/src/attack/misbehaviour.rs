//! The ways in which an endpoint misbehaves.

/// One way in which an endpoint misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Misbehaviour {
    /// The header arrives one byte at a time, and never ends.
    SlowHeader,
    /// The body arrives one byte at a time, and never ends.
    SlowBody,
    /// The body never ends, and arrives as fast as it is read.
    EndlessBody,
    /// The body is 200 MB of valid JSON, with its length in the header.
    HugeBody,
    /// The same body in chunks, so that its length is not known.
    HugeChunks,
    /// The connection ends in the middle of the body.
    Truncated,
    /// The body is not valid JSON, CBOR or XML.
    WrongBody,
    /// A redirection to another server.
    Redirect,
    /// The connection is reset.
    Reset,
    /// The response is not HTTP.
    Garbage,
    /// The response is right, but has the content type `text/html`.
    WrongContentType,
    /// Each list has a next page.
    EndlessPages,
    /// Each list repeats the token of its next page.
    RepeatedToken,
    /// Each list has every item twice.
    Duplicates,
    /// The clock of the service is an hour ahead.
    ClockSkew,
}

impl Misbehaviour {
    /// All kinds of misbehaviour.
    pub const ALL: [Self; 15] = [
        Self::SlowHeader,
        Self::SlowBody,
        Self::EndlessBody,
        Self::HugeBody,
        Self::HugeChunks,
        Self::Truncated,
        Self::WrongBody,
        Self::Redirect,
        Self::Reset,
        Self::Garbage,
        Self::WrongContentType,
        Self::EndlessPages,
        Self::RepeatedToken,
        Self::Duplicates,
        Self::ClockSkew,
    ];

    /// Whether it makes every call fail. A misbehaviour in the body does not: a call may succeed without it.
    pub(super) const fn fails_every_call(self) -> bool {
        match self {
            Self::SlowHeader | Self::Redirect | Self::Reset | Self::Garbage => true,
            Self::SlowBody
            | Self::EndlessBody
            | Self::HugeBody
            | Self::HugeChunks
            | Self::Truncated
            | Self::WrongBody
            | Self::WrongContentType
            | Self::EndlessPages
            | Self::RepeatedToken
            | Self::Duplicates
            | Self::ClockSkew => false,
        }
    }

    pub(super) const fn changes_responses(self) -> bool {
        matches!(
            self,
            Self::WrongContentType | Self::EndlessPages | Self::RepeatedToken | Self::Duplicates | Self::ClockSkew
        )
    }
}
