use async_trait::async_trait;
use aws_sdk_acmpca::Client;
use aws_sdk_acmpca::operation::get_certificate::GetCertificateError;
use aws_sdk_acmpca::primitives::Blob;
use aws_sdk_acmpca::types::{
    CertificateAuthority as SdkAuthority, CertificateAuthorityStatus, CertificateAuthorityType,
    CertificateAuthorityUsageMode, SigningAlgorithm as SdkSigningAlgorithm, Validity, ValidityPeriodType,
};
use ports::certificates::{
    Authority, AuthorityArn, AuthorityKind, AuthorityStatus, AuthorityUsage, CertificateAuthority, Chain, Issuance,
    IssuedArn, KeyAlgorithm, Order, SigningAlgorithm,
};
use ports::{PortError, PortErrorKind};

use super::moment;
use crate::call::{call, classify, within_deadline};

/// Private CAs in ACM Private CA.
#[derive(Clone, Debug)]
pub struct PrivateCa {
    client: Client,
}

impl PrivateCa {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }
}

#[async_trait]
impl CertificateAuthority for PrivateCa {
    async fn describe(&self, authority: &AuthorityArn) -> Result<Authority, PortError> {
        let what = || format!("describe authority {authority}");
        let request = self.client.describe_certificate_authority().certificate_authority_arn(authority.as_str());
        let answer = call(what, request.send()).await?;
        let facts = answer.certificate_authority.ok_or_else(|| unreadable(what(), &"it has no authority"))?;
        Ok(described(authority, &facts))
    }

    async fn certificate(&self, authority: &AuthorityArn) -> Result<Chain, PortError> {
        let what = || format!("read the certificate of authority {authority}");
        let request = self.client.get_certificate_authority_certificate();
        let answer = call(what, request.certificate_authority_arn(authority.as_str()).send()).await?;
        chain(what, answer.certificate, answer.certificate_chain)
    }

    async fn issue(&self, order: &Order) -> Result<IssuedArn, PortError> {
        let Order { authority, request, template, signing, not_after, token } = order;
        let what = || format!("issue under {authority}");
        let until = Validity::builder().r#type(ValidityPeriodType::Absolute).value(not_after.as_second()).build();
        let until = until.map_err(|error| PortError::new(what(), PortErrorKind::Other, error.to_string()))?;
        let template = format!("arn:{}:acm-pca:::template/{}", authority.partition(), template.name());
        let sent = self.client.issue_certificate().certificate_authority_arn(authority.as_str());
        let sent = sent.csr(Blob::new(request.as_bytes())).signing_algorithm(signs(*signing));
        let sent = sent.template_arn(template).validity(until).idempotency_token(token.as_str());
        let answer = call(what, sent.send()).await?;
        let arn = answer.certificate_arn().ok_or_else(|| unreadable(what(), &"it names no certificate"))?;
        IssuedArn::parse(arn).map_err(|error| unreadable(what(), &error))
    }

    async fn issued(&self, certificate: &IssuedArn) -> Result<Issuance, PortError> {
        let what = || format!("read the issued certificate {certificate}");
        let request = self.client.get_certificate().certificate_authority_arn(certificate.authority().as_str());
        match within_deadline(what, request.certificate_arn(certificate.as_str()).send()).await? {
            Ok(answer) => Ok(Issuance::Issued(chain(what, answer.certificate, answer.certificate_chain)?)),
            Err(error) => match error.as_service_error() {
                Some(GetCertificateError::RequestInProgressException(_)) => Ok(Issuance::InProgress),
                Some(GetCertificateError::RequestFailedException(why)) => {
                    Ok(Issuance::Failed { reason: why.message().unwrap_or("the CA gave no reason").to_owned() })
                }
                _ => Err(classify(what(), error)),
            },
        }
    }
}

fn chain(what: impl Fn() -> String, certificate: Option<String>, issuers: Option<String>) -> Result<Chain, PortError> {
    let leaf = certificate.filter(|pem| !pem.is_empty());
    let leaf = leaf.ok_or_else(|| unreadable(what(), &"it has no certificate"))?;
    Ok(Chain { leaf, issuers: issuers.unwrap_or_default() })
}

fn described(arn: &AuthorityArn, facts: &SdkAuthority) -> Authority {
    let configuration = facts.certificate_authority_configuration();
    Authority {
        arn: arn.clone(),
        kind: match facts.r#type() {
            Some(CertificateAuthorityType::Root) => AuthorityKind::Root,
            Some(CertificateAuthorityType::Subordinate) => AuthorityKind::Subordinate,
            other => AuthorityKind::Unrecognised(text(other.map(CertificateAuthorityType::as_str))),
        },
        status: match facts.status() {
            Some(CertificateAuthorityStatus::Creating) => AuthorityStatus::Creating,
            Some(CertificateAuthorityStatus::PendingCertificate) => AuthorityStatus::PendingCertificate,
            Some(CertificateAuthorityStatus::Active) => AuthorityStatus::Active,
            Some(CertificateAuthorityStatus::Deleted) => AuthorityStatus::Deleted,
            Some(CertificateAuthorityStatus::Disabled) => AuthorityStatus::Disabled,
            Some(CertificateAuthorityStatus::Expired) => AuthorityStatus::Expired,
            Some(CertificateAuthorityStatus::Failed) => AuthorityStatus::Failed,
            other => AuthorityStatus::Unrecognised(text(other.map(CertificateAuthorityStatus::as_str))),
        },
        usage: match facts.usage_mode() {
            Some(CertificateAuthorityUsageMode::GeneralPurpose) => AuthorityUsage::GeneralPurpose,
            Some(CertificateAuthorityUsageMode::ShortLivedCertificate) => AuthorityUsage::ShortLived,
            other => AuthorityUsage::Unrecognised(text(other.map(CertificateAuthorityUsageMode::as_str))),
        },
        common_name: configuration
            .and_then(|configuration| configuration.subject())
            .and_then(|subject| subject.common_name())
            .map(ToOwned::to_owned),
        key_algorithm: configuration.map(|configuration| KeyAlgorithm::named(configuration.key_algorithm().as_str())),
        not_before: moment(facts.not_before()),
        not_after: moment(facts.not_after()),
    }
}

fn signs(signing: SigningAlgorithm) -> SdkSigningAlgorithm {
    match signing {
        SigningAlgorithm::Sha256WithEcdsa => SdkSigningAlgorithm::Sha256Withecdsa,
        SigningAlgorithm::Sha384WithEcdsa => SdkSigningAlgorithm::Sha384Withecdsa,
        SigningAlgorithm::Sha256WithRsa => SdkSigningAlgorithm::Sha256Withrsa,
        SigningAlgorithm::Sha384WithRsa => SdkSigningAlgorithm::Sha384Withrsa,
    }
}

/// Converts an optional text; a missing one becomes empty.
fn text(found: Option<&str>) -> String {
    found.unwrap_or_default().to_owned()
}

fn unreadable(call: String, why: &dyn std::fmt::Display) -> PortError {
    PortError::new(call, PortErrorKind::Other, format!("the response of ACM Private CA can't be read: {why}"))
}
