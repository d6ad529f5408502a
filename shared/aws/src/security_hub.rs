//! Imports findings into AWS Security Hub.

use std::collections::HashMap;

use async_trait::async_trait;
use aws_sdk_securityhub::Client;
use aws_sdk_securityhub::types::{
    AwsSecurityFinding, Compliance, ComplianceStatus, Partition, Recommendation, RecordState, Remediation, Resource,
    ResourceDetails, Severity, SeverityLabel,
};
use ports::{PortError, PortErrorKind, RefusedFinding, SecurityHub};
use serde::Deserialize;
use serde_json::Value;

use crate::call::call;
use crate::lazy::Lazy;

/// The maximum number of findings in one `BatchImportFindings`.
const BATCH: usize = 100;

/// The maximum size of a finding, in bytes: 240 KB.
const LARGEST: usize = 240_000;

/// The maximum size of a batch's findings, in bytes. A request may have 6 MB, including the parts around the findings.
const LARGEST_BATCH: usize = 5_000_000;

/// The adapter that imports findings into Security Hub.
#[derive(Clone, Debug)]
pub struct FindingsImport {
    client: Lazy<Client>,
}

impl FindingsImport {
    pub(crate) fn new(client: Lazy<Client>) -> Self {
        Self { client }
    }
}

#[async_trait]
impl SecurityHub for FindingsImport {
    async fn import(&self, findings: &[Value]) -> Result<Vec<RefusedFinding>, PortError> {
        let what = || format!("import {} findings into Security Hub", findings.len());
        let (batches, mut refused) = batches(findings);
        for batch in batches {
            let request = self.client.client().batch_import_findings().set_findings(Some(batch));
            let answer = call(what, request.send()).await?;
            // The call succeeds even when every one of its findings was refused.
            let failed = answer.failed_findings().iter().map(|failed| RefusedFinding {
                id: failed.id().unwrap_or_default().to_owned(),
                code: failed.error_code().unwrap_or_default().to_owned(),
                message: failed.error_message().unwrap_or_default().to_owned(),
            });
            let failed: Vec<RefusedFinding> = failed.collect();
            if let Some(passing) = failed.iter().find(|failed| is_transient(&failed.code)) {
                let message = format!("{} findings were refused: {} {}", failed.len(), passing.code, passing.message);
                return Err(PortError::new(what(), PortErrorKind::Unavailable, message));
            }
            refused.extend(failed);
        }
        Ok(refused)
    }
}

/// Whether the reason of a refusal is not in the finding itself, so that a later import may succeed.
fn is_transient(code: &str) -> bool {
    ["Internal", "Throttl", "LimitExceeded", "ServiceUnavailable"].iter().any(|part| code.contains(part))
}

/// Splits the findings into batches that the service accepts, and the findings that it would refuse.
fn batches(findings: &[Value]) -> (Vec<Vec<AwsSecurityFinding>>, Vec<RefusedFinding>) {
    let (mut batches, mut refused) = (Vec::new(), Vec::new());
    let (mut batch, mut size) = (Vec::new(), 0);
    for finding in findings {
        let bytes = finding.to_string().len();
        let read = if bytes > LARGEST {
            Err(("TooLarge", format!("it has {bytes} bytes of {LARGEST}")))
        } else {
            WrittenFinding::deserialize(finding)
                .map(WrittenFinding::finding)
                .map_err(|error| ("NotAFinding", error.to_string()))
        };
        match read {
            Ok(read) => {
                if batch.len() == BATCH || size + bytes > LARGEST_BATCH {
                    batches.push(std::mem::take(&mut batch));
                    size = 0;
                }
                batch.push(read);
                size += bytes;
            }
            Err((code, message)) => {
                let id = finding.get("Id").and_then(Value::as_str).unwrap_or_default().to_owned();
                refused.push(RefusedFinding { id, code: code.to_owned(), message });
            }
        }
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    (batches, refused)
}

/// The members of the format that our findings have. An unknown member is an error, so that no member is lost.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct WrittenFinding {
    schema_version: String,
    id: String,
    product_arn: String,
    product_name: Option<String>,
    generator_id: String,
    aws_account_id: String,
    types: Vec<String>,
    first_observed_at: Option<String>,
    last_observed_at: Option<String>,
    created_at: String,
    updated_at: String,
    severity: WrittenSeverity,
    title: String,
    description: String,
    remediation: Option<WrittenRemediation>,
    compliance: WrittenCompliance,
    resources: Vec<WrittenResource>,
    record_state: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct WrittenSeverity {
    label: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct WrittenRemediation {
    recommendation: WrittenRecommendation,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct WrittenRecommendation {
    text: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct WrittenCompliance {
    status: String,
    related_requirements: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct WrittenResource {
    r#type: String,
    id: String,
    partition: String,
    region: String,
    details: WrittenDetails,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct WrittenDetails {
    other: HashMap<String, String>,
}

impl WrittenFinding {
    fn finding(self) -> AwsSecurityFinding {
        let compliance = Compliance::builder()
            .status(ComplianceStatus::from(self.compliance.status.as_str()))
            .set_related_requirements(self.compliance.related_requirements)
            .build();
        let remediation = self.remediation.map(|remediation| {
            let text = Recommendation::builder().text(remediation.recommendation.text).build();
            Remediation::builder().recommendation(text).build()
        });
        let resources = self.resources.into_iter().map(WrittenResource::resource).collect();
        AwsSecurityFinding::builder()
            .schema_version(self.schema_version)
            .id(self.id)
            .product_arn(self.product_arn)
            .set_product_name(self.product_name)
            .generator_id(self.generator_id)
            .aws_account_id(self.aws_account_id)
            .set_types(Some(self.types))
            .set_first_observed_at(self.first_observed_at)
            .set_last_observed_at(self.last_observed_at)
            .created_at(self.created_at)
            .updated_at(self.updated_at)
            .severity(Severity::builder().label(SeverityLabel::from(self.severity.label.as_str())).build())
            .title(self.title)
            .description(self.description)
            .set_remediation(remediation)
            .compliance(compliance)
            .set_resources(Some(resources))
            .record_state(RecordState::from(self.record_state.as_str()))
            .build()
    }
}

impl WrittenResource {
    fn resource(self) -> Resource {
        Resource::builder()
            .r#type(self.r#type)
            .id(self.id)
            .partition(Partition::from(self.partition.as_str()))
            .region(self.region)
            .details(ResourceDetails::builder().set_other(Some(self.details.other)).build())
            .build()
    }
}
