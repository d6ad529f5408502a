//! The trigger of an invocation: the requested rollouts, and the deliveries that request a read of everything.

use jiff::Timestamp;
use policy::RolloutRequest;
use runner::RequestedBy;
use runner::events::{Delivery, Payload};

/// The requests of all deliveries of an invocation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trigger {
    /// The requested rollouts.
    pub(crate) requests: Vec<RequestedRollout>,
    /// The deliveries that request a read of everything: scheduled runs, and changes of alarms and meshes.
    pub(crate) everything: Vec<Option<String>>,
}

/// A requested rollout.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RequestedRollout {
    pub(crate) request: RolloutRequest,
    /// The operator or program that requests it.
    pub(crate) by: String,
    /// When it was requested; unset for a rollout that the policy declares.
    pub(crate) at: Option<Timestamp>,
    /// The deliveries that request it.
    pub(crate) requested_by: RequestedBy,
}

impl Trigger {
    pub(crate) fn new(deliveries: Vec<Delivery>) -> Self {
        let mut trigger = Self::default();
        for Delivery { message_id, payload, .. } in deliveries {
            match payload {
                Payload::Rollout(message) => trigger.requests.push(RequestedRollout {
                    request: *message.request,
                    by: message.by.unwrap_or_else(|| "an event".to_owned()),
                    at: message.at,
                    requested_by: RequestedBy::delivery(message_id),
                }),
                Payload::Tick | Payload::Alarm(_) | Payload::MeshWrite(_) => trigger.everything.push(message_id),
                // Reported before, or for other functions.
                Payload::Release(_)
                | Payload::Drill(_)
                | Payload::Config(_)
                | Payload::Certificate(_)
                | Payload::Sweep { .. }
                | Payload::NotOurs { .. }
                | Payload::Unreadable { .. } => {}
            }
        }
        trigger
    }

    /// The deliveries that a failure affects which is about no single rollout.
    pub(crate) fn requested_by(&self) -> RequestedBy {
        let mut all: RequestedBy = self.everything.iter().cloned().collect();
        for request in &self.requests {
            all.extend(&request.requested_by);
        }
        all
    }
}
