//! The weights of routes: an object declares them once, and failovers and rollouts move them afterwards.
//!
//! ```text
//!   weights in the object ── changed since they were written? ──▶ yes: they are written
//!                                                            └──▶ no: the weights in App Mesh stay, also if they differ
//! ```
//!
//! A tag of the route has a digest of the targets and weights that the object declared when they were written last. So a
//! change of another member of the route keeps the split of a failover, and `kubectl apply` of the same file does not fight
//! with it. A change of the weights themselves is a declaration of the role in `weights.declaredBy`.

use imports::HeldResource;
use mesh::change::Change;
use mesh::name::{ResourcePath, RouteId};
use mesh::spec::{RouteSpec, Spec};
use mesh::split::WeightSplit;
use sha2::{Digest as _, Sha256};

/// The tag of a route with the digest of its declared weights.
pub const WEIGHTS_TAG: &str = "meshwarden:kubernetes-weights";

/// The declared weights of a route; `None` for every other resource.
fn split_of(spec: &Spec) -> Option<WeightSplit> {
    match spec {
        Spec::Route(route) => RouteSpec::split(route),
        Spec::Mesh(_)
        | Spec::VirtualNode(_)
        | Spec::VirtualGateway(_)
        | Spec::VirtualRouter(_)
        | Spec::VirtualService(_)
        | Spec::GatewayRoute(_) => None,
    }
}

/// The value of [`WEIGHTS_TAG`]; `None` for a resource without weights.
pub(crate) fn digest(spec: &Spec) -> Option<String> {
    let split = split_of(spec)?;
    let mut hash = Sha256::new();
    for target in split.targets() {
        let port = target.port.map_or(0, mesh::split::Port::get);
        hash.update(format!("{}\n{port}\n{}\n", target.virtual_node, target.weight.get()));
    }
    let digest = hash.finalize();
    Some(digest.iter().take(8).fold("1.".to_owned(), |text, byte| format!("{text}{byte:02x}")))
}

/// The declared spec with the weights that App Mesh has, if the object declares the same weights as when they were written.
/// `None` if the weights of the object apply.
pub(crate) fn with_held_weights(path: &ResourcePath, declared: &Spec, held: &HeldResource) -> Option<Spec> {
    let ResourcePath::Route(route) = path else { return None };
    if held.tags.value(WEIGHTS_TAG) != Some(digest(declared)?.as_str()) {
        return None;
    }
    let (declared_split, held_split) = (split_of(declared)?, split_of(&held.spec)?);
    if !declared_split.same_targets(&held_split) {
        return None;
    }
    let mut spec = declared.clone();
    set(route, &held_split, &mut spec).then_some(spec)
}

fn set(route: &RouteId, split: &WeightSplit, spec: &mut Spec) -> bool {
    Change::SetRouteWeights { route: route.clone(), split: split.clone() }.apply_to(spec).is_ok()
}
