//! The server's side of the API: is this document one that App Mesh accepts?
//!
//! ```text
//!   spec, strictly read ──▶ rules of one resource ─────▶ Ok | every violation with its path
//!                           of the API, and of Envoy
//!   a mesh ───────────────▶ rules between resources ───▶ violations of each resource
//!   a mesh and a write ───▶ what the write breaks ─────▶ violations of the written resource
//! ```
//!
//! A document that AWS was seen to accept is accepted, even if the documentation of AWS differs. Examples are a weight
//! sum other than 100, and a health check or a route in another protocol than its listener or router. A value that
//! Envoy refuses is refused anyway ([`envoy`]). The owner of the resources checks that a referenced resource exists.

mod between;
mod discovery;
pub mod envoy;
mod found;
mod gateway_route;
mod listener_use;
mod listeners;
mod mesh_view;
mod route;
mod same_host;

use serde_json::Value;

use crate::name::{
    GatewayRouteName, MeshName, NameError, ResourceKind, RouteName, VirtualGatewayName, VirtualNodeName,
    VirtualRouterName, VirtualServiceName,
};
use crate::resource::{Tag, Tags};
use crate::spec::bounded::{List, Text};
use crate::spec::wire::{Reader, UnknownMembers};
use crate::spec::{GatewayRouteSpec, RouteSpec, Spec, VirtualGatewaySpec, VirtualNodeSpec, VirtualRouterSpec};

pub use crate::spec::{Owner, Refusal, Violation};
pub use between::{BrokenUse, between, broken_by, broken_uses, references};
use found::FoundViolations;
pub use mesh_view::{GatewayRouteEntry, MeshView, RouteEntry};

/// Checks a new spec as the server must: every bound, enumeration and pattern, required and unknown members, unions,
/// the rules between members of one resource, and what Envoy refuses.
pub fn spec(kind: ResourceKind, spec: &Value) -> Result<(), Vec<Violation>> {
    let spec = read(kind, spec)?;
    let violations = rules(&spec);
    if violations.is_empty() { Ok(()) } else { Err(violations) }
}

/// Reads a spec that is to be written, and checks it by the rules of the API. [`broken_by()`] checks what Envoy refuses: it
/// knows the spec before the write.
pub fn parse(kind: ResourceKind, spec: &Value) -> Result<Spec, Vec<Violation>> {
    let spec = read(kind, spec)?;
    let violations = of_api(&spec);
    if violations.is_empty() { Ok(spec) } else { Err(violations) }
}

/// Reads a spec strictly: bounds, enumerations, patterns, required and unknown members, unions. No rule between members
/// is checked, so that a spec can be read that was stored before such a rule existed.
pub fn read(kind: ResourceKind, spec: &Value) -> Result<Spec, Vec<Violation>> {
    Spec::read_with(kind, spec, UnknownMembers::Refuse)
}

