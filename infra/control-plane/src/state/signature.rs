//! The signature of a write.

use std::fmt::Write as _;

use jiff::Timestamp;

/// The signature of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignatureHash([u8; 32]);

impl SignatureHash {
    /// A signature of 32 bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads 64 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (number, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * number..2 * number + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// The signature as 64 hexadecimal digits.
    #[must_use]
    pub fn hexadecimal(&self) -> String {
        let mut text = String::with_capacity(64);
        for byte in self.0 {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

/// The signature of a write that is to be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteSignature {
    /// The signature.
    pub hash: SignatureHash,
    /// The end of its validity.
    pub until: Timestamp,
    /// The key or role that signed.
    pub owner: String,
}

/// The signature of an accepted write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownSignature {
    /// The signature.
    pub signature: WriteSignature,
    /// The time of the write.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_read_from_its_digits() {
        let hash = SignatureHash::new([0xa7; 32]);
        assert_eq!(SignatureHash::parse(&hash.hexadecimal()), Some(hash));
        for text in ["", "a7", &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(SignatureHash::parse(text), None);
        }
    }
}
