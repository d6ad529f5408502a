//! Operators of expressions. `None` means that the result is unknown.

use hcl_edit::expr::{BinaryOperator, UnaryOperator};
use serde_json::{Number, Value};

/// The value of a condition. Terraform also accepts the strings `true` and `false`.
pub(super) fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) if text == "true" => Some(true),
        Value::String(text) if text == "false" => Some(false),
        _ => None,
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// A JSON number, as an integer where possible.
pub(super) fn of_number(number: f64) -> Option<Value> {
    // Every integer below 2^53 is exact in `f64`.
    if number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 {
        format!("{number:.0}").parse::<i64>().ok().map(Value::from)
    } else {
        Number::from_f64(number).map(Value::Number)
    }
}

pub(super) fn unary(operator: UnaryOperator, value: &Value) -> Option<Value> {
    match operator {
        UnaryOperator::Not => truth(value).map(|truth| Value::Bool(!truth)),
        UnaryOperator::Neg => number(value).and_then(|number| of_number(-number)),
    }
}

pub(super) fn binary(operator: BinaryOperator, one: &Value, other: &Value, is_known: bool) -> Option<Value> {
    match operator {
        // One operand can decide the result while the other is unknown.
        BinaryOperator::And => match (truth(one), truth(other)) {
            (Some(false), _) | (_, Some(false)) => Some(Value::Bool(false)),
            (Some(true), Some(true)) => Some(Value::Bool(true)),
            _ => None,
        },
        BinaryOperator::Or => match (truth(one), truth(other)) {
            (Some(true), _) | (_, Some(true)) => Some(Value::Bool(true)),
            (Some(false), Some(false)) => Some(Value::Bool(false)),
            _ => None,
        },
        BinaryOperator::Eq if is_known => Some(Value::Bool(equal(one, other))),
        BinaryOperator::NotEq if is_known => Some(Value::Bool(!equal(one, other))),
        BinaryOperator::Eq | BinaryOperator::NotEq => {
            (one == other).then_some(Value::Bool(operator == BinaryOperator::Eq))
        }
        BinaryOperator::Plus => of_number(number(one)? + number(other)?),
        BinaryOperator::Minus => of_number(number(one)? - number(other)?),
        BinaryOperator::Mul => of_number(number(one)? * number(other)?),
        BinaryOperator::Div => of_number(number(one)? / number(other).filter(|other| *other != 0.0)?),
        BinaryOperator::Mod => of_number(number(one)? % number(other).filter(|other| *other != 0.0)?),
        BinaryOperator::Less => Some(Value::Bool(number(one)? < number(other)?)),
        BinaryOperator::LessEq => Some(Value::Bool(number(one)? <= number(other)?)),
        BinaryOperator::Greater => Some(Value::Bool(number(one)? > number(other)?)),
        BinaryOperator::GreaterEq => Some(Value::Bool(number(one)? >= number(other)?)),
    }
}

fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        _ => one == other,
    }
}
