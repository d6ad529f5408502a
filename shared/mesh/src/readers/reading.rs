//! What comes out of a reader.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use serde::Serialize;
use thiserror::Error;

use crate::graph::Mesh;
use crate::name::{AccountId, MeshName, ResourceKind, ResourcePath};
use crate::resource::Tags;
use crate::spec::{Spec, Violation};

/// The resources of one or several files, and all that has to be said of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reading {
    /// The resources, sorted by path.
    pub resources: Vec<Declared>,
    /// What was assumed, kept unread or left open.
    pub remarks: Vec<Remark>,
    /// The resources that can't be read.
    pub refusals: Vec<Refusal>,
}

/// A resource as a file declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// Its kind and names.
    pub path: ResourcePath,
    /// What its owner says of it.
    pub spec: Spec,
    /// Its tags; `None` where the form has no place for them, which is not the same as having none.
    pub tags: Option<Tags>,
    /// The account that owns the mesh, where it is said.
    pub mesh_owner: Option<AccountId>,
    /// Where it is declared.
    pub source: Source,
    /// On which line of the file, from 1.
    pub line: usize,
}

/// Where something is declared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Source {
    /// The file.
    pub file: String,
    /// The resource in it: a logical id, an address, a namespace and name.
    pub id: String,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.id)
    }
}

/// Something to know about a resource that was read, or was passed over.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Remark {
    /// The resource.
    pub source: Source,
    /// The member, as in `spec.listeners[0].portMapping.port`; empty for the resource as a whole.
    pub member: String,
    /// What there is to know.
    pub note: Note,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.member.as_str() {
            "" => write!(f, "{}: {}", self.source, self.note),
            member => write!(f, "{}: {member}: {}", self.source, self.note),
        }
    }
}

/// What there is to know.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "code", rename_all = "camelCase")]
pub enum Note {
    /// The API has no such member; it is kept as it stands.
    UnknownMember,
    /// The value isn't in the file; the expression stands in for it.
    Unresolved {
        /// What it is made from.
        expression: String,
    },
    /// The value isn't in the file and nothing can stand in for it, so the member was left out.
    LeftOut {
        /// What it is made from.
        expression: String,
    },
    /// The file doesn't say of which kind the resource is; it is taken for one of this kind by its members.
    KindAssumed {
        /// The kind.
        kind: ResourceKind,
    },
    /// The resource has no name in the file; it is called this here.
    NameAssumed {
        /// The name.
        name: String,
    },
    /// What is given as the mesh's owner is no account, so the owner isn't known.
    OwnerUnknown {
        /// What is given.
        given: String,
    },
    /// The file doesn't say which mesh the resource is in; it is read as one of this mesh.
    MeshAssumed {
        /// The mesh's name.
        mesh: String,
    },
    /// What it refers to isn't declared in the files; the name that a controller gives was taken.
    ReferenceAssumed {
        /// The name taken.
        name: String,
    },
    /// Whether the resource is created depends on a condition that isn't known; it is read as if it were.
    ConditionUnknown {
        /// The condition.
        condition: String,
    },
    /// The same resource is declared more than once, first there.
    DeclaredBefore {
        /// Where first.
        first: Source,
    },
    /// The resource was passed over.
    NotRead {
        /// Why.
        reason: Skipped,
    },
}

