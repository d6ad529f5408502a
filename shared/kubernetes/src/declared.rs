//! The resources that the objects of a cluster declare, by the reader and the membership rules of `check` and `import`.

use std::collections::{BTreeMap, BTreeSet};

use imports::{Desired, DesiredResource, InputOptions};
use mesh::name::ResourcePath;
use readers::{Defect, File, Note, Reading, Surroundings, read_all};

use crate::cluster::ClusterObjects;
use crate::object::{Object, ObjectKey, ObjectKind};
use crate::problem::{Problem, ProblemCode};

/// The resources of the objects without a problem, and the problems of the others.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Declarations {
    /// The resources by path.
    pub resources: BTreeMap<ResourcePath, DesiredResource>,
    /// The object of each resource.
    pub owners: BTreeMap<ResourcePath, ObjectKey>,
    /// The problems of the objects for which no resource is written.
    pub problems: BTreeMap<ObjectKey, Vec<Problem>>,
    /// The first resource of each object, also of one with a problem. The mesh or the parent of such a resource may be a guess.
    pub(crate) read: BTreeMap<ObjectKey, ResourcePath>,
}

impl Declarations {
    /// Evaluates the objects that no client deleted.
    #[must_use]
    pub fn new(cluster: &ClusterObjects) -> Self {
        let documents = cluster.documents();
        let files: Vec<File<'_>> = documents.iter().map(|(name, text)| File { name, text }).collect();
        let (mut reading, errors) = read_all(&files, &Surroundings::default());
        let keys: BTreeMap<String, &Object> =
            cluster.objects.values().map(|object| (object.key.to_string(), object)).collect();
        let mut found = Self::default();
        for declared in &reading.resources {
            if let Some(object) = keys.get(&declared.source.file) {
                found.read.entry(object.key.clone()).or_insert_with(|| declared.path.clone());
            }
        }
        for error in errors {
            if let Some(file) = documents.iter().map(|(name, _)| name).find(|name| error.to_string().contains(*name)) {
                found.add(&keys, file, Problem::new(ProblemCode::InvalidSpec, "", error.to_string()));
            }
        }
        found.check_references(cluster);
        found.check_memberships(&keys, &reading);
        found.check_names(&keys, &reading);
        // These faults are on the mesh, and concern its members; a pod that two virtual nodes select is refused at its admission.
        reading.faults.retain(|fault| match fault.defect {
            Defect::UnknownMember { .. } | Defect::PartlyRead { .. } | Defect::Undecided { .. } => true,
            Defect::MeshSelectsNothing
            | Defect::MeshMissing { .. }
            | Defect::MeshAmbiguous { .. }
            | Defect::GatewayMissing { .. }
            | Defect::GatewayAmbiguous { .. }
            | Defect::PodsAmbiguous { .. } => false,
        });
        found.check_specs(&keys, reading);
        found
    }

    /// The resource of an object, with its names in App Mesh.
    #[must_use]
    pub fn path_of(&self, key: &ObjectKey) -> Option<&ResourcePath> {
        self.read.get(key)
    }

    fn add(&mut self, keys: &BTreeMap<String, &Object>, file: &str, problem: Problem) {
        if let Some(object) = keys.get(file) {
            self.problems.entry(object.key.clone()).or_default().push(problem);
        }
    }

    /// The references that the webhook writes: their targets must exist with the same unique id.
    fn check_references(&mut self, cluster: &ClusterObjects) {
        for object in cluster.objects.values().filter(|object| !object.is_deleted) {
            let Some(name) = object.spec_text("/meshRef/name") else { continue };
            let mesh = cluster.objects.get(&ObjectKey::new(ObjectKind::Mesh, "", name));
            let uid = object.spec_text("/meshRef/uid");
            let problem = match mesh.filter(|mesh| !mesh.is_deleted) {
                None => Problem::new(
                    ProblemCode::MeshNotFound,
                    "spec.meshRef",
                    format!("the Mesh `{name}` does not exist or is being deleted; create it, or delete this object"),
                ),
                Some(mesh) if uid.is_some_and(|uid| !mesh.uid.is_empty() && uid != mesh.uid) => Problem::new(
                    ProblemCode::MeshReplaced,
                    "spec.meshRef.uid",
                    format!("another Mesh has the name `{name}` now; delete this object and create it again"),
                ),
                Some(_) => continue,
            };
            self.problems.entry(object.key.clone()).or_default().push(problem);
        }
    }

