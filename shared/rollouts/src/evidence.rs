//! The evidence that a step has reached the proxies.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mesh::name::{ResourcePath, VirtualNodeName};

use crate::facts::{Facts, ProxyFacts};

/// The most proxies that a reason names.
const NAMED: usize = 5;

/// The state of the proxies that call the routes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Evidence {
    /// All have acknowledged their present snapshot, by a read that began at this time.
    Acknowledged(Timestamp),
    /// These have not acknowledged it yet.
    Outstanding(Vec<String>),
    /// A proxy rejected it.
    Rejected {
        /// The proxy.
        proxy: String,
        /// The message of the rejection.
        message: String,
    },
    /// No proxy that calls the routes is connected, so that a write reaches none.
    NoCaller,
    /// The server does not report proxies.
    Unsupported,
    /// The proxies could not be read.
    Unread(String),
}

/// The state of the proxies that call the routes.
pub(crate) fn evidence(facts: &Facts) -> Evidence {
    let (at, streams) = match &facts.proxies {
        ProxyFacts::Read { at, streams } => (*at, streams),
        ProxyFacts::Unsupported => return Evidence::Unsupported,
        ProxyFacts::Unread { why } => return Evidence::Unread(why.clone()),
    };
    let callers: Vec<_> = streams.iter().filter(|stream| facts.callers.contains(&stream.proxy)).collect();
    if callers.is_empty() {
        return Evidence::NoCaller;
    }
    let outstanding: Vec<_> = callers.iter().filter(|stream| !stream.up_to_date).collect();
    let rejected = outstanding.iter().find_map(|stream| Some((*stream, stream.rejected.as_ref()?)));
    if let Some((stream, message)) = rejected {
        return Evidence::Rejected { proxy: stream.proxy.to_string(), message: message.clone() };
    }
    if outstanding.is_empty() {
        return Evidence::Acknowledged(at);
    }
    Evidence::Outstanding(
        outstanding.iter().take(NAMED).map(|stream| format!("{} at {}", stream.proxy, stream.peer)).collect(),
    )
}

/// The number of connected proxies of each of these nodes; `None` if it is not known.
pub(crate) fn connected<'n>(
    facts: &Facts,
    nodes: impl IntoIterator<Item = &'n VirtualNodeName>,
) -> Option<BTreeMap<VirtualNodeName, u32>> {
    let ProxyFacts::Read { streams, .. } = &facts.proxies else { return None };
    let mesh = &facts.record.rollout.mesh;
    let count = |node: &VirtualNodeName| {
        let path = ResourcePath::VirtualNode(mesh.clone(), node.clone());
        u32::try_from(streams.iter().filter(|stream| stream.proxy == path).count()).unwrap_or(u32::MAX)
    };
    Some(nodes.into_iter().map(|node| (node.clone(), count(node))).collect())
}
