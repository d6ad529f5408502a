//! Converts ACM's descriptions into the types of the ports, with every enum mapped once.

use aws_sdk_acm::types::{
    CertificateDetail, CertificateStatus as SdkStatus, CertificateSummary, CertificateType, RenewalEligibility,
    RenewalStatus, RenewalSummary,
};
use ports::certificates::{
    AuthorityArn, CertificateArn, CertificateKind, CertificateListed, CertificateStatus, Eligibility, KeyAlgorithm,
    Renewal, RenewalState, StoredCertificate,
};

use super::moment;

/// A required member that is missing in a response.
#[derive(Debug, thiserror::Error)]
#[error("the response has no readable {0}")]
pub(super) struct Missing(&'static str);

pub(super) fn listed(summary: &CertificateSummary) -> Result<CertificateListed, Missing> {
    Ok(CertificateListed {
        arn: arn(summary.certificate_arn())?,
        kind: kind(summary.r#type()),
        status: status(summary.status()),
        not_after: moment(summary.not_after()),
        exported: summary.exported(),
    })
}

pub(super) fn described(detail: &CertificateDetail) -> Result<StoredCertificate, Missing> {
    Ok(StoredCertificate {
        arn: arn(detail.certificate_arn())?,
        kind: kind(detail.r#type()),
        status: status(detail.status()),
        failure: detail.failure_reason().map(|reason| reason.as_str().to_owned()),
        common_name: detail.domain_name().unwrap_or_default().to_owned(),
        names: detail.subject_alternative_names().to_vec(),
        key_algorithm: detail.key_algorithm().map(|key| KeyAlgorithm::named(key.as_str())),
        serial: detail.serial().map(ToOwned::to_owned),
        not_before: moment(detail.not_before()),
        not_after: moment(detail.not_after()),
        in_use_by: detail.in_use_by().to_vec(),
        eligibility: detail.renewal_eligibility().and_then(eligibility),
        renewal: detail.renewal_summary().and_then(renewal),
        authority: detail
            .certificate_authority_arn()
            .map(AuthorityArn::parse)
            .transpose()
            .map_err(|_| Missing("certificate authority"))?,
    })
}

fn arn(text: Option<&str>) -> Result<CertificateArn, Missing> {
    text.and_then(|text| CertificateArn::parse(text).ok()).ok_or(Missing("certificate ARN"))
}

fn kind(kind: Option<&CertificateType>) -> CertificateKind {
    match kind {
        Some(CertificateType::AmazonIssued) => CertificateKind::AmazonIssued,
        Some(CertificateType::Private) => CertificateKind::Private,
        Some(CertificateType::Imported) => CertificateKind::Imported,
        Some(other) => CertificateKind::Unrecognised(other.as_str().to_owned()),
        None => CertificateKind::Unrecognised(String::new()),
    }
}

fn status(status: Option<&SdkStatus>) -> CertificateStatus {
    match status {
        Some(SdkStatus::PendingValidation) => CertificateStatus::PendingValidation,
        Some(SdkStatus::Issued) => CertificateStatus::Issued,
        Some(SdkStatus::Inactive) => CertificateStatus::Inactive,
        Some(SdkStatus::Expired) => CertificateStatus::Expired,
        Some(SdkStatus::ValidationTimedOut) => CertificateStatus::ValidationTimedOut,
        Some(SdkStatus::Revoked) => CertificateStatus::Revoked,
        Some(SdkStatus::Failed) => CertificateStatus::Failed,
        Some(other) => CertificateStatus::Unrecognised(other.as_str().to_owned()),
        None => CertificateStatus::Unrecognised(String::new()),
    }
}

fn eligibility(eligibility: &RenewalEligibility) -> Option<Eligibility> {
    match eligibility {
        RenewalEligibility::Eligible => Some(Eligibility::Eligible),
        RenewalEligibility::Ineligible => Some(Eligibility::Ineligible),
        // Neither of the two known values.
        _ => None,
    }
}

fn renewal(summary: &RenewalSummary) -> Option<Renewal> {
    let state = match summary.renewal_status() {
        RenewalStatus::PendingAutoRenewal => RenewalState::PendingAutoRenewal,
        RenewalStatus::PendingValidation => RenewalState::PendingValidation,
        RenewalStatus::Success => RenewalState::Success,
        RenewalStatus::Failed => RenewalState::Failed,
        other => RenewalState::Unrecognised(other.as_str().to_owned()),
    };
    let reason = summary.renewal_status_reason().map(|reason| reason.as_str().to_owned());
    Some(Renewal { state, reason, at: moment(Some(summary.updated_at()))? })
}
