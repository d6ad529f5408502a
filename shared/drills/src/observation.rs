//! One observation of a mesh: the input of a decision.

use std::collections::{BTreeMap, BTreeSet};

use decisions::failover::{HarmFact, KillSwitchFact};
use jiff::Timestamp;
use mesh::alarm::{Alarm, AlarmName, AlarmState};
use mesh::name::{MeshName, RouteId, VirtualNodeName};
use mesh::split::WeightSplit;
use serde::{Deserialize, Serialize};

use crate::capacity::Load;
use crate::drill_plan::DrillPlan;
use crate::reason::Reason;
use crate::record::{DrillVerdict, MeshDrills};
use crate::traffic::DrillTraffic;

/// One observation of a mesh. A recorded observation gives the same decision again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observation {
    /// The mesh.
    pub mesh: MeshName,
    /// The stored state.
    pub record: MeshDrills,
    /// The kill switch, if it is on.
    pub kill_switch: Option<KillSwitchFact>,
    /// The drills of the present budget window.
    pub budget_used: u32,
    /// The facts about the drill that is next; absent if none is active, requested or due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<DrillFacts>,
}

/// The facts about one drill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrillFacts {
    /// The plan that the facts were read for.
    pub plan: DrillPlan,
    /// Whether the virtual node exists.
    pub node_exists: bool,
    /// The states of the plan's alarms.
    pub alarms: BTreeMap<AlarmName, AlarmReading>,
    /// The failing nodes of the mesh, each with its alarms in `ALARM`.
    pub failing: BTreeMap<VirtualNodeName, Vec<AlarmName>>,
    /// The routes that give the node weight, and the routes that the drill has drained.
    pub routes: Vec<RouteObservation>,
    /// Whether the proxies have acknowledged the present weights.
    pub proxies: Proxies,
    /// The request rates.
    pub load: Load,
    /// The traffic of the receivers since the drill began; absent before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<DrillTraffic>,
}

/// The state of an alarm, as far as a drill depends on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum AlarmReading {
    /// It is `OK`, and its evaluation works.
    Off,
    /// It is in `ALARM`, muted or not.
    On,
    /// It has no usable state.
    Unknown {
        /// The reason.
        why: String,
    },
}

impl AlarmReading {
    /// Reads an alarm; `None` for one that does not exist.
    #[must_use]
    pub fn new(alarm: Option<&Alarm>) -> Self {
        let unknown = |why: &str| Self::Unknown { why: why.to_owned() };
        let Some(alarm) = alarm else { return unknown("it does not exist") };
        match &alarm.state {
            AlarmState::Alarm => Self::On,
            AlarmState::Ok if alarm.evaluation.is_some() => unknown("CloudWatch could not evaluate it completely"),
            AlarmState::Ok if alarm.mute_rule.is_some() || !alarm.actions_enabled => unknown("it is muted"),
            AlarmState::Ok => Self::Off,
            AlarmState::InsufficientData => unknown("it has too little data"),
            AlarmState::Unrecognised(state) => Self::Unknown { why: format!("it has the unknown state {state}") },
        }
    }
}

/// One route of a drill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteObservation {
    /// The route.
    pub route: RouteId,
    /// Its version.
    pub version: u64,
    /// Its present split.
    pub split: WeightSplit,
    /// The drill's layer on the route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<RouteLayer>,
    /// The other writer that holds the route, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occupied: Option<Occupied>,
    /// The verdict with which the drill's function restored the route, or began to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<DrillVerdict>,
    /// The split without the node, as a failover would make it now.
    pub drained: DrainedSplit,
}

/// A drill's layer on a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteLayer {
    /// The drained node.
    pub node: VirtualNodeName,
    /// When it must be restored.
    pub restore_by: Timestamp,
    /// Whether the weights on the route are the weights of the layer.
    pub in_place: bool,
}

/// Another writer of weights on a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Occupied {
    /// The code of the arbiter.
    pub code: String,
    /// The explanation.
    pub why: String,
}

/// The split of a route without a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DrainedSplit {
    /// The split.
    To(WeightSplit),
    /// It was not computed: the route is drained already.
    Drained,
    /// A failover would hold.
    NotReady {
        /// The code of the hold.
        hold: String,
        /// The explanation.
        why: String,
    },
    /// The split would do harm.
    Harmful(Vec<HarmFact>),
}

impl DrainedSplit {
    /// Why the route cannot be drained, if it cannot.
    pub(crate) fn obstacle(&self, route: &RouteId) -> Option<Reason> {
        match self {
            Self::To(_) | Self::Drained => None,
            Self::NotReady { hold, why } => {
                Some(Reason::ReceiverNotReady { route: route.clone(), hold: hold.clone(), why: why.clone() })
            }
            Self::Harmful(harms) => Some(Reason::Harmful { route: route.clone(), harms: harms.clone() }),
        }
    }
}

/// Whether the proxies have the present weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "proxies", rename_all = "kebab-case")]
pub enum Proxies {
    /// Every connected proxy is up to date.
    UpToDate,
    /// No proxy of the mesh is connected.
    NoneConnected,
    /// A proxy is not up to date, or a replica cannot be read.
    Outstanding {
        /// The missing data.
        why: String,
    },
    /// The server has no evidence: the time since the write counts.
    NotReported,
}

impl DrillFacts {
    /// The plan's alarms in `ALARM`, of those given.
    pub(crate) fn on(&self, alarms: &[AlarmName]) -> Vec<AlarmName> {
        alarms.iter().filter(|name| self.alarms.get(*name) == Some(&AlarmReading::On)).cloned().collect()
    }

    /// The alarms without a usable state, of those given, with the reason.
    pub(crate) fn unknown<'a>(&self, alarms: impl IntoIterator<Item = &'a AlarmName>) -> Vec<String> {
        let unknown = |name: &AlarmName| match self.alarms.get(name) {
            Some(AlarmReading::Off | AlarmReading::On) => None,
            Some(AlarmReading::Unknown { why }) => Some(format!("{name} ({why})")),
            None => Some(format!("{name} (it was not read)")),
        };
        alarms.into_iter().filter_map(unknown).collect()
    }

    /// The nodes that the drill gives more traffic than before.
    #[must_use]
    pub fn receivers<'a>(
        routes: impl Iterator<Item = (&'a WeightSplit, &'a WeightSplit)>,
    ) -> BTreeSet<VirtualNodeName> {
        let mut receivers = BTreeSet::new();
        for (before, drained) in routes {
            for share in drained.shares() {
                let had = before.shares().into_iter().find(|other| other.virtual_node == share.virtual_node);
                let had = had.as_ref().map(mesh::split::Share::fraction);
                if had.unwrap_or_default() < share.fraction() {
                    receivers.insert(share.virtual_node.clone());
                }
            }
        }
        receivers
    }
}
