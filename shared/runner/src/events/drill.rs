//! Commands about drills: as an event of the bus, or as the event of a direct invocation.

use jiff::Timestamp;
use mesh::name::MeshName;
use policy::{DrillName, DrillPlanPolicy};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Payload;
use super::reading::{Flaw, read};

/// A command about a drill.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DrillCommand {
    /// The action.
    pub action: DrillAction,
    /// The name of the drill.
    pub drill: DrillName,
    /// The mesh. Unset: the mesh of the only plan with this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mesh: Option<MeshName>,
    /// The id of the request. The same request delivered again has the same id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The operator or the service; `unknown` if the command does not name it.
    pub by: String,
    /// When it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The plan, for a drill that is not in the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Box<DrillPlanPolicy>>,
}

/// The action of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DrillAction {
    /// Start the drill.
    Start,
    /// End it, and restore the weights.
    Stop,
    /// Return its result. An error unless it has succeeded.
    Result,
    /// Start it unless this was done lately, and return its result: an error unless it has succeeded. For a service that
    /// repeats one invocation until it succeeds.
    StartOrResult,
}

/// The members of a command.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Members {
    action: DrillAction,
    drill: DrillName,
    mesh: Option<MeshName>,
    request_id: Option<String>,
    by: Option<String>,
    plan: Option<Box<DrillPlanPolicy>>,
}

/// Whether an event without an envelope is a command about a drill.
pub(super) fn is_one(event: &Value) -> bool {
    event.get("action").is_some() && event.get("drill").is_some()
}

/// Reads a command. `id` and `at` are those of the event around it.
pub(super) fn command(detail: &Value, at_path: &str, id: Option<&str>, at: Option<Timestamp>) -> Result<Payload, Flaw> {
    let Members { action, drill, mesh, request_id, by, plan } = read(detail, at_path)?;
    // An empty text is a variable of a template that was not filled in.
    let request_id = request_id.filter(|id| !id.is_empty()).or_else(|| id.map(str::to_owned));
    let by = by.filter(|by| !by.is_empty()).unwrap_or_else(|| "unknown".to_owned());
    Ok(Payload::Drill(DrillCommand { action, drill, mesh, request_id, by, at, plan }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::events::parse;

    fn payload(event: &Value) -> Payload {
        parse(event).remove(0).payload
    }

    #[test]
    fn commands_arrive_directly_and_over_the_bus() {
        let direct = json!({ "action": "start", "drill": "recs-v1", "requestId": "e1", "by": "fis" });
        let Payload::Drill(command) = payload(&direct) else { panic!("{:?}", payload(&direct)) };
        assert_eq!(
            (command.action, command.drill.as_str(), command.by.as_str()),
            (DrillAction::Start, "recs-v1", "fis")
        );
        assert_eq!((command.request_id.as_deref(), command.mesh), (Some("e1"), None));
        let detail = json!({ "action": "stop", "drill": "recs-v1", "mesh": "shop", "by": "ada" });
        let event = json!({ "detail-type": "Meshwarden Drill Requested", "source": "meshwarden", "id": "e2",
            "time": "2026-11-30T12:00:00Z", "detail": detail });
        let Payload::Drill(command) = payload(&event) else { panic!("{:?}", payload(&event)) };
        assert_eq!((command.action, command.request_id.as_deref()), (DrillAction::Stop, Some("e2")));
        assert_eq!(command.at, Some("2026-11-30T12:00:00Z".parse().unwrap()));
    }

    #[test]
    fn invalid_command_names_the_member() {
        for (event, at) in [
            (json!({ "action": "begin", "drill": "a" }), "action"),
            (json!({ "action": "start", "drill": "a b" }), "drill"),
            (json!({ "action": "start", "drill": "a", "force": true }), "force"),
            (json!({ "action": "start", "drill": "a", "mesh": "" }), "mesh"),
        ] {
            let Payload::Unreadable { at: found, why } = payload(&event) else { panic!("{:?}", payload(&event)) };
            assert!(found.contains(at) || why.contains(at), "{event}: {found}: {why}");
        }
        // The event of another source is not ours.
        let other = json!({ "detail-type": "Meshwarden Drill Requested", "source": "other", "detail": {} });
        assert!(matches!(payload(&other), Payload::NotOurs { .. }));
    }
}
