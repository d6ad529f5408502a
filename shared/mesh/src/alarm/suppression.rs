//! Suppression and mute rules of alarm actions.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::AlarmName;

/// The suppressor of a composite alarm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Suppressor {
    /// The suppressing alarm: while it is in `ALARM`, the composite takes no actions.
    pub alarm: AlarmName,
    /// For how many seconds the composite waits for the suppressor after it went into `ALARM` itself.
    #[serde(default)]
    pub wait_period: u32,
    /// For how many seconds the composite waits after the suppressor left `ALARM`.
    #[serde(default)]
    pub extension_period: u32,
}

/// The current suppressor of the actions of a composite alarm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SuppressedBy {
    /// The suppressor is in `ALARM`.
    Alarm,
    /// The composite waits for the suppressor to go into `ALARM`.
    WaitPeriod,
    /// The suppressor left `ALARM` recently.
    ExtensionPeriod,
    /// A value this version does not know.
    #[serde(untagged)]
    Unrecognised(String),
}

/// An alarm mute rule that is active.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MuteRule {
    /// The rule's name.
    pub name: String,
    /// The alarms with muted actions.
    pub alarms: BTreeSet<AlarmName>,
}
