//! The facts that only the deliveries of an invocation carry, with the messages that carry them.

use std::collections::{BTreeMap, BTreeSet};

use decisions::rotation::renewal_reason;
use runner::RequestedBy;
use runner::events::{AuthorityEvent, CertificateEvent, CertificateMessage, Delivery, Payload};
use serde_json::{Value, json};

/// The message of a delivery; `None` for an event without a queue.
pub(crate) type MessageId = Option<String>;

/// The facts from the events of an invocation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trigger {
    /// The certificates that private CAs have revoked, by the CA's name for them: no API lists them.
    pub(crate) revoked: BTreeMap<String, BTreeSet<MessageId>>,
    /// The events that an operator has to know, by the subject of the record.
    pub(crate) notices: BTreeMap<String, Vec<EventNotice>>,
    /// The subjects with a failure that has passed.
    pub(crate) healed: BTreeSet<String>,
    /// The messages of a queue, each with the resources that it names.
    messages: Vec<Message>,
    /// Whether an event came without a queue.
    is_direct: bool,
}

/// A message of a queue.
#[derive(Clone, Debug, PartialEq)]
struct Message {
    id: String,
    /// The certificates and CAs that it names; `None` for a request to read everything.
    about: Option<Vec<String>>,
}

/// The subject that concerns every certificate: the list of meshes.
pub(crate) const EVERYTHING: &str = "meshes";

fn message(delivery: &Delivery) -> Option<Message> {
    let id = delivery.message_id.clone()?;
    match &delivery.payload {
        Payload::Tick => Some(Message { id, about: None }),
        Payload::Certificate(certificate) => Some(Message { id, about: Some(certificate.resources.clone()) }),
        // These payloads request no work from this function.
        Payload::Alarm(_)
        | Payload::Release(_)
        | Payload::Config(_)
        | Payload::MeshWrite(_)
        | Payload::Rollout(_)
        | Payload::Sweep { .. }
        | Payload::Drill(_)
        | Payload::NotOurs { .. }
        | Payload::Unreadable { .. } => None,
    }
}

/// An event that only an operator can resolve.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EventNotice {
    /// The ARN of the certificate or the private CA.
    pub(crate) resource: String,
    /// The stable code.
    pub(crate) code: &'static str,
    /// A key that differs from the keys of other events about the same resource; repeats of an event have the same key.
    pub(crate) key: String,
    /// The event and its remedy.
    pub(crate) text: String,
    /// The facts of the event.
    pub(crate) facts: Value,
    /// The message that delivered it.
    pub(crate) message: MessageId,
}

/// The subject of the record of a private CA.
pub(crate) fn authority_subject(arn: &str) -> String {
    format!("authority:{arn}")
}

/// The subject of the record of a certificate in ACM.
pub(crate) fn certificate_subject(arn: &str) -> String {
    format!("acm:{arn}")
}

impl Trigger {
    pub(crate) fn new(deliveries: &[Delivery]) -> Self {
        let mut trigger = Self::default();
        for delivery in deliveries {
            trigger.messages.extend(message(delivery));
            trigger.is_direct |= delivery.message_id.is_none();
            // Every event leads to a full read; foreign events are reported before the handler is called.
            if let Payload::Certificate(certificate) = &delivery.payload {
                trigger.read(certificate, &delivery.message_id);
            }
        }
        trigger
    }

    /// The deliveries that a failure of a resource affects: the messages about it. The schedule repeats everything else.
    /// An event without a queue is affected by every failure.
    pub(crate) fn requested_by(&self, resource: &str) -> RequestedBy {
        let names = |about: &Vec<String>| about.iter().any(|name| resource.contains(name.as_str()));
        let is_about = |message: &&Message| resource == EVERYTHING || message.about.as_ref().is_none_or(names);
        let messages = self.messages.iter().filter(is_about).map(|message| Some(message.id.clone()));
        messages.chain(self.is_direct.then_some(None)).collect()
    }

    fn read(&mut self, certificate: &CertificateMessage, message: &MessageId) {
        let resource = certificate.resources.first().cloned().unwrap_or_default();
        match &certificate.event {
            CertificateEvent::RenewalActionRequired { reason } => {
                let code = reason.as_deref().unwrap_or("OTHER");
                let text = format!("ACM can't renew {resource} ({code}): {}", renewal_reason(code));
                let facts = json!({ "renewalStatusReason": code, "meaning": renewal_reason(code) });
                let subject = certificate_subject(&resource);
                self.add(subject, resource, "RenewalActionRequired", code, (text, facts), message);
            }
            CertificateEvent::Authority { did: AuthorityEvent::Revocation, failure: None } => {
                for one in certificate.resources.iter().filter(|one| one.contains("/certificate/")) {
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
        // The record stores the key, so the text of a failure is cut to this length.
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
    fn only_messages_about_the_failed_resource_are_delivered_again() {
        let acm =
            |id: &str| json!({ "detail-type": "ACM Certificate Expired", "source": "aws.acm", "resources": [id] });
        let revoked = json!({ "detail-type": "ACM Private CA Certificate Revocation", "source": "aws.acm-pca",
            "resources": ["arn:ca", "arn:ca/certificate/9"], "detail": { "result": "success" } });
        let tick = json!({ "detail-type": "Scheduled Event", "source": "aws.events" });
        let bodies = [("a", acm("arn:a")), ("b", acm("arn:b")), ("revoked", revoked), ("tick", tick.clone())];
        let record =
            |(id, body): (&str, Value)| json!({ "eventSource": "aws:sqs", "messageId": id, "body": body.to_string() });
        let trigger = Trigger::new(&runner::events::parse(&json!({ "Records": bodies.map(record) })));
        for (resource, expected) in [
            ("acm:arn:a", &["a", "tick"][..]),
            ("bundle/shop", &["tick"]),
            (EVERYTHING, &["a", "b", "revoked", "tick"]),
        ] {
            let expected: RequestedBy = expected.iter().map(|id| Some((*id).to_owned())).collect();
            assert_eq!(trigger.requested_by(resource), expected, "{resource}");
        }
        let direct = Trigger::new(&runner::events::parse(&tick));
        assert_eq!(direct.requested_by("acm:arn:a"), RequestedBy::delivery(None));
    }
}
