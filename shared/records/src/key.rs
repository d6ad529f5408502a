//! The key of a stored document.

use mesh::name::{MeshName, ResourcePath, RouteId, VirtualNodeName};
use policy::RolloutId;
use serde::{Deserialize, Serialize};

/// The key of a stored document, as in `route/shop/recs/main`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StateKey(String);

impl StateKey {
    /// The key of a route's document.
    #[must_use]
    pub fn route(route: &RouteId) -> Self {
        Self(format!("route/{route}"))
    }

    /// The key of the document of a virtual node that no route has as a target.
    #[must_use]
    pub fn node(mesh: &MeshName, node: &VirtualNodeName) -> Self {
        Self(format!("node/{mesh}/{node}"))
    }

    /// The key of the document that a function keeps for one mesh.
    #[must_use]
    pub fn mesh(function: &str, mesh: &MeshName) -> Self {
        Self(format!("{function}/{mesh}"))
    }

    /// The key of the document that a function keeps for all meshes together.
    #[must_use]
    pub fn meshes(function: &str) -> Self {
        Self(function.to_owned())
    }

    /// The key of the document of a rollout, as in `rollout/shop/recs-v2-117`.
    #[must_use]
    pub fn rollout(mesh: &MeshName, rollout: &RolloutId) -> Self {
        Self(format!("rollout/{mesh}/{rollout}"))
    }

    /// The key of a function's failing calls.
    #[must_use]
    pub fn failures(function: &str) -> Self {
        Self(format!("failures/{function}"))
    }

    /// The key of a function's decisions that are not final.
    #[must_use]
    pub fn standstills(function: &str) -> Self {
        Self(format!("standstills/{function}"))
    }

    /// The key of one part of a function's document of a mesh that is too large for one item of the table.
    #[must_use]
    pub fn part_of_mesh(function: &str, mesh: &MeshName, part: usize, parts: usize) -> Self {
        Self(format!("{function}/{mesh}/{part}-of-{parts}"))
    }

    /// The key of the document of a certificate, a trust or a mesh, as in `certificate/acm:arn…`. It has no mesh in it,
    /// because several meshes may share a certificate.
    #[must_use]
    pub fn certificate(subject: &str) -> Self {
        Self(format!("certificate/{subject}"))
    }

    /// The key of the log of the kill switch. The switch itself is not a document.
    #[must_use]
    pub fn kill_switch() -> Self {
        Self("kill-switch-log".to_owned())
    }

    /// The key of the log of the commands on dead letters.
    #[must_use]
    pub fn dead_letters() -> Self {
        Self("dead-letters-log".to_owned())
    }

    /// The key as the table stores it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the document's subject in decisions: a resource path for a route or a node, the source for a
    /// certificate, otherwise the key.
    #[must_use]
    pub fn subject(&self) -> String {
        let path = match self.0.split_once('/') {
            Some(("route", route)) => RouteId::parse(route).ok().map(ResourcePath::Route),
            Some(("node", node)) => node.split_once('/').and_then(|(mesh, node)| {
                Some(ResourcePath::VirtualNode(MeshName::parse(mesh).ok()?, VirtualNodeName::parse(node).ok()?))
            }),
            Some(("certificate", subject)) => return subject.to_owned(),
            Some(_) | None => None,
        };
        path.map_or_else(|| self.0.clone(), |path| path.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subject_is_named_as_in_decisions() {
        let route = StateKey::route(&RouteId::parse("shop/recs/main").unwrap());
        assert_eq!(route.subject(), "mesh/shop/virtualRouter/recs/route/main");
        let mesh = MeshName::parse("shop").unwrap();
        let node = StateKey::node(&mesh, &VirtualNodeName::parse("pay").unwrap());
        assert_eq!(node.subject(), "mesh/shop/virtualNode/pay");
        assert_eq!(StateKey::certificate("sds:pay").subject(), "sds:pay");
        assert_eq!(StateKey::mesh("tag-compliance", &mesh).subject(), "tag-compliance/shop");
    }
}
