//! Numbers, texts and lists with the bounds of the API.

use crate::spec::shapes::serde_through_wire;
use std::fmt;
use std::ops::Deref;

use serde_json::Value;

pub use super::out_of_bounds::OutOfBounds;
use super::refusal::Refusal;
use super::wire::{Reader, Shape, Wire};
use crate::name::{
    AccountId, Arn, GatewayRouteName, MeshName, RouteName, VirtualGatewayName, VirtualNodeName, VirtualRouterName,
    VirtualServiceName,
};
use crate::split::{Port, Weight};

/// A whole number from `MIN` to `MAX`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Int<const MIN: i64, const MAX: i64>(i64);

impl<const MIN: i64, const MAX: i64> Int<MIN, MAX> {
    /// Creates a number within the bounds.
    pub fn new(number: i64) -> Result<Self, OutOfBounds> {
        if (MIN..=MAX).contains(&number) { Ok(Self(number)) } else { Err(Self::refusal(&number)) }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    fn refusal(given: &dyn fmt::Display) -> OutOfBounds {
        let given = given.to_string();
        if MAX == i64::MAX {
            OutOfBounds::TooSmall { given, min: MIN }
        } else {
            OutOfBounds::Number { given, min: MIN, max: MAX }
        }
    }
}

impl<const MIN: i64, const MAX: i64> Wire for Int<MIN, MAX> {
    fn read(value: &Value, reader: &mut Reader) -> Option<Self> {
        let Value::Number(number) = value else {
            return reader.refuse_type("a whole number", value);
        };
        if number.is_f64() {
            return reader.refuse(Refusal::NotWhole { given: number.to_string() });
        }
        let read = number.as_i64().ok_or_else(|| Self::refusal(number)).and_then(Self::new);
        reader.within(read)
    }

    fn write(&self) -> Option<Value> {
        Some(Value::from(self.0))
    }

