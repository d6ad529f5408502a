//! The caller and the circumstances of a request.

use std::net::SocketAddr;

use crate::auth::Caller;

/// The caller and the circumstances of a request.
#[derive(Debug, Clone)]
pub(crate) struct RequestContext {
    pub(crate) caller: Caller,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) agent: Option<String>,
    pub(crate) operation: &'static str,
    /// The request id, as in the response.
    pub(crate) id: String,
}
