//! Parses events of EventBridge, by their `detail-type`.

use aws_lambda_events::event::eventbridge::EventBridgeEvent;
use jiff::Timestamp;
use mesh::name::{MeshName, RouteId, RouteName, VirtualRouterName};
use mesh::policy::RolloutRequest;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::reading::{Flaw, join, read, shortened};
use super::{Payload, Release, RolloutWake, alarm, certificate, config, drill, mesh_write};

/// An event, with its path in the delivery. A missing detail is an error only for types that need one.
pub(super) struct Event<'a> {
    inner: EventBridgeEvent<Option<Value>>,
    at: &'a str,
    detail_at: String,
}

impl<'a> Event<'a> {
    fn read(event: &Value, at: &'a str) -> Result<Self, Flaw> {
        #[derive(Deserialize)]
        struct Typed {
            #[serde(rename = "detail-type")]
            detail_type: String,
        }
        if let Ok(event) = EventBridgeEvent::deserialize(event) {
            return Ok(Self { inner: event, at, detail_at: join(at, "detail") });
        }
        let Typed { detail_type } = read(event, at)?;
        let text = |member: &str| event.get(member).and_then(Value::as_str).map(str::to_owned);
        let mut lenient = EventBridgeEvent::default();
        lenient.detail_type = detail_type;
        lenient.source = text("source").unwrap_or_else(|| "an unnamed source".to_owned());
        lenient.id = text("id");
        lenient.account = text("account");
        lenient.region = text("region");
        lenient.time = text("time").and_then(|time| time.parse().ok());
        lenient.resources = event
            .get("resources")
            .and_then(Value::as_array)
            .map(|resources| resources.iter().filter_map(Value::as_str).map(str::to_owned).collect());
        lenient.detail = event.get("detail").filter(|detail| !detail.is_null()).cloned();
        Ok(Self { inner: lenient, at, detail_at: join(at, "detail") })
    }

    /// The event's `detail-type`.
    pub(super) fn detail_type(&self) -> &str {
        &self.inner.detail_type
    }

    /// The account of the event.
    pub(super) fn account(&self) -> Option<&str> {
        self.inner.account.as_deref()
    }

    /// The region of the event.
    pub(super) fn region(&self) -> Option<&str> {
        self.inner.region.as_deref()
    }

    /// The time of the event.
    pub(super) fn time(&self) -> Option<Timestamp> {
        let time = self.inner.time?;
        Timestamp::from_millisecond(time.timestamp_millis()).ok()
    }

    /// The resources that the event concerns; `None` if the event has no such list.
    pub(super) fn resources(&self) -> Option<&[String]> {
        self.inner.resources.as_deref()
    }

    /// The unparsed detail.
    pub(super) fn raw_detail(&self) -> Result<&Value, Flaw> {
        self.inner.detail.as_ref().ok_or_else(|| Flaw::missing(self.at, "detail"))
    }

    /// Parses the detail as `T`.
    pub(super) fn detail<T: DeserializeOwned>(&self) -> Result<T, Flaw> {
        read(self.raw_detail()?, &self.detail_at())
    }

    /// The path of the detail.
    pub(super) fn detail_at(&self) -> String {
        self.detail_at.clone()
    }

    /// The path of the event itself.
    pub(super) const fn at(&self) -> &str {
        self.at
    }
}

/// The event in Lambda's record of a failed asynchronous event, which the function's destination sends to a bus.
pub(super) fn failed_request(event: &Value) -> Option<&Value> {
    let is_failure = event.get("detail-type")?.as_str()? == "Lambda Function Invocation Result - Failure";
    let detail = event.get("detail").filter(|_| is_failure)?;
    detail.get("requestContext").and(detail.get("requestPayload"))
}

/// Parses a record of a call to App Mesh without the event around it, as in CloudTrail's log files.
pub(super) fn recorded_call(record: &Value, at: &str) -> Result<Payload, Flaw> {
    let text = |member: &str| record.get(member).and_then(Value::as_str).map(str::to_owned);
    let mut event = EventBridgeEvent::default();
    event.id = text("eventID");
    event.account = text("recipientAccountId");
    event.region = text("awsRegion");
    event.detail = Some(record.clone());
    mesh_write::api_call(&Event { inner: event, at, detail_at: at.to_owned() })
}

/// Parses the payload of an event.
pub(super) fn payload(event: &Value, at: &str) -> Result<Payload, Flaw> {
    let event = Event::read(event, at)?;
    let source = event.inner.source.as_str();
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
            drill::command(event.raw_detail()?, &event.detail_at(), event.inner.id.as_deref(), event.time())
        }
        other => Ok(Payload::NotOurs { what: format!("`{}` of `{}`", shortened(other), shortened(source)) }),
    }
}

fn release(event: &Event<'_>) -> Result<Payload, Flaw> {
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
fn rollout(event: &Event<'_>) -> Result<Payload, Flaw> {
    let mut detail = event.raw_detail()?.clone();
    let by = detail.as_object_mut().and_then(|members| members.remove("by"));
    let by: Option<String> = by.map(|by| read(&by, &join(&event.detail_at(), "by"))).transpose()?;
    let request: RolloutRequest = read(&detail, &event.detail_at())?;
    if let Some((key, problem)) = request.contradiction() {
        return Err(Flaw::new(&join(&event.detail_at(), &key), problem));
    }
    Ok(Payload::Rollout(RolloutWake { request: Box::new(request), by, at: event.time() }))
}

fn sweep(event: &Event<'_>) -> Result<Payload, Flaw> {
    #[derive(Deserialize)]
    struct Detail {
        mesh: MeshName,
    }
    let Detail { mesh } = event.detail()?;
    Ok(Payload::Sweep { mesh })
}
