//! The result of a gate.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The result of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum GateResult {
    /// It passes, with data.
    Pass,
    /// It fails.
    Fail,
    /// It has no result. It does not pass.
    Unknown,
}

/// The last result of a gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GateRecord {
    /// The result.
    pub result: GateResult,
    /// The measured values and the limit.
    pub text: String,
    /// The number of failed evaluations in the step.
    #[serde(default)]
    pub failed: u32,
    /// When a failed evaluation was last counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<Timestamp>,
}

impl GateRecord {
    /// A result without failed evaluations.
    pub(crate) fn new(result: GateResult, text: String) -> Self {
        Self { result, text, failed: 0, counted: None }
    }
}
