//! The headers of requests and responses by name.

/// The version that a write is based on, in the request.
pub(crate) const IF_VERSION: &str = "x-meshwarden-if-version";
/// Requests the tags in the description of a resource. A member outside the API model is sent only on request.
pub(crate) const INCLUDE: &str = "x-meshwarden-include";
/// The version of the resource in the response.
pub(crate) const VERSION: &str = "x-meshwarden-version";
/// The caller that wrote the version of the resource in the response: a key id or the ARN of a role. Absent if the server
/// did not authenticate the caller.
pub(crate) const WRITTEN_BY: &str = "x-meshwarden-written-by";
/// The findings that the write created: their number, and the ids of the first ones.
pub(crate) const FINDINGS: &str = "x-meshwarden-findings";
/// The error's name.
pub(crate) const ERROR_TYPE: &str = "x-amzn-errortype";
/// The request id, also in the log.
pub(crate) const REQUEST_ID: &str = "x-amzn-requestid";
/// The format of evidence that the client understands, in the request: with `2`, `unknown` members.
pub(crate) const EVIDENCE: &str = "x-meshwarden-evidence";
/// How old the answer may be, in seconds, where a replica could not read the current state from the store.
pub(crate) const AGE: &str = "x-meshwarden-age";
/// Whether a write that failed in the store was applied: `not-applied` or `unknown`.
pub(crate) const OUTCOME: &str = "x-meshwarden-outcome";
