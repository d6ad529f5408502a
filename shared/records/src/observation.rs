//! The observation that a decision was made from, and its place.

use std::collections::BTreeMap;

use decisions::failover::{self, HarmFact};
use decisions::rotation;
use jiff::Timestamp;
use mesh::name::{MeshName, ResourceKind, ResourcePath, RouteId};
use mesh::resource::{Resource, Tags};
use mesh::split::WeightSplit;
use policy::Policy;
use rules::compliance::{self, ComplianceRecord, StateAccess, Topic, UnreadResource};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Function, ReadError};

/// The place of an observation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObservedRef {
    /// The observation is in the entry.
    Here(RawObservation),
    /// The observation is in the reports store.
    At {
        /// The place, as in `s3://bucket/prefix/observations/1.json`.
        place: String,
        /// The digest of the object; unset if format 0 did not store it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sha256: Option<String>,
    },
    /// The observation was too large for the entry and could not be stored elsewhere.
    Lost {
        /// The error of the reports store.
        error: String,
    },
}

/// The folder of all observations in the reports store.
const FOLDER: &str = "observations/";

impl ObservedRef {
    /// Reads the member `observed` of format 0.
    #[must_use]
    pub fn from_format_0(observed: Value) -> Self {
        let text = |name: &str| observed.get(name).and_then(Value::as_str).map(str::to_owned);
        if let Some(place) = text("at") {
            Self::At { place, sha256: None }
        } else if let Some(error) = text("lost") {
            Self::Lost { error }
        } else {
            Self::Here(RawObservation(observed))
        }
    }

    /// The member `observed` of format 0.
    #[must_use]
    pub fn to_format_0(&self) -> Value {
        match self {
            Self::Here(RawObservation(observed)) => observed.clone(),
            Self::At { place, .. } => json!({ "at": place }),
            Self::Lost { error } => json!({ "lost": error }),
        }
    }

    /// The name of the object in the reports store, without the store's prefix; `None` for an observation that
    /// is not there.
    #[must_use]
    pub fn object_name(&self) -> Option<&str> {
        match self {
            Self::At { place, .. } => place.find(FOLDER).and_then(|at| place.get(at..)),
            Self::Here(_) | Self::Lost { .. } => None,
        }
    }
}

/// An observation that is not decoded yet: its members depend on the function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RawObservation(Value);

impl From<Value> for RawObservation {
    fn from(observation: Value) -> Self {
        Self(observation)
    }
}

impl RawObservation {
    /// The observation of a function's decision.
    pub fn decode(&self, function: &Function) -> Result<Observation, ReadError> {
        const AT: &str = "observed";
        match function {
            // A command journals what it did, so an entry of a command has no observation.
            Function::RouteFailover => ReadError::decode(&self.0, AT).map(Box::new).map(Observation::Failover),
            Function::CertificateRotation => ReadError::decode(&self.0, AT).map(Box::new).map(Observation::Rotation),
            Function::TagCompliance => {
                Ok(Observation::Compliance(Topic::Tags, Box::new(ReadError::decode(&self.0, AT)?)))
            }
            Function::EgressCompliance => {
                Ok(Observation::Compliance(Topic::Egress, Box::new(ReadError::decode(&self.0, AT)?)))
            }
            Function::TrafficShift => ReadError::decode(&self.0, AT).map(Box::new).map(Observation::Rollout),
            Function::FailoverDrill => ReadError::decode(&self.0, AT).map(Box::new).map(Observation::Drill),
            Function::ComplianceSweep | Function::ChangeAudit | Function::Operator | Function::Unknown(_) => {
                Err(ReadError::new(AT, format!("{function} records no observations that this version reads")))
            }
        }
    }
}

/// An observation: one variant per decider.
#[derive(Clone, Debug, PartialEq)]
pub enum Observation {
    /// The observation of route-failover.
    Failover(Box<FailoverObservation>),
    /// The observation of certificate-rotation.
    Rotation(Box<rotation::Recorded>),
    /// The observation of traffic-shift.
    Rollout(Box<RolloutObservation>),
    /// The observation of failover-drill.
    Drill(Box<DrillObservation>),
    /// The observation of tag-compliance or egress-compliance.
    Compliance(Topic, Box<ComplianceObservation>),
}

impl Observation {
    /// The observation as it is stored.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let value = match self {
            Self::Failover(observation) => serde_json::to_value(observation),
            Self::Rotation(observation) => serde_json::to_value(observation),
            Self::Rollout(observation) => serde_json::to_value(observation),
            Self::Drill(observation) => serde_json::to_value(observation),
            Self::Compliance(_, observation) => serde_json::to_value(observation),
        };
        // Observations have only string keys, so this cannot fail.
        value.unwrap_or_default()
    }
}

