//! The name of the server that an identity is signed for.

/// The name of the server that an identity is signed for. An identity for one server is not valid for another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience(String);

/// The text cannot be the name of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid audience {0:?}: expected 1 to 128 letters, digits, and any of . _ : / @ -")]
pub struct AudienceError(String);

impl Audience {
    /// Accepts the characters that a header carries unchanged.
    pub fn parse(text: &str) -> Result<Self, AudienceError> {
        let fits = (1..=128).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:/@-".contains(&byte));
        if fits { Ok(Self(text.to_owned())) } else { Err(AudienceError(text.to_owned())) }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}
