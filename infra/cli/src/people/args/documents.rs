//! The documents of the state table that `forget` can reset.

use mesh::name::MeshName;
use ports::StateKey;

/// The functions with documents of meshes that can be reset. Routes and certificates are excluded, since their records
/// are needed to restore them.
const FORGETTABLE: [&str; 4] = ["tag-compliance", "egress-compliance", "compliance-sweep", "change-audit"];

/// The function with one document, which stores the sent pages.
const ROUTE_FAILOVER: &str = "route-failover";

/// The functions that store their failing calls, or decisions without progress, in a document.
const WITH_FAILURES: [&str; 8] = [
    ROUTE_FAILOVER,
    "certificate-rotation",
    "tag-compliance",
    "egress-compliance",
    "compliance-sweep",
    "change-audit",
    "failover-drill",
    "traffic-shift",
];

/// Parses the key of a document that can be reset.
pub(super) fn document(text: &str) -> Result<StateKey, String> {
    let invalid = || {
        format!(
            "invalid document `{text}`: expected FUNCTION or FUNCTION/MESH of {}; {ROUTE_FAILOVER}; or failures/FUNCTION or \
             standstills/FUNCTION",
            FORGETTABLE.join(", ")
        )
    };
    let segments: Vec<&str> = text.split('/').collect();
    match segments.as_slice() {
        ["failures", function] if WITH_FAILURES.contains(function) => Ok(StateKey::failures(function)),
        ["standstills", function] if WITH_FAILURES.contains(function) => Ok(StateKey::standstills(function)),
        [function] if *function == ROUTE_FAILOVER || FORGETTABLE.contains(function) => Ok(StateKey::meshes(function)),
        [function, mesh] if FORGETTABLE.contains(function) => {
            MeshName::parse(mesh).map(|mesh| StateKey::mesh(function, &mesh)).map_err(|error| error.to_string())
        }
        [function, mesh, part] if FORGETTABLE.contains(function) => {
            let mesh = MeshName::parse(mesh).map_err(|error| error.to_string())?;
            let (part, parts) = part.split_once("-of-").ok_or_else(invalid)?;
            let number = |text: &str| text.parse::<usize>().map_err(|_| invalid());
            Ok(StateKey::part_of_mesh(function, &mesh, number(part)?, number(parts)?))
        }
        _ => Err(invalid()),
    }
}
