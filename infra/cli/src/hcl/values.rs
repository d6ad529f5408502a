//! The texts and numbers of values.

use serde_json::{Number, Value};

/// The string form of a scalar value.
pub(super) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A number, as an integer where possible.
pub(super) fn number_of(text: &str) -> Value {
    let text = text.trim();
    let whole = text.parse::<i64>().ok().map(Value::from);
    let whole = whole.or_else(|| text.strip_suffix(".0").and_then(|text| text.parse::<i64>().ok()).map(Value::from));
    let broken = || text.parse::<f64>().ok().and_then(Number::from_f64).map(Value::Number);
    whole.or_else(broken).unwrap_or_else(|| Value::from(text))
}
