//! The spelling of a spec's members in each form, and the members that a form does not have.
//!
//! ```text
//!   value as written ──▶ check ──┬─▶ the value without the members that the target drops or refuses
//!                                └─▶ each of them: where it is, and the right spelling
//! ```

use std::borrow::Cow;

use serde_json::{Map, Value};
use strsim::levenshtein;

use super::node::{Node, Spelling};
use super::spots::Step;
use mesh::spec::Spec;
use mesh::spec::{Shape, ShapeMember};

/// A member that the target drops or refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Misspelt {
    /// The steps to it from the given root.
    pub(super) steps: Vec<Step>,
    /// Its path as written.
    pub(super) member: String,
    /// The most similar member of the form.
    pub(super) suggestion: Option<String>,
}

/// A value without the members that the target drops or refuses.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) value: Value,
    pub(super) misspelt: Vec<Misspelt>,
}

/// Compares the members of a value with the members that the form has there. `root` is the path of the value.
pub(super) fn check(value: &Value, node: Node, spelling: Spelling, root: &[Step]) -> Checked {
    let mut walk = Walk { spelling, steps: root.to_vec(), misspelt: Vec::new() };
    let value = if spelling == Spelling::ConfigItem { value.clone() } else { walk.value(value, node) };
    Checked { value, misspelt: walk.misspelt }
}

/// The members of an object that are not in `known`. `root` is the path of the object.
pub(super) fn unknown_members(object: &Map<String, Value>, known: &[&str], root: &[Step]) -> Vec<Misspelt> {
    let given = object.iter().filter(|(name, value)| !value.is_null() && !known.contains(&name.as_str()));
    let misspelt = given.map(|(name, _)| {
        let steps: Vec<Step> = root.iter().cloned().chain([Step::Member(name.clone())]).collect();
        let suggestion = nearest(name, known.iter().copied().filter(|known| !object.contains_key(*known)));
        Misspelt { member: shown(&steps), steps, suggestion }
    });
    misspelt.collect()
}

/// A name without case and underscores.
pub(super) fn fold(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-')).map(|c| c.to_ascii_lowercase()).collect()
}

/// The known name that is most similar to a given one, if one is similar.
pub(super) fn nearest<'k>(given: &str, known: impl Iterator<Item = &'k str>) -> Option<String> {
    let known: Vec<&str> = known.collect();
    let folded = fold(given);
    let singular = |name: &str| name.strip_suffix('s').unwrap_or(name).to_owned();
    let same = known.iter().find(|name| singular(&fold(name)) == singular(&folded));
    let far = |name: &str| levenshtein(&fold(name), &folded);
    let alike = || {
        let nearest = known.iter().min_by_key(|name| far(name));
        // At most one letter of three may differ; with more, a short name is similar to any other.
        nearest.filter(|name| far(name) <= (folded.len() / 3).min(3))
    };
    same.or_else(alike).map(|name| (*name).to_owned())
}

/// A path as text: `spec.listeners[0].healthCheck`. Sections that contain properties are omitted.
fn shown(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        match step {
            Step::Member(name) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(name);
            }
            Step::Index(index) => text.extend(["[", &index.to_string(), "]"]),
            Step::Hidden(_) | Step::OnlyBlock => {}
        }
    }
    text
}

impl Spelling {
    /// Whether numbers and booleans may be written as text.
    pub(super) const fn has_text_for_values(self) -> bool {
        match self {
            Self::ConfigItem | Self::CloudFormation | Self::Terraform => true,
            Self::Api | Self::Manifest => false,
        }
    }

    /// The name of an API member in the form.
    pub(super) fn name(self, member: &ShapeMember) -> Cow<'static, str> {
        let name = member.name;
        match self {
            Self::Api | Self::ConfigItem => name.into(),
            Self::CloudFormation => match name {
                "acm" | "dns" | "grpc" | "http" | "http2" | "sds" | "tcp" | "tls" => name.to_ascii_uppercase().into(),
                "awsCloudMap" => "AWSCloudMap".into(),
                _ => pascal(name).into(),
            },
            Self::Manifest => match name {
                "certificateArn" => "certificateARN".into(),
                "certificateAuthorityArns" => "certificateAuthorityARNs".into(),
                _ => name.into(),
            },
            Self::Terraform => {
                let snake = snake(name);
                // The name of a repeated block is singular; a list of texts and a map are arguments.
                match (member.shape)() {
                    Shape::List(item) if matches!(item(), Shape::Object(_)) && !is_pair(item()) => {
                        snake.strip_suffix('s').map(str::to_owned).unwrap_or(snake).into()
                    }
                    Shape::List(_) | Shape::Object(_) | Shape::Text | Shape::Number | Shape::Boolean => snake.into(),
                }
            }
        }
    }
}

