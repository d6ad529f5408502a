//! Selects the messages of a queue to deliver again after a failure: only the messages that requested the failed work.

use std::collections::BTreeSet;

use mesh::alarm::AlarmName;
use mesh::name::{MeshName, ResourcePath};
use runner::FailedMessages;
use runner::events::{Delivery, Payload};

/// The messages of an invocation, each with its request.
#[derive(Debug, Default)]
pub(crate) struct Messages(Vec<(String, Request)>);

/// The request of a message.
#[derive(Debug)]
enum Request {
    /// A run over all meshes and alarms.
    Everything,
    /// An alarm, and the meshes of the nodes that it reports.
    Alarm(AlarmName, BTreeSet<MeshName>),
    /// A route of this mesh.
    Mesh(MeshName),
}

impl Messages {
    /// Reads the messages; `meshes` returns the meshes of an alarm's targets.
    pub(crate) fn new(deliveries: &[Delivery], meshes: impl Fn(&AlarmName) -> BTreeSet<MeshName>) -> Self {
        let request = |payload: &Payload| match payload {
            Payload::Tick => Some(Request::Everything),
            Payload::Alarm(alarm) => Some(Request::Alarm(alarm.name.clone(), meshes(&alarm.name))),
            Payload::Release(release) => Some(Request::Mesh(release.route.mesh.clone())),
            // These payloads request no work from this function.
            Payload::Config(_)
            | Payload::MeshWrite(_)
            | Payload::Certificate(_)
            | Payload::Rollout(_)
            | Payload::Sweep { .. }
            | Payload::Drill(_)
            | Payload::NotOurs { .. }
            | Payload::Unreadable { .. } => None,
        };
        let message = |delivery: &Delivery| Some((delivery.message_id.clone()?, request(&delivery.payload)?));
        Self(deliveries.iter().filter_map(message).collect())
    }

    /// The messages that requested one of these resources, named as in reports.
    pub(crate) fn failed<'a>(&self, mut resources: impl Iterator<Item = &'a str>) -> FailedMessages {
        let mut failed = BTreeSet::new();
        let all = resources.any(|resource| {
            let Some(concerns) = concern(resource) else { return true };
            failed.extend(self.0.iter().filter(|(_, request)| concerns(request)).map(|(id, _)| id.clone()));
            false
        });
        if all { FailedMessages::All } else { FailedMessages::Only(failed) }
    }
}

/// Whether a failed resource concerns a request.
type Concerns = Box<dyn Fn(&Request) -> bool>;

/// Returns which requests a failed resource concerns; `None` for a resource that every request depends on.
fn concern(resource: &str) -> Option<Concerns> {
    if let Some(name) = resource.strip_prefix("alarm/") {
        let name = name.to_owned();
        return Some(Box::new(move |request| match request {
            Request::Everything => true,
            Request::Alarm(alarm, _) => alarm.as_str() == name,
            Request::Mesh(_) => false,
        }));
    }
    let mesh = resource.parse::<ResourcePath>().ok()?.mesh().clone();
    Some(Box::new(move |request| match request {
        Request::Everything => true,
        Request::Alarm(_, meshes) => meshes.contains(&mesh),
        Request::Mesh(requested) => *requested == mesh,
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn messages() -> Messages {
        let record = |(id, body): (&str, serde_json::Value)| json!({ "eventSource": "aws:sqs", "messageId": id, "body": body.to_string() });
        let alarm = |name: &str| json!({ "AlarmName": name, "NewStateValue": "ALARM" });
        let release = json!({ "detail-type": "Meshwarden Release Route", "source": "meshwarden",
            "detail": { "mesh": "shop", "virtualRouter": "recs", "route": "all", "by": "ann" } });
        let records = [
            ("shop", alarm("shop-5xx")),
            ("both", alarm("shared")),
            ("other", alarm("bank-5xx")),
            ("unmapped", alarm("cpu")),
            ("release", release),
            ("tick", json!({ "detail-type": "Scheduled Event", "source": "aws.events", "detail": {} })),
        ];
        let event = json!({ "Records": records.map(record) });
        let meshes = |alarm: &AlarmName| -> BTreeSet<MeshName> {
            let names: &[&str] = match alarm.as_str() {
                "shop-5xx" => &["shop"],
                "bank-5xx" => &["bank"],
                "shared" => &["shop", "bank"],
                _ => &[],
            };
            names.iter().map(|name| name.parse().unwrap()).collect()
        };
        Messages::new(&runner::events::parse(&event), meshes)
    }

    #[test]
    fn only_messages_that_requested_failed_work_are_delivered_again() {
        let only = |ids: &[&str]| FailedMessages::Only(ids.iter().map(|id| (*id).to_owned()).collect());
        for (failed, expected) in [
            (&["mesh/shop"][..], only(&["shop", "both", "release", "tick"])),
            (&["mesh/bank/virtualRouter/r/route/a"], only(&["other", "both", "tick"])),
            (&["mesh/shop/virtualNode/n", "mesh/bank"], only(&["shop", "other", "both", "release", "tick"])),
            (&["mesh/third"], only(&["tick"])),
            (&["alarm/cpu"], only(&["unmapped", "tick"])),
            (&["alarms"], FailedMessages::All),
            (&["mesh/shop", "alarms"], FailedMessages::All),
            (&["something new"], FailedMessages::All),
        ] {
            assert_eq!(messages().failed(failed.iter().copied()), expected, "{failed:?}");
        }
    }
}
