//! Reads a shape from JSON and writes it back.
//!
//! One definition of a shape serves two readers. A client reads leniently: unknown members and enumeration values of a
//! newer API are kept and written back. The server reads strictly: unknown members are violations. Both report every
//! violation with its path, not just the first.

use std::fmt;

use serde_json::{Map, Value};

use super::extra::Extra;
use super::out_of_bounds::OutOfBounds;
use super::refusal::{Refusal, Violation};

/// A shape of the API, with its JSON form.
pub(crate) trait Wire: Sized {
    /// Reads a value. `None` means that at least one violation was reported.
    fn read(value: &Value, reader: &mut Reader) -> Option<Self>;

    /// The value of an absent (or `null`) member; `None` if the member is required.
    fn absent() -> Option<Self> {
        None
    }

    /// The value as JSON; `None` if the member is absent.
    fn write(&self) -> Option<Value>;

    /// Whether every member and enumeration value is known: an unknown one is a violation of the API. Most
    /// shapes have neither.
    fn is_known(&self) -> bool {
        true
    }

    /// The composition of the shape, for readers of other spellings. Most shapes are written as a text.
    fn shape() -> Shape {
        Shape::Text
    }
}

/// The composition of a shape, down to JSON's own types.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// An object with these members; also a union, which has exactly one of them.
    Object(&'static [ShapeMember]),
    /// A list of items of a shape.
    List(fn() -> Shape),
    /// A JSON string.
    Text,
    /// A JSON number.
    Number,
    /// A JSON boolean.
    Boolean,
}

/// A member of an object's shape.
#[derive(Debug, Clone, Copy)]
pub struct ShapeMember {
    /// Its name in JSON.
    pub name: &'static str,
    /// Its shape, as a function because constants cannot call one.
    pub shape: fn() -> Shape,
}

/// A union of the API: an object with exactly one member.
pub(crate) trait Union: Wire {
    /// The known members.
    const MEMBERS: &'static [&'static str];

    /// Reads one of [`MEMBERS`](Self::MEMBERS).
    fn read_member(object: &Map<String, Value>, name: &str, reader: &mut Reader) -> Option<Self>;

    /// The union with an unknown member.
    fn unrecognised(extra: Extra) -> Self;
}

/// The treatment of unknown members and enumeration values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnknownMembers {
    Keep,
    Refuse,
}

/// The state of reading a document: the present path and the violations.
#[derive(Debug)]
pub(crate) struct Reader {
    unknown: UnknownMembers,
    root: &'static str,
    path: Vec<PathSegment>,
    violations: Vec<Violation>,
}

#[derive(Debug, Clone, Copy)]
enum PathSegment {
    Member(&'static str),
    Index(usize),
}

impl Reader {
    /// Reads a whole document called `root` in the paths of violations.
    pub(crate) fn document<T: Wire>(
        value: &Value,
        root: &'static str,
        unknown: UnknownMembers,
    ) -> Result<T, Vec<Violation>> {
        let mut reader = Self { unknown, root, path: Vec::new(), violations: Vec::new() };
        match T::read(value, &mut reader) {
            Some(read) if reader.violations.is_empty() => Ok(read),
            Some(_) | None => Err(reader.violations),
        }
    }

    /// Reports a violation at the present path.
    pub(crate) fn refuse<T>(&mut self, refusal: Refusal) -> Option<T> {
        let path = self.path.iter().fold(self.root.to_owned(), |path, step| match step {
            PathSegment::Member(name) => format!("{path}.{name}"),
            PathSegment::Index(index) => format!("{path}[{index}]"),
        });
        self.violations.push(Violation { path, refusal });
        None
    }

    /// Reports a violation at a member that has no shape.
    fn refuse_member(&mut self, name: &str, refusal: Refusal) {
        self.refuse::<()>(refusal);
        if let Some(violation) = self.violations.last_mut() {
            violation.path = format!("{}.{name}", violation.path);
        }
    }

    /// Reports a value of the wrong JSON type.
    pub(crate) fn refuse_type<T>(&mut self, expected: &'static str, value: &Value) -> Option<T> {
        let given = match value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        self.refuse(Refusal::WrongType { expected, given })
    }

    /// Reports why a value is outside its type.
    pub(crate) fn accept<T, E: fmt::Display>(&mut self, value: Result<T, E>) -> Option<T> {
        match value {
            Ok(value) => Some(value),
            Err(error) => self.refuse(Refusal::Malformed { reason: error.to_string() }),
        }
    }

    /// Reports a number, a length or a text outside its bounds.
    pub(crate) fn within<T>(&mut self, value: Result<T, OutOfBounds>) -> Option<T> {
        match value {
            Ok(value) => Some(value),
            Err(error) => self.refuse(error.into()),
        }
    }

    pub(crate) fn refuses_unknown(&self) -> bool {
        self.unknown == UnknownMembers::Refuse
    }

