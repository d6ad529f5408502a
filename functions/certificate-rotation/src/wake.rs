//! What an invocation was woken for, all its deliveries together.

use std::collections::BTreeSet;

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
