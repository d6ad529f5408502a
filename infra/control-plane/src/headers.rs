//! The headers of requests and answers, by name.

/// The version that a write is based on, in the request.
pub(crate) const IF_VERSION: &str = "x-meshwarden-if-version";
/// Asks for the tags in the description of a resource. A member that the API doesn't have is only sent to who asks.
pub(crate) const INCLUDE: &str = "x-meshwarden-include";
/// The version of the resource that an answer is about.
pub(crate) const VERSION: &str = "x-meshwarden-version";
/// What the write made worse: how many findings, and the ids of the first.
pub(crate) const FINDINGS: &str = "x-meshwarden-findings";
/// The error's name.
pub(crate) const ERROR_TYPE: &str = "x-amzn-errortype";
/// The id of the request, also in the log.
pub(crate) const REQUEST_ID: &str = "x-amzn-requestid";
