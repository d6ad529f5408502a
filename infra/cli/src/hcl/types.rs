//! Variable types, as far as they add default values: `object({ port = optional(number, 8080) })`.

use hcl_edit::expr::{Expression, FuncCall, ObjectKey};
use serde_json::Value;

use super::scope::Scope;

impl Scope<'_> {
    /// The value, completed with the optional attributes of its type: each gets its default, or null.
    pub(super) fn with_defaults(&mut self, value: Value, kind: &Expression) -> Value {
        let Expression::FuncCall(call) = kind else { return value };
        let argument = call.args.iter().next();
        match (call.name.name.as_str(), argument, value) {
            ("object", Some(Expression::Object(attributes)), Value::Object(mut members)) => {
                for (key, attribute) in attributes {
                    let Some(name) = name_of(key) else { continue };
                    let given = members.get(&name).filter(|given| !given.is_null()).cloned();
                    if let Some(value) = self.attribute(given, attribute.expr()) {
                        members.insert(name, value);
                    }
                }
                Value::Object(members)
            }
            ("list" | "set" | "tuple", Some(item), Value::Array(items)) => {
                items.into_iter().map(|value| self.with_defaults(value, item)).collect()
            }
            ("map", Some(item), Value::Object(members)) => {
                let members = members.into_iter().map(|(name, value)| (name, self.with_defaults(value, item)));
                Value::Object(members.collect())
            }
            (_, _, value) => value,
        }
    }

    /// The value of an attribute. `None` for an attribute that is neither given nor optional.
    fn attribute(&mut self, given: Option<Value>, kind: &Expression) -> Option<Value> {
        match optional(kind) {
            Some((kind, default)) => {
                let value = match (given, default) {
                    (Some(given), _) => given,
                    (None, Some(default)) => self.expression(default),
                    (None, None) => Value::Null,
                };
                Some(match kind {
                    Some(kind) => self.with_defaults(value, kind),
                    None => value,
                })
            }
            None => given.map(|given| self.with_defaults(given, kind)),
        }
    }
}

/// The type and the default of an optional attribute.
fn optional(kind: &Expression) -> Option<(Option<&Expression>, Option<&Expression>)> {
    let Expression::FuncCall(call) = kind else { return None };
    let FuncCall { name, args, .. } = &**call;
    let mut arguments = args.iter();
    (name.name.as_str() == "optional").then(|| (arguments.next(), arguments.next()))
}

fn name_of(key: &ObjectKey) -> Option<String> {
    match key {
        ObjectKey::Ident(name) => Some(name.as_str().to_owned()),
        ObjectKey::Expression(Expression::String(name)) => Some(name.as_str().to_owned()),
        ObjectKey::Expression(Expression::Variable(name)) => Some(name.to_string().trim().to_owned()),
        ObjectKey::Expression(_) => None,
    }
}
