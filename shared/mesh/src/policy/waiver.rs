//! Harms that somebody has taken on, with a name and an end.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What a waiver allows: the id of a harm, such as `tls-lost`, as a report has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WaiverId(pub String);

/// A harm that is allowed on a resource until a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Waiver {
    /// Which harm.
    pub harm: WaiverId,
    /// On which resource, as `shop/recommendations/all`.
    pub resource: String,
    /// Who answers for it.
    pub owner: Filled,
    /// Why.
    pub reason: Filled,
    /// Until when; after that it no longer counts.
    pub until: Timestamp,
}

impl Waiver {
    /// Whether it allows this harm on this resource now.
    #[must_use]
    pub fn permits(&self, harm: &str, resource: &str, now: Timestamp) -> bool {
        self.harm.0 == harm && self.resource == resource && now < self.until
    }
}

/// A text with something in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Filled(String);

impl TryFrom<String> for Filled {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.trim().is_empty() {
            Err("this may not be empty: a waiver names its owner and its reason")
        } else {
            Ok(Self(text))
        }
    }
}

impl From<Filled> for String {
    fn from(text: Filled) -> Self {
        text.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiver_permits_its_harm_on_its_resource_until_its_end() {
        let waiver: Waiver = serde_json::from_str(
            r#"{"harm":"tls-lost","resource":"shop/recs/all","owner":"sre","reason":"v1 retires","until":"2026-12-01T00:00:00Z"}"#,
        )
        .unwrap();
        let before: Timestamp = "2026-11-30T23:59:59Z".parse().unwrap();
        let after: Timestamp = "2026-12-01T00:00:00Z".parse().unwrap();
        assert!(waiver.permits("tls-lost", "shop/recs/all", before));
        assert!(!waiver.permits("tls-lost", "shop/recs/all", after));
        assert!(!waiver.permits("tls-lost", "shop/cart/all", before));
        assert!(!waiver.permits("route-drained", "shop/recs/all", before));
    }
}
