//! The part of the policy for egress.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Budget, HostPattern};
use mesh::name::{MeshName, VirtualNodeName};

/// The permitted egress of a mesh, and its repairs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EgressPolicy {
    /// The outside hosts that may be called. Absent: egress is not checked.
    pub allow: Option<Vec<HostPattern>>,
    /// Further hosts that single nodes may call.
    pub nodes: Vec<NodeEgress>,
    /// The hosts inside the mesh; names without a dot always are.
    pub internal: Vec<HostPattern>,
    /// Outside hosts without a proxy, independent of the configuration of their virtual nodes. Other nodes count as
    /// outside hosts if their names are external and their specs configure no proxy.
    pub external: Vec<HostPattern>,
    /// Whether a backend without a virtual service may be removed from its node. Off by default, since a node may be
    /// created before the service that it calls.
    pub remove_dangling: bool,
    /// The budget of changes to meshes and nodes.
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

    /// Whether every node of the mesh may call a host; `None` if egress is not checked.
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

    /// The first contradiction: its key and its remedy.
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
