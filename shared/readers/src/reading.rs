//! The result of a reader.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::form::Form;
use super::member_lines::MemberLines;
use super::unheld::UnheldMember;
use mesh::alarm::DeclaredAlarm;
use mesh::graph::Mesh;
use mesh::name::{AccountId, MeshName, ResourceKind, ResourcePath};
use mesh::resource::Tags;
use mesh::spec::{Spec, Violation};

/// The resources of one or several files, with the remarks, refusals and faults about them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reading {
    /// The resources, sorted by path.
    pub resources: Vec<Declared>,
    /// Assumptions, unread parts and unknown values.
    pub remarks: Vec<Remark>,
    /// The unreadable resources.
    pub refusals: Vec<Refusal>,
    /// Parts of files that the target would drop, refuse or resolve differently. The policy pack turns them
    /// into findings.
    pub faults: Vec<Fault>,
    /// The alarms that are declared with the resources.
    pub alarms: Vec<DeclaredAlarm>,
    /// The deletions that AWS Config recorded.
    pub deleted: Vec<DeletedItem>,
}

/// A deletion that AWS Config recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedItem {
    /// The deleted resource.
    pub path: ResourcePath,
    /// The time of the record; `None` if the item has none.
    pub captured_at: Option<Timestamp>,
    /// The location of the item.
    pub source: Source,
}

/// A part of a file that its target drops or refuses, or that could not be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The resource.
    pub resource: ResourcePath,
    /// The location of the declaration.
    pub source: Source,
    /// The line of the file, from 1.
    pub line: usize,
    /// The member as the file spells it, or another part of the resource.
    pub part: String,
    /// The defect.
    pub defect: Defect,
}

/// The defect of a part of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Defect {
    /// The form has no such member.
    UnknownMember {
        /// The form.
        form: Form,
        /// The most similar member of the form.
        suggestion: Option<String>,
    },
    /// No mesh of the files selects a Kubernetes namespace.
    MeshMissing {
        /// The namespace.
        namespace: String,
        /// The reason of each mesh that does not select it.
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
        /// The reason of each virtual gateway that does not select it.
        reasons: Vec<String>,
    },
    /// Several virtual gateways of the files select a gateway route.
    GatewayAmbiguous {
        /// The virtual gateways.
        gateways: Vec<String>,
    },
    /// Several virtual nodes, or virtual gateways, of a namespace select the same pods.
    PodsAmbiguous {
        /// The kind of the objects.
        kind: ResourceKind,
        /// The objects.
        objects: Vec<String>,
    },
    /// Values of a Terraform configuration could not be evaluated.
    PartlyRead {
        /// The expressions.
        expressions: Vec<String>,
    },
    /// The number of instances of a resource or block in a Terraform configuration could not be evaluated.
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
    /// The spec.
    pub spec: Spec,
    /// Its tags; `None` if the form has no tags, which differs from a resource without tags.
    pub tags: Option<Tags>,
    /// The account that owns the mesh, if the file names it.
    pub mesh_owner: Option<AccountId>,
    /// The location of the declaration.
    pub source: Source,
    /// The line of the file, from 1.
    pub line: usize,
    /// The lines of its members.
    pub lines: MemberLines,
    /// The time at which AWS Config recorded it; `None` in every other form.
    pub captured_at: Option<Timestamp>,
    /// The members of the file that the API does not have.
    pub unheld: Vec<UnheldMember>,
}

/// The location of a declaration.
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

/// A remark on a resource that was read or skipped.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Remark {
    /// The resource.
    pub source: Source,
    /// The member, as in `spec.listeners[0].portMapping.port`; empty for the resource as a whole.
    pub member: String,
    /// The remark.
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

/// The content of a remark.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "code", rename_all = "camelCase")]
pub enum Note {
    /// The API has no such member; it is kept unchanged.
    UnknownMember,
    /// The file does not contain the value; the expression stands in for it.
    Unresolved {
        /// The expression.
        expression: String,
    },
    /// The file does not contain the value, and no text can stand in for it, so the member was left out.
    LeftOut {
        /// The expression.
        expression: String,
    },
    /// The file does not name the kind of the resource; its members suggest this kind.
    KindAssumed {
        /// The kind.
        kind: ResourceKind,
    },
    /// The resource has no name in the file; this name is used.
    NameAssumed {
        /// The name.
        name: String,
    },
    /// The given owner of the mesh is not a valid account, so the owner is unknown.
    OwnerUnknown {
        /// The given owner.
        given: String,
    },
    /// The file does not name the mesh of the resource; this mesh is assumed.
    MeshAssumed {
        /// The mesh's name.
        mesh: String,
    },
    /// The files do not declare the target of a reference; the name that the controller would generate is assumed.
    ReferenceAssumed {
        /// The assumed name.
        name: String,
    },
    /// Selectors do not decide the parent of the resource; this parent is assumed.
    SelectionAssumed {
        /// The name of the parent.
        name: String,
    },
    /// The creation of the resource depends on an unknown condition, which counts as true.
    ConditionUnknown {
        /// The condition.
        condition: String,
    },
    /// The same resource is declared more than once.
    DeclaredBefore {
        /// The location of the first declaration.
        first: Source,
    },
    /// The resource was skipped.
    NotRead {
        /// The reason.
        reason: Skipped,
    },
}