    fn shape() -> Shape {
        Shape::Number
    }
}

/// A text of `MIN` to `MAX` characters, both included.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<const MIN: usize, const MAX: usize>(String);

impl<const MIN: usize, const MAX: usize> Text<MIN, MAX> {
    /// Creates a text within the bounds.
    pub fn new(text: impl Into<String>) -> Result<Self, OutOfBounds> {
        let text = text.into();
        let length = text.chars().count();
        if (MIN..=MAX).contains(&length) {
            Ok(Self(text))
        } else {
            Err(OutOfBounds::Length { length, min: MIN, max: MAX })
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MIN: usize, const MAX: usize> fmt::Display for Text<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<const MIN: usize, const MAX: usize> Wire for Text<MIN, MAX> {
    fn read(value: &Value, reader: &mut Reader) -> Option<Self> {
        let text = String::read(value, reader)?;
        reader.within(Self::new(text))
    }

    fn write(&self) -> Option<Value> {
        self.0.write()
    }
}

/// A list of `MIN` to `MAX` items, both included.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct List<T, const MIN: usize, const MAX: usize>(Vec<T>);

impl<T, const MIN: usize, const MAX: usize> List<T, MIN, MAX> {
    /// Creates a list within the bounds.
    pub fn new(items: Vec<T>) -> Result<Self, OutOfBounds> {
        let length = items.len();
        if (MIN..=MAX).contains(&length) {
            Ok(Self(items))
        } else {
            Err(OutOfBounds::Items { length, min: MIN, max: MAX })
        }
    }

    /// The items, for changes in place.
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, T> {
        self.0.iter_mut()
    }
}

impl<T, const MIN: usize, const MAX: usize> Deref for List<T, MIN, MAX> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'a, T, const MIN: usize, const MAX: usize> IntoIterator for &'a List<T, MIN, MAX> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<'a, T, const MIN: usize, const MAX: usize> IntoIterator for &'a mut List<T, MIN, MAX> {
    type Item = &'a mut T;
    type IntoIter = std::slice::IterMut<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter_mut()
    }
}

impl<T: Wire, const MIN: usize, const MAX: usize> Wire for List<T, MIN, MAX> {
    fn read(value: &Value, reader: &mut Reader) -> Option<Self> {
        let items = reader.items(value);
        if let Value::Array(given) = value
            && !(MIN..=MAX).contains(&given.len())
        {
            return reader.refuse(OutOfBounds::Items { length: given.len(), min: MIN, max: MAX }.into());
        }
        items.map(Self)
    }

    fn write(&self) -> Option<Value> {
        self.0.write()
    }

    fn is_known(&self) -> bool {
        self.0.is_known()
    }

    fn shape() -> Shape {
        Shape::List(T::shape)
    }
}

/// A text with its own pattern.
macro_rules! pattern {
    ($(#[$doc:meta])* $name:ident, $min:literal..=$max:literal, $pattern:literal, $matches:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Text<$min, $max>);

        impl $name {
            /// Creates a text within the bounds and the pattern.
            pub fn new(text: impl Into<String>) -> Result<Self, OutOfBounds> {
                let text = Text::new(text)?;
                let matches: fn(&str) -> bool = $matches;
                if matches(text.as_str()) {
                    Ok(Self(text))
                } else {
                    Err(OutOfBounds::Pattern { given: text.as_str().to_owned(), pattern: $pattern })
                }
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl Wire for $name {
            fn read(value: &Value, reader: &mut Reader) -> Option<Self> {
                let text = String::read(value, reader)?;
                reader.within(Self::new(text))
            }

            fn write(&self) -> Option<Value> {
                self.0.write()
            }
        }
    };
}

pattern!(
    /// The name of an HTTP header to match, in any letter case.
    HeaderName, 1..=50, "^[!-9;-~]+$", |text| text.bytes().all(|b| matches!(b, b'!'..=b'9' | b';'..=b'~'))
);
pattern!(
    /// The key of an AWS Cloud Map instance attribute.
    AttributeKey, 1..=255, "^[a-zA-Z0-9!-~]+$", |text| text.bytes().all(|b| b.is_ascii_graphic())
);
pattern!(
    /// The value of an AWS Cloud Map instance attribute: printable, not starting with a space.
    AttributeValue,
    1..=1024,
    r"^([a-zA-Z0-9!-~][ \ta-zA-Z0-9!-~]*){0,1}[a-zA-Z0-9!-~]{0,1}$",
    |text| {
        text.bytes().all(|b| b.is_ascii_graphic() || matches!(b, b' ' | b'\t'))
            && !text.starts_with([' ', '\t'])
    }
);

/// Implements serde for a type that parses from a text.
macro_rules! wire_through_text {
    ($($name:ty)*) => {$(
        impl Wire for $name {
            fn read(value: &Value, reader: &mut Reader) -> Option<Self> {
                let text = String::read(value, reader)?;
                reader.accept(text.parse())
            }

            fn write(&self) -> Option<Value> {
                Some(Value::String(self.to_string()))
            }
        }
    )*};
}

wire_through_text!(AccountId Arn GatewayRouteName MeshName RouteName);
wire_through_text!(VirtualGatewayName VirtualNodeName VirtualRouterName VirtualServiceName);

/// Implements serde for a small number with its own type.
macro_rules! wire_through_int {
    ($name:ty, $number:ty, $min:literal..=$max:literal) => {
        impl Wire for $name {
            fn read(value: &Value, reader: &mut Reader) -> Option<Self> {
                let number = Int::<$min, $max>::read(value, reader)?.get();
                <$number>::try_from(number).ok().and_then(|number| Self::new(number).ok())
            }

            fn write(&self) -> Option<Value> {
                Some(Value::from(self.get()))
            }

            fn shape() -> Shape {
                Shape::Number
            }
        }
    };
}

wire_through_int!(Port, u16, 1..=65535);
wire_through_int!(Weight, u8, 0..=100);

serde_through_wire!([const MIN: i64, const MAX: i64] Int<MIN, MAX>);
serde_through_wire!([const MIN: usize, const MAX: usize] Text<MIN, MAX>);
serde_through_wire!(HeaderName);
serde_through_wire!(AttributeKey);
serde_through_wire!(AttributeValue);
