//! The lines of a resource's members in its file.
//!
//! ```text
//!   spec as the form spells it ──┐
//!   places of the text ──────────┼──▶ walk along the shape ──▶ lines by the API's path
//!   shape of the kind ───────────┘
//! ```

use std::collections::BTreeMap;

use serde_json::Value;

use super::node::Spelling;
use super::spelling::{fold, is_pair};
use super::spots::{self, Spot};
use mesh::spec::{Shape, ShapeMember};

/// The lines of the members of a resource, by their path in the API: `spec.listeners[0].portMapping.port`, `tags`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemberLines(BTreeMap<String, usize>);

impl MemberLines {
    /// The line of a member, or of the nearest enclosing member that is in the file. `None` if the file
    /// contains neither.
    #[must_use]
    pub fn line_of(&self, member: &str) -> Option<usize> {
        let mut path = member;
        loop {
            if let Some(line) = self.0.get(path) {
                return Some(*line);
            }
            path = path.get(..path.rfind(['.', '['])?)?;
        }
    }

    /// Records the line of a member.
    pub(super) fn note(&mut self, member: &str, line: usize) {
        self.0.insert(member.to_owned(), line);
    }
}

/// The lines of a spec's members. `spot` is the position of the spec, and `value` is in the form's spelling.
pub(super) fn lines_of_spec(value: &Value, spot: &Spot, shape: Shape, spelling: Spelling) -> MemberLines {
    let mut walk = Walk { spelling, path: "spec".to_owned(), lines: MemberLines::default() };
    walk.value(value, spot, shape);
    walk.lines
}

/// The lines of all members of a JSON or YAML document, by their path: `resource.aws_appmesh_mesh.shop[0].name`. Empty
/// if the document cannot be parsed.
#[must_use]
pub fn member_lines(text: &str) -> BTreeMap<String, usize> {
    let mut lines = BTreeMap::new();
    if let Some(spot) = spots::documents(text, 1).as_deref().and_then(<[Spot]>::first) {
        spot.flatten("", &mut lines);
    }
    lines
}

struct Walk {
    spelling: Spelling,
    path: String,
    lines: MemberLines,
}

impl Walk {
    fn value(&mut self, value: &Value, spot: &Spot, shape: Shape) {
        match (shape, value) {
            (Shape::Object(members), Value::Object(object)) => {
                for (given, value) in object {
                    if let Some(member) = self.member(members, given) {
                        self.within(value, spot, given, member);
                    }
                }
            }
            // A Terraform block is a list of one.
            (Shape::Object(_), Value::Array(items)) if self.spelling == Spelling::Terraform => {
                if let [item] = items.as_slice() {
                    self.value(item, spot.item(0), shape);
                }
            }
            (Shape::List(item), Value::Array(items)) if spot.has_items(items.len()) => {
                self.items(items.iter().enumerate().map(|(index, value)| (value, spot.item(index))), item());
            }
            // A single block of a Terraform configuration.
            (Shape::List(item), Value::Array(items)) if self.spelling == Spelling::Terraform && items.len() == 1 => {
                self.items(items.iter().map(|value| (value, spot)), item());
            }
            (Shape::List(item), Value::Object(_)) if self.spelling == Spelling::Terraform && !is_pair(item()) => {
                self.items(std::iter::once((value, spot)), item());
            }
            _ => {}
        }
    }

    fn items<'v>(&mut self, items: impl Iterator<Item = (&'v Value, &'v Spot)>, shape: Shape) {
        let length = self.path.len();
        for (index, (value, spot)) in items.enumerate() {
            self.path.extend(["[", &index.to_string(), "]"]);
            self.lines.note(&self.path, spot.line());
            self.value(value, spot, shape);
            self.path.truncate(length);
        }
    }

    /// A member with a value in the text, under its own name or that of a reference in its place.
    fn within(&mut self, value: &Value, spot: &Spot, given: &str, member: &ShapeMember) {
        let shape = (member.shape)();
        let reference = || {
            let names = super::reference_members::in_place_of(member.name, shape)
                .filter(|_| self.spelling == Spelling::Manifest);
            names.into_iter().flatten().find_map(|(name, _)| spot.child(name))
        };
        let Some(inner) = spot.child(given).or_else(reference) else { return };
        let length = self.path.len();
        self.path.push('.');
        self.path.push_str(member.name);
        self.lines.note(&self.path, inner.line());
        self.value(value, inner, shape);
        self.path.truncate(length);
    }

    /// The API's member for a name in the form.
    fn member<'m>(&self, members: &'m [ShapeMember], given: &str) -> Option<&'m ShapeMember> {
        let folded = fold(given);
        members.iter().find(|member| {
            let name = fold(member.name);
            // The name of a repeated block is singular.
            name == folded || (self.spelling == Spelling::Terraform && name.strip_suffix('s') == Some(&*folded))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_member_has_the_line_of_the_enclosing_member() {
        let mut lines = MemberLines::default();
        lines.note("spec.listeners", 3);
        lines.note("spec.listeners[1]", 9);
        for (member, expected) in [
            ("spec.listeners[1].healthCheck.path", Some(9)),
            ("spec.listeners[1]", Some(9)),
            ("spec.listeners[0].portMapping", Some(3)),
            ("spec.backends", None),
            ("", None),
        ] {
            assert_eq!(lines.line_of(member), expected, "{member}");
        }
    }

    #[test]
    fn members_of_a_document_have_their_lines() {
        let lines = member_lines("{\n \"a\": [\n  {\"b\": 1},\n  {\"b\":\n 2}]}");
        let expected = [("a", 2), ("a[0]", 3), ("a[0].b", 3), ("a[1]", 4), ("a[1].b", 4)];
        assert_eq!(lines, expected.map(|(path, line)| (path.to_owned(), line)).into_iter().collect());
        assert!(member_lines("{").is_empty());
    }
}
