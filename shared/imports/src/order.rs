//! An order of writes in which every intermediate state is valid.

use std::collections::BTreeMap;

use mesh::graph::Mesh;
use mesh::name::{MeshName, ResourcePath};
use mesh::spec::Spec;
use mesh::validate;

use crate::held::{Held, graphs};
use crate::step::Step;

/// The meshes while a plan is executed.
#[derive(Debug, Clone)]
pub(crate) struct Simulation {
    meshes: BTreeMap<MeshName, Mesh>,
}

impl Simulation {
    /// Begins with the resources that the API holds.
    pub(crate) fn new(held: &Held) -> Self {
        Self { meshes: graphs(held) }
    }

    /// The meshes.
    pub(crate) const fn meshes(&self) -> &BTreeMap<MeshName, Mesh> {
        &self.meshes
    }

    /// The reasons why the API would refuse a step now.
    pub(crate) fn problems(&self, step: &Step) -> Vec<String> {
        let path = step.path();
        let empty = Mesh::new(path.mesh().clone());
        let mesh = self.meshes.get(path.mesh()).unwrap_or(&empty);
        match step {
            Step::Create { spec, .. } | Step::Update { spec, .. } => {
                let mut problems = Vec::new();
                if let Some(above) = parent(path).filter(|above| !mesh.has(above)) {
                    problems.push(missing(&above));
                }
                let targets = validate::references(path.mesh(), spec);
                problems.extend(targets.iter().filter(|target| !mesh.has(target)).map(missing));
                problems.extend(validate::broken_by(mesh, path, spec).iter().map(ToString::to_string));
                problems
            }
            Step::Tag { .. } => Vec::new(),
            Step::Delete { .. } => {
                let is_user = |other: &ResourcePath, spec: &Spec| {
                    parent(other).as_ref() == Some(path) || validate::references(other.mesh(), spec).contains(path)
                };
                let resources = mesh.resources();
                let users = resources.iter().filter(|(other, spec)| other != path && is_user(other, spec));
                users.map(|(other, _)| format!("{other} uses it and stays")).collect()
            }
        }
    }

    /// Applies a step.
    pub(crate) fn apply(&mut self, step: &Step) {
        let path = step.path();
        let mesh = self.meshes.entry(path.mesh().clone()).or_insert_with(|| Mesh::new(path.mesh().clone()));
        match step {
            Step::Create { spec, tags, .. } => {
                // The spec has the kind of the path, so the insertion cannot fail.
                drop(mesh.insert(path.clone(), spec.clone()));
                if let Ok(tags) = mesh::resource::Tags::read(tags.clone()) {
                    mesh.set_tags(path.clone(), tags);
                }
            }
            Step::Update { spec, .. } => drop(mesh.insert(path.clone(), spec.clone())),
            Step::Tag { set, remove, .. } => {
                let mut tags: BTreeMap<String, String> = mesh
                    .tags
                    .get(path)
                    .map(|tags| tags.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
                    .unwrap_or_default();
                tags.retain(|key, _| !remove.contains(key));
                tags.extend(set.clone());
                if let Ok(tags) = mesh::resource::Tags::read(tags) {
                    mesh.set_tags(path.clone(), tags);
                }
            }
            Step::Delete { .. } => mesh.remove(path),
        }
    }
}

fn missing(target: &ResourcePath) -> String {
    format!("{target} does not exist and is not in the files")
}

/// The resource that must exist before this one.
pub(crate) fn parent(path: &ResourcePath) -> Option<ResourcePath> {
    let mesh = || path.mesh().clone();
    match path {
        ResourcePath::Mesh(_) => None,
        ResourcePath::Route(id) => Some(ResourcePath::VirtualRouter(mesh(), id.router.clone())),
        ResourcePath::GatewayRoute(_, gateway, _) => Some(ResourcePath::VirtualGateway(mesh(), gateway.clone())),
        ResourcePath::VirtualNode(..)
        | ResourcePath::VirtualGateway(..)
        | ResourcePath::VirtualRouter(..)
        | ResourcePath::VirtualService(..) => Some(ResourcePath::Mesh(mesh())),
    }
}

/// A step that has no valid position, with the reasons.
#[derive(Debug)]
pub(crate) struct Unordered {
    pub(crate) step: Step,
    pub(crate) problems: Vec<String>,
}

/// Orders steps so that the API accepts each of them. A step that is refused at its position is tried again after the
/// others: an update of a listener may have to follow the update of a route.
pub(crate) fn order(held: &Held, steps: Vec<Step>) -> Result<Vec<Step>, Vec<Unordered>> {
    let mut simulation = Simulation::new(held);
    let mut ordered = Vec::with_capacity(steps.len());
    let mut pending = steps;
    while !pending.is_empty() {
        let before = pending.len();
        let mut refused = Vec::new();
        for step in pending {
            let problems = simulation.problems(&step);
            if problems.is_empty() {
                simulation.apply(&step);
                ordered.push(step);
            } else {
                refused.push(Unordered { step, problems });
            }
        }
        if refused.len() == before {
            return Err(refused);
        }
        pending = refused.into_iter().map(|one| one.step).collect();
    }
    Ok(ordered)
}
