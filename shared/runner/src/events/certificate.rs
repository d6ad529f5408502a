//! Events of ACM and of ACM Private CA. Their delivery is best effort, so they are only triggers, and little of their
//! content is used.

use serde_json::Value;

use super::bus_event::BusEvent;
use super::reading::{Flaw, join, shortened};
use super::{AuthorityEvent, CertificateEvent, CertificateMessage, Payload};

/// Whether an event comes from these services and has a known type.
pub(super) fn is_one(source: &str, detail_type: &str) -> bool {
    match source {
        "aws.acm" => detail_type.starts_with("ACM Certificate "),
        "aws.acm-pca" => authority(detail_type).is_some(),
        _ => false,
    }
}

/// Parses an event. Only `resources` is required; audit reports have a bare id there.
pub(super) fn read_event(event: &BusEvent<'_>) -> Result<Payload, Flaw> {
    let resources = event.resources().ok_or_else(|| Flaw::missing(event.at(), "resources"))?.to_vec();
    if resources.is_empty() {
        return Err(Flaw::new(&join(event.at(), "resources"), "it names nothing"));
    }
    let member = |name: &str| event.raw_detail().ok().and_then(|detail| detail.get(name));
    let text = |name: &str| member(name).and_then(Value::as_str).map(str::to_owned);
    let number = |name: &str| member(name).and_then(Value::as_i64);
    let what = match event.detail_type() {
        "ACM Certificate Approaching Expiration" => {
            CertificateEvent::ApproachingExpiration { days: number("DaysToExpiry") }
        }
        "ACM Certificate Expired" => CertificateEvent::Expired,
        "ACM Certificate Available" => CertificateEvent::Available { action: text("Action") },
        "ACM Certificate Renewal Action Required" => {
            CertificateEvent::RenewalActionRequired { reason: text("RenewalStatusReason") }
        }
        "ACM Certificate Revoked" => CertificateEvent::Revoked,
        "ACM Certificate Rotated" => CertificateEvent::Rotated,
        other => match authority(other) {
            Some(did) => {
                let failed = text("result").is_some_and(|result| result != "success");
                let failure = failed.then(|| text("reason").unwrap_or_else(|| "no reason is given".to_owned()));
                CertificateEvent::Authority { did, failure }
            }
            None => {
                return Ok(Payload::NotOurs { what: format!("`{}` of `aws.acm`", shortened(other)) });
            }
        },
    };
    Ok(Payload::Certificate(CertificateMessage { event: what, resources }))
}

fn authority(detail_type: &str) -> Option<AuthorityEvent> {
    match detail_type {
        "ACM Private CA Creation" => Some(AuthorityEvent::Creation),
        "ACM Private CA Certificate Issuance" => Some(AuthorityEvent::Issuance),
        "ACM Private CA Certificate Revocation" => Some(AuthorityEvent::Revocation),
        "ACM Private CA CRL Generation" => Some(AuthorityEvent::CrlGeneration),
        "ACM Private CA Audit Report Generation" => Some(AuthorityEvent::AuditReportGeneration),
        _ => None,
    }
}
