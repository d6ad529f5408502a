use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use aws_sdk_secretsmanager::operation::update_secret_version_stage::UpdateSecretVersionStageError;
use ports::certificates::{
    Bundle, BundleError, SecretBundles, SecretId, SecretVersions, Stage, StoredBundle, VersionId,
};
use ports::{PortError, PortErrorKind};
use zeroize::Zeroizing;

use super::{BUNDLE, if_tagged, quietly};
use crate::call::{call, classify, within_deadline};

/// Bundles in Secrets Manager.
#[derive(Clone, Debug)]
pub struct Secrets {
    client: Client,
}

impl Secrets {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }
}

#[async_trait]
impl SecretBundles for Secrets {
    async fn describe(&self, secret: &SecretId) -> Result<SecretVersions, PortError> {
        let what = || format!("describe secret {secret}");
        let answer = call(what, self.client.describe_secret().secret_id(secret.as_str()).send()).await;
        let answer = answer.map_err(if_tagged(BUNDLE))?;
        let mut at = BTreeMap::new();
        for (version, labels) in answer.version_ids_to_stages.iter().flatten() {
            // Versions that other programs created may have other ids. No version of ours is at their stages then.
            let Ok(version) = VersionId::parse(version) else { continue };
            let stages = Stage::ALL.into_iter().filter(|stage| labels.iter().any(|label| label == stage.as_str()));
            at.extend(stages.map(|stage| (stage, version.clone())));
        }
        if at.get(&Stage::Pending) == at.get(&Stage::Current) {
            at.remove(&Stage::Pending);
        }
        let tags = answer.tags.unwrap_or_default().into_iter();
        Ok(SecretVersions {
            arn: answer.arn.ok_or_else(|| unreadable(what(), &"it has no ARN"))?,
            at,
            tags: tags.filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default()))).collect(),
            rotated_by_others: answer.rotation_enabled.unwrap_or_default(),
        })
    }

    async fn read(&self, secret: &SecretId, stage: Stage) -> Result<Option<StoredBundle>, PortError> {
        let what = || format!("read secret {secret} at {stage}");
        let request = self.client.get_secret_value().secret_id(secret.as_str()).version_stage(stage.as_str());
        let answer = match within_deadline(what, quietly(request.send())).await? {
            Ok(answer) => answer,
            // The error is the same for a missing stage and a missing secret; only a description distinguishes them.
            Err(error)
                if error.as_service_error().is_some_and(GetSecretValueError::is_resource_not_found_exception) =>
            {
                self.describe(secret).await?;
                return Ok(None);
            }
            Err(error) => return Err(if_tagged(BUNDLE)(classify(what(), error))),
        };
        let text = answer.secret_string.map(Zeroizing::new);
        let current = answer.version_stages.iter().flatten().any(|label| label == Stage::Current.as_str());
        if stage == Stage::Pending && current {
            return Ok(None);
        }
        let version = answer.version_id.unwrap_or_default();
        let version = VersionId::parse(&version).map_err(|error| unreadable(what(), &error))?;
        let bundle = match text {
            Some(text) => Bundle::parse(&text),
            None => Err(BundleError::Binary),
        };
        Ok(Some(StoredBundle { version, bundle: bundle.map_err(|error| unreadable(what(), &error))? }))
    }

    async fn put_pending(&self, secret: &SecretId, version: &VersionId, bundle: &Bundle) -> Result<(), PortError> {
        // The SDK copies the text, and that copy is never zeroized.
        let request = self.client.put_secret_value().secret_id(secret.as_str()).client_request_token(version.as_str());
        let request = request.secret_string(bundle.text().as_str()).version_stages(Stage::Pending.as_str());
        let put = call(|| format!("put version {version} of secret {secret}"), quietly(request.send())).await;
        put.map(drop).map_err(if_tagged(BUNDLE))
    }

    async fn promote(&self, secret: &SecretId, from: Option<&VersionId>, to: &VersionId) -> Result<(), PortError> {
        let what = || format!("make version {to} of secret {secret} current");
        let request = self.client.update_secret_version_stage().secret_id(secret.as_str());
        let request = request.version_stage(Stage::Current.as_str()).move_to_version_id(to.as_str());
        let request = request.set_remove_from_version_id(from.map(ToString::to_string));
        match within_deadline(what, request.send()).await? {
            Ok(_) => Ok(()),
            Err(error) => {
                // Secrets Manager returns this if the version to remove the label from does not have it: another client
                // promoted a version.
                let moved =
                    error.as_service_error().is_some_and(UpdateSecretVersionStageError::is_invalid_parameter_exception);
                let mut error = if_tagged(BUNDLE)(classify(what(), error));
                if moved {
                    error.kind = PortErrorKind::Conflict;
                }
                Err(error)
            }
        }
    }
}

fn unreadable(call: String, why: &dyn std::fmt::Display) -> PortError {
    PortError::new(call, PortErrorKind::Other, format!("the response of Secrets Manager can't be read: {why}"))
}
