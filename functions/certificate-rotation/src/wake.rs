//! What an invocation was woken for, all its deliveries together.

use std::collections::BTreeSet;

use lambda_kit::FailedMessages;
use lambda_kit::wake::{AuthorityEvent, CertificateEvent, CertificateWake, Delivery, Payload};
use mesh::rotation::renewal_reason;
use serde_json::{Value, json};

/// What the events say that can't be read anywhere.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Wake {
    /// What private CAs have withdrawn, as they call it: there is no list of it.
    pub(crate) revoked: BTreeSet<String>,
    /// What a person has to know.
    pub(crate) for_people: Vec<ForPeople>,
    /// The messages of a queue, each with what it is about.
    messages: Vec<Message>,
}

/// A message of a queue.
#[derive(Clone, Debug, PartialEq)]
struct Message {
    id: String,
    /// The certificates and CAs that it names; `None` for a look at everything.
    about: Option<Vec<String>>,
    /// Whether it is the only source of a fact, so that no later run makes up for it.
    is_only_source: bool,
}

/// The resource of an account that concerns every certificate.
pub(crate) const EVERYTHING: &str = "meshes";

fn message(delivery: &Delivery) -> Option<Message> {
    let id = delivery.message_id.clone()?;
    match &delivery.payload {
        Payload::Tick => Some(Message { id, about: None, is_only_source: false }),
        Payload::Certificate(certificate) => {
            let revocation = CertificateEvent::Authority { did: AuthorityEvent::Revocation, failure: None };
            let is_only_source = certificate.event == revocation;
            Some(Message { id, about: Some(certificate.resources.clone()), is_only_source })
        }
        // They ask this function for nothing.
        Payload::Alarm(_)
        | Payload::Release(_)
        | Payload::Config(_)
        | Payload::MeshWrite(_)
        | Payload::Sweep { .. }
        | Payload::NotOurs { .. }
        | Payload::Unreadable { .. } => None,
    }
}

/// Something that only a person can do something about.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ForPeople {
    /// What it is about.
    pub(crate) resource: String,
    /// The stable code.
    pub(crate) code: &'static str,
    /// What happened and what to do.
    pub(crate) text: String,
    /// The facts.
    pub(crate) facts: Value,
}

impl Wake {
    pub(crate) fn of(deliveries: &[Delivery]) -> Self {
        let mut wake = Self::default();
        for delivery in deliveries {
            wake.messages.extend(message(delivery));
            match &delivery.payload {
                Payload::Certificate(certificate) => wake.hear(certificate),
                // Everything is looked at, whatever the event is; others' are reported before the handler is called.
                Payload::Alarm(_)
                | Payload::Tick
                | Payload::Release(_)
                | Payload::Config(_)
                | Payload::MeshWrite(_)
                | Payload::Sweep { .. }
                | Payload::NotOurs { .. }
                | Payload::Unreadable { .. } => {}
            }
        }
        wake
    }

    /// The messages that come again after these resources failed: those about them, and those that carry a fact which no
    /// later run can read. The schedule repeats everything else.
    pub(crate) fn of_failed<'a>(&self, resources: impl Iterator<Item = &'a str>) -> FailedMessages {
        let mut failed = BTreeSet::new();
        for resource in resources {
            if resource == EVERYTHING {
                return FailedMessages::All;
            }
            let names = |about: &Vec<String>| about.iter().any(|name| resource.contains(name.as_str()));
            let asks = |message: &&Message| message.is_only_source || message.about.as_ref().is_none_or(names);
            failed.extend(self.messages.iter().filter(asks).map(|message| message.id.clone()));
        }
        FailedMessages::Only(failed)
    }

    fn hear(&mut self, wake: &CertificateWake) {
        let resource = wake.resources.first().cloned().unwrap_or_default();
        match &wake.event {
            CertificateEvent::RenewalActionRequired { reason } => {
                let code = reason.as_deref().unwrap_or("OTHER");
                let text = format!("ACM can't renew {resource} ({code}): {}", renewal_reason(code));
                let facts = json!({ "renewalStatusReason": code, "meaning": renewal_reason(code) });
                self.for_people.push(ForPeople { resource, code: "RenewalActionRequired", text, facts });
            }
            CertificateEvent::Authority { did: AuthorityEvent::Revocation, failure: None } => {
                self.revoked.extend(wake.resources.iter().filter(|one| one.contains("/certificate/")).cloned());
            }
            CertificateEvent::Authority { did, failure: Some(failure) } => {
                let text = format!("the private CA {resource} failed: {failure}");
                let facts = json!({ "did": did, "failure": failure });
                self.for_people.push(ForPeople { resource, code: "AuthorityFailed", text, facts });
            }
            CertificateEvent::ApproachingExpiration { .. }
            | CertificateEvent::Expired
            | CertificateEvent::Available { .. }
            | CertificateEvent::Revoked
            | CertificateEvent::Rotated
            | CertificateEvent::Authority { failure: None, .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_messages_about_what_failed_and_sole_sources_come_again() {
        let acm =
            |id: &str| json!({ "detail-type": "ACM Certificate Expired", "source": "aws.acm", "resources": [id] });
        let revoked = json!({ "detail-type": "ACM Private CA Certificate Revocation", "source": "aws.acm-pca",
            "resources": ["ca", "ca/certificate/9"], "detail": { "result": "success" } });
        let tick = json!({ "detail-type": "Scheduled Event", "source": "aws.events" });
        let bodies = [("a", acm("arn:a")), ("b", acm("arn:b")), ("revoked", revoked), ("tick", tick)];
        let record =
            |(id, body): (&str, Value)| json!({ "eventSource": "aws:sqs", "messageId": id, "body": body.to_string() });
        let wake = Wake::of(&lambda_kit::wake::parse(&json!({ "Records": bodies.map(record) })));
        let only = |ids: &[&str]| FailedMessages::Only(ids.iter().map(|id| (*id).to_owned()).collect());
        for (failed, expected) in [
            (&["certificate/arn:a"][..], only(&["a", "revoked", "tick"])),
            (&["bundle/shop"], only(&["revoked", "tick"])),
            (&["certificate/arn:b", "certificate/arn:a"], only(&["a", "b", "revoked", "tick"])),
            (&[EVERYTHING], FailedMessages::All),
            (&[], only(&[])),
        ] {
            assert_eq!(wake.of_failed(failed.iter().copied()), expected, "{failed:?}");
        }
    }
}
