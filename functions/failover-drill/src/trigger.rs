//! The triggers of an invocation: scheduled runs and commands.

use std::collections::BTreeMap;

use drills::{MeshDrills, Request, RequestAction, resolve};
use jiff::{SignedDuration, Timestamp};
use mesh::name::MeshName;
use policy::{DrillName, DrillNameError, Policy};
use runner::RequestedBy;
use runner::events::{Delivery, DrillAction, DrillCommand, Payload};
use serde_json::Value;

/// How long the result of a drill answers a service that repeats its invocation. A later invocation starts a new drill.
const RESULT_FOR: SignedDuration = SignedDuration::from_mins(60);

/// The custom action of a plan of ARC Region switch: every event runs this drill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArcAction {
    drill: DrillName,
}

/// The reason why a value is not a custom action.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid {variable} `{given}`: expected `drill:NAME` with the name of a plan in `drills.plans`")]
pub struct ArcActionError {
    variable: &'static str,
    given: String,
    #[source]
    source: Option<DrillNameError>,
}

impl ArcAction {
    /// The environment variable.
    pub const VARIABLE: &'static str = "MESHWARDEN_ACTION";

    /// The requester in records.
    pub(crate) const BY: &'static str = "arc";

    /// Parses the value of the variable.
    pub fn parse(value: &str) -> Result<Self, ArcActionError> {
        let refused = |source| ArcActionError { variable: Self::VARIABLE, given: value.to_owned(), source };
        let name = value.strip_prefix("drill:").ok_or_else(|| refused(None))?;
        let drill = DrillName::parse(name).map_err(|error| refused(Some(error)))?;
        Ok(Self { drill })
    }

    /// Reads an event: every event of Region switch runs the drill. Its payload is not documented, so it is only logged.
    pub(crate) fn read(&self, event: &Value) -> Vec<Delivery> {
        tracing::info!(drill = %self.drill, payload = %event, "received the event of a custom action");
        let command = DrillCommand {
            action: DrillAction::StartOrResult,
            drill: self.drill.clone(),
            mesh: None,
            request_id: None,
            by: Self::BY.to_owned(),
            at: None,
            plan: None,
        };
        vec![Delivery { message_id: None, event_id: None, payload: Payload::Drill(command) }]
    }
}

/// The triggers of an invocation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trigger {
    /// The deliveries that request a run over all meshes.
    pub(crate) ticks: Option<RequestedBy>,
    /// The commands, each with its delivery.
    pub(crate) commands: Vec<(DrillCommand, RequestedBy)>,
}

impl Trigger {
    pub(crate) fn new(deliveries: Vec<Delivery>) -> Self {
        let mut trigger = Self::default();
        for Delivery { message_id, payload, .. } in deliveries {
            match payload {
                Payload::Drill(command) => trigger.commands.push((command, RequestedBy::delivery(message_id))),
                // Any other event may indicate a change that a drill has to see.
                Payload::Tick
                | Payload::Alarm(_)
                | Payload::Release(_)
                | Payload::Rollout(_)
                | Payload::Config(_)
                | Payload::MeshWrite(_)
                | Payload::Certificate(_)
                | Payload::Sweep { .. } => trigger.ticks.get_or_insert_default().insert(message_id),
                // Reported before the function runs.
                Payload::NotOurs { .. } | Payload::Unreadable { .. } => {}
            }
        }
        trigger
    }

    /// The commands by mesh, and the commands without a known plan.
    pub(crate) fn by_mesh(&self, policy: &Policy) -> (BTreeMap<MeshName, Vec<MeshCommand>>, Vec<UnknownPlan>) {
        let mut known: BTreeMap<MeshName, Vec<MeshCommand>> = BTreeMap::new();
        let mut unknown = Vec::new();
        for (command, requested_by) in &self.commands {
            let own = command.plan.as_ref().map(|plan| plan.mesh.clone());
            // A drill by its own plan, or a stop, needs no entry in the policy.
            let mesh = own
                .or_else(|| command.mesh.clone())
                .map_or_else(|| resolve(&command.drill, None, &policy.drills).map_err(|error| error.to_string()), Ok);
            match mesh {
                Ok(mesh) => {
                    let command = MeshCommand { command: command.clone(), requested_by: requested_by.clone() };
                    known.entry(mesh).or_default().push(command);
                }
                Err(why) => {
                    let (command, requested_by) = (command.clone(), requested_by.clone());
                    unknown.push(UnknownPlan { command, requested_by, why });
                }
            }
        }
        (known, unknown)
    }
}

/// A command about a drill of a mesh.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MeshCommand {
    pub(crate) command: DrillCommand,
    pub(crate) requested_by: RequestedBy,
}

/// A command about a plan that the policy does not have.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct UnknownPlan {
    pub(crate) command: DrillCommand,
    pub(crate) requested_by: RequestedBy,
    pub(crate) why: String,
}

impl MeshCommand {
    /// The request to store, if the command is one.
    pub(crate) fn request(&self, record: &drills::MeshDrills, now: Timestamp) -> Option<Request> {
        let DrillCommand { action, drill, request_id, by, at, plan, .. } = &self.command;
        let at = at.unwrap_or(now);
        let id = request_id.clone().unwrap_or_else(|| format!("{by}-{}", at.as_millisecond()));
        let action = match action {
            DrillAction::Stop => RequestAction::Stop,
            DrillAction::Result => return None,
            DrillAction::StartOrResult if has_recent(record, drill, by, now) => return None,
            DrillAction::Start | DrillAction::StartOrResult => RequestAction::Start { plan: plan.clone() },
        };
        let is_known = record.knows(&id) || record.requests.iter().any(|request| request.id == id);
        let request = Request { id, by: by.clone(), at, drill: drill.clone(), action };
        (!is_known).then_some(request)
    }
}

/// Whether a requester's drill is active, or ended so lately that its result is still to be returned.
fn has_recent(record: &MeshDrills, drill: &DrillName, by: &str, now: Timestamp) -> bool {
    let is_active = record.active.as_ref().is_some_and(|active| active.plan.name == *drill && active.by == by);
    let is_requested = record.requests.iter().any(|request| request.drill == *drill && request.by == by);
    let last = record.plans.get(drill).and_then(|history| history.last.as_ref());
    is_active || is_requested || last.is_some_and(|end| end.by == by && now < end.ended + RESULT_FOR)
}
