//! Makes hidden characters of a text visible: none can move a cursor, change a colour or change the reading direction.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a terminal, an editor or a browser would interpret or hide a character instead of showing it. These are
/// control characters, direction marks and overrides, invisible spaces and joiners, line and paragraph
/// separators, and tags.
#[must_use]
pub const fn is_hidden(character: char) -> bool {
    matches!(
        character,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{fffe}'..='\u{ffff}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// Writes a text on one line, with hidden characters as Rust's escapes: `\u{1b}`, `\n`.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    replace(text, is_hidden, |character, shown| shown.extend(character.escape_default()))
}

/// Writes a text of several lines likewise: line breaks and tabs stay.
#[must_use]
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    let hides = |character| is_hidden(character) && !matches!(character, '\n' | '\t');
    replace(text, hides, |character, shown| shown.extend(character.escape_default()))
}

/// Writes a JSON document with the same meaning, with hidden characters as JSON escapes such as `\u200b`. Control
/// characters below space are kept: in valid JSON they are white space outside of strings.
#[must_use]
pub fn visible_json(document: &str) -> Cow<'_, str> {
    let hides = |character| is_hidden(character) && character >= ' ';
    replace(document, hides, |character, shown| {
        for unit in character.encode_utf16(&mut [0; 2]) {
            // Writing to a string does not fail.
            let _ = write!(shown, "\\u{unit:04x}");
        }
    })
}

fn replace(text: &str, hides: impl Fn(char) -> bool, write: impl Fn(char, &mut String)) -> Cow<'_, str> {
    if !text.chars().any(&hides) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if hides(character) {
            write(character, &mut shown);
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_escaped_and_others_unchanged() {
        for (text, expected) in [
            ("orders-v1 é 日本", "orders-v1 é 日本"),
            ("a\u{1b}[31mred", "a\\u{1b}[31mred"),
            ("a\u{9b}31m\u{7f}", "a\\u{9b}31m\\u{7f}"),
            ("one\ntwo\r\t", "one\\ntwo\\r\\t"),
            ("x\u{202e}gpj.exe\u{2066}", "x\\u{202e}gpj.exe\\u{2066}"),
            ("\u{feff}a\u{200b}b\u{e0041}", "\\u{feff}a\\u{200b}b\\u{e0041}"),
        ] {
            assert_eq!(visible(text), expected);
            assert!(!visible(text).chars().any(is_hidden));
        }
        assert_eq!(visible_lines("a\u{1b}\nb\r\t\n"), "a\\u{1b}\nb\\r\t\n");
    }

    #[test]
    fn escaped_json_has_the_same_value() {
        let value = serde_json::json!({ "a\u{202e}b": ["\u{9b}31m", "\u{1b}", "\u{e0041}", "é\n"] });
        let text = serde_json::to_string_pretty(&value).unwrap();
        let shown = visible_json(&text);
        assert!(!shown.chars().any(|character| is_hidden(character) && character != '\n'), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}
