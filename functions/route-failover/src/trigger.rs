//! The triggers of an invocation, all its deliveries together.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use mesh::alarm::AlarmName;
use mesh::name::{MeshName, ResourcePath, RouteId};
use runner::RequestedBy;
use runner::events::{AlarmChannel, Delivery, Payload};

/// Alarms that changed, routes that were released, or a scheduled run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trigger {
    /// The alarms that an event named.
    pub(crate) alarms: BTreeSet<AlarmName>,
    /// The subset of `alarms` that an action of the alarm named, not the event bus alone.
    pub(crate) by_action: BTreeSet<AlarmName>,
    /// The routes that an operator released, each with the latest time of the request; `None` if no event has a time.
    pub(crate) released: BTreeMap<RouteId, Option<Timestamp>>,
    /// Whether this is a scheduled run, which reads everything.
    pub(crate) tick: bool,
    deliveries: Vec<Delivery>,
}

/// The work that a failure concerns.
enum Failed {
    /// All work.
    Everything,
    /// The work on an alarm.
    Alarm(String),
    /// The work on the resources of a mesh.
    Mesh(MeshName),
}

impl Failed {
    fn new(resource: &str) -> Self {
        if let Some(name) = resource.strip_prefix("alarm/") {
            return Self::Alarm(name.to_owned());
        }
        resource.parse::<ResourcePath>().map_or(Self::Everything, |path| Self::Mesh(path.mesh().clone()))
    }

    /// Whether it concerns the request of a delivery; `meshes` returns the meshes of an alarm's targets.
    fn concerns(&self, delivery: &Delivery, meshes: &impl Fn(&AlarmName) -> BTreeSet<MeshName>) -> bool {
        match (&delivery.payload, self) {
            // An event without a queue is repeated after any failure.
            _ if delivery.message_id.is_none() => true,
            (_, Self::Everything) | (Payload::Tick, _) => true,
            (Payload::Alarm(alarm), Self::Alarm(name)) => alarm.name.as_str() == name,
            (Payload::Alarm(alarm), Self::Mesh(mesh)) => meshes(&alarm.name).contains(mesh),
            (Payload::Release(release), Self::Mesh(mesh)) => release.route.mesh == *mesh,
            // The other payloads request no work from this function.
            (
                Payload::Release(_)
                | Payload::Drill(_)
                | Payload::Rollout(_)
                | Payload::Config(_)
                | Payload::MeshWrite(_)
                | Payload::Certificate(_)
                | Payload::Sweep { .. }
                | Payload::NotOurs { .. }
                | Payload::Unreadable { .. },
                Self::Alarm(_) | Self::Mesh(_),
            ) => false,
        }
    }
}

impl Trigger {
    pub(crate) fn new(deliveries: Vec<Delivery>) -> Self {
        let mut trigger = Self::default();
        for delivery in &deliveries {
            match &delivery.payload {
                Payload::Alarm(alarm) => {
                    trigger.alarms.insert(alarm.name.clone());
                    if alarm.channel == AlarmChannel::Action {
                        trigger.by_action.insert(alarm.name.clone());
                    }
                }
                Payload::Release(release) => {
                    let requested = trigger.released.entry(release.route.clone()).or_default();
                    *requested = release.at.max(*requested);
                }
                Payload::Tick => trigger.tick = true,
                // These payloads carry no alarm; the next scheduled run reads their changes. The last two were reported
                // before the handler is called.
                Payload::Config(_)
                | Payload::MeshWrite(_)
                | Payload::Certificate(_)
                | Payload::Rollout(_)
                | Payload::Sweep { .. }
                | Payload::Drill(_)
                | Payload::NotOurs { .. }
                | Payload::Unreadable { .. } => {}
            }
        }
        Self { deliveries, ..trigger }
    }

    /// All deliveries.
    pub(crate) fn deliveries(&self) -> &[Delivery] {
        &self.deliveries
    }

    /// All deliveries, as those that requested a piece of work.
    pub(crate) fn all(&self) -> RequestedBy {
        self.deliveries.iter().map(|delivery| delivery.message_id.clone()).collect()
    }

    /// The deliveries that requested work on a resource, named as in reports; `meshes` returns the meshes of an
    /// alarm's targets.
    pub(crate) fn requested_by(
        &self,
        resource: &str,
        meshes: impl Fn(&AlarmName) -> BTreeSet<MeshName>,
    ) -> RequestedBy {
        let failed = Failed::new(resource);
        let concerned = self.deliveries.iter().filter(|delivery| failed.concerns(delivery, &meshes));
        concerned.map(|delivery| delivery.message_id.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn only_messages_that_requested_failed_work_are_delivered_again() {
        let record =
            |(id, body): (&str, Value)| json!({ "eventSource": "aws:sqs", "messageId": id, "body": body.to_string() });
        let alarm = |name: &str| json!({ "AlarmName": name, "NewStateValue": "ALARM" });
        let release = json!({ "detail-type": "Meshwarden Release Route", "source": "meshwarden",
            "detail": { "mesh": "shop", "virtualRouter": "recs", "route": "all", "by": "ann" } });
        let tick = json!({ "detail-type": "Scheduled Event", "source": "aws.events", "detail": {} });
        let records = [
            ("shop", alarm("shop-5xx")),
            ("both", alarm("shared")),
            ("other", alarm("bank-5xx")),
            ("unmapped", alarm("cpu")),
            ("release", release),
            ("tick", tick.clone()),
        ];
        let all = records.clone().map(|(id, _)| id);
        let trigger = Trigger::new(runner::events::parse(&json!({ "Records": records.map(record) })));
        let meshes = |alarm: &AlarmName| -> BTreeSet<MeshName> {
            let names: &[&str] = match alarm.as_str() {
                "shop-5xx" => &["shop"],
                "bank-5xx" => &["bank"],
                "shared" => &["shop", "bank"],
                _ => &[],
            };
            names.iter().map(|name| name.parse().unwrap()).collect()
        };
        for (failed, expected) in [
            ("mesh/shop", &["shop", "both", "release", "tick"][..]),
            ("mesh/bank/virtualRouter/r/route/a", &["other", "both", "tick"]),
            ("mesh/shop/virtualNode/n", &["shop", "both", "release", "tick"]),
            ("mesh/third", &["tick"]),
            ("alarm/cpu", &["unmapped", "tick"]),
            ("alarms", &all),
            ("another resource", &all),
        ] {
            let expected: RequestedBy = expected.iter().map(|id| Some((*id).to_owned())).collect();
            assert_eq!(trigger.requested_by(failed, meshes), expected, "{failed}");
        }
        let direct = Trigger::new(runner::events::parse(&tick));
        assert_eq!(direct.requested_by("alarm/cpu", meshes), RequestedBy::delivery(None));
    }
}