/// Gives each kind's spec functions for the rules of one resource: those of the API, and what Envoy refuses.
macro_rules! rules_of {
    ($($(#[$doc:meta])* $name:ident($kind:ident: $spec:ty) by $api:path $(, $envoy:path)?;)*) => {
        $(
            $(#[$doc])*
            #[must_use]
            pub fn $name(spec: &$spec) -> Vec<Violation> {
                let mut found = FoundViolations::default();
                $api(spec, &mut found);
                $( $envoy(spec, &mut found); )?
                found.0
            }
        )*

        /// Checks the rules of one resource on a spec that was read already: those of the API, and what Envoy refuses.
        #[must_use]
        pub fn rules(spec: &Spec) -> Vec<Violation> {
            match spec {
                Spec::Mesh(_) | Spec::VirtualService(_) => Vec::new(),
                $( Spec::$kind(spec) => $name(spec), )*
            }
        }

        /// The rules of the API alone.
        fn of_api(spec: &Spec) -> Vec<Violation> {
            let mut found = FoundViolations::default();
            match spec {
                Spec::Mesh(_) | Spec::VirtualService(_) => {}
                $( Spec::$kind(spec) => $api(spec, &mut found), )*
            }
            found.0
        }

        /// The checks of Envoy alone.
        fn of_envoy(spec: &Spec) -> Vec<Violation> {
            let mut found = FoundViolations::default();
            match spec {
                Spec::Mesh(_) | Spec::VirtualService(_) => {}
                $( Spec::$kind(_spec) => { $( $envoy(_spec, &mut found); )? } )*
            }
            found.0
        }
    };
}

rules_of! {
    /// The rules of a virtual node's spec.
    rules_of_node(VirtualNode: VirtualNodeSpec) by listeners::of_node, envoy::of_node;
    /// The rules of a virtual gateway's spec.
    rules_of_gateway(VirtualGateway: VirtualGatewaySpec) by listeners::of_gateway, envoy::of_gateway;
    /// The rules of a virtual router's spec.
    rules_of_router(VirtualRouter: VirtualRouterSpec) by listeners::of_router;
    /// The rules of a route's spec.
    rules_of_route(Route: RouteSpec) by route::rules, envoy::of_route;
    /// The rules of a gateway route's spec.
    rules_of_gateway_route(GatewayRoute: GatewayRouteSpec) by gateway_route::rules, envoy::of_gateway_route;
}

/// Checks the name of a new resource. The path of a violation is the member: `virtualNodeName`.
pub fn name(kind: ResourceKind, name: &str) -> Result<(), Vec<Violation>> {
    let checked: Result<(), NameError> = match kind {
        ResourceKind::Mesh => MeshName::parse(name).map(drop),
        ResourceKind::VirtualNode => VirtualNodeName::parse(name).map(drop),
        ResourceKind::VirtualGateway => VirtualGatewayName::parse(name).map(drop),
        ResourceKind::VirtualRouter => VirtualRouterName::parse(name).map(drop),
        ResourceKind::Route => RouteName::parse(name).map(drop),
        ResourceKind::VirtualService => VirtualServiceName::parse(name).map(drop),
        ResourceKind::GatewayRoute => GatewayRouteName::parse(name).map(drop),
    };
    checked.map_err(|error| vec![Violation::malformed(format!("{kind}Name"), error.to_string())])
}

/// Checks the `tags` member of a request and returns the tags. [`Tags::merge`] checks that a resource has at most 50
/// tags after they are added.
pub fn tags(tags: &Value) -> Result<Vec<Tag>, Vec<Violation>> {
    Reader::document::<List<Tag, 0, { Tags::MAX }>>(tags, "tags", UnknownMembers::Refuse).map(|tags| tags.to_vec())
}

/// Checks the `tagKeys` member of a request and returns the keys.
pub fn tag_keys(keys: &Value) -> Result<Vec<String>, Vec<Violation>> {
    let keys = Reader::document::<List<Text<1, 128>, 0, { Tags::MAX }>>(keys, "tagKeys", UnknownMembers::Refuse)?;
    Ok(keys.iter().map(ToString::to_string).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_called_by_their_member() {
        assert_eq!(name(ResourceKind::VirtualService, "a b/c.local"), Ok(()));
        let violations = name(ResourceKind::GatewayRoute, &"r".repeat(256)).unwrap_err();
        assert_eq!(
            violations[0].to_string(),
            "gatewayRouteName: a gateway route name has 1 to 255 characters, this one has 256"
        );
    }

    #[test]
    fn tags_are_bounded() {
        let read = tags(&json!([{"key": "team", "value": ""}])).unwrap();
        assert_eq!((read[0].key.as_str(), read[0].value.as_str()), ("team", ""));
        let fifty_one: Vec<_> = (0..51).map(|n| json!({"key": n.to_string(), "value": ""})).collect();
        let table = [
            (json!([{"key": "", "value": "x"}]), "tags[0].key"),
            (json!([{"key": "k".repeat(129), "value": "x"}]), "tags[0].key"),
            (json!([{"key": "k", "value": "v".repeat(257)}]), "tags[0].value"),
            (json!([{"key": "k"}]), "tags[0].value"),
            (json!([{"key": "k", "value": "v", "propagate": true}]), "tags[0].propagate"),
            (json!(fifty_one), "tags"),
            (json!({}), "tags"),
        ];
        for (wrong, path) in table {
            assert_eq!(tags(&wrong).unwrap_err()[0].path, path, "{wrong}");
        }
        assert_eq!(tag_keys(&json!(["a", ""])).unwrap_err()[0].path, "tagKeys[1]");
        assert_eq!(tag_keys(&json!(["a"])).unwrap(), ["a"]);
    }
}
