//! The ids of rules, as names that are valid.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use strsim::levenshtein;
use thiserror::Error;

use super::ids::IDS;

/// The id of an existing rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RuleName(&'static str);

// The derived implementation would borrow the text for `'static`, because the name stores a `&'static str`.
impl<'de> Deserialize<'de> for RuleName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl RuleName {
    /// The id.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// The name of the rule with an id. A test of the pack compares its ids with [`IDS`].
    #[must_use]
    pub const fn new(id: &'static str) -> Self {
        Self(id)
    }
}

impl TryFrom<String> for RuleName {
    type Error = UnknownRule;

    fn try_from(text: String) -> Result<Self, UnknownRule> {
        match IDS.iter().find(|id| **id == text) {
            Some(id) => Ok(Self(id)),
            None => Err(UnknownRule { nearest: nearest(&text), given: text }),
        }
    }
}

impl From<RuleName> for String {
    fn from(name: RuleName) -> Self {
        name.0.to_owned()
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl JsonSchema for RuleName {
    fn schema_name() -> Cow<'static, str> {
        "RuleName".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "enum": IDS})
    }
}

/// The error for an id that no rule has.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown rule `{given}`; did you mean `{nearest}`?")]
pub struct UnknownRule {
    /// The id as given.
    pub given: String,
    /// The rule with the most similar id.
    pub nearest: &'static str,
}

/// The rule id that is most similar to a text.
fn nearest(text: &str) -> &'static str {
    IDS.iter().copied().min_by_key(|id| levenshtein(id, text)).unwrap_or_default()
}
