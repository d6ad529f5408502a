//! Who listens where.

use std::collections::BTreeMap;

use serde::Deserialize;

/// All applications, and where the load goes.
#[derive(Debug, Deserialize)]
pub(crate) struct Plan {
    /// Where the virtual gateway takes requests: `127.0.0.1:20001`.
    pub(crate) gateway: String,
    pub(crate) nodes: Vec<Node>,
}

/// One application.
#[derive(Debug, Deserialize)]
pub(crate) struct Node {
    /// The virtual node that it is.
    pub(crate) name: String,
    /// What its listener speaks.
    pub(crate) protocol: Protocol,
    /// The loopback port that its proxy hands requests to.
    pub(crate) application: u16,
    /// The loopback ports on which its proxy takes what is for a backend, by virtual service.
    pub(crate) backends: BTreeMap<String, u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    Http,
    Http2,
    Grpc,
    Tcp,
}
