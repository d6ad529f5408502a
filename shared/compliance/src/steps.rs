//! The steps of a repair: the tags or the spec of one resource.

use std::collections::BTreeMap;

use mesh::change::Change;
use mesh::graph::Mesh;
use mesh::name::ResourcePath;
use mesh::resource::Resource;
use ports::{MeshWrite, PortError, PortErrorKind, Surveyed, VirtualNodeWrite};
use rules::compliance::CompliancePlan as Plan;
use runner::Outcome;

use crate::Ports;

/// Makes the changes of a plan to a resource as it was read. Repeating a repair leads to the same result: the write of a
/// spec is conditional on its version, and tags are compared with the tags read.
pub(crate) async fn repair(ports: &Ports, plan: &Plan, read: &Surveyed) -> Result<Outcome, PortError> {
    let mut after = read.resource.clone();
    let mut of_tags = Outcome::AlreadyInPlace;
    for change in &plan.apply {
        if let Change::SetTags { tags, .. } = change {
            of_tags = set_tags(ports, read, tags).await?;
        } else {
            after = changed(after, change)?;
        }
    }
    // All changes of a spec are one write: a second write would be based on an outdated version.
    if after == read.resource { Ok(of_tags) } else { write_spec(ports, plan, after).await }
}

async fn write_spec(ports: &Ports, plan: &Plan, after: Resource) -> Result<Outcome, PortError> {
    let kind = after.path().kind().words();
    let (if_version, client_token) = (plan.version, plan.id.clone());
    let written = match after {
        Resource::Mesh(data) => {
            let write = MeshWrite { mesh: data.mesh_name, spec: data.spec, if_version, client_token };
            ports.specs.update_mesh(&write).await?
        }
        Resource::VirtualNode(data) => {
            let shared = data.metadata.mesh_owner != data.metadata.resource_owner;
            let write = VirtualNodeWrite {
                mesh: data.mesh_name,
                virtual_node: data.virtual_node_name,
                mesh_owner: shared.then_some(data.metadata.mesh_owner),
                spec: data.spec,
                if_version,
                client_token,
            };
            ports.specs.update_virtual_node(&write).await?
        }
        Resource::VirtualGateway(_)
        | Resource::VirtualRouter(_)
        | Resource::Route(_)
        | Resource::VirtualService(_)
        | Resource::GatewayRoute(_) => {
            let call = format!("update {}", plan.resource);
            return Err(PortError::new(call, PortErrorKind::Other, format!("no repair writes the spec of a {kind}")));
        }
    };
    Ok(Outcome::from(&written))
}

/// Sets tags, unless another writer has changed one of them since they were read. The API has no conditional write of
/// tags, so they are read again first.
async fn set_tags(ports: &Ports, read: &Surveyed, tags: &BTreeMap<String, String>) -> Result<Outcome, PortError> {
    let arn = read.resource.metadata().arn.to_string();
    // No plan is made for unknown tags.
    let before = |key: &String| read.tags.as_ref().and_then(|tags| tags.value(key));
    let present = ports.meshes.tags(&arn).await?;
    if tags.iter().all(|(key, value)| present.get(key) == Some(value)) {
        return Ok(Outcome::AlreadyInPlace);
    }
    if tags.keys().any(|key| present.get(key).map(String::as_str) != before(key)) {
        return Ok(Outcome::Superseded);
    }
    ports.tags.tag(&arn, tags).await.map(|()| Outcome::Applied)
}

/// The resource after the change.
fn changed(mut resource: Resource, change: &Change) -> Result<Resource, PortError> {
    let path = resource.path();
    let mut model = Mesh::new(path.mesh().clone());
    model.insert_resource(resource.clone()).map_err(|error| impossible(change, &error.to_string()))?;
    change.apply(&mut model).map_err(|error| impossible(change, &error.to_string()))?;
    match (&mut resource, &path) {
        (Resource::Mesh(data), _) => {
            if let Some(spec) = model.spec {
                data.spec = spec;
            }
        }
        (Resource::VirtualNode(data), ResourcePath::VirtualNode(_, node)) => {
            if let Some(spec) = model.nodes.remove(node) {
                data.spec = spec;
            }
        }
        _ => {}
    }
    Ok(resource)
}

fn impossible(change: &Change, why: &str) -> PortError {
    PortError::new(change.to_string(), PortErrorKind::Other, why)
}
