//! The input of a decision: one observation of a mesh.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::proof::AlarmData;
use super::record::RouteRecord;
use crate::decision::KillSwitchFact;
use mesh::alarm::{Alarm, AlarmName};
use mesh::graph::{Links, Mesh};
use mesh::name::{MeshName, RouteId, VirtualNodeName, VirtualServiceName};
use mesh::spec::{VirtualNodeSpec, VirtualServiceProvider};
use mesh::split::WeightSplit;

/// One observation of a mesh. A recorded observation gives the same decisions when it is replayed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// The mesh.
    pub mesh: MeshName,
    /// Every alarm that was read, including composite alarms and their children.
    pub alarms: Vec<Alarm>,
    /// The tags of the alarms that neither a binding nor a dimension maps to a node.
    pub alarm_tags: BTreeMap<AlarmName, BTreeMap<String, String>>,
    /// Every route of the mesh.
    pub routes: Vec<RouteFacts>,
    /// Every virtual node of the mesh.
    pub nodes: BTreeSet<VirtualNodeName>,
    /// The nodes that each node calls directly, through virtual services and virtual routers.
    pub calls: BTreeMap<VirtualNodeName, BTreeSet<VirtualNodeName>>,
    /// The services that a node provides without a router; no route can move their traffic.
    pub provides: BTreeMap<VirtualNodeName, Vec<VirtualServiceName>>,
    /// The kill switch, if it is on.
    pub kill_switch: Option<KillSwitchFact>,
    /// The number of shifts already made in the current budget window.
    pub budget_used: u32,
}

/// One route as it was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteFacts {
    /// The route.
    pub id: RouteId,
    /// The uid of the route; distinguishes it from a deleted and recreated route of the same name.
    pub uid: String,
    /// The version of the route; a write is conditional on it.
    pub version: u64,
    /// Its targets and weights.
    pub split: WeightSplit,
    /// The stored record of the route.
    pub memory: Memory,
    /// The value of its restore tag; read only if the state table has no record.
    pub restore_tag: Option<String>,
    /// The number of data points of returning nodes' request alarms since their step began, in the format of earlier
    /// versions, without the metrics. `alarm_data` takes precedence where it has the node.
    pub data_points: BTreeMap<VirtualNodeName, u32>,
    /// The data points of returning nodes' request alarms since their step began, by metric.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub alarm_data: BTreeMap<VirtualNodeName, Vec<AlarmData>>,
    /// When an operator requested the release of the route. The request may arrive late and more than once.
    pub released: Option<Timestamp>,
    /// The caller that wrote the version; absent if the server does not name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_by: Option<String>,
}

/// The stored record of a route, as read from the state table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Memory {
    /// The state table has no record.
    None,
    /// The record.
    Record(Box<RouteRecord>),
    /// A document that this version cannot read, with the error.
    Unreadable(String),
}

impl Facts {
    /// Builds the facts that the mesh itself gives; the caller adds alarms, routes, kill switch and budget use.
    #[must_use]
    pub fn from_mesh(mesh: &Mesh) -> Self {
        let links = Links::new(mesh);
        let called = |node: &VirtualNodeSpec| -> BTreeSet<VirtualNodeName> {
            node.backend_services().flat_map(|service| links.nodes_of_service(service)).cloned().collect()
        };
        let mut provides: BTreeMap<VirtualNodeName, Vec<VirtualServiceName>> = BTreeMap::new();
        for (service, spec) in &mesh.services {
            if let Some(VirtualServiceProvider::VirtualNode(provider)) = &spec.provider {
                provides.entry(provider.virtual_node_name.clone()).or_default().push(service.clone());
            }
        }
        Self {
            mesh: mesh.name.clone(),
            alarms: Vec::new(),
            alarm_tags: BTreeMap::new(),
            routes: Vec::new(),
            nodes: mesh.nodes.keys().cloned().collect(),
            calls: mesh.nodes.iter().map(|(name, node)| (name.clone(), called(node))).collect(),
            provides,
            kill_switch: None,
            budget_used: 0,
        }
    }

    /// Whether a node receives traffic: from a route, or from a service that it provides directly.
    #[must_use]
    pub fn has_traffic(&self, node: &VirtualNodeName) -> bool {
        self.provides.contains_key(node)
            || self.routes.iter().any(|route| route.split.weight_of(node).is_some_and(|weight| weight > 0))
    }

    /// Every node that `node` calls, directly or transitively; `node` itself only if it is on a cycle.
    #[must_use]
    pub fn reach(&self, node: &VirtualNodeName) -> BTreeSet<&VirtualNodeName> {
        let mut reached = BTreeSet::new();
        let mut open: Vec<&VirtualNodeName> = self.calls.get(node).into_iter().flatten().collect();
        while let Some(next) = open.pop() {
            if reached.insert(next) {
                open.extend(self.calls.get(next).into_iter().flatten());
            }
        }
        reached
    }

    /// When a node was last drained from any route.
    #[must_use]
    pub(super) fn drained_since(&self, node: &VirtualNodeName) -> Option<Timestamp> {
        let records = self.routes.iter().filter_map(|route| match &route.memory {
            Memory::Record(record) => Some(record),
            Memory::None | Memory::Unreadable(_) => None,
        });
        records
            .filter_map(|record| match record.shift.phases.get(node) {
                Some(super::Phase::Drained { since, .. }) => Some(*since),
                Some(super::Phase::Returning { .. }) | None => None,
            })
            .max()
    }
}
