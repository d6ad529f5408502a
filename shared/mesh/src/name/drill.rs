//! The name of a plan of drills.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The name of a drill's plan: 1 to 64 letters, digits, `-` and `_`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("minLength" = 1, "maxLength" = 64))]
pub struct DrillName(String);

/// The reason why a text is not the name of a drill.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid drill name `{given}`: expected 1 to 64 letters, digits, `-` and `_`")]
pub struct DrillNameError {
    given: String,
}

impl DrillName {
    /// Parses a name.
    pub fn parse(name: &str) -> Result<Self, DrillNameError> {
        let is_valid = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
        if (1..=64).contains(&name.len()) && name.chars().all(is_valid) {
            Ok(Self(name.to_owned()))
        } else {
            Err(DrillNameError { given: name.to_owned() })
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DrillName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for DrillName {
    type Err = DrillNameError;

    fn from_str(name: &str) -> Result<Self, DrillNameError> {
        Self::parse(name)
    }
}

impl TryFrom<String> for DrillName {
    type Error = DrillNameError;

    fn try_from(name: String) -> Result<Self, DrillNameError> {
        Self::parse(&name)
    }
}

impl From<DrillName> for String {
    fn from(DrillName(name): DrillName) -> Self {
        name
    }
}
