//! Waivers: accepted harms and findings, with an owner and an end.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rule_terms::RuleName;

/// The id of a harm, for example `tls-lost`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct WaiverId(pub String);

/// A harm that a change may cause, or a finding, accepted on a resource until a date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Waiver {
    /// The harm; either this or a rule.
    #[serde(default)]
    pub harm: Option<WaiverId>,
    /// The rule; either this or a harm.
    #[serde(default)]
    pub rule: Option<RuleName>,
    /// The resource: for a harm, the route as in `shop/recommendations/all`; for a rule, the path as in
    /// `mesh/shop/virtualNode/cart`. A `*` at the end matches any suffix.
    pub resource: String,
    /// The owner of the waiver.
    pub owner: Filled,
    /// The reason.
    pub reason: Filled,
    /// The end; the waiver has no effect after it.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub until: Timestamp,
}

impl Waiver {
    /// Whether it permits this harm on this resource now.
    #[must_use]
    pub fn permits(&self, harm: &str, resource: &str, now: Timestamp) -> bool {
        self.harm.as_ref().is_some_and(|id| id.0 == harm) && self.is_for(resource) && now < self.until
    }

    /// Whether it permits this rule's finding on this resource now.
    #[must_use]
    pub fn covers(&self, rule: RuleName, resource: &str, now: Timestamp) -> bool {
        self.rule == Some(rule) && self.is_for(resource) && now < self.until
    }

    fn is_for(&self, resource: &str) -> bool {
        match self.resource.strip_suffix('*') {
            Some(start) => resource.starts_with(start),
            None => self.resource == resource,
        }
    }

    /// The mesh of its resources; `None` if it is not restricted to one mesh.
    #[must_use]
    pub fn mesh(&self) -> Option<&str> {
        let names = if self.rule.is_some() { self.resource.strip_prefix("mesh/")? } else { &self.resource };
        let mesh = names.split('/').next()?;
        (!mesh.is_empty() && !mesh.contains('*')).then_some(mesh)
    }

    /// The accepted harm or rule.
    #[must_use]
    pub fn what(&self) -> &str {
        let harm = self.harm.as_ref().map(|harm| harm.0.as_str());
        self.rule.map(RuleName::as_str).or(harm).unwrap_or_default()
    }

    /// The first waiver without exactly one subject: its key and its remedy.
    pub(super) fn contradiction(waivers: &[Self]) -> Option<(String, String)> {
        waivers.iter().enumerate().find_map(|(index, waiver)| {
            let problem = match (&waiver.harm, waiver.rule) {
                (Some(_), Some(_)) => "a waiver is for a harm or for a rule; make two of it",
                (None, None) => "say which harm or which rule is allowed",
                (Some(_), None) | (None, Some(_)) => return None,
            };
            Some((format!("waivers[{index}]"), problem.to_owned()))
        })
    }
}

/// A non-empty text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("minLength" = 1))]
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

impl fmt::Display for Filled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
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
        assert_eq!(waiver.mesh(), Some("shop"));
    }

    #[test]
    fn a_waiver_of_a_rule_may_be_for_all_that_begins_alike() {
        let waiver: Waiver = serde_json::from_str(
            r#"{"rule":"tag-missing","resource":"mesh/shop/virtualNode/*","owner":"sre","reason":"r","until":"2026-12-01T00:00:00Z"}"#,
        )
        .unwrap();
        let before: Timestamp = "2026-11-30T23:59:59Z".parse().unwrap();
        let rule = |name: &str| RuleName::try_from(name.to_owned()).unwrap();
        assert!(waiver.covers(rule("tag-missing"), "mesh/shop/virtualNode/a", before));
        assert!(!waiver.covers(rule("tag-missing"), "mesh/shop", before));
        assert!(!waiver.covers(rule("tag-missing"), "mesh/shop/virtualNode/a", waiver.until));
        assert!(!waiver.covers(rule("tag-value"), "mesh/shop/virtualNode/a", before));
        assert!(!waiver.permits("tag-missing", "mesh/shop/virtualNode/a", before));
    }
}
