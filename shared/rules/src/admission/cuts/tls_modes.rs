//! Calls of a listener that goes from plain text to TLS only, or back, in one write.
//!
//! Both ends fit before and after such a write. But the proxies of the listener and of its callers change one after the
//! other, so calls fail in between. A listener that is `PERMISSIVE` in between accepts both kinds of calls.

use std::collections::{BTreeMap, BTreeSet};

use super::cut::Cut;
use super::moved::{Moved, broken};
use mesh::graph::Mesh;
use mesh::spec::{Listener, Port, TlsMode};
use policy::edges::{Edge, UnknownEdgeFact};

/// The step that is missing between two modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Skipped {
    /// From plain text to TLS only.
    ToStrict,
    /// From TLS only to plain text.
    ToPlainText,
}

/// The cuts at listeners that skip `PERMISSIVE`.
pub(super) fn cuts(moved: &Moved<'_>) -> Vec<Cut> {
    let skipping = skipping(moved.before, moved.after);
    if skipping.is_empty() {
        return Vec::new();
    }
    let works = |edge: &&Edge| edge.carries_traffic && broken(edge).is_none() && !leaves_mesh(edge);
    let worked: BTreeSet<_> = moved.was.iter().filter(works).map(Edge::name).collect();
    let cut = |edge: &Edge| {
        let skipped = skipping.get(&(edge.to.name(), edge.port?))?;
        let name = Some(edge.name()).filter(|name| worked.contains(name))?;
        let (change, remedy) = match skipped {
            Skipped::ToStrict => ("from plain text to TLS only", "write the mode PERMISSIVE first, then STRICT"),
            Skipped::ToPlainText => ("from TLS only to plain text", "write the mode PERMISSIVE first, then remove it"),
        };
        let message = format!(
            "calls from {name} would fail while proxies change one after the other: the listener would go {change} in \
             one write; {remedy}"
        );
        Some(Cut { rule: "edge-broken", resource: edge.from.clone(), message })
    };
    moved.will.iter().filter(works).filter_map(cut).collect()
}

/// Whether a call goes to a host outside the mesh, which has no proxy that changes.
fn leaves_mesh(edge: &Edge) -> bool {
    edge.unknown.iter().any(|unknown| matches!(unknown, UnknownEdgeFact::OutsideMesh { .. }))
}

/// The listeners that skip a step, by node and port.
fn skipping<'m>(before: &'m Mesh, after: &'m Mesh) -> BTreeMap<(&'m str, Port), Skipped> {
    let mut found = BTreeMap::new();
    for (name, was) in &before.nodes {
        let Some(will) = after.nodes.get(name).filter(|will| *will != was) else { continue };
        for listener in was.listeners() {
            let port = listener.port_mapping.port;
            let now = will.listeners().iter().find(|now| now.port_mapping.port == port);
            if let Some(skipped) = now.and_then(|now| skipped(listener, now)) {
                found.insert((name.as_str(), port), skipped);
            }
        }
    }
    found
}

fn skipped(was: &Listener, will: &Listener) -> Option<Skipped> {
    let mode = |listener: &Listener| listener.tls.as_ref().map_or(TlsMode::Disabled, |tls| tls.mode.clone());
    match (mode(was), mode(will)) {
        (TlsMode::Disabled, TlsMode::Strict) => Some(Skipped::ToStrict),
        (TlsMode::Strict, TlsMode::Disabled) => Some(Skipped::ToPlainText),
        (TlsMode::Disabled, TlsMode::Disabled | TlsMode::Permissive | TlsMode::Unrecognised(_))
        | (TlsMode::Strict, TlsMode::Strict | TlsMode::Permissive | TlsMode::Unrecognised(_))
        | (TlsMode::Permissive | TlsMode::Unrecognised(_), _) => None,
    }
}
