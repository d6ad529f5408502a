//! Names and ids, each with its own type and the bounds of the App Mesh API.
//!
//! A value of one of these types is always valid: it can be created only by `parse` and deserialisation.

mod arn;
mod drill;
mod path;

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use arn::{Arn, ArnError};
pub use drill::{DrillName, DrillNameError};
pub use path::{PathError, ResourceKind, ResourcePath, RouteId};

/// The maximum length of the names of all resources except virtual services (API shape `ResourceName`).
pub const MAX_RESOURCE_NAME: usize = 255;

/// The reason why a text is not a valid name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// The text is empty, or longer than the API allows.
    #[error("a {what} has 1 to {max} characters, this one has {length}")]
    Length {
        /// The kind of the name.
        what: &'static str,
        /// The maximum number of characters.
        max: usize,
        /// The number of characters.
        length: usize,
    },
    /// The text is empty, for a name without an upper bound.
    #[error("a {what} has at least 1 character")]
    Empty {
        /// The kind of the name.
        what: &'static str,
    },
    /// The text contains a separator of ids, or a control character.
    #[error("a {what} can't contain {character:?}: remove it from `{name}`")]
    Character {
        /// The kind of the name.
        what: &'static str,
        /// The character.
        character: char,
        /// The text.
        name: String,
    },
    /// The text is not an AWS account id.
    #[error("an account id has 12 digits, this is `{given}`")]
    AccountId {
        /// The text.
        given: String,
    },
}

/// Defines a name type with a check of its text. All clones of a name share the text: paths, findings and indexes of a
/// large mesh hold each name many times.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String", extend("minLength" = 1))]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses a name.
            pub fn parse(name: &str) -> Result<Self, NameError> {
                Self::try_from(name.to_owned())
            }

            /// The name in the form of the API.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(name: String) -> Result<Self, NameError> {
                let check: fn(&str) -> Result<(), NameError> = $check;
                check(&name)?;
                Ok(Self(name.into()))
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        // Not derived: most comparisons within a mesh begin with its name, which is the same allocation.
        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                if Arc::ptr_eq(&self.0, &other.0) { Ordering::Equal } else { self.0.cmp(&other.0) }
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(name: &str) -> Result<Self, NameError> {
                Self::parse(name)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// The name of a mesh, 1 to 255 characters.
    MeshName,
    |name| resource_name("mesh name", name)
);
name!(
    /// The name of a virtual node, 1 to 255 characters.
    VirtualNodeName,
    |name| resource_name("virtual node name", name)
);
name!(
    /// The name of a virtual gateway, 1 to 255 characters.
    VirtualGatewayName,
    |name| resource_name("virtual gateway name", name)
);
name!(
    /// The name of a virtual router, 1 to 255 characters.
    VirtualRouterName,
    |name| resource_name("virtual router name", name)
);
name!(
    /// The name of a route, 1 to 255 characters, unique within its virtual router.
    RouteName,
    |name| resource_name("route name", name)
);
name!(
    /// The name of a gateway route, 1 to 255 characters, unique within its virtual gateway.
    GatewayRouteName,
    |name| resource_name("gateway route name", name)
);
name!(
    /// The name of a virtual service: the host name that clients call. It may contain a slash, and the API sets no
    /// upper bound.
    VirtualServiceName,
    |name| service_name("virtual service name", name)
);
name!(
    /// An AWS account id: 12 digits.
    AccountId,
    account_id
);

/// A slash would make ARNs and paths ambiguous, so it is refused although the API model has no pattern.
fn resource_name(what: &'static str, name: &str) -> Result<(), NameError> {
    let length = name.chars().count();
    if length == 0 || length > MAX_RESOURCE_NAME {
        return Err(NameError::Length { what, max: MAX_RESOURCE_NAME, length });
    }
    refuse(what, name, |c| c == '/' || c.is_control())
}

fn service_name(what: &'static str, name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty { what });
    }
    refuse(what, name, char::is_control)
}

fn refuse(what: &'static str, name: &str, forbidden: impl Fn(char) -> bool) -> Result<(), NameError> {
    match name.chars().find(|&c| forbidden(c)) {
        Some(character) => Err(NameError::Character { what, character, name: name.to_owned() }),
        None => Ok(()),
    }
}

fn account_id(id: &str) -> Result<(), NameError> {
    if id.len() == 12 && id.bytes().all(|b| b.is_ascii_digit()) {
        Ok(())
    } else {
        Err(NameError::AccountId { given: id.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_names_have_1_to_255_characters() {
        assert!(VirtualNodeName::parse("orders-v1").is_ok());
        assert!(VirtualNodeName::parse(&"n".repeat(255)).is_ok());
        assert!(VirtualNodeName::parse(&"ü".repeat(255)).is_ok(), "characters are counted, not bytes");
        for name in ["", &"n".repeat(256)] {
            assert!(matches!(VirtualNodeName::parse(name), Err(NameError::Length { .. })), "{name}");
        }
    }

    #[test]
    fn only_service_names_contain_slashes() {
        assert!(matches!(RouteName::parse("a/b"), Err(NameError::Character { character: '/', .. })));
        assert!(VirtualServiceName::parse("a b/c.local").is_ok());
        assert!(VirtualServiceName::parse(&"s".repeat(1000)).is_ok());
        assert!(VirtualServiceName::parse("").is_err());
    }

    #[test]
    fn account_ids_have_12_digits() {
        assert!(AccountId::parse("123456789012").is_ok());
        for id in ["12345678901", "1234567890123", "AKIAIOSFODNN", "١٢٣٤٥٦"] {
            assert!(AccountId::parse(id).is_err(), "{id}");
        }
    }

    #[test]
    fn deserialising_checks() {
        assert!(serde_json::from_str::<MeshName>("\"shop\"").is_ok());
        let error = serde_json::from_str::<MeshName>("\"\"").unwrap_err();
        assert!(error.to_string().contains("mesh name has 1 to 255 characters"), "{error}");
    }
}
