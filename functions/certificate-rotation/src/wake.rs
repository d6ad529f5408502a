//! What the deliveries of an invocation say that can't be read anywhere, and which of them alone say it.

use std::collections::{BTreeMap, BTreeSet};

use lambda_kit::FailedMessages;
use lambda_kit::wake::{AuthorityEvent, CertificateEvent, CertificateWake, Delivery, Payload};
use mesh::rotation::renewal_reason;
use serde_json::{Value, json};

/// The message that delivered something; `None` for an event that came without a queue.
pub(crate) type MessageId = Option<String>;

/// What the events of an invocation say.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Wake {
    /// The certificates that private CAs have revoked, as the CA names them: there is no list of them.
    pub(crate) revoked: BTreeMap<String, BTreeSet<MessageId>>,
    /// What an operator has to know, by the subject of its record.
    pub(crate) notices: BTreeMap<String, Vec<EventNotice>>,
    /// Subjects of which something that failed works again.
    pub(crate) healed: BTreeSet<String>,
    /// The messages of a queue, each with what it is about.
    messages: Vec<Message>,
}

/// A message of a queue.
#[derive(Clone, Debug, PartialEq)]
struct Message {
    id: String,
    /// The certificates and CAs that it names; `None` for a request to read everything.
    about: Option<Vec<String>>,
}

/// The resource of an account that concerns every certificate.
pub(crate) const EVERYTHING: &str = "meshes";

fn message(delivery: &Delivery) -> Option<Message> {
    let id = delivery.message_id.clone()?;
    match &delivery.payload {
        Payload::Tick => Some(Message { id, about: None }),
        Payload::Certificate(certificate) => Some(Message { id, about: Some(certificate.resources.clone()) }),
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

/// Something that only an operator can resolve.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EventNotice {
    /// What it is about: the ARN of a certificate or of a private CA.
    pub(crate) resource: String,
    /// The stable code.
    pub(crate) code: &'static str,
    /// What tells it from other events about the same; repeats of an event have the same.
    pub(crate) key: String,
    /// What happened and what to do.
    pub(crate) text: String,
    /// The facts.
    pub(crate) facts: Value,
    /// The message that delivered it.
    pub(crate) message: MessageId,
}

/// What the record of a private CA is called.
pub(crate) fn authority_subject(arn: &str) -> String {
    format!("authority:{arn}")
}

/// What the record of a certificate in ACM is called.
pub(crate) fn certificate_subject(arn: &str) -> String {
    format!("acm:{arn}")
}

impl Wake {
    pub(crate) fn of(deliveries: &[Delivery]) -> Self {
        let mut wake = Self::default();
        for delivery in deliveries {
            wake.messages.extend(message(delivery));
            // Everything is read, whatever the event is; others' are reported before the handler is called.
            if let Payload::Certificate(certificate) = &delivery.payload {
                wake.read(certificate, &delivery.message_id);
            }
        }
        wake
    }

    /// The messages that come again after these resources failed: those about them, and those of which a fact is not
    /// stored, since no later run can read it. The schedule repeats everything else.
    pub(crate) fn failed<'a>(
        &self,
        resources: impl Iterator<Item = &'a str>,
        unstored: &BTreeSet<MessageId>,
    ) -> FailedMessages {
        let mut failed: BTreeSet<String> = unstored.iter().flatten().cloned().collect();
        for resource in resources {
            if resource == EVERYTHING {
                return FailedMessages::All;
            }
            let names = |about: &Vec<String>| about.iter().any(|name| resource.contains(name.as_str()));
            let asks = |message: &&Message| message.about.as_ref().is_none_or(names);
            failed.extend(self.messages.iter().filter(asks).map(|message| message.id.clone()));
        }
        FailedMessages::Only(failed)
    }

    fn read(&mut self, wake: &CertificateWake, message: &MessageId) {
        let resource = wake.resources.first().cloned().unwrap_or_default();
        match &wake.event {
            CertificateEvent::RenewalActionRequired { reason } => {
                let code = reason.as_deref().unwrap_or("OTHER");
                let text = format!("ACM can't renew {resource} ({code}): {}", renewal_reason(code));
                let facts = json!({ "renewalStatusReason": code, "meaning": renewal_reason(code) });
                let subject = certificate_subject(&resource);
                self.add(subject, resource, "RenewalActionRequired", code, (text, facts), message);
            }
            CertificateEvent::Authority { did: AuthorityEvent::Revocation, failure: None } => {
                for one in wake.resources.iter().filter(|one| one.contains("/certificate/")) {
                    self.revoked.entry(one.clone()).or_default().insert(message.clone());
                }
            }
            CertificateEvent::Authority { did, failure: Some(failure) } => {
                let text = format!("the private CA {resource} failed: {failure}");
                let facts = json!({ "did": did, "failure": failure });
                let subject = authority_subject(&resource);
                self.add(subject, resource, "AuthorityFailed", failure, (text, facts), message);
            }
            CertificateEvent::Authority { failure: None, .. } => {
                self.healed.insert(authority_subject(&resource));
            }
            CertificateEvent::ApproachingExpiration { .. }
            | CertificateEvent::Expired
            | CertificateEvent::Available { .. }
            | CertificateEvent::Revoked
            | CertificateEvent::Rotated => {}
        }
    }

    fn add(
        &mut self,
        subject: String,
        resource: String,
        code: &'static str,
        detail: &str,
        (text, facts): (String, Value),
        message: &MessageId,
    ) {
        // A record holds it: the text of a failure is cut where that is long.
        let key: String = format!("{code} {detail}").chars().take(200).collect();
        let notice = EventNotice { resource, code, key, text, facts, message: message.clone() };
        let known = self.notices.entry(subject).or_default();
        known.push(notice);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_messages_about_what_failed_and_with_unstored_facts_come_again() {
        let acm =
            |id: &str| json!({ "detail-type": "ACM Certificate Expired", "source": "aws.acm", "resources": [id] });
        let revoked = json!({ "detail-type": "ACM Private CA Certificate Revocation", "source": "aws.acm-pca",
            "resources": ["arn:ca", "arn:ca/certificate/9"], "detail": { "result": "success" } });
        let tick = json!({ "detail-type": "Scheduled Event", "source": "aws.events" });
        let bodies = [("a", acm("arn:a")), ("b", acm("arn:b")), ("revoked", revoked), ("tick", tick)];
        let record =
            |(id, body): (&str, Value)| json!({ "eventSource": "aws:sqs", "messageId": id, "body": body.to_string() });
        let wake = Wake::of(&lambda_kit::wake::parse(&json!({ "Records": bodies.map(record) })));
        let only = |ids: &[&str]| FailedMessages::Only(ids.iter().map(|id| (*id).to_owned()).collect());
        let fact = BTreeSet::from([Some("revoked".to_owned())]);
        let nothing = BTreeSet::new();
        for (failed, unstored, expected) in [
            (&["acm:arn:a"][..], &nothing, only(&["a", "tick"])),
            (&["bundle/shop"], &fact, only(&["revoked", "tick"])),
            (&["acm:arn:b", "acm:arn:a"], &nothing, only(&["a", "b", "tick"])),
            (&[EVERYTHING], &nothing, FailedMessages::All),
            (&[], &fact, only(&["revoked"])),
            (&[], &nothing, only(&[])),
        ] {
            assert_eq!(wake.failed(failed.iter().copied(), unstored), expected, "{failed:?} {unstored:?}");
        }
    }
}