    pub(crate) fn object<'v>(&mut self, value: &'v Value) -> Option<&'v Map<String, Value>> {
        match value {
            Value::Object(object) => Some(object),
            other => self.refuse_type("an object", other),
        }
    }

    /// Reads a member of a structure.
    pub(crate) fn member<T: Wire>(&mut self, object: &Map<String, Value>, name: &'static str) -> Option<T> {
        self.path.push(PathSegment::Member(name));
        let read = match object.get(name) {
            None | Some(Value::Null) => T::absent().or_else(|| self.refuse(Refusal::MemberRequired)),
            Some(value) => T::read(value, self),
        };
        self.path.pop();
        read
    }

    /// Returns the members of a structure that are not among those `known`.
    pub(crate) fn rest(&mut self, object: &Map<String, Value>, known: &'static [&'static str]) -> Extra {
        let mut extra = Extra::new();
        for (name, value) in object {
            if known.contains(&name.as_str()) || value.is_null() {
                continue;
            }
            match self.unknown {
                UnknownMembers::Keep => {
                    extra.insert(name.clone(), value.clone());
                }
                UnknownMembers::Refuse => {
                    self.refuse_member(name, Refusal::MemberUnknown { known });
                }
            }
        }
        extra
    }

    /// Reads a union that is a separate object.
    pub(crate) fn union<U: Union>(&mut self, value: &Value) -> Option<U> {
        let object = self.object(value)?;
        let extra = self.rest(object, U::MEMBERS);
        let known = given_of::<U>(object);
        match (known.as_slice(), extra.len()) {
            ([name], 0) => U::read_member(object, name, self),
            ([], 1) => Some(U::unrecognised(extra)),
            (known, unknown) => self.refuse(exactly_one::<U>(known.len() + unknown)),
        }
    }

    /// Reads a union with a member among the other members of a structure. The structure keeps `extra`, the members
    /// unknown to both; without a known member one of those must be the union's.
    pub(crate) fn union_within<U: Union>(&mut self, object: &Map<String, Value>, extra: &Extra) -> Option<U> {
        let known = given_of::<U>(object);
        match known.as_slice() {
            [name] => U::read_member(object, name, self),
            [] if !extra.is_empty() => Some(U::unrecognised(Extra::new())),
            known => self.refuse(exactly_one::<U>(known.len())),
        }
    }

    /// Reads the items of a list.
    pub(crate) fn items<T: Wire>(&mut self, value: &Value) -> Option<Vec<T>> {
        let Value::Array(items) = value else {
            return self.refuse_type("a list", value);
        };
        // Every item is read, even after an invalid one, so that all violations are found.
        let mut read = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            self.path.push(PathSegment::Index(index));
            if let Some(item) = T::read(item, self) {
                read.push(item);
            }
            self.path.pop();
        }
        (read.len() == items.len()).then_some(read)
    }
}

fn given_of<U: Union>(object: &Map<String, Value>) -> Vec<&'static str> {
    let given = |name: &&'static str| object.get(*name).is_some_and(|value| !value.is_null());
    U::MEMBERS.iter().copied().filter(given).collect()
}

fn exactly_one<U: Union>(given: usize) -> Refusal {
    Refusal::NotOneMember { members: U::MEMBERS, given }
}

/// Adds a member unless it is absent.
pub(crate) fn write_member<T: Wire>(object: &mut Map<String, Value>, name: &str, member: &T) {
    if let Some(value) = member.write() {
        object.insert(name.to_owned(), value);
    }
}

/// Adds the unknown members, which never replace known ones.
pub(crate) fn write_rest(object: &mut Map<String, Value>, extra: &Extra) {
    for (name, value) in extra {
        object.entry(name.as_str()).or_insert_with(|| value.clone());
    }
}

impl<T: Wire> Wire for Option<T> {
    fn read(value: &Value, reader: &mut Reader) -> Option<Self> {
        T::read(value, reader).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }

    fn write(&self) -> Option<Value> {
        self.as_ref().and_then(Wire::write)
    }

    fn is_known(&self) -> bool {
        self.as_ref().is_none_or(Wire::is_known)
    }

    fn shape() -> Shape {
        T::shape()
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn read(value: &Value, reader: &mut Reader) -> Option<Self> {
        reader.items(value)
    }

    fn write(&self) -> Option<Value> {
        Some(self.iter().filter_map(Wire::write).collect())
    }

    fn is_known(&self) -> bool {
        self.iter().all(Wire::is_known)
    }

    fn shape() -> Shape {
        Shape::List(T::shape)
    }
}

impl<T: Wire> Wire for Box<T> {
    fn read(value: &Value, reader: &mut Reader) -> Option<Self> {
        T::read(value, reader).map(Self::new)
    }

    fn write(&self) -> Option<Value> {
        T::write(self)
    }

    fn is_known(&self) -> bool {
        T::is_known(self)
    }

    fn shape() -> Shape {
        T::shape()
    }
}

impl Wire for bool {
    fn read(value: &Value, reader: &mut Reader) -> Option<Self> {
        value.as_bool().or_else(|| reader.refuse_type("true or false", value))
    }

    fn write(&self) -> Option<Value> {
        Some(Value::Bool(*self))
    }

    fn shape() -> Shape {
        Shape::Boolean
    }
}

impl Wire for String {
    fn read(value: &Value, reader: &mut Reader) -> Option<Self> {
        match value {
            Value::String(text) => Some(text.clone()),
            other => reader.refuse_type("a string", other),
        }
    }

    fn write(&self) -> Option<Value> {
        Some(Value::String(self.clone()))
    }
}
