//! The forms that a mesh is written in.

use serde::{Deserialize, Serialize};

/// A form in which a mesh is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Form {
    /// AWS Config configuration items, alone, in a notification or in a response.
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
