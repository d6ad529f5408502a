//! The causes of the mute of an alarm.

use std::fmt;

use serde::Serialize;

use mesh::alarm::AlarmName;

/// The cause of the mute of an alarm in `ALARM`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "muted", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Muted {
    /// The alarm's actions are disabled.
    ActionsDisabled {
        /// The alarm.
        alarm: AlarmName,
    },
    /// A suppressor prevents the actions of a composite alarm.
    Suppressed {
        /// The composite alarm.
        alarm: AlarmName,
        /// The explanation.
        why: String,
    },
    /// An active alarm mute rule names the alarm.
    MuteRule {
        /// The alarm.
        alarm: AlarmName,
        /// The rule.
        rule: String,
    },
}

impl fmt::Display for Muted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ActionsDisabled { alarm } => write!(f, "the actions of alarm {alarm} are disabled"),
            Self::Suppressed { alarm, why } => write!(f, "the actions of alarm {alarm} are suppressed ({why})"),
            Self::MuteRule { alarm, rule } => write!(f, "mute rule {rule} mutes alarm {alarm}"),
        }
    }
}
