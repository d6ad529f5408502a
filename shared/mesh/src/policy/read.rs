//! From text to a policy, or to an error that says where and how to mend it.

use serde::de::Error as _;

use super::Policy;

/// What is wrong with a policy document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("policy line {line}, column {column}, at `{key}`: {problem}")]
pub struct PolicyError {
    /// The line, counted from 1; 0 when the text as a whole is at fault.
    pub line: u64,
    /// The column, counted from 1; 0 likewise.
    pub column: u64,
    /// The key, as in `failover.bindings[2].virtualNode`; `.` for the document itself.
    pub key: String,
    /// What is wrong and how to mend it.
    pub problem: String,
}

impl Policy {
    /// Reads a document.
    pub fn read(text: &str) -> Result<Self, PolicyError> {
        let mut key = ".".to_owned();
        let read = serde_saphyr::with_deserializer_from_str(text, |yaml| {
            let policy: Self = serde_path_to_error::deserialize(yaml).map_err(|error| {
                key = error.path().to_string();
                error.into_inner()
            })?;
            let contradiction = policy.failover.contradiction().or_else(|| policy.certificates.contradiction());
            contradiction.map_or(Ok(policy), |(place, problem)| {
                key = place;
                Err(serde_saphyr::Error::custom(problem))
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
}

/// The first line of the parser's message, which carries no copy of the text.
fn problem(error: &serde_saphyr::Error) -> String {
    let message = error.without_snippet().to_string();
    message.lines().next().unwrap_or_default().to_owned()
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
    }
}
