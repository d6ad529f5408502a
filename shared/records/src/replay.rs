//! Makes the decisions of a journal entry again, from the observation that the entry records.

use std::cell::RefCell;
use std::fmt;

use decisions::failover::{self, Subject};
use decisions::rotation;
use jiff::Timestamp;
use mesh::name::{ResourcePath, RouteId};
use mesh::split::WeightSplit;
use rules::compliance::{self, DecisionScope, Topic};
use serde::Serialize;

use crate::decision::{DecisionEntry, PlanEntry};
use crate::observation::{
    ComplianceObservation, DrillObservation, FailoverObservation, Observation, RawObservation, RolloutObservation,
};
use crate::{JournalBody, ReadError};

/// A recorded decision and the decision that the same observation gives now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Replay {
    /// The subject of the decision.
    pub resource: String,
    /// When the decision was recorded.
    pub at: Timestamp,
    /// The recorded decision.
    pub recorded: Conclusion,
    /// The decision that the observation gives now; `None` if it gives none about the subject.
    pub decided: Option<Conclusion>,
    /// The what-if queries that were not made then, so that their answers are unknown. With any of them the
    /// replay proves nothing.
    #[serde(rename = "unasked")]
    pub unrecorded: Vec<String>,
}

impl Replay {
    /// Whether the observation gives the recorded decision.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.unrecorded.is_empty() && self.decided.as_ref() == Some(&self.recorded)
    }
}

/// The part of a decision that a replay compares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Conclusion {
    /// The verdict, as in `hold`; unset for route-failover, which does not record it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// The code of the reason.
    pub code: String,
    /// The id of the plan; unset for route-failover: its plans are compared by their weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// The weights that the plan makes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<WeightSplit>,
}

impl fmt::Display for Conclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(decision) = &self.decision {
            write!(f, "{decision} ")?;
        }
        f.write_str(&self.code)?;
        if let Some(to) = &self.to {
            write!(f, " to {to}")?;
        }
        self.plan.as_ref().map_or(Ok(()), |plan| write!(f, " (plan {plan})"))
    }
}

/// Makes the decisions of an entry again. `observed` is the observation of the entry, or the object that it names.
pub fn replay(body: &JournalBody, observed: &RawObservation) -> Result<Vec<Replay>, ReadError> {
    let no_decider = || ReadError::new("entry", "the end of a change has no decision");
    let recorded = body.decisions();
    match observed.decode(body.function().ok_or_else(no_decider)?)? {
        Observation::Failover(observation) => Ok(failover_again(recorded, &observation)),
        Observation::Rotation(observation) => Ok(rotation_again(recorded, &observation)),
        Observation::Rollout(observation) => Ok(rollout_again(recorded, &observation)),
        Observation::Drill(observation) => Ok(drill_again(recorded, &observation)),
        Observation::Compliance(topic, observation) => compliance_again(recorded, topic, *observation),
    }
}

fn failover_again(recorded: &[DecisionEntry], observation: &FailoverObservation) -> Vec<Replay> {
    let FailoverObservation { now, facts, harms, policy } = observation;
    let unrecorded = RefCell::new(Vec::new());
    let answer = |route: &RouteId, split: &WeightSplit| {
        let known = harms.iter().find(|known| known.route == *route && known.split == *split);
        if known.is_none() {
            unrecorded.borrow_mut().push(format!("{route} to {split}"));
        }
        known.map_or_else(Vec::new, |known| known.harms.clone())
    };
    let decisions = failover::decide(facts, &answer, policy, *now);
    let unrecorded = unrecorded.into_inner();
    let again = |entry: &DecisionEntry| {
        let decided = decisions.iter().find(|decision| match &decision.subject {
            Subject::Route(id) => ResourcePath::Route(id.clone()).to_string() == entry.resource,
            Subject::Node(node) => {
                ResourcePath::VirtualNode(facts.mesh.clone(), node.clone()).to_string() == entry.resource
            }
        });
        let conclusion =
            |code: String, to: Option<&WeightSplit>| Conclusion { decision: None, code, plan: None, to: to.cloned() };
        Replay {
            resource: entry.resource.clone(),
            at: *now,
            recorded: conclusion(entry.reason.clone(), entry.plan.as_ref().and_then(PlanEntry::to)),
            decided: decided.map(|decision| match &decision.verdict {
                failover::Verdict::Keep(reason) => conclusion(reason.code(), None),
                failover::Verdict::Hold(reason) => conclusion(reason.code(), None),
                failover::Verdict::Act(plan) => conclusion(plan.why.code(), Some(&plan.to)),
            }),
            unrecorded: unrecorded.clone(),
        }
    };
    recorded.iter().map(again).collect()
}