    /// The guesses of the reader about meshes, virtual gateways and targets: nothing is written for such an object.
    fn check_memberships(&mut self, keys: &BTreeMap<String, &Object>, reading: &Reading) {
        for remark in &reading.remarks {
            let Some(object) = keys.get(&remark.source.file) else { continue };
            let problem = match &remark.note {
                Note::MeshAssumed { .. } => mesh_problem(&object.key.namespace, reading),
                Note::SelectionAssumed { .. } => gateway_problem(&remark.source.file, reading),
                Note::ReferenceAssumed { name } => Problem::new(
                    ProblemCode::ReferenceNotFound,
                    remark.member.clone(),
                    format!(
                        "the referenced object, `{name}` in App Mesh, does not exist or is being deleted; create it"
                    ),
                ),
                Note::LeftOut { expression } => Problem::new(
                    ProblemCode::ReferenceNotFound,
                    remark.member.clone(),
                    format!("`{expression}` does not exist or is being deleted; create it"),
                ),
                Note::UnknownMember
                | Note::Unresolved { .. }
                | Note::KindAssumed { .. }
                | Note::NameAssumed { .. }
                | Note::OwnerUnknown { .. }
                | Note::ConditionUnknown { .. }
                | Note::DeclaredBefore { .. }
                | Note::NotRead { .. } => continue,
            };
            self.add(keys, &remark.source.file, problem);
        }
    }

    /// Two objects that declare one resource: the older one has it.
    fn check_names(&mut self, keys: &BTreeMap<String, &Object>, reading: &Reading) {
        let mut by_path: BTreeMap<&ResourcePath, Vec<&Object>> = BTreeMap::new();
        for declared in &reading.resources {
            if let Some(object) = keys.get(&declared.source.file) {
                by_path.entry(&declared.path).or_default().push(object);
            }
        }
        for (path, mut objects) in by_path {
            objects.sort_by_key(|object| (&object.created_at, &object.key));
            let mut objects = objects.into_iter();
            let Some(oldest) = objects.next() else { continue };
            for object in objects {
                let message = if object.key == oldest.key {
                    format!("the object declares {path} twice; remove one")
                } else {
                    format!("{} declares {path}, too; set another `spec.awsName`", oldest.key)
                };
                let member = if object.key == oldest.key { "spec.routes" } else { "spec.awsName" };
                let problem = Problem::new(ProblemCode::NameConflict, member, message);
                self.problems.entry(object.key.clone()).or_default().push(problem);
            }
        }
    }

    /// Checks every spec by the rules of the API, and collects the resources of the objects without a problem.
    fn check_specs(&mut self, keys: &BTreeMap<String, &Object>, mut reading: Reading) {
        // Texts such as `${NAME}` in an object are values: no tool fills them in later.
        let exact_files = keys.keys().cloned().collect();
        let options = InputOptions { exact_files, ..InputOptions::default() };
        loop {
            let refused: BTreeSet<String> = self.problems.keys().map(ToString::to_string).collect();
            without(&mut reading, &refused);
            match Desired::from_reading(&reading, &options) {
                Ok(desired) => {
                    self.collect(keys, desired);
                    return;
                }
                Err(refusals) => {
                    let mut is_known = false;
                    for refusal in refusals {
                        // The remedies of the command line do not apply to an object.
                        let remedy = refusal.remedy.split(", or pass --").next().unwrap_or_default();
                        let message = if remedy.is_empty() || remedy.contains("pass --") {
                            refusal.problem.clone()
                        } else {
                            format!("{}; {remedy}", refusal.problem)
                        };
                        is_known |= keys.contains_key(&refusal.file);
                        let problem = Problem::new(ProblemCode::InvalidSpec, refusal.member.clone(), message);
                        self.add(keys, &refusal.file, problem);
                    }
                    // Labels of a namespace are the only other input, and the selectors of meshes read them as text.
                    if !is_known {
                        let files: BTreeSet<String> =
                            reading.refusals.iter().map(|one| one.source_.file.clone()).collect();
                        if files.is_empty() {
                            return;
                        }
                        without(&mut reading, &files);
                    }
                }
            }
        }
    }

