//! The answers to AWS Config.
//!
//! | compliance | answer |
//! |---|---|
//! | known | the evaluation |
//! | unknown because of a transient error | none; the event is retried |
//! | unknown for another reason | none, and a hold that is reported and paged: AWS Config rejects `INSUFFICIENT_DATA`,
//! and any other answer would be false |

use std::collections::BTreeMap;

use jiff::Timestamp;
use mesh::name::{MeshName, ResourcePath};
use ports::{
    Annotation, ConfigResource, Evaluation, PortError, PortErrorKind, PutOutcome, RuleCompliance, put_all_evaluations,
};
use rules::compliance::{ComplianceStatus, ResourceCompliance, Topic, judge};
use runner::events::RuleInvocation;
use runner::{Decision as Line, RequestedBy, Run, WorkItem};
use serde_json::{Value, json};

use crate::Ports;
use crate::observe::Observation;
use crate::trigger::{ItemRequest, Trigger};

/// The target under which failed answers are recorded.
pub(crate) const AWS_CONFIG: &str = "the answers to AWS Config";

/// The maximum number of evaluations that a report names.
const MOST_NAMED: usize = 20;

/// The answers to all invocations of rules, completed as meshes are read.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// The answers about single resources.
    items: Vec<ItemAnswer>,
    /// The answers about all resources.
    everything: Vec<EverythingAnswer>,
}

#[derive(Debug)]
struct ItemAnswer {
    invocation: RuleInvocation,
    message: Option<String>,
    evaluation: Evaluation,
}

#[derive(Debug)]
struct EverythingAnswer {
    invocation: RuleInvocation,
    message: Option<String>,
    at: Timestamp,
    evaluations: Vec<Evaluation>,
    /// The number of resources with unknown compliance.
    unknown: usize,
}

/// Whether the answer needs only the configuration item, and no mesh.
pub(crate) fn is_settled(topic: Topic, request: &ItemRequest) -> bool {
    request.left_scope || request.item.status.is_deleted() || request.item.kind().is_none_or(|kind| !topic.judges(kind))
}

impl Answers {
    /// The answers that need no mesh.
    pub(crate) fn new<'a>(trigger: &Trigger, settled: impl Iterator<Item = &'a ItemRequest>) -> Self {
        let everything = trigger.everything.iter().map(|request| EverythingAnswer {
            invocation: request.invocation.clone(),
            message: request.message.clone(),
            at: request.at,
            evaluations: Vec::new(),
            unknown: 0,
        });
        let mut answers = Self { everything: everything.collect(), ..Self::default() };
        for request in settled {
            let why = if request.item.status.is_deleted() {
                "it was deleted"
            } else if request.left_scope {
                "it left the scope of the rule"
            } else {
                "the rule does not apply to this kind of resource"
            };
            answers.item(request, RuleCompliance::NotApplicable, why);
        }
        answers
    }

    /// Adds the answers about the resources of a mesh that was read.
    pub(crate) fn add(&mut self, run: &Run<'_>, observation: &Observation, open: &[ItemRequest]) {
        let mesh = &observation.facts.mesh.name;
        let judged = judge(observation.topic(), &observation.facts, run.policy(), run.now());
        for request in open {
            let Some(arn) = request.item.arn.as_ref().filter(|arn| arn.path().mesh() == mesh) else { continue };
            let own = observation.about(&ResourcePath::Mesh(mesh.clone())).map(|about| &about.arn);
            let elsewhere = own.is_some_and(|own| (own.region(), own.account()) != (arn.region(), arn.account()));
            if elsewhere {
                // A mesh of the same name in another account or region is a different mesh.
                unknown(run, request, "OtherMesh", "its mesh cannot be read from here", false);
                continue;
            }
            match judged.get(arn.path()) {
                Some(judged) => {
                    if let Some(compliance) = compliance(judged) {
                        self.item(request, compliance, &judged.text());
                    } else {
                        let unread = observation.facts.unread.get(arn.path());
                        let is_transient = unread.is_some_and(|unread| unread.transient);
                        unknown(run, request, "Unknown", &judged.text(), is_transient);
                    }
                }
                None => self.item(request, RuleCompliance::NotApplicable, "it does not exist in the mesh"),
            }
        }
        for answer in &mut self.everything {
            answer.unknown +=
                judged.values().filter(|judged| judged.status == ComplianceStatus::InsufficientData).count();
            answer.evaluations.extend(evaluations(observation, &judged, answer.at));
        }
    }

    /// Leaves the requests about a mesh that could not be read without an answer.
    pub(crate) fn unread(run: &Run<'_>, mesh: &MeshName, error: &PortError, open: &[ItemRequest]) {
        let is_of_mesh = |request: &&ItemRequest| request.item.path().is_some_and(|path| path.mesh() == mesh);
        for request in open.iter().filter(is_of_mesh) {
            unknown(run, request, "Unknown", &error.to_string(), error.kind.may_heal());
        }
    }

    /// Leaves a request without an answer because the mesh of its resource is unknown.
    pub(crate) fn without_arn(run: &Run<'_>, request: &ItemRequest) {
        unknown(run, request, "WithoutArn", "neither the item nor its history has an ARN", false);
    }

    fn item(&mut self, request: &ItemRequest, compliance: RuleCompliance, text: &str) {
        let Some(invocation) = request.invocation.clone() else { return };
        let (resource, at) = (request.item.resource.clone(), request.item.captured_at);
        let evaluation = Evaluation { resource, compliance, annotation: Annotation::new(text), at };
        self.items.push(ItemAnswer { invocation, message: request.message.clone(), evaluation });
    }

    /// The requests that wait for an answer. Each is a separate piece of work.
    pub(crate) fn waiting(&self) -> Vec<WorkItem> {
        let of_items = self.items.iter().filter_map(|answer| answer.message.as_ref());
        let messages = of_items.chain(self.everything.iter().filter_map(|answer| answer.message.as_ref()));
        let item = |message: &String| WorkItem {
            subject: format!("answer {message}"),
            requested_by: RequestedBy::delivery(Some(message.clone())),
        };
        messages.map(item).collect()
    }

    /// Sends the answers.
    pub(crate) async fn send(self, run: &Run<'_>, ports: &Ports) {
        for ItemAnswer { invocation, message, evaluation } in self.items {
            let subject = evaluation.resource.resource_id.clone();
            let facts = json!({ "rule": invocation.rule, "evaluation": evaluation });
            let outcome = put_all_evaluations(ports.config.as_ref(), &invocation.token, &[evaluation]).await;
            answered(run, subject, facts, &outcome, message);
        }
        for EverythingAnswer { invocation, message, evaluations, unknown, .. } in self.everything {
            let subject = format!("rule/{}", invocation.rule);
            let count = |wanted| evaluations.iter().filter(|evaluation| evaluation.compliance == wanted).count();
            let mut facts = json!({
                "rule": invocation.rule,
                "compliant": count(RuleCompliance::Compliant),
                "nonCompliant": count(RuleCompliance::NonCompliant),
                "notApplicable": count(RuleCompliance::NotApplicable),
            });
            if unknown > 0 {
                facts = with(facts, "unknown", json!(unknown));
            }
            let outcome = put_all_evaluations(ports.config.as_ref(), &invocation.token, &evaluations).await;
            answered(run, subject, facts, &outcome, message);
        }
    }
}

