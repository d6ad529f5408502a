//! Evaluates each kind of expression, with placeholder strings for unknown values.

use hcl_edit::expr::{Expression, ForExpr, FuncCall, ObjectKey, Traversal, TraversalOperator};
use hcl_edit::template::{Element, Template};
use serde_json::{Map, Value};

use super::functions;
use super::operators::{self, truth};
use super::scope::{Scope, Unknown};
use super::source::Written;
use super::values::{number_of, text_of};

impl Scope<'_> {
    /// The value of an unevaluated expression.
    pub(super) fn written(&mut self, written: &Written) -> Value {
        match written {
            Written::Hcl(expression) => self.expression(expression),
            Written::Json(value) => self.json(value),
            Written::Given(value) => value.clone(),
        }
    }

    /// A JSON value with its template strings evaluated.
    pub(super) fn json(&mut self, value: &Value) -> Value {
        self.deeper(|scope| match value {
            Value::String(text) => match hcl_edit::parser::parse_template(text) {
                Ok(template) => scope.template(&template),
                Err(_) => scope.unknown(text, Unknown::Unevaluated),
            },
            Value::Array(items) => items.iter().map(|item| scope.json(item)).collect(),
            Value::Object(members) => {
                Value::Object(members.iter().map(|(name, value)| (name.clone(), scope.json(value))).collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        })
    }

    /// The value of an expression.
    pub(super) fn expression(&mut self, expression: &Expression) -> Value {
        self.deeper(|scope| scope.expression_within(expression))
    }

    fn expression_within(&mut self, expression: &Expression) -> Value {
        match expression {
            Expression::Null(_) => Value::Null,
            Expression::Bool(value) => Value::Bool(**value),
            Expression::Number(number) => number_of(&number.to_string()),
            Expression::String(text) => Value::from(text.as_str()),
            Expression::Array(items) => {
                let items = items.iter().map(|item| self.expression(item)).collect();
                self.bounded(Value::Array(items), "a list that is too large")
            }
            Expression::Object(members) => {
                let mut object = Map::new();
                for (key, value) in members {
                    let value = self.expression(value.expr());
                    let key = self.key(key);
                    object.insert(key, value);
                }
                self.bounded(Value::Object(object), "an object that is too large")
            }
            Expression::StringTemplate(template) => {
                let elements: Vec<&Element> = template.iter().collect();
                self.elements(&elements)
            }
            Expression::HeredocTemplate(heredoc) => self.template(&heredoc.template),
            Expression::Parenthesis(inner) => self.expression(inner.inner()),
            Expression::Variable(name) => {
                let text = name.to_string();
                self.lookup(text.trim(), &[], text.trim()).0
            }
            Expression::Conditional(conditional) => {
                let condition = self.expression(&conditional.cond_expr);
                match truth(&condition) {
                    Some(true) => self.expression(&conditional.true_expr),
                    Some(false) => self.expression(&conditional.false_expr),
                    None => {
                        let then = self.expression(&conditional.true_expr);
                        let otherwise = self.expression(&conditional.false_expr);
                        if then == otherwise { then } else { self.open(expression) }
                    }
                }
            }
            Expression::FuncCall(call) => self.call(call, expression),
            Expression::Traversal(traversal) => self.traversal(traversal, expression),
            Expression::UnaryOp(operation) => {
                let value = self.expression(&operation.expr);
                operators::unary(*operation.operator, &value).unwrap_or_else(|| self.open(expression))
            }
            Expression::BinaryOp(operation) => {
                let (one, other) = (self.expression(&operation.lhs_expr), self.expression(&operation.rhs_expr));
                let is_known = !self.is_unknown(&one) && !self.is_unknown(&other);
                operators::binary(*operation.operator, &one, &other, is_known).unwrap_or_else(|| self.open(expression))
            }
            Expression::ForExpr(each) => self.for_each(each).unwrap_or_else(|| self.open(expression)),
        }
    }

    /// The placeholder for an expression that cannot be evaluated.
    fn open(&mut self, expression: &Expression) -> Value {
        self.unknown(&expression.to_string(), Unknown::Unevaluated)
    }

    fn key(&mut self, key: &ObjectKey) -> String {
        match key {
            ObjectKey::Ident(name) => name.as_str().to_owned(),
            ObjectKey::Expression(expression) => {
                let value = self.expression(expression);
                text_of(&value).unwrap_or_default()
            }
        }
    }

    fn template(&mut self, template: &Template) -> Value {
        let elements: Vec<&Element> = template.iter().collect();
        self.elements(&elements)
    }

    /// A string of literals and interpolations. A single interpolation keeps the type of its value.
    fn elements(&mut self, elements: &[&Element]) -> Value {
        if let [Element::Interpolation(interpolation)] = elements {
            return self.expression(&interpolation.expr);
        }
        let mut text = String::new();
        for element in elements {
            match element {
                Element::Literal(literal) => text.push_str(literal),
                Element::Interpolation(interpolation) => {
                    let value = self.expression(&interpolation.expr);
                    match text_of(&value) {
                        Some(value) => text.push_str(&value),
                        None => text.extend(self.open(&interpolation.expr).as_str()),
                    }
                }
                Element::Directive(_) => {
                    text.extend(self.unknown("template directive", Unknown::Unevaluated).as_str());
                }
            }
        }
        self.bounded(Value::String(text), "a text that is too long")
    }

    fn call(&mut self, call: &FuncCall, expression: &Expression) -> Value {
        let name = call.name.name.as_str();
        if !call.name.namespace.is_empty() || call.args.expand_final() {
            return self.open(expression);
        }
        if name == "try" {
            return match self.first_that_succeeds(call) {
                Some(value) => value,
                None => self.open(expression),
            };
        }
        let arguments: Vec<Value> = call.args.iter().map(|argument| self.expression(argument)).collect();
        let known: Vec<bool> = arguments.iter().map(|argument| !self.is_unknown(argument)).collect();
        match functions::call(name, &arguments, &known) {
            Some(value) => self.bounded(value, "a collection that is too large"),
            None => self.open(expression),
        }
    }

    fn traversal(&mut self, traversal: &Traversal, expression: &Expression) -> Value {
        let mut steps = Vec::new();
        for operator in &traversal.operators {
            steps.push(match &**operator {
                TraversalOperator::GetAttr(name) => name.as_str().to_owned(),
                TraversalOperator::LegacyIndex(index) => format!("[{}]", **index),
                TraversalOperator::Index(index) => {
                    let index = self.expression(index);
                    match text_of(&index) {
                        Some(text) if !self.is_unknown(&index) => format!("[{text}]"),
                        _ => "[]".to_owned(),
                    }
                }
                TraversalOperator::AttrSplat(_) | TraversalOperator::FullSplat(_) => "*".to_owned(),
            });
        }
        let text = expression.to_string();
        let (value, used) = match &traversal.expr {
            Expression::Variable(root) => self.lookup(root.as_str(), &steps, text.trim()),
            other => (self.expression(other), 0),
        };
        let rest = steps.get(used..).unwrap_or_default();
        if rest.is_empty() {
            return value;
        }
        // An attribute of an unknown value is unknown. An attribute of a partly known value may be known.
        if let Some(found) = step(&value, rest) {
            return found;
        }
        self.lacks_attribute |= !self.is_unknown(&value);
        self.unknown(text.trim(), Unknown::Unevaluated)
    }

    /// The first argument that succeeds. An argument fails if it reads an attribute that a known value lacks.
    fn first_that_succeeds(&mut self, call: &FuncCall) -> Option<Value> {
        let before = std::mem::take(&mut self.lacks_attribute);
        let found = call.args.iter().find_map(|argument| {
            self.lacks_attribute = false;
            let value = self.expression(argument);
            (!self.lacks_attribute).then_some(value)
        });
        self.lacks_attribute = before;
        found
    }

    fn for_each(&mut self, each: &ForExpr) -> Option<Value> {
        let collection = self.expression(&each.intro.collection_expr);
        let entries: Vec<(Value, Value)> = match &collection {
            Value::Array(items) => items.iter().cloned().enumerate().map(|(n, item)| (Value::from(n), item)).collect(),
            Value::Object(members) => members.iter().map(|(key, value)| (key.as_str().into(), value.clone())).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
        };
        let (mut list, mut object) = (Vec::new(), Map::new());
        for (key, value) in entries {
            let bound = self.bound.len();
            if let Some(name) = &each.intro.key_var {
                self.bound.push((name.as_str().to_owned(), key));
            }
            self.bound.push((each.intro.value_var.as_str().to_owned(), value));
            let taken = each.cond.as_ref().map_or(Some(true), |condition| truth(&self.expression(&condition.expr)));
            if taken == Some(true) {
                let value = self.expression(&each.value_expr);
                match &each.key_expr {
                    Some(key) => {
                        let key = self.expression(key);
                        object.insert(text_of(&key).unwrap_or_default(), value);
                    }
                    None => list.push(value),
                }
            }
            self.bound.truncate(bound);
            taken?;
        }
        if each.grouping {
            return None;
        }
        let value = if each.key_expr.is_some() { Value::Object(object) } else { Value::Array(list) };
        Some(self.bounded(value, "a collection that is too large"))
    }
}

/// The value at a path of attributes and indexes.
fn step(value: &Value, steps: &[String]) -> Option<Value> {
    let Some((first, rest)) = steps.split_first() else { return Some(value.clone()) };
    if first == "*" {
        let Value::Array(items) = value else { return None };
        return items.iter().map(|item| step(item, rest)).collect::<Option<Vec<_>>>().map(Value::Array);
    }
    let index = first.strip_prefix('[').and_then(|first| first.strip_suffix(']'));
    let next = match (value, index) {
        (Value::Array(items), Some(index)) => items.get(index.parse::<usize>().ok()?)?,
        (Value::Object(members), Some(name)) => members.get(name)?,
        (Value::Object(members), None) => members.get(first)?,
        _ => return None,
    };
    step(next, rest)
}
