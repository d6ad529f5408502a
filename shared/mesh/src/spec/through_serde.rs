//! Reads shapes for serde.

use serde::de::Error;
use serde_json::Value;

use super::refusal::Violation;
use super::wire::{Reader, UnknownMembers, Wire};

/// Reads any shape leniently, for serde.
pub(crate) fn read<T: Wire>(value: &Value) -> Result<T, Vec<Violation>> {
    Reader::document(value, "$", UnknownMembers::Keep)
}

/// The violations as one error, for serde.
pub(crate) fn serde_error<E: Error>(violations: &[Violation]) -> E {
    let texts: Vec<String> = violations.iter().map(ToString::to_string).collect();
    E::custom(texts.join("; "))
}
