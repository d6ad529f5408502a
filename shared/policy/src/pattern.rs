//! Patterns for names, values and hosts.

use std::fmt;

use regex_lite::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A regular expression that a whole text must match.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("format" = "regex"))]
pub struct Pattern {
    text: String,
    compiled: Regex,
}

impl Pattern {
    /// Whether the whole text matches.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.compiled.is_match(text)
    }

    /// The expression, as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let compiled = Regex::new(&format!("^(?:{text})$"))
            .map_err(|error| format!("invalid regular expression `{text}`: {}", first_line(&error.to_string())))?;
        Ok(Self { text, compiled })
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.text
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// A host name, or `*.` with a suffix: `*.example.com` matches every host below `example.com`, but not `example.com`
/// itself. A single `*` matches every host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("examples" = ["api.example.com", "*.example.com"]))]
pub struct HostPattern(String);

impl HostPattern {
    /// Whether a host matches. Letter case and a trailing dot are ignored.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        match self.0.strip_prefix('*') {
            Some("") => true,
            Some(suffix) => {
                host.len() > suffix.len()
                    && host.get(host.len() - suffix.len()..).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
            }
            None => host.eq_ignore_ascii_case(&self.0),
        }
    }

    /// The pattern in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for HostPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let name = text.strip_prefix("*.").unwrap_or(&text);
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text == "*" || (!name.is_empty() && name.chars().all(fits)) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(format!("invalid host `{text}`: expected a name like api.example.com or *.example.com"))
        }
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> Self {
        pattern.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_for_the_whole_text() {
        let pattern = Pattern::try_from("a|team-[a-z]+".to_owned()).unwrap();
        for (text, expected) in [("a", true), ("team-x", true), ("ab", false), ("team-", false), ("a\nb", false)] {
            assert_eq!(pattern.matches(text), expected, "{text}");
        }
        assert!(Pattern::try_from("(".to_owned()).unwrap_err().contains("invalid regular expression"));
    }

    #[test]
    fn hosts() {
        for (pattern, host, expected) in [
            ("api.example.com", "API.example.com.", true),
            ("api.example.com", "api.example.org", false),
            ("*.example.com", "api.example.com", true),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "badexample.com", false),
            ("*", "anything", true),
        ] {
            let read = HostPattern::try_from(pattern.to_owned()).unwrap();
            assert_eq!(read.matches(host), expected, "{pattern} and {host}");
        }
        for wrong in ["", "*.", "a b", "a/b", "x.*"] {
            assert!(HostPattern::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}