/// Leaves a request without an answer; the previous answer stays valid until the compliance is known again.
fn unknown(run: &Run<'_>, request: &ItemRequest, reason: &str, why: &str, is_transient: bool) {
    let Some(invocation) = &request.invocation else { return };
    let facts = json!({ "rule": invocation.rule, "why": why, "answered": false });
    run.report(Line::new(request.item.resource.resource_id.clone(), "hold", reason, facts));
    if is_transient {
        let requested_by = RequestedBy::delivery(request.message.clone());
        run.retry(&requested_by, &format!("no answer to AWS Config: {why}"));
    }
}

/// Reports an answer, with the deliveries to retry.
fn answered(run: &Run<'_>, subject: String, facts: Value, outcome: &PutOutcome, message: Option<String>) {
    if outcome.is_complete() {
        run.failures().succeeded(AWS_CONFIG);
        return run.report(Line::new(subject, "answer", "Evaluated", facts));
    }
    let mut facts = facts;
    let reason = if let Some(error) = &outcome.error {
        run.failures().failed(AWS_CONFIG, error);
        facts = with(with(facts, "error", json!(error.to_string())), "unsent", json!(outcome.unsent));
        "CannotAnswer"
    } else {
        let text = format!("AWS Config rejected {} evaluations", outcome.refused.len());
        let kind = if outcome.may_heal() { PortErrorKind::Unavailable } else { PortErrorKind::Other };
        run.failures().failed(AWS_CONFIG, &PortError::new("put evaluations", kind, text));
        "EvaluationsRefused"
    };
    if !outcome.refused.is_empty() {
        let named: Vec<_> = outcome.refused.iter().take(MOST_NAMED).collect();
        facts = with(with(facts, "refused", json!(named)), "refusedCount", json!(outcome.refused.len()));
    }
    if outcome.may_heal() {
        let why = outcome.error.as_ref().map_or_else(|| format!("{subject}: {reason}"), ToString::to_string);
        run.retry(&RequestedBy::delivery(message), &why);
    }
    run.report(Line::new(subject, "hold", reason, facts));
}

/// The evaluations of all resources with known compliance.
fn evaluations<'a>(
    observation: &'a Observation,
    judged: &'a BTreeMap<ResourcePath, ResourceCompliance>,
    at: Timestamp,
) -> impl Iterator<Item = Evaluation> + 'a {
    judged.iter().filter_map(move |(path, judged)| {
        let resource = ConfigResource::of_mesh(&observation.about(path)?.arn);
        let annotation = Annotation::new(&judged.text());
        Some(Evaluation { resource, compliance: compliance(judged)?, annotation, at })
    })
}

fn with(mut facts: Value, name: &str, fact: Value) -> Value {
    if let Some(facts) = facts.as_object_mut() {
        facts.insert(name.to_owned(), fact);
    }
    facts
}

/// The compliance in the terms of AWS Config's API; `None` if it is unknown, which the API rejects.
fn compliance(judged: &ResourceCompliance) -> Option<RuleCompliance> {
    match judged.status {
        ComplianceStatus::Compliant => Some(RuleCompliance::Compliant),
        ComplianceStatus::NonCompliant => Some(RuleCompliance::NonCompliant),
        ComplianceStatus::NotApplicable => Some(RuleCompliance::NotApplicable),
        ComplianceStatus::InsufficientData => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_standing_is_no_answer() {
        for (status, expected) in [
            (ComplianceStatus::Compliant, Some(RuleCompliance::Compliant)),
            (ComplianceStatus::NonCompliant, Some(RuleCompliance::NonCompliant)),
            (ComplianceStatus::InsufficientData, None),
            (ComplianceStatus::NotApplicable, Some(RuleCompliance::NotApplicable)),
        ] {
            let judged = ResourceCompliance { status, findings: Vec::new(), waived: Vec::new(), unknown: None };
            assert_eq!(compliance(&judged), expected, "{status:?}");
        }
    }
}
