use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_acm::Client;
use aws_sdk_acm::config::Builder;
use aws_sdk_acm::config::retry::RetryConfig;
use aws_sdk_acm::operation::get_certificate::GetCertificateError;
use aws_sdk_acm::primitives::Blob;
use aws_sdk_acm::types::{Filters, KeyAlgorithm as SdkKeyAlgorithm, Tag};
use ports::certificates::{
    CertificateArn, CertificateListed, CertificateStore, Chain, ExportedCertificate, Import, PrivateRequest,
    StoredCertificate,
};
use ports::{PortError, PortErrorKind};
use zeroize::Zeroizing;

use super::{ROTATE, described, exported_key, if_tagged, quietly};
use crate::call::{call, classify, within_deadline};

/// Certificates in ACM.
#[derive(Clone, Debug)]
pub struct Acm {
    client: Client,
}

impl Acm {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }
}

#[async_trait]
impl CertificateStore for Acm {
    async fn list(&self) -> Result<Vec<CertificateListed>, PortError> {
        let what = || "list certificates".to_owned();
        // Without this ACM lists RSA keys of 1024 and 2048 bits only.
        let every = SdkKeyAlgorithm::values().iter().map(|key| SdkKeyAlgorithm::from(*key)).collect();
        let every = Filters::builder().set_key_types(Some(every)).build();
        let pages = self
            .client
            .list_certificates()
            .includes(every)
            .into_paginator()
            .stop_on_duplicate_token(false)
            .items()
            .send();
        let summaries = call(what, pages.collect::<Result<Vec<_>, _>>()).await?;
        // A list with an unreadable item is an error: a certificate that is left out would look deleted.
        summaries.iter().map(described::listed).collect::<Result<_, _>>().map_err(|error| unreadable(what(), &error))
    }

    async fn describe(&self, arn: &CertificateArn) -> Result<StoredCertificate, PortError> {
        let what = || format!("describe certificate {arn}");
        let answer = call(what, self.client.describe_certificate().certificate_arn(arn.as_str()).send()).await?;
        let detail = answer.certificate.ok_or_else(|| unreadable(what(), &"it has no certificate"))?;
        described::described(&detail).map_err(|error| unreadable(what(), &error))
    }

    async fn chain(&self, arn: &CertificateArn) -> Result<Option<Chain>, PortError> {
        let what = || format!("read certificate {arn}");
        match within_deadline(what, self.client.get_certificate().certificate_arn(arn.as_str()).send()).await? {
            Ok(answer) => {
                let leaf = answer.certificate.ok_or_else(|| unreadable(what(), &"it has no certificate"))?;
                Ok(Some(Chain { leaf, issuers: answer.certificate_chain.unwrap_or_default() }))
            }
            Err(error)
                if error.as_service_error().is_some_and(GetCertificateError::is_request_in_progress_exception) =>
            {
                Ok(None)
            }
            Err(error) => Err(classify(what(), error)),
        }
    }

    async fn export(&self, arn: &CertificateArn) -> Result<ExportedCertificate, PortError> {
        let what = || format!("export certificate {arn}");
        let passphrase = exported_key::passphrase();
        let request = self.client.export_certificate().certificate_arn(arn.as_str());
        let request = request.passphrase(Blob::new(passphrase.as_bytes()));
        let answer = call(what, quietly(request.send())).await.map_err(if_tagged(ROTATE))?;
        let encrypted = Zeroizing::new(answer.private_key.unwrap_or_default());
        let leaf = answer.certificate.ok_or_else(|| unreadable(what(), &"it has no certificate"))?;
        let key = exported_key::open(&encrypted, &passphrase).map_err(|error| unreadable(what(), &error))?;
        Ok(ExportedCertificate { chain: Chain { leaf, issuers: answer.certificate_chain.unwrap_or_default() }, key })
    }

    async fn renew(&self, arn: &CertificateArn) -> Result<(), PortError> {
        let request = self.client.renew_certificate().certificate_arn(arn.as_str());
        call(|| format!("renew certificate {arn}"), request.send()).await.map(drop).map_err(if_tagged(ROTATE))
    }

