//! The objects of a cluster.

use std::collections::{BTreeMap, BTreeSet};

use mesh::name::{Arn, MeshName};
use serde_json::{Value, json};

use crate::object::{Object, ObjectKey, ObjectKind};

/// The App Mesh objects and the namespaces of a cluster, as they were listed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ClusterObjects {
    /// The objects of the App Mesh controller.
    pub objects: BTreeMap<ObjectKey, Object>,
    /// The labels of each namespace.
    pub namespaces: BTreeMap<String, Value>,
}

impl ClusterObjects {
    /// Adds or replaces an object.
    pub fn insert(&mut self, object: Object) {
        self.objects.insert(object.key.clone(), object);
    }

    /// The objects of a kind.
    pub fn of_kind(&self, kind: ObjectKind) -> impl Iterator<Item = &Object> {
        self.objects.values().filter(move |object| object.key.kind == kind)
    }

    /// The documents for the readers of manifests, each with its name: the namespaces, and the objects that no client deleted.
    pub(crate) fn documents(&self) -> Vec<(String, String)> {
        let namespaces = self.namespaces.iter().map(|(name, labels)| {
            let metadata = json!({"name": name, "labels": labels});
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
            (format!("Namespace/{name}"), namespace.to_string())
        });
        let objects = self.objects.values().filter(|object| !object.is_deleted);
        let objects = objects.map(|object| (object.key.to_string(), object.manifest().to_string()));
        namespaces.chain(objects).collect()
    }

    /// The meshes in the ARNs of the objects' status.
    pub(crate) fn meshes_of_status(&self) -> BTreeSet<MeshName> {
        let arns = self.objects.values().filter_map(|object| {
            let arn = object.status.get(object.key.kind.arn_member()?)?.as_str()?;
            Some(Arn::parse(arn).ok()?.path().mesh().clone())
        });
        arns.collect()
    }

    /// Whether a deleted object has resources in an unknown mesh: its status has no ARN.
    #[must_use]
    pub fn needs_all_meshes(&self) -> bool {
        let is_unknown = |object: &&Object| {
            let arn = object.key.kind.arn_member().and_then(|member| object.status.get(member)?.as_str());
            object.is_deleted && object.has_finalizer() && arn.is_none()
        };
        self.objects.values().any(|object| is_unknown(&object))
    }
}
