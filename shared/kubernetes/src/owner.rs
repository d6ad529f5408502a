//! The tags that name the object of a resource. Only a resource with the tag of an object is changed or deleted with it.

use std::fmt;

use mesh::resource::Tags;
use sha2::{Digest as _, Sha256};

use crate::object::{ObjectKey, ObjectKind};

/// The tag with the cluster and the object that created the resource.
pub const OWNER_TAG: &str = "meshwarden:kubernetes";

/// The annotation that lets an object take over a resource without the tag of an object: `true`.
pub const ADOPT_ANNOTATION: &str = "meshwarden.io/adopt";

/// The most characters of a tag's value.
const LONGEST_VALUE: usize = 256;

/// The name of a cluster in the tags of its resources.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClusterName(String);

/// A name that no cluster may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid cluster name `{given}`: expected 1 to 63 letters, digits, `-`, `_` or `.`")]
pub struct ClusterNameError {
    /// The given name.
    pub given: String,
}

impl ClusterName {
    /// Parses a name.
    pub fn parse(name: &str) -> Result<Self, ClusterNameError> {
        let is_valid = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        if (1..=63).contains(&name.len()) && name.chars().all(is_valid) {
            Ok(Self(name.to_owned()))
        } else {
            Err(ClusterNameError { given: name.to_owned() })
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value of [`OWNER_TAG`] for an object. A name that is too long is replaced by its digest.
    #[must_use]
    pub fn owner_of(&self, key: &ObjectKey) -> String {
        let value = format!("{}/{key}", self.0);
        if value.len() <= LONGEST_VALUE {
            return value;
        }
        let digest = Sha256::digest(key.to_string());
        let digest = digest.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        format!("{}/{}/sha256:{digest}", self.0, key.kind.as_str())
    }

    /// The owner of a resource with these tags.
    #[must_use]
    pub(crate) fn owner<'k>(&self, tags: &Tags, mut keys: impl Iterator<Item = &'k ObjectKey>) -> Owner {
        let Some(value) = tags.value(OWNER_TAG) else { return Owner::None };
        let is_ours = value.strip_prefix(&self.0).is_some_and(|rest| rest.starts_with('/'));
        if !is_ours {
            return Owner::OtherCluster(value.to_owned());
        }
        match keys.find(|key| self.owner_of(key) == value) {
            Some(key) => Owner::Object(key.clone()),
            None => Owner::Absent(value.to_owned()),
        }
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The owner of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    /// No object created it.
    None,
    /// An object of this cluster.
    Object(ObjectKey),
    /// An object of this cluster that no longer exists.
    Absent(String),
    /// An object of another cluster.
    OtherCluster(String),
}

impl Owner {
    /// Whether the owner is this object.
    pub(crate) fn is(&self, key: &ObjectKey) -> bool {
        matches!(self, Self::Object(owner) if owner == key)
    }
}

/// Whether the objects of a kind have resources in App Mesh.
pub(crate) const fn has_resource(kind: ObjectKind) -> bool {
    kind.resource().is_some()
}
