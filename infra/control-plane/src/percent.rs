//! Strict percent-decoding: malformed text is an error, never copied unchanged.

/// Decodes one path segment.
pub(crate) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
            _ => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Decodes one name or value of a query, in which `+` is a space.
pub(crate) fn decode_query(text: &str) -> Option<String> {
    decode(&text.replace('+', " "))
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_or_refuses() {
        for (text, expected) in [
            ("orders", Some("orders")),
            ("a%20b%2Fc.local", Some("a b/c.local")),
            ("a+b", Some("a+b")),
            ("%C3%BC", Some("ü")),
            ("100%25", Some("100%")),
            ("100%", None),
            ("%2", None),
            ("%zz", None),
            ("%FF", None),
        ] {
            assert_eq!(decode(text).as_deref(), expected, "{text}");
        }
        assert_eq!(decode_query("a+b%2Bc").as_deref(), Some("a b+c"));
    }
}
