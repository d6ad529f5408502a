//! The forms that a mesh is written in.

use serde::{Deserialize, Serialize};

/// A form that a mesh is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Form {
    /// AWS Config configuration items, alone, in a notification or in an answer.
    ConfigItem,
    /// A CloudFormation template.
    CloudFormation,
    /// A Terraform plan or state as `terraform show -json` writes it.
    Terraform,
    /// Kubernetes manifests of the App Mesh controller.
    Manifest,
    /// Inputs and outputs of the App Mesh API.
    Api,
}
