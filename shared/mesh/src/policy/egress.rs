//! The part of the policy that is about what leaves the mesh.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Budget, HostPattern};
use crate::name::{MeshName, VirtualNodeName};

/// What may leave a mesh, and what of it may be repaired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EgressPolicy {
    /// The hosts outside that may be called. Absent: nobody has said, so nothing is judged by it.
    pub allow: Option<Vec<HostPattern>>,
    /// Further hosts that single nodes may call.
    pub nodes: Vec<NodeEgress>,
    /// The hosts that are inside: names without a dot always are.
    pub internal: Vec<HostPattern>,
    /// Hosts outside the mesh at which no proxy runs, whatever a virtual node that stands for one configures. Other nodes
    /// are taken for such hosts where their names are external and their specs configure no proxy.
    pub external: Vec<HostPattern>,
    /// Whether a backend that names no virtual service may be taken off its node. Switched off, since whoever creates a
    /// node before the service that it calls would lose the backend.
    pub remove_dangling: bool,
    /// How many meshes and nodes may be changed.
    pub budget: Budget,
}

impl Default for EgressPolicy {
    fn default() -> Self {
        let internal = ["*.local", "*.internal", "*.svc", "localhost", "*.elb.amazonaws.com"];
        Self {
            allow: None,
            nodes: Vec::new(),
            internal: internal.iter().filter_map(|host| HostPattern::try_from((*host).to_owned()).ok()).collect(),
            external: Vec::new(),
            remove_dangling: false,
            budget: Budget::default(),
        }
    }
}

/// Hosts that a node may call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeEgress {
    /// The mesh.
    pub mesh: MeshName,
    /// The virtual node.
    pub virtual_node: VirtualNodeName,
    /// The hosts.
    pub allow: Vec<HostPattern>,
}

impl EgressPolicy {
    /// Whether a host is outside the mesh.
    #[must_use]
    pub fn is_external(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        let is_named = self.external.iter().any(|outside| outside.matches(host));
        is_named || host.contains('.') && !self.internal.iter().any(|inside| inside.matches(host))
    }

    /// Whether everything in the mesh may call a host; `None` when nobody has said.
    #[must_use]
    pub fn allows(&self, host: &str) -> Option<bool> {
        self.allow.as_ref().map(|allow| allow.iter().any(|pattern| pattern.matches(host)))
    }

    /// The further hosts of each node of a mesh.
    #[must_use]
    pub fn of_nodes(&self, mesh: &MeshName) -> BTreeMap<&VirtualNodeName, &[HostPattern]> {
        let of_mesh = self.nodes.iter().filter(|node| node.mesh == *mesh);
        of_mesh.map(|node| (&node.virtual_node, node.allow.as_slice())).collect()
    }

    /// The first thing that can't hold together with another: its key and what to do.
    pub(super) fn contradiction(&self) -> Option<(String, String)> {
        let mut seen = BTreeSet::new();
        self.nodes.iter().enumerate().find_map(|(index, node)| {
            (!seen.insert((&node.mesh, &node.virtual_node))).then(|| {
                (
                    format!("egress.nodes[{index}].virtualNode"),
                    format!("{} has an entry already; merge them", node.virtual_node),
                )
            })
        })
    }
}
