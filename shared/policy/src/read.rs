//! Parses a policy, or returns an error with its position and remedy.

use serde::de::DeserializeOwned;

use super::{Policy, place};

/// The error in a policy document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("policy line {line}, column {column}, at `{key}`: {problem}")]
pub struct PolicyError {
    /// The line, counted from 1; 0 if the error concerns the whole text.
    pub line: u64,
    /// The column, counted from 1; 0 if the error concerns the whole text.
    pub column: u64,
    /// The key, for example `failover.bindings[2].virtualNode`; `.` for the document itself.
    pub key: String,
    /// The error and its remedy.
    pub problem: String,
}

impl Policy {
    /// Parses a document.
    pub fn read(text: &str) -> Result<Self, PolicyError> {
        let policy: Self = parse(text)?;
        // The parser has no position for contradictions between valid members, so the position is looked up.
        match policy.contradiction() {
            Some((key, problem)) => {
                let (line, column) = place::of_key(text, &key);
                Err(PolicyError { line, column, key, problem })
            }
            None => Ok(policy),
        }
    }
}

/// Parses a document of any type.
pub(super) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, PolicyError> {
    let mut key = ".".to_owned();
    let read = serde_saphyr::with_deserializer_from_str(text, |yaml| {
        serde_path_to_error::deserialize(yaml).map_err(|error| {
            key = known_part(&error.path().to_string());
            error.into_inner()
        })
    });
    read.map_err(|error| {
        let place = error.location();
        PolicyError {
            line: place.map_or(0, |place| place.line()),
            column: place.map_or(0, |place| place.column()),
            key,
            problem: problem(&error),
        }
    })
}

/// The key without the parts that the parser could not name, for example a duplicate key; `.` if no part is left.
fn known_part(key: &str) -> String {
    let known: Vec<&str> = key.split('.').take_while(|part| *part != "?").filter(|part| !part.is_empty()).collect();
    if known.is_empty() { ".".to_owned() } else { known.join(".") }
}

/// The first line of the parser's message, without the excerpt of the text.
fn problem(error: &serde_saphyr::Error) -> String {
    let message = error.without_snippet().to_string();
    let line = message.lines().next().unwrap_or_default();
    // The parser's hint names an option of the parser, which users cannot set.
    let duplicate = line.strip_prefix("duplicate mapping key: ").and_then(|rest| rest.split(", set ").next());
    duplicate.map_or_else(|| line.to_owned(), |name| format!("`{name}` is a duplicate key; keep one"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_line_column_key_and_remedy() {
        for (text, line, key, part) in [
            ("version: 2", 1, "version", "format version 1"),
            ("version: 1\nmodes:\n  default: forced", 3, "modes.default", "enforce"),
            ("version: 1\nfailover:\n  dwell: soon", 3, "failover.dwell", "write it like"),
            ("version: 1\nfailover:\n  dwel: 5m", 3, "failover.dwel", "dwel"),
            (
                "version: 1\nfailover:\n  bindings:\n    - alarm: a\n      mesh: shop\n      virtualNode: ''",
                6,
                "failover.bindings[0].virtualNode",
                "1 to 255",
            ),
            ("modes: {}", 1, ".", "version"),
            (
                "version: 1\nwaivers:\n  - {harm: tls-lost, resource: a, owner: ' ', reason: b, until: 2026-12-01T00:00:00Z}",
                3,
                "waivers[0].owner",
                "owner",
            ),
            (
                "version: 1\ncertificates:\n  successions:\n    - {from: 'arn:a', to: 'arn:a'}",
                4,
                "certificates.successions[0]",
                "itself",
            ),
            ("version: 1\ncertificates:\n  renewBefore: 0", 3, "certificates.renewBefore", "1 to 100"),
            ("version: 1\nfailover: [", 2, "failover", ""),
        ] {
            let error = Policy::read(text).unwrap_err();
            assert_eq!(error.line, line, "{error}");
            assert_eq!(error.key, key, "{error}");
            assert!(error.column > 0, "{error}");
            assert!(error.problem.contains(part), "{error}");
        }
    }

    #[test]
    fn an_empty_document_is_refused() {
        assert!(Policy::read("").is_err());
        assert!(Policy::read("# nothing").is_err());
    }

    #[test]
    fn a_contradiction_is_refused() {
        let error = Policy::read(
            "version: 1\nfailover:\n  bindings:\n    - {alarm: a, mesh: shop, virtualNode: v1}\n    - {alarm: a, mesh: shop, virtualNode: v1, role: readiness}\n",
        )
        .unwrap_err();
        assert_eq!(error.key, "failover.bindings[1]");
        assert!(error.problem.contains("both"), "{error}");
        assert_eq!((error.line, error.column), (5, 7), "where the second of them begins: {error}");
    }

    #[test]
    fn a_contradiction_is_reported_with_its_place() {
        for (text, line, key, part) in [
            (
                "version: 1\nfailover:\n  flaps:\n    window: 5m\n    limit: 0",
                5,
                "failover.flaps.limit",
                "nothing ever",
            ),
            ("version: 1\ntags:\n  required:\n    - key: a\n    - key: a", 5, "tags.required[1].key", "twice"),
            ("version: 1\ntags:\n  required:\n    - {key: 'aws:a'}", 4, "tags.required[0].key", "tags.ignore"),
            ("version: 1\ntags:\n  inheritance:\n    mesh: [route]", 4, "tags.inheritance.mesh", "can't take"),
            (
                "version: 1\nwaivers:\n  - {resource: a, owner: o, reason: r, until: 2026-12-01T00:00:00Z}",
                3,
                "waivers[0]",
                "which harm",
            ),
            ("version: 1\nrouting:\n  retryAmplification: 0", 3, "routing.retryAmplification", "at least 1"),
            ("version: 1\nenvironments:\n  names:\n    a: [x]\n    b: [X]", 5, "environments.names.b", "already"),
            // The key itself is absent, so its parent's position is used.
            ("version: 1\nfailover:\n  failback:\n    steps: [50, 25]", 4, "failover.failback.steps[1]", "increase"),
        ] {
            let error = Policy::read(text).unwrap_err();
            assert_eq!((error.line, error.key.as_str()), (line, key), "{error}");
            assert!(error.column > 1 && error.problem.contains(part), "{error}");
        }
    }

    #[test]
    fn a_duplicate_key_is_refused_at_its_second_place() {
        for (text, line, key) in [
            ("version: 1\nmodes:\n  default: observe\n  default: enforce", 4, "modes"),
            ("version: 1\nmodes: {}\nmodes: {}", 3, "."),
            ("version: 1\nmodes:\n  meshes:\n    a: {default: observe}\n    a: {default: enforce}", 5, "modes.meshes"),
        ] {
            let error = Policy::read(text).unwrap_err();
            assert_eq!(error.line, line, "{error}");
            assert!(error.key.starts_with(key) && error.column > 0, "{error}");
            assert!(error.problem.contains("duplicate key"), "{error}");
        }
    }
}