/// The observation of route-failover.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailoverObservation {
    /// When the decision was made.
    pub now: Timestamp,
    /// The facts.
    pub facts: failover::Facts,
    /// The what-if queries with their answers.
    #[serde(default)]
    pub harms: Vec<WhatIf>,
    /// The policy.
    pub policy: Policy,
}

/// The observation of traffic-shift.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RolloutObservation {
    /// When the decision was made.
    pub now: Timestamp,
    /// The facts.
    pub facts: rollouts::Facts,
    /// The what-if queries with their answers.
    #[serde(default)]
    pub harms: Vec<WhatIf>,
    /// The policy.
    pub policy: Policy,
}

/// The observation of failover-drill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DrillObservation {
    /// When the decision was made.
    pub now: Timestamp,
    /// The observation.
    pub facts: drills::Observation,
    /// The policy.
    pub policy: Policy,
}

/// A query for the harms of a split on a route, with its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhatIf {
    /// The route.
    pub route: RouteId,
    /// The split.
    pub split: WeightSplit,
    /// The harms.
    pub harms: Vec<HarmFact>,
}

/// The observation of tag-compliance or egress-compliance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComplianceObservation {
    /// When the decision was made.
    pub now: Timestamp,
    /// The facts.
    pub facts: ComplianceFacts,
    /// The policy.
    pub policy: Policy,
}

/// The facts of tag-compliance and egress-compliance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ComplianceFacts {
    /// The mesh.
    pub mesh: MeshName,
    /// The resources of the mesh that could be read.
    pub resources: Vec<RecordedResource>,
    /// The resources of which a part could not be read.
    #[serde(default)]
    pub unread: BTreeMap<ResourcePath, UnreadResource>,
    /// The function's document of the mesh.
    pub record: ComplianceRecord,
    /// Whether the state table could be read.
    #[serde(default)]
    pub state: StateAccess,
    /// The operator who turned the kill switch on, and the reason.
    #[serde(default)]
    pub kill_switch: Option<(String, String)>,
    /// The changes of the budget's window.
    pub budget_used: u32,
}

/// A resource as the App Mesh API describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedResource {
    /// The kind.
    pub kind: ResourceKind,
    /// The description.
    pub resource: Value,
    /// The tags; `null` if they could not be read.
    pub tags: Option<BTreeMap<String, String>>,
}

impl RecordedResource {
    /// A resource with the tags that could be read.
    #[must_use]
    pub fn new(resource: &Resource, tags: Option<&Tags>) -> Self {
        let tags = tags.map(|tags| tags.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect());
        Self { kind: resource.path().kind(), resource: resource.to_json(), tags }
    }
}

impl ComplianceFacts {
    /// The facts of a decision and the resources that they were read from.
    pub fn new<'r>(
        facts: &compliance::ResourceFacts,
        resources: impl IntoIterator<Item = (&'r Resource, Option<&'r Tags>)>,
    ) -> Self {
        Self {
            mesh: facts.mesh.name.clone(),
            resources: resources.into_iter().map(|(resource, tags)| RecordedResource::new(resource, tags)).collect(),
            unread: facts.unread.clone(),
            record: facts.record.clone(),
            state: facts.state.clone(),
            kill_switch: facts.kill_switch.clone(),
            budget_used: facts.budget_used,
        }
    }

    /// The facts that the decider takes.
    pub fn into_facts(self) -> Result<compliance::ResourceFacts, ReadError> {
        let defect = |message: String| ReadError::new("observed.facts.resources", message);
        let mut resources = Vec::new();
        for recorded in self.resources {
            let resource = Resource::read(recorded.kind, &recorded.resource)
                .map_err(|violations| defect(violations.first().map_or_else(String::new, ToString::to_string)))?;
            let tags = recorded.tags.map(Tags::read).transpose().map_err(defect)?;
            resources.push((resource, tags));
        }
        let facts = compliance::ResourceFacts::from_resources(&self.mesh, resources)
            .and_then(|facts| facts.with_unread(self.unread));
        let mut facts = facts.map_err(|error| defect(error.to_string()))?;
        facts.record = self.record;
        facts.state = self.state;
        facts.kill_switch = self.kill_switch;
        facts.budget_used = self.budget_used;
        Ok(facts)
    }
}
