//! What AWS Config is told.

use jiff::Timestamp;
use lambda_kit::wake::RuleInvocation;
use mesh::compliance::{Judged, Standing, Topic, judge};
use mesh::name::{MeshName, ResourcePath};
use mesh::policy::Policy;
use ports::{Annotation, ConfigResource, Evaluation, PortError, RuleCompliance};
use serde_json::{Value, json};

use crate::Ports;
use crate::account::{Account, line};
use crate::observe::Observation;
use crate::wake::{Asked, Wake};

/// The answers to all invocations of rules, filled as meshes are read.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// Of single resources.
    items: Vec<(RuleInvocation, Evaluation)>,
    /// Of everything: the invocation, the instant, and how all resources stand.
    everything: Vec<(RuleInvocation, Vec<Evaluation>)>,
}

/// Whether the answer on an item needs nothing but the item.
pub(crate) fn is_settled(topic: Topic, asked: &Asked) -> bool {
    asked.left_scope
        || asked.item.status.is_deleted()
        || asked.item.path().is_none_or(|path| !topic.judges(path.kind()))
}

impl Answers {
    /// What can be said without reading a mesh.
    pub(crate) fn of<'a>(wake: &Wake, settled: impl Iterator<Item = &'a Asked>) -> Self {
        let mut answers = Self {
            items: Vec::new(),
            everything: wake.everything.iter().map(|(invocation, _)| (invocation.clone(), Vec::new())).collect(),
        };
        for asked in settled {
            let why = if asked.item.status.is_deleted() {
                "it was deleted"
            } else if asked.left_scope {
                "the rule isn't for it any more"
            } else {
                "the rule says nothing of resources of this kind"
            };
            answers.item(asked, RuleCompliance::NotApplicable, why);
        }
        answers
    }

    /// How the resources of a mesh stand that was read.
    pub(crate) fn take(
        &mut self,
        observation: &Observation,
        topic: Topic,
        policy: &Policy,
        wake: &Wake,
        open: &[Asked],
        now: Timestamp,
    ) {
        let mesh = &observation.facts.mesh;
        let judged = judge(topic, mesh, policy, now);
        for asked in open {
            let Some(arn) = asked.item.arn.as_ref().filter(|arn| *arn.path().mesh() == mesh.name) else { continue };
            let own = observation.about(&ResourcePath::Mesh(mesh.name.clone())).map(|about| &about.arn);
            let elsewhere = own.is_some_and(|own| (own.region(), own.account()) != (arn.region(), arn.account()));
            if elsewhere {
                // A mesh of the same name in another account or region says nothing of this one.
                self.item(asked, RuleCompliance::NonCompliant, "unknown: its mesh can't be read from here");
            } else if let Some(judged) = judged.get(arn.path()) {
                self.item(asked, compliance(judged), &judged.text());
            } else {
                self.item(asked, RuleCompliance::NotApplicable, "it isn't in the mesh any more");
            }
        }
        for ((_, answers), (_, at)) in self.everything.iter_mut().zip(&wake.everything) {
            answers.extend(judged.iter().filter_map(|(path, judged)| {
                let resource = ConfigResource::of_mesh(&observation.about(path)?.arn);
                let annotation = Annotation::new(&judged.text());
                Some(Evaluation { resource, compliance: compliance(judged), annotation, at: *at })
            }));
        }
    }

    /// A mesh could not be read. Where that may heal nothing is said, since the event comes again; else what AWS Config
    /// was told before may not stand.
    pub(crate) fn blind(&mut self, mesh: &MeshName, error: &PortError, open: &[Asked]) {
        if error.kind.may_heal() {
            return;
        }
        let of_mesh = |asked: &&Asked| asked.item.path().is_some_and(|path| path.mesh() == mesh);
        for asked in open.iter().filter(of_mesh) {
            self.item(asked, RuleCompliance::NonCompliant, &format!("unknown: {error}"));
        }
    }

    fn item(&mut self, asked: &Asked, compliance: RuleCompliance, text: &str) {
        let Some(invocation) = &asked.invocation else { return };
        let (resource, at) = (asked.item.resource.clone(), asked.item.captured_at);
        let evaluation = Evaluation { resource, compliance, annotation: Annotation::new(text), at };
        self.items.push((invocation.clone(), evaluation));
    }

    /// Tells AWS Config.
    pub(crate) async fn send(self, ports: &Ports) -> Vec<Account> {
        let mut accounts = Vec::new();
        for (invocation, evaluation) in self.items {
            let subject = evaluation.resource.resource_id.clone();
            accounts.push(send(ports, &invocation, subject, &[evaluation]).await);
        }
        for (invocation, evaluations) in self.everything {
            let subject = format!("rule/{}", invocation.rule);
            accounts.push(send(ports, &invocation, subject, &evaluations).await);
        }
        accounts
    }
}

async fn send(ports: &Ports, invocation: &RuleInvocation, subject: String, evaluations: &[Evaluation]) -> Account {
    let count = |wanted| evaluations.iter().filter(|evaluation| evaluation.compliance == wanted).count();
    let mut facts = json!({
        "rule": invocation.rule,
        "compliant": count(RuleCompliance::Compliant),
        "nonCompliant": count(RuleCompliance::NonCompliant),
        "notApplicable": count(RuleCompliance::NotApplicable),
    });
    if let [evaluation] = evaluations {
        facts = json!({ "rule": invocation.rule, "evaluation": evaluation });
    }
    match ports.config.put_evaluations(&invocation.token, evaluations).await {
        Ok(refused) if refused.is_empty() => Account::of(line(subject, "answer", "Evaluated", facts)),
        Ok(refused) => {
            tracing::error!(rule = invocation.rule, count = refused.len(), "AWS Config did not take evaluations");
            Account::of(line(subject, "hold", "EvaluationsRefused", with(facts, "refused", json!(refused))))
        }
        Err(error) => {
            let facts = with(facts, "error", json!(error.to_string()));
            let retry = error.kind.may_heal().then(|| error.to_string());
            Account { retry, ..Account::of(line(subject, "hold", "CannotAnswer", facts)) }
        }
    }
}

fn with(mut facts: Value, name: &str, fact: Value) -> Value {
    if let Some(facts) = facts.as_object_mut() {
        facts.insert(name.to_owned(), fact);
    }
    facts
}

/// What AWS Config takes for how a resource stands. It refuses `INSUFFICIENT_DATA`; what isn't known is then not
/// compliant, since nothing at all would let an earlier answer stand.
fn compliance(judged: &Judged) -> RuleCompliance {
    match judged.standing {
        Standing::Compliant => RuleCompliance::Compliant,
        Standing::NonCompliant | Standing::InsufficientData => RuleCompliance::NonCompliant,
        Standing::NotApplicable => RuleCompliance::NotApplicable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What nobody could read is never told as compliant.
    #[test]
    fn unknown_is_not_compliant() {
        for (standing, expected) in [
            (Standing::Compliant, RuleCompliance::Compliant),
            (Standing::NonCompliant, RuleCompliance::NonCompliant),
            (Standing::InsufficientData, RuleCompliance::NonCompliant),
            (Standing::NotApplicable, RuleCompliance::NotApplicable),
        ] {
            let judged = Judged { standing, findings: Vec::new(), waived: Vec::new() };
            assert_eq!(compliance(&judged), expected, "{standing:?}");
        }
    }
}
