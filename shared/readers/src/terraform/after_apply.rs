//! Values that are known only after apply: taken from elsewhere in the plan, or replaced by a stand-in.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::super::stand_ins::stand_in;
use super::resources::Planned;
use mesh::name::ResourceKind;

/// The values of a resource, with stand-ins for unknown values.
pub(super) fn fill(one: &Planned<'_>, all: &[Planned<'_>], made: &mut BTreeSet<String>) -> Value {
    let mut values = one.values.clone();
    let Some(unknown) = one.after_unknown else {
        return values;
    };
    let mut filling = Filling { one, all, made };
    if let (Value::Object(values), Value::Object(unknown)) = (&mut values, unknown) {
        for (name, unknown) in unknown {
            // Members that the service itself sets are not read.
            if !matches!(name.as_str(), "arn" | "id" | "created_date" | "last_updated_date" | "resource_owner") {
                let expression = one.expressions.and_then(|expressions| expressions.get(name));
                filling.member(values, name, unknown, expression, name);
            }
        }
    }
    values
}

struct Filling<'a, 'p> {
    one: &'a Planned<'p>,
    all: &'a [Planned<'p>],
    made: &'a mut BTreeSet<String>,
}

impl Filling<'_, '_> {
    fn member(
        &mut self,
        members: &mut Map<String, Value>,
        name: &str,
        unknown: &Value,
        expression: Option<&Value>,
        path: &str,
    ) {
        match unknown {
            Value::Bool(true) => {
                let value = self.value(expression, path);
                members.insert(name.to_owned(), value);
            }
            Value::Array(_) | Value::Object(_) => {
                if let Some(value) = members.get_mut(name) {
                    self.within(value, unknown, expression, path);
                }
            }
            Value::Null | Value::Bool(false) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn within(&mut self, value: &mut Value, unknown: &Value, expression: Option<&Value>, path: &str) {
        match (value, unknown) {
            (Value::Array(items), Value::Array(unknown)) => {
                for (index, unknown) in unknown.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    let expression = expression.and_then(|expression| expression.get(index));
                    match (items.get_mut(index), unknown) {
                        (Some(item), Value::Bool(true)) => *item = self.value(expression, &path),
                        (None, Value::Bool(true)) => items.push(self.value(expression, &path)),
                        (Some(item), unknown) => self.within(item, unknown, expression, &path),
                        (None, _) => {}
                    }
                }
            }
            (Value::Object(members), Value::Object(unknown)) => {
                for (name, unknown) in unknown {
                    let path = format!("{path}.{name}");
                    let expression = expression.and_then(|expression| expression.get(name));
                    self.member(members, name, unknown, expression, &path);
                }
            }
            _ => {}
        }
    }

    /// The value of an expression that is a single reference, if the plan contains it; otherwise a stand-in.
    fn value(&mut self, expression: Option<&Value>, path: &str) -> Value {
        let references = expression.and_then(|expression| expression.get("references")).and_then(Value::as_array);
        let references: Vec<&str> = references.into_iter().flatten().filter_map(Value::as_str).collect();
        // Terraform lists a reference with each of its prefixes, the longest first.
        let longest = references.first().copied();
        let alone = longest.is_some_and(|longest| references.iter().all(|other| longest.starts_with(other)));
        if let Some(name) = longest.filter(|_| alone).and_then(|reference| self.name_of(reference)) {
            return Value::String(name);
        }
        let expression = longest.map_or_else(|| format!("{}.{path}", self.one.address), str::to_owned);
        let text = stand_in(&expression);
        self.made.insert(text.clone());
        Value::String(text)
    }

    /// The name that a reference such as `aws_appmesh_mesh.shop.id` or `aws_appmesh_virtual_router.orders.name`
    /// evaluates to.
    fn name_of(&self, reference: &str) -> Option<String> {
        let (resource, attribute) = reference.rsplit_once('.')?;
        let address = format!("{}{resource}", self.one.module);
        let is_meant = |other: &&Planned<'_>| {
            let instance = other.address.strip_prefix(address.as_str());
            instance.is_some_and(|instance| instance.is_empty() || instance.starts_with('['))
        };
        let mut meant = self.all.iter().filter(is_meant);
        let (Some(other), None) = (meant.next(), meant.next()) else {
            return None;
        };
        // The id of a mesh is its name; the service generates the id of every other kind.
        let member = match attribute {
            "id" if other.kind == ResourceKind::Mesh => "name",
            "name" | "mesh_name" | "virtual_router_name" | "virtual_gateway_name" => attribute,
            _ => return None,
        };
        other.values.get(member)?.as_str().map(str::to_owned)
    }
}
