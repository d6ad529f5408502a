//! Text that HTML doesn't take for anything else.

/// The text as content or as the value of a quoted attribute.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_stays_that_could_end_a_text_or_an_attribute() {
        assert_eq!(escape(r#"<a b='c' d="e">&amp;é"#), "&lt;a b=&#39;c&#39; d=&quot;e&quot;&gt;&amp;amp;é");
    }
}