/// The reason why a resource was skipped.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "reason", rename_all = "camelCase")]
pub enum Skipped {
    /// Its condition is false, so it is not created.
    ConditionFalse {
        /// The condition.
        condition: String,
    },
    /// It was deleted.
    Deleted,
    /// The item was too large for its notification, which contains only a summary.
    Oversized,
    /// Its type does not exist in a mesh.
    OtherType {
        /// The type.
        kind: String,
    },
    /// It is a list entry without a spec.
    NoSpec,
    /// It is a patch, which only Kustomize applies.
    Patch {
        /// The kustomization that lists it.
        kustomization: String,
    },
    /// It is a nested stack with a template that is not among the files.
    NestedElsewhere {
        /// The URL of the template.
        template: String,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownMember => f.write_str("is not a known member; kept unchanged"),
            Self::Unresolved { expression } => write!(f, "`{expression}` has no value here and stands as text"),
            Self::LeftOut { expression } => write!(f, "`{expression}` has no value here; left out"),
            Self::KindAssumed { kind } => write!(f, "names no kind; read as a {} because of its members", kind.words()),
            Self::NameAssumed { name } => write!(f, "has no name; named `{name}` here"),
            Self::OwnerUnknown { given } => write!(f, "`{given}` is not a valid account; the owner is unknown"),
            Self::MeshAssumed { mesh } => write!(f, "names no mesh; read as part of `{mesh}`"),
            Self::ReferenceAssumed { name } => write!(f, "its target is not declared here; assumed to be `{name}`"),
            Self::SelectionAssumed { name } => {
                write!(f, "selectors do not decide its parent; read under `{name}`")
            }
            Self::ConditionUnknown { condition } => write!(f, "condition `{condition}` is unknown; read as true"),
            Self::DeclaredBefore { first } => write!(f, "is already declared at {first}"),
            Self::NotRead { reason } => match reason {
                Skipped::ConditionFalse { condition } => write!(f, "not read: condition `{condition}` is false"),
                Skipped::Deleted => f.write_str("not read: it was deleted"),
                Skipped::Oversized => f.write_str("not read: the notification holds a summary only"),
                Skipped::OtherType { kind } => write!(f, "not read: {kind} is not a resource type of a mesh"),
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

/// An unreadable resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The resource.
    #[serde(rename = "source")]
    pub source_: Source,
    /// The line of the first violating member or of the nearest enclosing member; `None` if neither is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Every violation.
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

/// An unreadable file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadError {
    /// It is neither JSON nor YAML.
    #[error("{file}: line {line}: {message}")]
    Syntax {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// The problem.
        message: String,
    },
    /// It contains no App Mesh resource in a known form.
    #[error(
        "{file}: unknown form: expected an AWS Config item, a CloudFormation template, a Terraform plan, an App Mesh manifest or an API document{remedy}"
    )]
    NoForm {
        /// The file.
        file: String,
        /// The input to use instead, with a leading separator; empty if none is known.
        remedy: &'static str,
    },
    /// It contains a spec of an unknown kind of resource.
    #[error(
        "{file}: the kind of resource of `spec` is unknown: correct its members, or add the API's names next to it, such as `meshName` and `virtualNodeName`"
    )]
    NoKind {
        /// The file.
        file: String,
    },
}

impl Reading {
    /// Whether the reader found no resource, refusal or fault.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty() && self.remarks.is_empty() && self.refusals.is_empty() && self.faults.is_empty()
    }

    /// The resources by mesh with their known tags, as graphs. If a path is declared twice, the last
    /// declaration counts.
    #[must_use]
    pub fn meshes(&self) -> BTreeMap<MeshName, Mesh> {
        let mut meshes = BTreeMap::new();
        for Declared { path, spec, tags, .. } in &self.resources {
            let mesh: &mut Mesh = meshes.entry(path.mesh().clone()).or_insert_with(|| Mesh::new(path.mesh().clone()));
            // The spec has the kind of the path, and the mesh is the path's mesh, so the insertion cannot fail.
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

    /// Sorts the resources by path, adds remarks on duplicates, and removes repeated remarks.
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
        let mut seen = HashSet::new();
        let first: Vec<bool> = self.remarks.iter().map(|remark| seen.insert(remark)).collect();
        let mut first = first.into_iter();
        self.remarks.retain(|_| first.next().unwrap_or(true));
    }
}
