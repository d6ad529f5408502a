//! A hook as it is stored, and its answer.

use jiff::Timestamp;
use policy::HookStage;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest details of a hook that are stored, in bytes of their JSON text.
const LONGEST_DETAILS: usize = 2_000;

/// The state of a hook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookRecord {
    /// The stage.
    pub stage: HookStage,
    /// The step.
    pub step: usize,
    /// The function.
    pub function: String,
    /// The last status.
    pub status: HookStatus,
    /// When it was first invoked.
    pub first: Timestamp,
    /// When it is invoked again, while it is in progress.
    pub next: Timestamp,
    /// The details that it gave, which the next invocation receives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
    /// The reason that it gave, or the error of its last invocation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The status of a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum HookStatus {
    /// The stage may end.
    Succeeded,
    /// The rollout fails.
    Failed,
    /// The hook is invoked again.
    InProgress,
}

/// The answer of an invocation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HookAnswer {
    /// The hook answered.
    #[serde(rename_all = "camelCase")]
    Answered {
        /// The status.
        status: HookStatus,
        /// The seconds until the next invocation.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call_back_delay: Option<i64>,
        /// The details for the next invocation.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        details: Option<Value>,
        /// The reason.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The invocation failed, or the answer cannot be read. The hook is invoked again until its time limit.
    Error {
        /// The error.
        why: String,
    },
}

impl HookAnswer {
    /// Reads the value that a hook returned. Anything but a known status is an error, never a success.
    #[must_use]
    pub fn parse(value: &Value) -> Self {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            hook_status: HookStatus,
            #[serde(default)]
            call_back_delay: Option<i64>,
            #[serde(default)]
            hook_details: Option<Value>,
            #[serde(default)]
            reason: Option<String>,
        }
        match Answer::deserialize(value) {
            Ok(Answer { hook_status, call_back_delay, hook_details, reason }) => {
                let details = hook_details.filter(|details| details.to_string().len() <= LONGEST_DETAILS);
                Self::Answered { status: hook_status, call_back_delay, details, reason }
            }
            Err(error) => Self::Error { why: format!("invalid answer of the hook: {error}") },
        }
    }
}
