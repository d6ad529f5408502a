//! The reasons why a value is outside the bounds of its type.

use thiserror::Error;

/// A value outside the bounds of its type.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OutOfBounds {
    /// A number is below its only bound.
    #[error("is {given}, must be at least {min}")]
    TooSmall {
        /// The number as given.
        given: String,
        /// The least that is allowed.
        min: i64,
    },
    /// A number is outside its bounds.
    #[error("is {given}, must be {min} to {max}")]
    Number {
        /// The number as given.
        given: String,
        /// The least that is allowed.
        min: i64,
        /// The most that is allowed.
        max: i64,
    },
    /// A text is too short or too long.
    #[error("has {length} characters, must have {min} to {max}")]
    Length {
        /// The number of characters.
        length: usize,
        /// The fewest that are allowed.
        min: usize,
        /// The most that are allowed.
        max: usize,
    },
    /// A text is too short or too long in its encoding.
    #[error("has {length} bytes, must have {min} to {max}")]
    Bytes {
        /// The bytes given.
        length: usize,
        /// The fewest that are allowed.
        min: usize,
        /// The most that are allowed.
        max: usize,
    },
    /// A list has too few or too many items.
    #[error("has {length} items, must have {min} to {max}")]
    Items {
        /// The number of items.
        length: usize,
        /// The fewest that are allowed.
        min: usize,
        /// The most that are allowed.
        max: usize,
    },
    /// A text does not match the pattern of its type.
    #[error("is {given:?}, must match {pattern}")]
    Pattern {
        /// The text as given.
        given: String,
        /// The regular expression.
        pattern: &'static str,
    },
}