/// A name in Pascal case.
pub(super) fn pascal(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + chars.as_str())
}

fn snake(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

/// Whether a shape is an entry of a map, which Terraform writes as a map.
pub(super) fn is_pair(shape: Shape) -> bool {
    matches!(shape, Shape::Object([ShapeMember { name: "key", .. }, ShapeMember { name: "value", .. }]))
}

struct Walk {
    spelling: Spelling,
    steps: Vec<Step>,
    misspelt: Vec<Misspelt>,
}

type Members = Vec<(Cow<'static, str>, Node)>;

impl Walk {
    fn value(&mut self, value: &Value, node: Node) -> Value {
        let item = match node {
            Node::Free => return value.clone(),
            Node::List(item) => Some(*item),
            Node::Shape(Shape::List(item)) => Some(Node::Shape(item())),
            Node::Spec(_) | Node::Shape(_) | Node::With(..) | Node::Members(_) => None,
        };
        match (item, value) {
            (Some(item), Value::Array(items)) => self.items(items, item),
            // A block is a list of one.
            (None, Value::Array(items)) if self.spelling == Spelling::Terraform => self.items(items, node),
            // In Terraform's JSON syntax, a single block may be written without its list.
            (Some(item @ Node::Shape(shape)), Value::Object(_))
                if self.spelling == Spelling::Terraform && !is_pair(shape) =>
            {
                self.value(value, item)
            }
            // The keys of a map in place of a list of keys and values are data, not members.
            (None, Value::Object(object)) => match self.members(node) {
                Some(members) => self.object(object, &members),
                None => value.clone(),
            },
            _ => value.clone(),
        }
    }

    fn items(&mut self, items: &[Value], node: Node) -> Value {
        let lone = self.spelling == Spelling::Terraform && items.len() == 1;
        let walked = items.iter().enumerate().map(|(index, item)| {
            self.steps.push(if lone { Step::OnlyBlock } else { Step::Index(index) });
            let item = self.value(item, node);
            self.steps.pop();
            item
        });
        walked.collect()
    }

    fn object(&mut self, object: &Map<String, Value>, members: &Members) -> Value {
        let mut kept = Map::new();
        for (given, value) in object {
            if let Some((_, node)) = members.iter().find(|(name, _)| name == given) {
                self.steps.push(Step::Member(given.clone()));
                let value = self.value(value, *node);
                self.steps.pop();
                kept.insert(given.clone(), value);
                continue;
            }
            if is_nothing(value, self.spelling) {
                continue;
            }
            let mut steps = self.steps.clone();
            steps.push(Step::Member(given.clone()));
            let free = members.iter().map(|(name, _)| name.as_ref()).filter(|name| !object.contains_key(*name));
            let suggestion = nearest(given, free);
            self.misspelt.push(Misspelt { member: shown(&steps), steps, suggestion });
        }
        Value::Object(kept)
    }

    /// The members of an object; `None` if the node is not an object.
    fn members(&self, node: Node) -> Option<Members> {
        let own = |members: &[(&'static str, Node)]| -> Members {
            members.iter().map(|(name, node)| (Cow::Borrowed(*name), *node)).collect()
        };
        match node {
            Node::Free | Node::List(_) | Node::Shape(Shape::List(_) | Shape::Text | Shape::Number | Shape::Boolean) => {
                None
            }
            Node::Members(members) => Some(own(members)),
            Node::Spec(kind) => self.members(Node::Shape(Spec::shape(kind))),
            Node::With(shape, more) => {
                let mut members = self.members(Node::Shape(shape()))?;
                members.extend(own(more));
                Some(members)
            }
            Node::Shape(Shape::Object(members)) => Some(members.iter().flat_map(|member| self.spelt(member)).collect()),
        }
    }

    fn spelt(&self, member: &ShapeMember) -> Members {
        let shape = (member.shape)();
        if self.spelling == Spelling::Manifest
            && let Some(members) = super::reference_members::in_place_of(member.name, shape)
        {
            return members.iter().map(|(name, node)| (Cow::Borrowed(*name), *node)).collect();
        }
        vec![(self.spelling.name(member), Node::Shape(shape))]
    }
}

/// Whether a member counts as unset, such as a null argument of the Terraform provider.
pub(super) fn is_nothing(value: &Value, spelling: Spelling) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty() && spelling == Spelling::Terraform,
        Value::String(text) => text.is_empty() && spelling == Spelling::Terraform,
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    }
}
