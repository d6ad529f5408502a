//! The input of a decision: one observation of a rollout.

use std::collections::{BTreeMap, BTreeSet};

use decisions::failover::{HarmFact, KillSwitchFact, RouteFacts};
use jiff::Timestamp;
use mesh::alarm::Alarm;
use mesh::certificates::SourceReading;
use mesh::name::{ResourcePath, RouteId};
use mesh::split::WeightSplit;
use policy::Mode;
use serde::{Deserialize, Serialize};

use crate::hook::HookAnswer;
use crate::queries::SeriesId;
use crate::record::RolloutRecord;

/// The check for harms of a split on a route.
pub type HarmCheck<'a> = dyn Fn(&RouteId, &WeightSplit) -> Vec<HarmFact> + 'a;

/// One observation of a rollout. A recorded observation gives the same decision when it is replayed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// The record as it is stored, or that of a new rollout.
    pub record: RolloutRecord,
    /// The mode on the mesh.
    pub mode: Mode,
    /// The kill switch, if it is on.
    pub kill_switch: Option<KillSwitchFact>,
    /// The number of starts in the current budget window.
    pub budget_used: u32,
    /// The other rollouts of the mesh that have begun and not ended.
    pub active: BTreeSet<String>,
    /// The routes of the rollout; `None` for a deleted one.
    pub routes: BTreeMap<RouteId, Option<RouteFacts>>,
    /// The routes of the rollout for TCP, where weights apply to new connections only.
    #[serde(default)]
    pub tcp: BTreeSet<RouteId>,
    /// The callers of the routes: virtual nodes and gateways.
    pub callers: BTreeSet<ResourcePath>,
    /// The connected proxies.
    pub proxies: ProxyFacts,
    /// The alarms that the gates name, the alarms on the new versions, and the alarms that these depend on.
    pub alarms: SourceReading<Vec<Alarm>>,
    /// The data of the metric gates, by series.
    pub metrics: Vec<MetricReading>,
    /// The answer of the hook that was due.
    pub hook: Option<HookReading>,
}

/// The connected proxies of the mesh.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProxyFacts {
    /// The streams, from a read that began at this time, after the routes were read.
    Read {
        /// When the read began.
        at: Timestamp,
        /// The streams.
        streams: Vec<ProxyFact>,
    },
    /// The server does not report proxies.
    Unsupported,
    /// They could not be read.
    Unread {
        /// The reason.
        why: String,
    },
}

/// A connected proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProxyFact {
    /// The virtual node or gateway.
    pub proxy: ResourcePath,
    /// Its address.
    pub peer: String,
    /// Whether it has acknowledged its present snapshot.
    pub up_to_date: bool,
    /// The message with which it rejected a part of the snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<String>,
}

/// The data of a series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricReading {
    /// The series.
    pub series: SeriesId,
    /// The data points since the begin of the step, oldest first.
    pub data: SourceReading<Vec<(Timestamp, f64)>>,
}

/// The answer of a hook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookReading {
    /// The id of the hook.
    pub hook: String,
    /// The answer.
    pub answer: HookAnswer,
}
