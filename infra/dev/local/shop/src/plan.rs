//! The addresses of the applications.

use std::collections::BTreeMap;

use serde::Deserialize;

/// All applications, and the target of the load.
#[derive(Debug, Deserialize)]
pub(crate) struct Plan {
    /// The address at which the virtual gateway accepts requests: `127.0.0.1:20001`.
    pub(crate) gateway: String,
    pub(crate) nodes: Vec<Node>,
}

/// One application.
#[derive(Debug, Deserialize)]
pub(crate) struct Node {
    /// The name of its virtual node.
    pub(crate) name: String,
    /// The protocol of its listener.
    pub(crate) protocol: Protocol,
    /// The loopback port to which its proxy forwards requests.
    pub(crate) application: u16,
    /// The loopback ports of its proxy for each backend, by virtual service.
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