/// The decision about the rollout itself; the entries about its routes have the same reason.
fn rollout_again(recorded: &[DecisionEntry], observation: &RolloutObservation) -> Vec<Replay> {
    let RolloutObservation { now, facts, harms, policy } = observation;
    let unrecorded = RefCell::new(Vec::new());
    let answer = |route: &RouteId, split: &WeightSplit| {
        let known = harms.iter().find(|known| known.route == *route && known.split == *split);
        if known.is_none() {
            unrecorded.borrow_mut().push(format!("{route} to {split}"));
        }
        known.map_or_else(Vec::new, |known| known.harms.clone())
    };
    let decision = rollouts::decide(facts, &answer, policy, *now);
    let unrecorded = unrecorded.into_inner();
    let again = |entry: &DecisionEntry| {
        let plan =
            decision.plans.iter().find(|plan| ResourcePath::Route(plan.route.clone()).to_string() == entry.resource);
        let conclusion =
            |code: String, to: Option<&WeightSplit>| Conclusion { decision: None, code, plan: None, to: to.cloned() };
        Replay {
            resource: entry.resource.clone(),
            at: *now,
            recorded: conclusion(entry.reason.clone(), entry.plan.as_ref().and_then(PlanEntry::to)),
            decided: Some(conclusion(decision.reason.code(), plan.map(|plan| &plan.to))),
            unrecorded: unrecorded.clone(),
        }
    };
    recorded.iter().map(again).collect()
}

fn rotation_again(recorded: &[DecisionEntry], observation: &rotation::Recorded) -> Vec<Replay> {
    let (decisions, unrecorded) = observation.decide_with_unrecorded();
    let unrecorded: Vec<String> = unrecorded.iter().map(ToString::to_string).collect();
    let again = |entry: &DecisionEntry| {
        let decided = decisions.iter().find(|decision| decision.subject.to_string() == entry.resource);
        Replay {
            resource: entry.resource.clone(),
            at: observation.now,
            recorded: recorded_conclusion(entry),
            decided: decided.map(|decision| Conclusion {
                decision: Some(rotation_word(&decision.verdict).to_owned()),
                code: decision.verdict.code(),
                plan: decision.verdict.plan().map(|plan| plan.id.clone()),
                to: None,
            }),
            unrecorded: unrecorded.clone(),
        }
    };
    recorded.iter().map(again).collect()
}

fn drill_again(recorded: &[DecisionEntry], observation: &DrillObservation) -> Vec<Replay> {
    let decision = drills::decide(&observation.facts, &observation.policy, observation.now);
    let again = |entry: &DecisionEntry| {
        let conclusion = |plan: Option<String>, to: Option<WeightSplit>| Conclusion {
            decision: Some(decision.word().to_owned()),
            code: decision.reason.code().to_owned(),
            plan,
            to,
        };
        let route = match entry.resource.parse::<ResourcePath>() {
            Ok(ResourcePath::Route(route)) => Some(route),
            Ok(_) | Err(_) => None,
        };
        // The split of a route's write follows from the route's document, which is not part of this observation.
        let to = entry.plan.as_ref().and_then(PlanEntry::to).cloned();
        let decided = match (&decision.step, route) {
            (drills::Step::Routes(steps), Some(route)) => {
                let plan = entry.plan.as_ref().and_then(PlanEntry::id).map(str::to_owned);
                steps.iter().any(|step| *step.route() == route).then(|| conclusion(plan, to))
            }
            (_, Some(_)) => None,
            (_, None) => Some(conclusion(None, None)),
        };
        let recorded = recorded_conclusion(entry);
        let recorded = Conclusion { to: decided.as_ref().and_then(|decided| decided.to.clone()), ..recorded };
        Replay { resource: entry.resource.clone(), at: observation.now, recorded, decided, unrecorded: Vec::new() }
    };
    recorded.iter().map(again).collect()
}

fn compliance_again(
    recorded: &[DecisionEntry],
    topic: Topic,
    observation: ComplianceObservation,
) -> Result<Vec<Replay>, ReadError> {
    let ComplianceObservation { now, facts, policy } = observation;
    let facts = facts.into_facts()?;
    let decisions = compliance::decide(topic, &facts, &policy, now, DecisionScope::All);
    let again = |entry: &DecisionEntry| {
        let decided = decisions.iter().find(|decision| decision.resource.to_string() == entry.resource);
        Replay {
            resource: entry.resource.clone(),
            at: now,
            recorded: recorded_conclusion(entry),
            decided: decided.map(|decision| {
                let (word, code, plan) = match &decision.verdict {
                    compliance::ComplianceVerdict::Keep(reason) => ("keep", reason.code().to_owned(), None),
                    compliance::ComplianceVerdict::Hold(reason) => ("hold", reason.code().to_owned(), None),
                    compliance::ComplianceVerdict::Act(plan) => ("act", "Mends".to_owned(), Some(plan.id.clone())),
                };
                Conclusion { decision: Some(word.to_owned()), code, plan, to: None }
            }),
            unrecorded: Vec::new(),
        }
    };
    Ok(recorded.iter().map(again).collect())
}

fn recorded_conclusion(entry: &DecisionEntry) -> Conclusion {
    Conclusion {
        decision: entry.decision.clone(),
        code: entry.reason.clone(),
        plan: entry.plan.as_ref().and_then(PlanEntry::id).map(str::to_owned),
        to: None,
    }
}

const fn rotation_word(verdict: &rotation::RotationVerdict) -> &'static str {
    match verdict {
        rotation::RotationVerdict::Keep(_) => "keep",
        rotation::RotationVerdict::Issue(_) => "issue",
        rotation::RotationVerdict::Distribute(_) => "distribute",
        rotation::RotationVerdict::Verify(_) => "verify",
        rotation::RotationVerdict::Retire(_) => "retire",
    }
}
