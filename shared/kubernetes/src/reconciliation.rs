//! The result of a reconciliation: the writes for the objects of a cluster.

use std::collections::BTreeMap;

use imports::{DesiredResource, Step};
use mesh::name::ResourcePath;

use crate::object::ObjectKey;
use crate::problem::Problem;

/// A write for an object.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnedStep {
    /// The object.
    pub owner: ObjectKey,
    /// The write.
    pub step: Step,
}

/// The writes for the objects of a cluster, and the objects without writes because of a problem.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reconciliation {
    /// The writes, in an order in which every intermediate state is valid.
    pub steps: Vec<OwnedStep>,
    /// The objects that need the finalizer before their first write.
    pub finalizers: Vec<ObjectKey>,
    /// The deleted objects without resources, which lose the finalizer.
    pub released: Vec<ObjectKey>,
    /// The problems of the objects.
    pub problems: BTreeMap<ObjectKey, Vec<Problem>>,
    /// The resources that an object created which no longer exists.
    pub orphans: Vec<ResourcePath>,
    /// The resources as they should be, with the weights that App Mesh moved.
    pub(crate) desired: BTreeMap<ResourcePath, DesiredResource>,
    /// The object of each resource.
    pub(crate) owners: BTreeMap<ResourcePath, ObjectKey>,
}
