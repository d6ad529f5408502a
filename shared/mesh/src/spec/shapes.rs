//! The three forms a shape can take: a structure, a union, an enumeration of strings.
//!
//! Each definition generates the type, its reader, its writer and its serde implementation, so they cannot diverge.

/// Lets serde read (leniently) and write a type through [`Wire`](super::wire::Wire).
macro_rules! serde_through_wire {
    ([$($generics:tt)*] $name:ty) => {
        impl<$($generics)*> serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serde::Serialize::serialize(&$crate::spec::wire::Wire::write(self), serializer)
            }
        }

        impl<'de, $($generics)*> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = <serde_json::Value as serde::Deserialize>::deserialize(deserializer)?;
                $crate::spec::through_serde::read(&value)
                    .map_err(|violations| $crate::spec::through_serde::serde_error(&violations))
            }
        }
    };
    ($name:ty) => {
        $crate::spec::shapes::serde_through_wire!([] $name);
    };
}

/// The shape of an object with these members.
macro_rules! shape {
    ($($wire:literal => $type:ty,)*) => {{
        const MEMBERS: &[$crate::spec::wire::ShapeMember] = &[
            $( $crate::spec::wire::ShapeMember {
                name: $wire,
                shape: <$type as $crate::spec::wire::Wire>::shape,
            }, )*
        ];
        $crate::spec::wire::Shape::Object(MEMBERS)
    }};
}

/// A structure. `Option` members may be absent; all others are required.
macro_rules! structure {
    (
        $(#[$doc:meta])*
        pub struct $name:ident {
            $( $(#[$member_doc:meta])* $wire:literal => $member:ident: $type:ty, )*
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name {
            $( $(#[$member_doc])* pub $member: $type, )*
            /// Unknown members, as they were read.
            pub extra: $crate::spec::Extra,
        }

        impl $crate::spec::wire::Wire for $name {
            fn read(value: &serde_json::Value, reader: &mut $crate::spec::wire::Reader) -> Option<Self> {
                let object = reader.object(value)?;
                // All members are read before the first `?`, so that all violations are found.
                $( let $member = reader.member(object, $wire); )*
                let extra = reader.rest(object, &[$($wire),*]);
                Some(Self { $($member: $member?,)* extra })
            }

            fn write(&self) -> Option<serde_json::Value> {
                let mut object = serde_json::Map::new();
                $( $crate::spec::wire::write_member(&mut object, $wire, &self.$member); )*
                $crate::spec::wire::write_rest(&mut object, &self.extra);
                Some(serde_json::Value::Object(object))
            }

            fn is_known(&self) -> bool {
                self.extra.is_empty() $( && $crate::spec::wire::Wire::is_known(&self.$member) )*
            }

            fn shape() -> $crate::spec::wire::Shape {
                $crate::spec::shapes::shape!($($wire => $type,)*)
            }
        }

        $crate::spec::shapes::serde_through_wire!($name);
    };
}

/// A union: an object with exactly one member.
macro_rules! union {
    (
        $(#[$doc:meta])*
        pub enum $name:ident {
            $( $(#[$variant_doc:meta])* $wire:literal => $variant:ident($type:ty), )*
        }
    ) => {
        $(#[$doc])*
        ///
        /// A union: exactly one member.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $name {
            $( $(#[$variant_doc])* $variant($type), )*
            /// An unknown member, as it was read.
            Unrecognised($crate::spec::Extra),
        }

        impl $name {
            /// The name of the member; `None` if it is unknown.
            #[must_use]
            pub const fn member(&self) -> Option<&'static str> {
                match self {
                    $( Self::$variant(_) => Some($wire), )*
                    Self::Unrecognised(_) => None,
                }
            }
        }

        impl $crate::spec::wire::Union for $name {
            const MEMBERS: &'static [&'static str] = &[$($wire),*];

            fn read_member(
                object: &serde_json::Map<String, serde_json::Value>,
                name: &str,
                reader: &mut $crate::spec::wire::Reader,
            ) -> Option<Self> {
                match name {
                    $( $wire => reader.member(object, $wire).map(Self::$variant), )*
                    _ => None,
                }
            }

            fn unrecognised(extra: $crate::spec::Extra) -> Self {
                Self::Unrecognised(extra)
            }
        }

        impl $crate::spec::wire::Wire for $name {
            fn read(value: &serde_json::Value, reader: &mut $crate::spec::wire::Reader) -> Option<Self> {
                reader.union(value)
            }

            fn write(&self) -> Option<serde_json::Value> {
                let mut object = serde_json::Map::new();
                match self {
                    $( Self::$variant(member) => {
                        $crate::spec::wire::write_member(&mut object, $wire, member);
                    } )*
                    Self::Unrecognised(extra) => $crate::spec::wire::write_rest(&mut object, extra),
                }
                Some(serde_json::Value::Object(object))
            }

            fn is_known(&self) -> bool {
                match self {
                    $( Self::$variant(member) => $crate::spec::wire::Wire::is_known(member), )*
                    Self::Unrecognised(_) => false,
                }
            }

            fn shape() -> $crate::spec::wire::Shape {
                $crate::spec::shapes::shape!($($wire => $type,)*)
            }
        }

        $crate::spec::shapes::serde_through_wire!($name);
    };
}

/// An enumeration of strings.
macro_rules! words {
    ($(#[$doc:meta])* pub enum $name:ident { $($variants:tt)* }) => {
        $crate::spec::word_enum::word_enum! {
            $(#[$doc])*
            pub enum $name { $($variants)* }
        }

        $crate::spec::shapes::wire_through_words!($name);
    };
}

/// The reader, the writer and the serde implementation of an enumeration of strings.
macro_rules! wire_through_words {
    ($name:ident) => {
        impl $crate::spec::wire::Wire for $name {
            fn read(value: &serde_json::Value, reader: &mut $crate::spec::wire::Reader) -> Option<Self> {
                match Self::from_text(String::read(value, reader)?) {
                    Self::Unrecognised(given) if reader.refuses_unknown() => {
                        reader.refuse($crate::spec::Refusal::ValueUnknown { given, allowed: Self::KNOWN })
                    }
                    value => Some(value),
                }
            }

            fn write(&self) -> Option<serde_json::Value> {
                Some(serde_json::Value::from(self.as_str()))
            }

            fn is_known(&self) -> bool {
                !matches!(self, Self::Unrecognised(_))
            }
        }

        $crate::spec::shapes::serde_through_wire!($name);
    };
}

pub(crate) use {serde_through_wire, shape, structure, union, wire_through_words, words};