    async fn request(&self, request: &PrivateRequest) -> Result<CertificateArn, PortError> {
        let what = || format!("request a certificate for {}", request.common_name);
        let others = Some(request.other_names.clone()).filter(|names| !names.is_empty());
        let sent = self.client.request_certificate().domain_name(&request.common_name);
        let sent = sent.set_subject_alternative_names(others).certificate_authority_arn(request.authority.as_str());
        let sent = sent.key_algorithm(SdkKeyAlgorithm::from(request.key_algorithm.as_str()));
        let sent = sent.idempotency_token(request.token.as_str()).set_tags(tags(what, &request.tags)?);
        named(what, call(what, sent.send()).await?.certificate_arn())
    }

    async fn import(&self, import: &Import) -> Result<CertificateArn, PortError> {
        let subject = import.onto.as_ref().map_or("a new one", CertificateArn::as_str);
        let what = || format!("import certificate {subject}");
        let Import { onto, chain, key, tags: given } = import;
        let issuers = Some(chain.issuers.as_bytes()).filter(|issuers| !issuers.is_empty()).map(Blob::new);
        let sent = self.client.import_certificate().certificate(Blob::new(chain.leaf.as_bytes()));
        let sent = sent.set_certificate_chain(issuers).private_key(Blob::new(key.pem().as_bytes()));
        let sent = sent.set_certificate_arn(onto.as_ref().map(ToString::to_string)).set_tags(tags(what, given)?);
        // An import has no idempotency token: sent twice, a new certificate would be imported twice.
        let attempts =
            if onto.is_none() { Builder::new().retry_config(RetryConfig::disabled()) } else { Builder::new() };
        let imported = call(what, quietly(sent.customize().config_override(attempts).send())).await;
        named(what, imported.map_err(if_tagged(ROTATE))?.certificate_arn())
    }

    async fn delete(&self, arn: &CertificateArn) -> Result<(), PortError> {
        let request = self.client.delete_certificate().certificate_arn(arn.as_str());
        call(|| format!("delete certificate {arn}"), request.send()).await.map(drop)
    }

    async fn tags(&self, arn: &CertificateArn) -> Result<BTreeMap<String, String>, PortError> {
        let request = self.client.list_tags_for_certificate().certificate_arn(arn.as_str());
        let answer = call(|| format!("list tags of certificate {arn}"), request.send()).await?;
        let tags = answer.tags.unwrap_or_default().into_iter();
        Ok(tags.map(|tag| (tag.key, tag.value.unwrap_or_default())).collect())
    }

    async fn tag(&self, arn: &CertificateArn, given: &BTreeMap<String, String>) -> Result<(), PortError> {
        let what = || format!("tag certificate {arn}");
        let request = self.client.add_tags_to_certificate().certificate_arn(arn.as_str());
        call(what, request.set_tags(tags(what, given)?).send()).await.map(drop).map_err(if_tagged(ROTATE))
    }
}

fn named(what: impl Fn() -> String, arn: Option<&str>) -> Result<CertificateArn, PortError> {
    let arn = arn.ok_or_else(|| unreadable(what(), &"it names no certificate"))?;
    CertificateArn::parse(arn).map_err(|error| unreadable(what(), &error))
}

/// Converts tags; `None` without any, because ACM rejects an empty list.
fn tags(what: impl Fn() -> String, tags: &BTreeMap<String, String>) -> Result<Option<Vec<Tag>>, PortError> {
    let tag = |(key, value): (&String, &String)| Tag::builder().key(key).value(value).build();
    let tags = tags.iter().map(tag).collect::<Result<Vec<_>, _>>();
    let tags = tags.map_err(|error| PortError::new(what(), PortErrorKind::Other, error.to_string()))?;
    Ok(Some(tags).filter(|tags| !tags.is_empty()))
}

fn unreadable(call: String, why: &dyn std::fmt::Display) -> PortError {
    PortError::new(call, PortErrorKind::Other, format!("the response of ACM can't be read: {why}"))
}
