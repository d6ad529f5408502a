//! Conditions: true, false, or unknown from the template.

use serde_json::Value;

use super::scope::Scope;
use super::truth::Truth;

impl Scope<'_> {
    /// A condition by name.
    pub(super) fn condition(&mut self, name: &str) -> Truth {
        if let Some(known) = self.conditions.get(name) {
            return known.unwrap_or(Truth::Unknown);
        }
        let Some(expression) = self.section("Conditions").and_then(|conditions| conditions.get(name)) else {
            return Truth::Unknown;
        };
        self.conditions.insert(name.to_owned(), None);
        let truth = self.truth(expression);
        self.conditions.insert(name.to_owned(), Some(truth));
        truth
    }

    fn truth(&mut self, expression: &Value) -> Truth {
        if !self.enter() {
            return Truth::Unknown;
        }
        let truth = self.truth_within(expression);
        self.leave();
        truth
    }

    fn truth_within(&mut self, expression: &Value) -> Truth {
        let Some((name, argument)) = expression.as_object().and_then(|object| object.iter().next()) else {
            return match expression {
                Value::Bool(truth) => Truth::from(*truth),
                Value::String(text) if text == "true" => Truth::True,
                Value::String(text) if text == "false" => Truth::False,
                _ => Truth::Unknown,
            };
        };
        let items = argument.as_array().map(Vec::as_slice).unwrap_or_default();
        match (name.as_str(), items) {
            ("Condition", _) => argument.as_str().map_or(Truth::Unknown, |name| self.condition(name)),
            ("Fn::Not", [item]) => match self.truth(item) {
                Truth::True => Truth::False,
                Truth::False => Truth::True,
                Truth::Unknown => Truth::Unknown,
            },
            ("Fn::And", [_, ..]) => self.settled(items, Truth::False, Truth::True),
            ("Fn::Or", [_, ..]) => self.settled(items, Truth::True, Truth::False),
            ("Fn::Equals", [one, other]) => self.equal(one, other),
            _ => Truth::Unknown,
        }
    }

    /// The value of `Fn::And` or `Fn::Or`: one `settling` item decides, otherwise every item must be known.
    fn settled(&mut self, items: &[Value], settling: Truth, otherwise: Truth) -> Truth {
        let truths: Vec<Truth> = items.iter().map(|item| self.truth(item)).collect();
        if truths.contains(&settling) {
            settling
        } else if truths.contains(&Truth::Unknown) {
            Truth::Unknown
        } else {
            otherwise
        }
    }

    fn equal(&mut self, one: &Value, other: &Value) -> Truth {
        let (one, other) = (self.value(one), self.value(other));
        let text = |value: &Option<Value>| value.as_ref().and_then(super::text_of);
        if one == other || (one.is_some() && text(&one).is_some() && text(&one) == text(&other)) {
            return Truth::True;
        }
        let unknown = [&one, &other].into_iter().flatten().any(|value| self.is_unknown(value));
        if unknown { Truth::Unknown } else { Truth::False }
    }
}