/// Why a resource was passed over.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "reason", rename_all = "camelCase")]
pub enum Skipped {
    /// Its condition is false, so it isn't created.
    ConditionFalse {
        /// The condition.
        condition: String,
    },
    /// It was deleted.
    Deleted,
    /// The item was too large for its notification, which holds a summary only.
    Oversized,
    /// It is of a type that has no place in a mesh.
    OtherType {
        /// The type.
        kind: String,
    },
    /// It is a list entry without spec.
    NoSpec,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownMember => f.write_str("is no member that is known; kept as it stands"),
            Self::Unresolved { expression } => write!(f, "`{expression}` has no value here and stands as text"),
            Self::LeftOut { expression } => write!(f, "`{expression}` has no value here; left out"),
            Self::KindAssumed { kind } => write!(f, "names no kind; taken for a {} by its members", kind.words()),
            Self::NameAssumed { name } => write!(f, "has no name; called `{name}` here"),
            Self::OwnerUnknown { given } => write!(f, "`{given}` is no account; the owner is not known"),
            Self::MeshAssumed { mesh } => write!(f, "names no mesh; read as part of `{mesh}`"),
            Self::ReferenceAssumed { name } => write!(f, "what it refers to is not declared here; taken as `{name}`"),
            Self::ConditionUnknown { condition } => write!(f, "condition `{condition}` is not known; read as if true"),
            Self::DeclaredBefore { first } => write!(f, "is declared before, at {first}"),
            Self::NotRead { reason } => match reason {
                Skipped::ConditionFalse { condition } => write!(f, "not read: condition `{condition}` is false"),
                Skipped::Deleted => f.write_str("not read: it was deleted"),
                Skipped::Oversized => f.write_str("not read: the notification holds a summary only"),
                Skipped::OtherType { kind } => write!(f, "not read: {kind} is no resource of a mesh"),
                Skipped::NoSpec => f.write_str("not read: it has no spec"),
            },
        }
    }
}

/// A resource that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Error)]
#[error("{source_}: {}", told(.violations))]
pub struct Refusal {
    /// The resource.
    #[serde(rename = "source")]
    pub source_: Source,
    /// Every member at fault.
    pub violations: Vec<Violation>,
}

fn told(violations: &[Violation]) -> String {
    violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// A file that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadError {
    /// It is neither JSON nor YAML.
    #[error("{file}: line {line}: {message}")]
    Syntax {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// It holds no App Mesh resource in any form that is read.
    #[error(
        "{file}: is none of: AWS Config item, CloudFormation template, Terraform plan, App Mesh manifest, API document"
    )]
    NoForm {
        /// The file.
        file: String,
    },
    /// It holds a spec, and nothing says of which kind of resource.
    #[error(
        "{file}: `spec` is that of no kind of resource: mend its members, or say the kind by the API's names beside it, such as `meshName` and `virtualNodeName`"
    )]
    NoKind {
        /// The file.
        file: String,
    },
}

impl Reading {
    /// Whether nothing at all was read, not even with a fault.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty() && self.remarks.is_empty() && self.refusals.is_empty()
    }

    /// The resources by mesh with the tags that are known, as graphs. Of a path that is declared twice the last counts.
    #[must_use]
    pub fn meshes(&self) -> BTreeMap<MeshName, Mesh> {
        let mut meshes = BTreeMap::new();
        for Declared { path, spec, tags, .. } in &self.resources {
            let mesh: &mut Mesh = meshes.entry(path.mesh().clone()).or_insert_with(|| Mesh::new(path.mesh().clone()));
            // Path and spec are of the same kind and the mesh is the path's, so this can't fail.
            drop(mesh.insert(path.clone(), spec.clone()));
            if let Some(tags) = tags {
                mesh.set_tags(path.clone(), tags.clone());
            }
        }
        meshes
    }

    pub(super) fn remark(&mut self, source: &Source, member: impl Into<String>, note: Note) {
        let remark = Remark { source: source.clone(), member: member.into(), note };
        self.remarks.push(remark);
    }

    pub(super) fn refuse(&mut self, source: Source, path: impl Into<String>, message: impl Into<String>) {
        let violation = Violation::malformed(path, message);
        self.refusals.push(Refusal { source_: source, violations: vec![violation] });
    }

    /// Puts the resources in the order of their paths, says which are there more than once, and says nothing twice.
    pub(super) fn sort(&mut self) {
        self.resources.sort_by(|a, b| a.path.cmp(&b.path));
        let mut first: HashMap<&ResourcePath, &Source> = HashMap::new();
        let mut again = Vec::new();
        for Declared { path, source, .. } in &self.resources {
            if let Some(first) = first.insert(path, source) {
                again.push((source.clone(), Note::DeclaredBefore { first: first.clone() }));
            }
        }
        for (source, note) in again {
            self.remark(&source, "", note);
        }
        let mut said = HashSet::new();
        let first: Vec<bool> = self.remarks.iter().map(|remark| said.insert(remark)).collect();
        let mut first = first.into_iter();
        self.remarks.retain(|_| first.next().unwrap_or(true));
    }
}
