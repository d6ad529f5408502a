//! Parses events of EventBridge, by their `detail-type`.

use mesh::name::{MeshName, RouteId, RouteName, VirtualRouterName};
use policy::RolloutRequest;
use serde::Deserialize;
use serde_json::Value;

use super::bus_event::BusEvent;
use super::reading::{Flaw, join, read, shortened};
use super::{Payload, Release, RolloutMessage, alarm, certificate, config, drill, mesh_write};

/// The event in Lambda's record of a failed asynchronous event, which the function's destination sends to a bus.
pub(super) fn failed_request(event: &Value) -> Option<&Value> {
    let is_failure = event.get("detail-type")?.as_str()? == "Lambda Function Invocation Result - Failure";
    let detail = event.get("detail").filter(|_| is_failure)?;
    detail.get("requestContext").and(detail.get("requestPayload"))
}

/// Parses a record of a call to App Mesh without the event around it, as in CloudTrail's log files.
pub(super) fn recorded_call(record: &Value, at: &str) -> Result<Payload, Flaw> {
    mesh_write::api_call(&BusEvent::from_record(record, at))
}

/// Parses the payload of an event.
pub(super) fn payload(event: &Value, at: &str) -> Result<Payload, Flaw> {
    let event = BusEvent::read(event, at)?;
    let source = event.source();
    match event.detail_type() {
        "CloudWatch Alarm State Change" => alarm::state_change(&event),
        "CloudWatch Alarm Contributor State Change" => alarm::contributor_change(&event),
        // A changed configuration names no new state, so everything is read again.
        "CloudWatch Alarm Configuration Change" | "Scheduled Event" => Ok(Payload::Tick),
        "AWS API Call via CloudTrail" if mesh_write::SOURCES.contains(&source) => mesh_write::api_call(&event),
        "AWS Service Event via CloudTrail" if mesh_write::SOURCES.contains(&source) => {
            Ok(mesh_write::service_event(&event))
        }
        "Config Configuration Item Change" if source == "aws.config" => {
            config::message(event.raw_detail()?, &event.detail_at())
        }
        other if certificate::is_one(source, other) => certificate::read_event(&event),
        "Meshwarden Release Route" if source == "meshwarden" => release(&event),
        // Any program may request a rollout, so the source is not compared.
        "Meshwarden Rollout Requested" => rollout(&event),
        "Meshwarden Sweep Requested" if source == "meshwarden" => sweep(&event),
        "Meshwarden Drill Requested" if source == "meshwarden" => {
            drill::command(event.raw_detail()?, &event.detail_at(), event.id(), event.time())
        }
        other => Ok(Payload::NotOurs { what: format!("`{}` of `{}`", shortened(other), shortened(source)) }),
    }
}

fn release(event: &BusEvent<'_>) -> Result<Payload, Flaw> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Detail {
        mesh: MeshName,
        virtual_router: VirtualRouterName,
        route: RouteName,
        by: String,
    }
    let Detail { mesh, virtual_router, route, by } = event.detail()?;
    Ok(Payload::Release(Release { route: RouteId::new(mesh, virtual_router, route), by, at: event.time() }))
}

/// The detail is the request itself, with the name of the requester as a further member.
fn rollout(event: &BusEvent<'_>) -> Result<Payload, Flaw> {
    let mut detail = event.raw_detail()?.clone();
    let by = detail.as_object_mut().and_then(|members| members.remove("by"));
    let by: Option<String> = by.map(|by| read(&by, &join(&event.detail_at(), "by"))).transpose()?;
    let request: RolloutRequest = read(&detail, &event.detail_at())?;
    if let Some((key, problem)) = request.contradiction() {
        return Err(Flaw::new(&join(&event.detail_at(), &key), problem));
    }
    Ok(Payload::Rollout(RolloutMessage { request: Box::new(request), by, at: event.time() }))
}

fn sweep(event: &BusEvent<'_>) -> Result<Payload, Flaw> {
    #[derive(Deserialize)]
    struct Detail {
        mesh: MeshName,
    }
    let Detail { mesh } = event.detail()?;
    Ok(Payload::Sweep { mesh })
}
