//! Writes a spec in the spelling of a form: the reverse of reading it.

use serde_json::{Map, Value};

use super::form::Form;
use super::node::Spelling;
use super::spelling::is_pair;
use mesh::spec::Shape;
use mesh::spec::Spec;

/// The spec in the spelling of a form, as a tree of JSON.
///
/// CloudFormation has Pascal case. Terraform has underscores, a list of objects for each block, and a map for a list of
/// keys and values, as in its JSON syntax; it has no empty lists. The other forms have the API's spelling.
#[must_use]
pub fn spell(spec: &Spec, form: Form) -> Value {
    let spelling = match form {
        Form::CloudFormation => Spelling::CloudFormation,
        Form::Terraform => Spelling::Terraform,
        Form::Api | Form::ConfigItem | Form::Manifest => Spelling::Api,
    };
    spelt(&spec.to_json(), Spec::shape(spec.kind()), spelling)
}

fn spelt(value: &Value, shape: Shape, spelling: Spelling) -> Value {
    match (shape, value) {
        (Shape::Object(members), Value::Object(object)) => {
            let mut written = Map::new();
            for (name, value) in object {
                let Some(member) = members.iter().find(|member| member.name == name) else {
                    // A member of a newer API has no spelling in another form.
                    written.insert(name.clone(), value.clone());
                    continue;
                };
                let shape = (member.shape)();
                let value = spelt(value, shape, spelling);
                let is_block = spelling == Spelling::Terraform && matches!(shape, Shape::Object(_));
                if spelling == Spelling::Terraform && matches!(&value, Value::Array(items) if items.is_empty()) {
                    continue;
                }
                let value = if is_block { Value::Array(vec![value]) } else { value };
                written.insert(spelling.name(member).into_owned(), value);
            }
            Value::Object(written)
        }
        (Shape::List(item), Value::Array(items)) if spelling == Spelling::Terraform && is_pair(item()) => {
            let pair = |item: &Value| Some((item.get("key")?.as_str()?.to_owned(), item.get("value")?.clone()));
            Value::Object(items.iter().filter_map(pair).collect())
        }
        (Shape::List(item), Value::Array(items)) => items.iter().map(|value| spelt(value, item(), spelling)).collect(),
        (Shape::Object(_) | Shape::List(_) | Shape::Text | Shape::Number | Shape::Boolean, other) => other.clone(),
    }
}
