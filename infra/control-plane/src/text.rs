//! Characters that names and tags must not contain, though the API model allows them: invisible ones, and ones that
//! make a name look like another.

/// Whether a character is invisible and changes the display of the text around it: bidirectional controls (which can
/// make a name look like another), and characters without width.
pub(crate) const fn is_format_control(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The reason why a new resource cannot have this name, if there is one. Existing resources keep such names.
pub(crate) fn name_problem(name: &str) -> Option<String> {
    if matches!(name, "." | "..") {
        return Some("can't be `.` or `..`: clients remove these segments from a path".to_owned());
    }
    let hidden = name.chars().find(|c| c.is_control() || is_format_control(*c))?;
    Some(format!("can't contain {hidden:?}, which is invisible"))
}

/// The reason why a tag cannot be written, if there is one.
pub(crate) fn tag_problem(key: &str, value: &str) -> Option<String> {
    let prefix = key.get(..4).unwrap_or_default();
    if prefix.eq_ignore_ascii_case("aws:") {
        return Some("can't have a key that begins with `aws:`, which is reserved for AWS".to_owned());
    }
    let hidden = key.chars().chain(value.chars()).find(|c| c.is_control() || is_format_control(*c))?;
    Some(format!("can't contain {hidden:?}, which is invisible"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misleading_names_are_refused() {
        for name in ["shop", "a.b", "...", "ünïcode", "日本", "a b"] {
            assert_eq!(name_problem(name), None, "{name}");
        }
        for name in [".", "..", "a\u{202e}b", "a\u{200b}b", "a\0b", "\u{2066}x\u{2069}", "\u{feff}shop"] {
            assert!(name_problem(name).is_some(), "{name:?}");
        }
    }

    #[test]
    fn reserved_and_invisible_tags_are_refused() {
        for (key, value, fits) in [
            ("team", "shop", true),
            ("aws", "x", true),
            ("aws:cloudformation:stack-name", "x", false),
            ("AWS:x", "x", false),
            ("a\0b", "x", false),
            ("a", "x\0", false),
            ("a", "\u{202e}x", false),
            ("ä", "", true),
        ] {
            assert_eq!(tag_problem(key, value).is_none(), fits, "{key:?} {value:?}");
        }
    }
}
