//! What a decision is made from.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::proof::AlarmData;
use super::record::RouteRecord;
use crate::alarm::{Alarm, AlarmName};
use crate::graph::{Links, Mesh};
use crate::name::{MeshName, RouteId, VirtualNodeName, VirtualServiceName};
use crate::spec::{VirtualNodeSpec, VirtualServiceProvider};
use crate::weights::WeightSplit;

/// One observation of a mesh. Recorded as it is, it gives the same decisions again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// The mesh.
    pub mesh: MeshName,
    /// Every alarm that was read, composites and their children too.
    pub alarms: Vec<Alarm>,
    /// The tags of those alarms that neither a binding nor a dimension places.
    pub alarm_tags: BTreeMap<AlarmName, BTreeMap<String, String>>,
    /// Every route of the mesh.
    pub routes: Vec<RouteFacts>,
    /// Every virtual node of the mesh.
    pub nodes: BTreeSet<VirtualNodeName>,
    /// Which nodes each node calls, through services and routers, one hop.
    pub calls: BTreeMap<VirtualNodeName, BTreeSet<VirtualNodeName>>,
    /// The services that a node provides without a router, so that no route can move their traffic.
    pub provides: BTreeMap<VirtualNodeName, Vec<VirtualServiceName>>,
    /// The kill switch, if it is on.
    pub kill_switch: Option<KillSwitchFact>,
    /// Shifts that this window has already seen.
    pub budget_used: u32,
}

/// Who switched everything off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KillSwitchFact {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// One route as it was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteFacts {
    /// Which.
    pub id: RouteId,
    /// What tells it from another route of the same name, earlier or later.
    pub uid: String,
    /// Its version: what a write is compared with.
    pub version: u64,
    /// Its targets and weights.
    pub split: WeightSplit,
    /// What is remembered of it.
    pub memory: Memory,
    /// The value of its restore tag; read only where nothing is remembered.
    pub restore_tag: Option<String>,
    /// Data points that the request alarms of returning nodes have had since their step began, as earlier versions
    /// recorded them: without the metrics. Where `alarm_data` has a node, that counts.
    pub data_points: BTreeMap<VirtualNodeName, u32>,
    /// What the metrics of the request alarms of returning nodes have had since their step began.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub alarm_data: BTreeMap<VirtualNodeName, Vec<AlarmData>>,
    /// Somebody asks that Meshwarden should take the route up again, since then. The request may come late and twice.
    pub released: Option<Timestamp>,
}

/// What the state table has of a route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Memory {
    /// Nothing.
    None,
    /// Its record.
    Record(Box<RouteRecord>),
    /// Something that this version can't read.
    Unreadable(String),
}

impl Facts {
    /// What the mesh itself tells; alarms, routes and switches are still to be filled in.
    #[must_use]
    pub fn of_mesh(mesh: &Mesh) -> Self {
        let links = Links::of(mesh);
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

    /// Whether a node gets traffic: from a route, or from a service that it provides directly.
    #[must_use]
    pub fn has_traffic(&self, node: &VirtualNodeName) -> bool {
        self.provides.contains_key(node)
            || self.routes.iter().any(|route| route.split.weight_of(node).is_some_and(|weight| weight > 0))
    }

    /// Every node that `node` calls, directly or through others; not itself, unless it is on a circle.
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
