//! The validated name of an alarm.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The name of an alarm, unique in its account and region: 1 to 255 characters
/// (`PutMetricAlarm`, `AlarmName`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("minLength" = 1, "maxLength" = 255))]
pub struct AlarmName(String);

impl AlarmName {
    /// Reads a name; refuses an empty one and one of over 255 characters.
    pub fn parse(name: &str) -> Result<Self, AlarmNameError> {
        match name.chars().count() {
            0 => Err(AlarmNameError::Empty),
            1..=255 => Ok(Self(name.to_owned())),
            length => Err(AlarmNameError::TooLong { length }),
        }
    }

    /// Reads a name, or the name in an alarm's ARN. A name may contain `:alarm:`, too.
    pub fn from_name_or_arn(text: &str) -> Result<Self, AlarmNameError> {
        let in_arn = text.strip_prefix("arn:").and_then(|arn| arn.split_once(":alarm:"));
        Self::parse(in_arn.map_or(text, |(_, name)| name))
    }

    /// The name as CloudWatch spells it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for AlarmName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for AlarmName {
    type Error = AlarmNameError;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::parse(&name)
    }
}

impl From<AlarmName> for String {
    fn from(name: AlarmName) -> Self {
        name.0
    }
}

/// Why a text is not an alarm's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AlarmNameError {
    /// Nothing there.
    #[error("an alarm's name is empty; give 1 to 255 characters")]
    Empty,
    /// Over the limit.
    #[error("an alarm's name has {length} characters; CloudWatch allows 255")]
    TooLong {
        /// Its number of characters.
        length: usize,
    },
}
