//! What names and tags must not contain, though the API's model allows it: what can't be seen, or reads as something
//! else than it is.

/// Whether a character has no shape of its own and changes how text around it is shown: marks of direction and order
/// (which can make a name read as another), and characters without width.
pub(crate) const fn is_format_control(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Why a name can't be given to a new resource, if so. Resources that have such a name already keep it.
pub(crate) fn name_problem(name: &str) -> Option<String> {
    if matches!(name, "." | "..") {
        return Some("can't be `.` or `..`: clients take a path with it as a path without it".to_owned());
    }
    let hidden = name.chars().find(|c| c.is_control() || is_format_control(*c))?;
    Some(format!("can't contain {hidden:?}, which is not shown"))
}

/// Why a tag can't be written, if so.
pub(crate) fn tag_problem(key: &str, value: &str) -> Option<String> {
    let prefix = key.get(..4).unwrap_or_default();
    if prefix.eq_ignore_ascii_case("aws:") {
        return Some("can't have a key that begins with `aws:`, which is for AWS's own use".to_owned());
    }
    let hidden = key.chars().chain(value.chars()).find(|c| c.is_control() || is_format_control(*c))?;
    Some(format!("can't contain {hidden:?}, which is not shown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_as_what_they_are() {
        for name in ["shop", "a.b", "...", "ünïcode", "日本", "a b"] {
            assert_eq!(name_problem(name), None, "{name}");
        }
        for name in [".", "..", "a\u{202e}b", "a\u{200b}b", "a\0b", "\u{2066}x\u{2069}", "\u{feff}shop"] {
            assert!(name_problem(name).is_some(), "{name:?}");
        }
    }

    #[test]
    fn tags_are_the_user_s_own_and_can_be_seen() {
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
