//! Terraform plans and states, as `terraform show -json` writes them.
//!
//! ```text
//!   planned_values, or values of a state ──▶ aws_appmesh_* ──▶ stand-ins for values after apply ──▶ declare
//! ```
//!
//! The provider writes nested blocks as lists, repeated ones in the singular, and `null` for unset arguments. A name
//! that is known only after apply is often elsewhere in the plan: `aws_appmesh_mesh.shop.id` is the name of that mesh.

mod after_apply;
mod configured;
mod resources;

use serde_json::{Map, Value};

use super::declare::{Draft, Names, declare, parent_name_member, tags_of, text_of};
use super::node::Spelling;
use super::reading::{Reading, Source};
use super::spelling::{nearest, unknown_members};
use super::spots::{Spot, Step};
use super::stand_ins::StandIns;
use super::unheld::{self, UnheldReason};
use after_apply::fill;
use mesh::alarm::DeclaredAlarm;
use mesh::name::ResourceKind;
use resources::{Found, Planned, TYPES, planned};

pub use configured::Configured;
pub(super) use configured::declare_configured;

/// The arguments of every resource outside its spec.
const OUTSIDE_SPEC: [&str; 14] = [
    "arn",
    "created_date",
    "id",
    "last_updated_date",
    "mesh_name",
    "mesh_owner",
    "name",
    "region",
    "resource_owner",
    "spec",
    "tags",
    "tags_all",
    "virtual_gateway_name",
    "virtual_router_name",
];

/// Reads the App Mesh resources of a plan or a state.
pub(super) fn read(file: &str, document: &Value, spot: &Spot, reading: &mut Reading) {
    if document.get("resources").is_some_and(Value::is_array) {
        let source = Source { file: file.to_owned(), id: "state".to_owned() };
        reading.refuse(source, "resources", "is Terraform's own form: give what `terraform show -json` writes");
        return;
    }
    reading.alarms.extend(DeclaredAlarm::from_terraform(file, document));
    let Found { planned, mistyped } = planned(document, spot);
    for (address, name) in mistyped {
        refuse_type(Source { file: file.to_owned(), id: address.to_owned() }, name, reading);
    }
    // Only a plan distinguishes unset arguments from zero.
    let is_state = document.get("planned_values").is_none();
    let mut made = std::collections::BTreeSet::new();
    let filled: Vec<(&Planned<'_>, Value)> = planned.iter().map(|one| (one, fill(one, &planned, &mut made))).collect();
    let stand_ins = StandIns::Made(made);
    for (one, values) in filled {
        let source = Source { file: file.to_owned(), id: one.address.to_owned() };
        match values {
            Value::Object(values) => resource(source, one, &values, (&stand_ins, is_state), reading),
            _ => reading.refuse(source, "values", "must be an object"),
        }
    }
}

fn resource(
    source: Source,
    planned: &Planned<'_>,
    values: &Map<String, Value>,
    (stand_ins, is_state): (&StandIns, bool),
    reading: &mut Reading,
) {
    let kind = planned.kind;
    let text = |name: &str| values.get(name).and_then(text_of);
    let own = text("name");
    let mesh = if kind == ResourceKind::Mesh { own.clone() } else { text("mesh_name") };
    let parent = match parent_name_member(kind) {
        Some("virtualRouterName") => text("virtual_router_name"),
        Some(_) => text("virtual_gateway_name"),
        None => None,
    };
    // The tags that the provider adds to all resources are in `tags_all`, unless they are unknown.
    let tags = values.get("tags_all").filter(|tags| tags.is_object()).or_else(|| values.get("tags"));
    let spec = spec(kind, values.get("spec"), is_state);
    let hidden = Step::Hidden("values".to_owned());
    let mut unheld = Vec::new();
    let set = ["arn", "created_date", "id", "last_updated_date", "resource_owner"];
    unheld::add(values, &set, planned.spot.member("values"), "", UnheldReason::SetByService, &mut unheld);
    let mesh_owner = text("mesh_owner").filter(|owner| stand_ins.within(owner).is_none());
    declare(
        Draft {
            source,
            spot: &planned.spot,
            kind,
            names: Names { mesh, parent, own },
            spec: &spec,
            way: &[hidden.clone(), Step::Member("spec".to_owned()), Step::OnlyBlock],
            misspelt: unknown_members(values, &OUTSIDE_SPEC, &[hidden]),
            spelling: Spelling::Terraform,
            stand_ins,
            tags: Some(tags.map(tags_of).unwrap_or_default()),
            mesh_owner,
            captured_at: None,
            unheld,
        },
        reading,
    );
}

fn refuse_type(source: Source, name: &str, reading: &mut Reading) {
    let remedy = match nearest(name, TYPES.iter().map(|(name, _)| *name)) {
        Some(name) => format!("write `{name}`"),
        None => "correct it".to_owned(),
    };
    reading.refuse(source, "type", format!("`{name}` is not a resource type of the provider: {remedy}"));
}

/// The block of the spec. Without a block the spec is empty; the provider sends even an empty match of a gRPC route. A
/// state stores the priority 0 for a route without one, which a plan writes as `null`.
fn spec(kind: ResourceKind, block: Option<&Value>, is_state: bool) -> Value {
    let spec = match block {
        Some(Value::Array(items)) => items.first().cloned().unwrap_or_default(),
        Some(other) => other.clone(),
        None => Value::Null,
    };
    let mut spec = if spec.is_null() { Value::Object(Map::new()) } else { spec };
    if is_state
        && let Value::Object(members) = &mut spec
        && members.get("priority").and_then(Value::as_f64) == Some(0.0)
    {
        members.shift_remove("priority");
    }
    let routes = matches!(kind, ResourceKind::Route | ResourceKind::GatewayRoute);
    if let Some(Value::Array(blocks)) = spec.get_mut("grpc_route").filter(|_| routes) {
        for matches in
            blocks.iter_mut().filter_map(Value::as_object_mut).map(|block| block.entry("match").or_insert(Value::Null))
        {
            if matches.is_null() || matches.as_array().is_some_and(Vec::is_empty) {
                *matches = Value::Array(vec![Value::Null]);
            }
        }
    }
    spec
}
