//! Nested blocks on one line. Terraform rejects them, but their meaning is unambiguous.

/// The marker before each inserted line break, so that line numbers stay those of the original text.
const MARK: &str = "/*+*/\n";

/// The deepest nesting of quoted strings in template expressions that the scanner follows.
const DEEPEST: usize = 32;

/// The line starts of a text, without inserted line breaks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LineIndex {
    /// The offset after each original line break.
    begins: Vec<usize>,
}

impl LineIndex {
    pub(super) fn new(text: &str) -> Self {
        let breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            begins: breaks.filter(|begin| text.get(..*begin).is_some_and(|before| !before.ends_with(MARK))).collect(),
        }
    }

    /// The line of an offset, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.begins.partition_point(|begin| *begin <= offset) + 1
    }
}

/// The text with a line break around each brace of a block.
pub(super) fn broken_up(text: &str) -> String {
    let mut written = String::with_capacity(text.len() * 2);
    // For each open brace, whether it opens a block.
    let mut open: Vec<bool> = Vec::new();
    let mut last = ' ';
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let skipped = skipped(rest);
        if skipped > 0 {
            let (part, after) = rest.split_at(skipped);
            written.push_str(part);
            // A quoted label can end a block header, like an identifier.
            last = if part.starts_with('"') { 'a' } else { last };
            rest = after;
            continue;
        }
        rest = rest.get(letter.len_utf8()..).unwrap_or_default();
        match letter {
            '{' => {
                let is_block = last.is_ascii_alphanumeric() || matches!(last, '_' | '-');
                open.push(is_block);
                written.push(letter);
                if is_block {
                    written.push_str(MARK);
                }
            }
            '}' => {
                let is_block = open.pop().unwrap_or(false);
                if is_block {
                    written.push_str(MARK);
                }
                written.push(letter);
                if is_block {
                    written.push_str(MARK);
                }
            }
            _ => written.push(letter),
        }
        if !letter.is_whitespace() {
            last = letter;
        }
    }
    written
}

/// The length of a quoted string or a comment at the start of the text; 0 where there is none.
fn skipped(text: &str) -> usize {
    if text.starts_with('#') || text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return text.find("*/").map_or(text.len(), |end| end + 2);
    }
    if text.starts_with('"') { quoted(text, 0) } else { 0 }
}

/// The length of the quoted string at the start of the text, including nested template expressions.
fn quoted(text: &str, level: usize) -> usize {
    let (mut at, mut depth, mut before) = (1, 0_usize, ' ');
    while let Some(rest) = text.get(at..)
        && let Some(letter) = rest.chars().next()
    {
        match letter {
            '\\' => at += rest.chars().nth(1).map_or(0, char::len_utf8),
            '"' if depth == 0 => return at + 1,
            '"' if level < DEEPEST => {
                at += quoted(rest, level + 1);
                continue;
            }
            '{' if matches!(before, '$' | '%') || depth > 0 => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        before = letter;
        at += letter.len_utf8();
    }
    text.len()
}

/// The deepest nesting of brackets, and the longest chain of operators on a line, that a configuration may have. The
/// recursion of the parser grows with both.
const DEEPEST_NESTING: usize = 100;
const LONGEST_CHAIN: usize = 5_000;

/// The first line, from 1, that nests deeper than the parser can handle. Brackets and operators within strings count.
pub(super) fn nested_too_deep(text: &str) -> Option<usize> {
    let (mut line, mut depth, mut chain) = (1, 0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'\n' => (line, chain) = (line + 1, 0),
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'!' | b'-' | b'?' | b'+' | b'*' | b'/' | b'%' | b'&' | b'|' | b'<' | b'>' | b'=' => chain += 1,
            _ => {}
        }
        if depth > DEEPEST_NESTING || chain > LONGEST_CHAIN {
            return Some(line);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_get_lines_of_their_own_and_keep_their_lines() {
        let text = "a \"b\" { c { d = { e = 1 } } }\nf { g = \"${h(\"}\")} {\" } # { x {\n";
        let broken = broken_up(text);
        assert!(hcl_edit::parser::parse_body(text).is_err());
        let body = hcl_edit::parser::parse_body(&broken).unwrap_or_else(|error| panic!("{error}: {broken}"));
        assert_eq!(body.blocks().count(), 2);
        let index = LineIndex::new(&broken);
        assert_eq!(index.line(broken.find("d =").unwrap()), 1);
        assert_eq!(index.line(broken.find("g =").unwrap()), 2);
        assert_eq!(LineIndex::new(text).line(text.len()), 3);
    }

    #[test]
    fn deep_nesting_is_found_before_the_parser_meets_it() {
        for deep in ["[", "(", "{ a = ", "!", "-", "true ? 1 : ", "1 + ", "\"${"] {
            let text = format!("a = 1\nb = {}", deep.repeat(200_000));
            assert_eq!(nested_too_deep(&text), Some(2), "{deep}");
        }
        let wide = format!("a = [{}]\n", "{ b = (1 + 2) },".repeat(100));
        assert_eq!(nested_too_deep(&wide.repeat(10)), None);
    }
}
