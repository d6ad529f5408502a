//! What comes out of a reader.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::form::Form;
use super::member_lines::MemberLines;
use crate::alarm::DeclaredAlarm;
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
    /// What the target of a file would drop, refuse or decide otherwise. The policy pack makes findings of them.
    pub faults: Vec<Fault>,
    /// The alarms that are declared with the resources.
    pub alarms: Vec<DeclaredAlarm>,
}

/// A part of a file that its target drops or refuses, or that could not be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The resource.
    pub resource: ResourcePath,
    /// Where the resource is declared.
    pub source: Source,
    /// The line of the file, from 1.
    pub line: usize,
    /// The member as the file spells it, or another part of the resource.
    pub part: String,
    /// What is wrong.
    pub defect: Defect,
}

/// What is wrong with a part of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Defect {
    /// The form has no such member.
    UnknownMember {
        /// The form.
        form: Form,
        /// The member that is most likely meant.
        suggestion: Option<String>,
    },
    /// No mesh of the files selects a Kubernetes namespace.
    MeshMissing {
        /// The namespace.
        namespace: String,
        /// Why each of the meshes does not.
        reasons: Vec<String>,
    },
    /// Several meshes of the files select a Kubernetes namespace.
    MeshAmbiguous {
        /// The namespace.
        namespace: String,
        /// The meshes.
        meshes: Vec<String>,
    },
    /// A Mesh without `namespaceSelector` selects no namespace.
    MeshSelectsNothing,
    /// No virtual gateway of the files selects a gateway route.
    GatewayMissing {
        /// Why each of the virtual gateways does not.
        reasons: Vec<String>,
    },
    /// Several virtual gateways of the files select a gateway route.
    GatewayAmbiguous {
        /// The virtual gateways.
        gateways: Vec<String>,
    },
    /// Values of a Terraform configuration could not be evaluated.
    PartlyRead {
        /// The expressions.
        expressions: Vec<String>,
    },
    /// How often a Terraform configuration creates a resource, or a block of it, could not be evaluated.
    Undecided {
        /// The meta-arguments and blocks.
        expressions: Vec<String>,
    },
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
    /// On which lines its members are.
    pub lines: MemberLines,
}

/// Where something is declared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
    /// Selectors don't decide what it is part of; it is read as part of this.
    SelectionAssumed {
        /// The name.
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
    /// It is a patch, which only Kustomize applies.
    Patch {
        /// The kustomization that lists it.
        kustomization: String,
    },
    /// It is a nested stack whose template is not among the files.
    NestedElsewhere {
        /// The URL of the template.
        template: String,
    },
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
            Self::SelectionAssumed { name } => {
                write!(f, "selectors do not decide what it is part of; read under `{name}`")
            }
            Self::ConditionUnknown { condition } => write!(f, "condition `{condition}` is not known; read as if true"),
            Self::DeclaredBefore { first } => write!(f, "is declared before, at {first}"),
            Self::NotRead { reason } => match reason {
                Skipped::ConditionFalse { condition } => write!(f, "not read: condition `{condition}` is false"),
                Skipped::Deleted => f.write_str("not read: it was deleted"),
                Skipped::Oversized => f.write_str("not read: the notification holds a summary only"),
                Skipped::OtherType { kind } => write!(f, "not read: {kind} is no resource of a mesh"),
                Skipped::NoSpec => f.write_str("not read: it has no spec"),
                Skipped::Patch { kustomization } => {
                    write!(f, "not read: it is a patch of {kustomization}; check what `kustomize build` writes")
                }
                Skipped::NestedElsewhere { template } => {
                    write!(f, "not read: its template `{template}` is not among the files")
                }
            },
        }
    }
}

/// A resource that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The resource.
    #[serde(rename = "source")]
    pub source_: Source,
    /// The line of the first member at fault, or of what is around it, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Every member at fault.
    pub violations: Vec<Violation>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source_.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        let violations: Vec<String> = self.violations.iter().map(ToString::to_string).collect();
        write!(f, ": {}: {}", self.source_.id, violations.join("; "))
    }
}

impl std::error::Error for Refusal {}

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
        "{file}: is none of: AWS Config item, CloudFormation template, Terraform plan, App Mesh manifest, API document{remedy}"
    )]
    NoForm {
        /// The file.
        file: String,
        /// What to give instead, with the sign that separates it; empty where nothing tells.
        remedy: &'static str,
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
        self.resources.is_empty() && self.remarks.is_empty() && self.refusals.is_empty() && self.faults.is_empty()
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
        for mesh in meshes.values_mut() {
            mesh.alarms.clone_from(&self.alarms);
        }
        meshes
    }

    pub(super) fn remark(&mut self, source: &Source, member: impl Into<String>, note: Note) {
        let remark = Remark { source: source.clone(), member: member.into(), note };
        self.remarks.push(remark);
    }

    pub(super) fn refuse(&mut self, source: Source, path: impl Into<String>, message: impl Into<String>) {
        let violation = Violation::malformed(path, message);
        self.refusals.push(Refusal { source_: source, line: None, violations: vec![violation] });
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
