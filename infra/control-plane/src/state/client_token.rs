//! The client token of a request.

use std::fmt;

use mesh::validate::Violation;

/// The most characters of a token (API documentation of `clientToken`).
const MAX_LENGTH: usize = 36;

/// The caller's token of a request: up to 36 letters, digits, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientToken(String);

impl ClientToken {
    /// Parses a token.
    pub fn parse(token: &str) -> Result<Self, Violation> {
        let fits = (1..=MAX_LENGTH).contains(&token.len())
            && token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if fits {
            return Ok(Self(token.to_owned()));
        }
        let message = format!("must be 1 to {MAX_LENGTH} letters, digits, - and _, not {token:?}");
        Err(Violation::malformed("clientToken", message))
    }
}

impl fmt::Display for ClientToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
