//! Percent-encoding, and its strict decoding: malformed text is an error, never copied unchanged.

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

/// Encodes a text as the value of a query.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.extend(["%".to_owned(), format!("{byte:02X}")]);
        }
    }
    encoded
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
        assert_eq!(encode("a b/ü-1"), "a%20b%2F%C3%BC-1");
        assert_eq!(decode_query("a+b%2Bc").as_deref(), Some("a b+c"));
    }
}
