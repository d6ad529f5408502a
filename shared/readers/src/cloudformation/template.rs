//! A CloudFormation template with its file.

use serde_json::Value;

use super::super::spots::Spot;

/// A template with its file.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) file: String,
    pub(super) document: Value,
    pub(super) spot: Spot,
}
