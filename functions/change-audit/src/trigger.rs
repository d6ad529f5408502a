//! The triggers of an invocation, by mesh.

use std::collections::BTreeMap;

use mesh::name::MeshName;
use rules::audit::Write;
use runner::RequestedBy;
use runner::events::{Delivery, MeshWrite, Payload};

/// Writes to meshes, or a scheduled run.
#[derive(Debug, Default)]
pub struct Trigger {
    /// The events by mesh.
    pub(crate) meshes: BTreeMap<MeshName, Events>,
    /// Refused writes that name no mesh.
    pub(crate) nowhere: Vec<Write>,
    /// The deliveries of a scheduled run, which reads every mesh.
    pub(crate) ticks: RequestedBy,
    /// The number of deliveries for other functions.
    pub(crate) foreign: usize,
}

/// The events of one mesh.
#[derive(Clone, Debug, Default)]
pub(crate) struct Events {
    /// The writes that the events report.
    pub(crate) writes: Vec<Write>,
    /// The deliveries of the events.
    pub(crate) requested_by: RequestedBy,
    /// Whether a scheduled run reads the mesh.
    pub(crate) tick: bool,
}

impl Trigger {
    pub(crate) fn new(deliveries: Vec<Delivery>) -> Self {
        let mut trigger = Self::default();
        for Delivery { message_id, payload, .. } in deliveries {
            match payload {
                Payload::MeshWrite(write) => trigger.add_write(write, message_id),
                Payload::Tick => trigger.ticks.insert(message_id),
                Payload::Alarm(_)
                | Payload::Release(_)
                | Payload::Config(_)
                | Payload::Certificate(_)
                | Payload::Rollout(_)
                | Payload::Sweep { .. }
                | Payload::Drill(_) => trigger.foreign += 1,
                // Reported before the handler is called.
                Payload::NotOurs { .. } | Payload::Unreadable { .. } => {}
            }
        }
        trigger
    }

    fn add_write(&mut self, recorded: MeshWrite, message: Option<String>) {
        let MeshWrite { operation, resource, error, at, version, id, caller, account, named_owner, .. } = recorded;
        let write = Write { operation, resource, at, version, id, error, mesh_owner: account, named_owner, caller };
        match &write.resource {
            Some(path) => {
                let events = self.meshes.entry(path.mesh().clone()).or_default();
                events.writes.push(write);
                events.requested_by.insert(message);
            }
            None => self.nowhere.push(write),
        }
    }
}

impl Events {
    /// Adds a scheduled run.
    pub(crate) fn schedule(&mut self, ticks: &RequestedBy) {
        self.tick = true;
        self.requested_by.extend(ticks);
    }

    /// Whether no write can have changed the mesh: there are writes, and all of them were refused.
    pub(crate) fn are_refused(&self) -> bool {
        !self.writes.is_empty() && self.writes.iter().all(|write| write.error.is_some())
    }
}
