//! The rules of AWS Config.

use async_trait::async_trait;
use aws_sdk_config::Client;
use aws_sdk_config::operation::get_resource_config_history::GetResourceConfigHistoryError;
use aws_sdk_config::operation::put_evaluations::PutEvaluationsError;
use aws_sdk_config::types::{ComplianceType, ConfigurationItem, ResourceType};
use aws_smithy_types::DateTime;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use jiff::Timestamp;
use ports::{
    ConfigItem, ConfigResource, ConfigRules, Evaluation, ItemStatus, PortError, PortErrorKind, PutAnswer, ResultToken,
    RuleCompliance,
};

use crate::call::{Failed, classify, within_deadline};
use crate::lazy::Lazy;

/// The adapter of AWS Config.
#[derive(Clone, Debug)]
pub struct Config {
    client: Lazy<Client>,
}

impl Config {
    pub(crate) fn new(client: Lazy<Client>) -> Self {
        Self { client }
    }
}

#[async_trait]
impl ConfigRules for Config {
    async fn put_evaluations(&self, token: &ResultToken, evaluations: &[Evaluation]) -> Result<PutAnswer, PortError> {
        if evaluations.is_empty() {
            return Ok(PutAnswer::Taken { failed: Vec::new() });
        }
        let what = || format!("put {} evaluations", evaluations.len());
        let sent: Result<Vec<_>, _> = evaluations.iter().map(sdk_evaluation).collect();
        let sent = sent.map_err(|error| PortError::new(what(), PortErrorKind::Other, error.to_string()))?;
        let request = self
            .client
            .client()
            .put_evaluations()
            .result_token(token.as_str())
            .test_mode(token.is_test())
            .set_evaluations(Some(sent));
        let answer = match within_deadline(what, request.send()).await? {
            Ok(answer) => answer,
            Err(error) => return refusal(what, error),
        };
        let failed = answer.failed_evaluations.unwrap_or_default();
        let has_failed = |evaluation: &&Evaluation| {
            failed.iter().any(|failed| {
                failed.compliance_resource_type() == evaluation.resource.resource_type
                    && failed.compliance_resource_id() == evaluation.resource.resource_id
            })
        };
        Ok(PutAnswer::Taken { failed: evaluations.iter().filter(has_failed).cloned().collect() })
    }

    async fn newest_item(&self, resource: &ConfigResource) -> Result<Option<ConfigItem>, PortError> {
        let what = || format!("read the newest item of {}", resource.resource_id);
        let request = self
            .client
            .client()
            .get_resource_config_history()
            .resource_type(ResourceType::from(resource.resource_type.as_str()))
            .resource_id(&resource.resource_id)
            // The newest item comes first by default.
            .limit(1);
        match within_deadline(what, request.send()).await? {
            Ok(answer) => {
                let newest = answer.configuration_items.unwrap_or_default().into_iter().next();
                newest.map(|newest| item(resource, &newest, what)).transpose()
            }
            Err(error) if error.as_service_error().is_some_and(is_unknown) => Ok(None),
            Err(error) => Err(classify(what(), error)),
        }
    }
}

/// Converts the error of a request from which AWS Config stored nothing.
fn refusal(what: impl Fn() -> String, error: Failed<PutEvaluationsError>) -> Result<PutAnswer, PortError> {
    let service = error.as_service_error();
    let message = || service.and_then(ProvideErrorMetadata::message).unwrap_or("no message").to_owned();
    match service {
        Some(PutEvaluationsError::InvalidParameterValueException(_)) => Ok(PutAnswer::Invalid { message: message() }),
        Some(
            PutEvaluationsError::InvalidResultTokenException(_) | PutEvaluationsError::NoSuchConfigRuleException(_),
        ) => Ok(PutAnswer::InvalidToken { message: message() }),
        _ => Err(classify(what(), error)),
    }
}

fn is_unknown(error: &GetResourceConfigHistoryError) -> bool {
    error.is_resource_not_discovered_exception()
}

fn sdk_evaluation(
    evaluation: &Evaluation,
) -> Result<aws_sdk_config::types::Evaluation, aws_smithy_types::error::operation::BuildError> {
    let compliance = match evaluation.compliance {
        RuleCompliance::Compliant => ComplianceType::Compliant,
        RuleCompliance::NonCompliant => ComplianceType::NonCompliant,
        RuleCompliance::NotApplicable => ComplianceType::NotApplicable,
    };
    let annotation = evaluation.annotation.as_str();
    aws_sdk_config::types::Evaluation::builder()
        .compliance_resource_type(&evaluation.resource.resource_type)
        .compliance_resource_id(&evaluation.resource.resource_id)
        .compliance_type(compliance)
        .set_annotation((!annotation.is_empty()).then(|| annotation.to_owned()))
        // AWS Config stores times to the millisecond.
        .ordering_timestamp(DateTime::from_millis(evaluation.at.as_millisecond()))
        .build()
}

fn item(
    requested: &ConfigResource,
    found: &ConfigurationItem,
    what: impl Fn() -> String,
) -> Result<ConfigItem, PortError> {
    let unreadable = |member: &str| {
        PortError::new(
            what(),
            PortErrorKind::Other,
            format!("the response of AWS Config can't be read: it lacks `{member}`"),
        )
    };
    let status = found.configuration_item_status().ok_or_else(|| unreadable("configurationItemStatus"))?;
    let captured = found
        .configuration_item_capture_time()
        .and_then(|time| time.to_millis().ok())
        .and_then(|time| Timestamp::from_millisecond(time).ok())
        .ok_or_else(|| unreadable("configurationItemCaptureTime"))?;
    Ok(ConfigItem::new(requested.clone(), found.arn(), ItemStatus::read(status.as_str()), captured))
}
