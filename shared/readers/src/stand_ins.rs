//! Texts that stand in for unknown values.

use std::collections::BTreeSet;

/// The stand-ins of a document. In a form without stand-ins, a similar text is an ordinary text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StandIns {
    /// The form has no stand-ins.
    None,
    /// The stand-ins that a reader created.
    Made(BTreeSet<String>),
    /// Placeholders that another program replaces: `${NAME}`, `$NAME`, `{{ name }}`, `<NAME>`.
    Placeholders,
}

impl StandIns {
    /// A stand-in in a text: the alphabetically first of those that a reader created, otherwise the first placeholder.
    pub(super) fn within<'t>(&'t self, text: &'t str) -> Option<&'t str> {
        match self {
            Self::Made(made) => made_within(text, made).min(),
            Self::None => None,
            Self::Placeholders => placeholder(text),
        }
    }
}

/// The created stand-ins in a text. No stand-in contains a brace, so each ends at the next closing brace.
pub(super) fn made_within<'t>(text: &'t str, made: &BTreeSet<String>) -> impl Iterator<Item = &'t str> {
    text.match_indices("${").filter_map(|(at, _)| {
        let found = text.get(at..)?;
        let found = found.get(..=found.find('}')?)?;
        made.contains(found).then_some(found)
    })
}

fn placeholder(text: &str) -> Option<&str> {
    between(text, "${", "}")
        .or_else(|| between(text, "{{", "}}"))
        .or_else(|| text.starts_with('<').then(|| between(text, "<", ">")).flatten())
        .or_else(|| shell_variable(text))
}

/// The first part from `open` to `close` that contains a word, with both delimiters.
fn between<'t>(text: &'t str, open: &str, close: &str) -> Option<&'t str> {
    let (_, found) = text.split_at_checked(text.find(open)?)?;
    let inside = found.strip_prefix(open)?;
    let inside = inside.get(..inside.find(close)?)?;
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | ' ' | '|' | '"' | '/');
    let fits = inside.contains(|c: char| c.is_ascii_alphabetic()) && inside.chars().all(is_word);
    fits.then(|| found.get(..open.len() + inside.len() + close.len())).flatten()
}

/// The first `$NAME` in upper case, which regular expressions and log formats do not contain.
fn shell_variable(text: &str) -> Option<&str> {
    text.match_indices('$').find_map(|(at, _)| {
        let rest = text.get(at + 1..)?;
        let length = rest.find(|c: char| !c.is_ascii_uppercase() && c != '_' && !c.is_ascii_digit());
        let length = length.unwrap_or(rest.len());
        let begins = rest.starts_with(|c: char| c.is_ascii_uppercase());
        (begins && length > 1).then(|| text.get(at..=at + length)).flatten()
    })
}

/// Creates a text that stands in for an expression: short enough for a name, and without characters that names
/// cannot contain.
#[must_use]
pub fn stand_in(expression: &str) -> String {
    let fit: String = expression
        .chars()
        .map(|c| if c == '/' || c.is_control() { '.' } else { c })
        .filter(|c| !matches!(c, '{' | '}' | '$'))
        .take(80)
        .collect();
    format!("${{{fit}}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_distinguished_from_other_text() {
        let table = [
            ("front.${APP_NAMESPACE}.svc", Some("${APP_NAMESPACE}")),
            ("${MESH}", Some("${MESH}")),
            ("orders.$NAMESPACE_NAME.local", Some("$NAMESPACE_NAME")),
            ("{{ .Values.mesh }}-x", Some("{{ .Values.mesh }}")),
            ("<CERTIFICATE_ARN>", Some("<CERTIFICATE_ARN>")),
            ("^/items/[0-9]{2}$", None),
            ("^/a$|^/b$", None),
            ("a<b>", None),
            ("$1", None),
            ("%START_TIME% {}", None),
            ("${}", None),
            ("ü$", None),
        ];
        for (text, expected) in table {
            assert_eq!(StandIns::Placeholders.within(text), expected, "{text}");
            assert_eq!(StandIns::None.within(text), None);
        }
    }

    #[test]
    fn stand_in_is_a_valid_name() {
        assert_eq!(stand_in("Fn::ImportValue a/b"), "${Fn::ImportValue a.b}");
        let made = StandIns::Made([stand_in("AWS::Region")].into());
        assert_eq!(made.within("x-${AWS::Region}-y"), Some("${AWS::Region}"));
        assert_eq!(made.within("x-${AWS::Regio}"), None);
        assert!(stand_in(&"x".repeat(1000)).len() < 100);
    }
}