    fn collect(&mut self, keys: &BTreeMap<String, &Object>, desired: Desired) {
        for (path, resource) in desired.resources {
            if let Some(object) = keys.get(&resource.source.file) {
                self.owners.insert(path.clone(), object.key.clone());
                self.resources.insert(path, resource);
            }
        }
    }
}

/// Removes everything that was read from some files.
fn without(reading: &mut Reading, files: &BTreeSet<String>) {
    reading.resources.retain(|one| !files.contains(&one.source.file));
    reading.remarks.retain(|one| !files.contains(&one.source.file));
    reading.refusals.retain(|one| !files.contains(&one.source_.file));
    reading.faults.retain(|one| !files.contains(&one.source.file));
}

fn mesh_problem(of: &str, reading: &Reading) -> Problem {
    for fault in &reading.faults {
        match &fault.defect {
            Defect::MeshAmbiguous { namespace, meshes } if namespace == of => {
                let message = format!(
                    "several meshes select the namespace `{of}`: {}; correct `spec.namespaceSelector` of all but one",
                    meshes.join(", ")
                );
                return Problem::new(ProblemCode::MeshAmbiguous, "spec.meshRef", message);
            }
            Defect::MeshMissing { namespace, reasons } if namespace == of => {
                let message =
                    format!("no mesh selects the namespace `{of}`: {}; label the namespace", reasons.join(", "));
                return Problem::new(ProblemCode::MeshNotSelected, "spec.meshRef", message);
            }
            Defect::UnknownMember { .. }
            | Defect::MeshSelectsNothing
            | Defect::MeshMissing { .. }
            | Defect::MeshAmbiguous { .. }
            | Defect::GatewayMissing { .. }
            | Defect::GatewayAmbiguous { .. }
            | Defect::PodsAmbiguous { .. }
            | Defect::PartlyRead { .. }
            | Defect::Undecided { .. } => {}
        }
    }
    let message = format!(
        "no mesh selects the namespace `{of}`; create a Mesh with a `spec.namespaceSelector` that matches its labels"
    );
    Problem::new(ProblemCode::MeshNotSelected, "spec.meshRef", message)
}

fn gateway_problem(file: &str, reading: &Reading) -> Problem {
    let defect =
        reading.faults.iter().filter(|fault| fault.source.file == file).find_map(|fault| match &fault.defect {
            Defect::GatewayAmbiguous { gateways } => Some((ProblemCode::GatewayAmbiguous, gateways)),
            Defect::GatewayMissing { reasons } => Some((ProblemCode::GatewayNotSelected, reasons)),
            Defect::UnknownMember { .. }
            | Defect::MeshSelectsNothing
            | Defect::MeshMissing { .. }
            | Defect::MeshAmbiguous { .. }
            | Defect::PodsAmbiguous { .. }
            | Defect::PartlyRead { .. }
            | Defect::Undecided { .. } => None,
        });
    let (code, message) = match defect {
        Some((ProblemCode::GatewayAmbiguous, gateways)) => (
            ProblemCode::GatewayAmbiguous,
            format!("several virtual gateways select the gateway route: {}; correct all but one", gateways.join(", ")),
        ),
        Some((code, reasons)) => {
            (code, format!("no virtual gateway selects the gateway route: {}", reasons.join(", ")))
        }
        None => (
            ProblemCode::GatewayNotSelected,
            "no virtual gateway selects the gateway route; create a VirtualGateway with matching selectors".to_owned(),
        ),
    };
    Problem::new(code, "spec.virtualGatewayRef", message)
}
