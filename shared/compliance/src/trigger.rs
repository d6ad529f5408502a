//! The trigger of an invocation: all its deliveries together.

use jiff::Timestamp;
use mesh::name::{MeshName, ResourcePath};
use ports::ConfigItem;
use runner::RequestedBy;
use runner::events::{ConfigSubject, Delivery, MeshWrite, Payload, RuleInvocation};

/// Requests of AWS Config, writes to meshes, and scheduled runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trigger {
    /// The resources that AWS Config reports.
    pub(crate) items: Vec<ItemRequest>,
    /// The invocations that request the compliance of all resources.
    pub(crate) everything: Vec<EverythingRequest>,
    /// Writes to meshes.
    pub(crate) written: Vec<WrittenResource>,
    /// The scheduled runs over all meshes, each with the queue message that delivered it.
    ticks: Vec<Option<String>>,
    /// The rejected writes, which changed nothing.
    pub(crate) refused: Vec<MeshWrite>,
    /// The number of deliveries for other functions.
    pub(crate) foreign: usize,
}

/// A resource that AWS Config reports.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ItemRequest {
    /// The invocation that waits for an answer; `None` for a notification without a rule.
    pub(crate) invocation: Option<RuleInvocation>,
    /// The resource.
    pub(crate) item: ConfigItem,
    /// Whether the item was too large to be included.
    pub(crate) oversized: bool,
    /// Whether the resource left the scope of the rule.
    pub(crate) left_scope: bool,
    /// When AWS Config sent it.
    pub(crate) notified: Timestamp,
    /// The queue message that delivered it.
    pub(crate) message: Option<String>,
}

/// An invocation that requests the compliance of all resources.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EverythingRequest {
    /// The invocation.
    pub(crate) invocation: RuleInvocation,
    /// The time that the evaluations are for.
    pub(crate) at: Timestamp,
    /// The queue message that delivered it.
    pub(crate) message: Option<String>,
}

/// A write to a mesh.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WrittenResource {
    /// The resource.
    pub(crate) resource: ResourcePath,
    /// When it was written.
    pub(crate) at: Option<Timestamp>,
    /// The queue message that delivered the event.
    message: Option<String>,
}

/// The deliveries that a failure affects; only these are retried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Concern {
    /// One delivery: a queue message, or the only event of the invocation.
    Delivery(Option<String>),
    /// All deliveries that concern this mesh.
    Mesh(MeshName),
    /// All deliveries that concern this resource.
    Resource(ResourcePath),
    /// All deliveries that concern all meshes.
    AllMeshes,
}

impl Trigger {
    pub(crate) fn new(deliveries: Vec<Delivery>) -> Self {
        let mut trigger = Self::default();
        for Delivery { message_id: message, payload, .. } in deliveries {
            match payload {
                Payload::Config(config) => {
                    let (invocation, notified, left_scope) = (config.answers, config.notified, config.left_scope);
                    let request = |item, oversized| {
                        let (invocation, message) = (invocation.clone(), message.clone());
                        ItemRequest { invocation, item, oversized, left_scope, notified, message }
                    };
                    match config.subject {
                        ConfigSubject::Item(item) => trigger.items.push(request(item, false)),
                        ConfigSubject::OversizedItem(item) => trigger.items.push(request(item, true)),
                        ConfigSubject::Scheduled | ConfigSubject::SnapshotDelivered => match invocation {
                            Some(invocation) => {
                                trigger.everything.push(EverythingRequest { invocation, at: notified, message });
                            }
                            None => trigger.ticks.push(message),
                        },
                    }
                }
                Payload::MeshWrite(write) => match (&write.error, write.resource.clone()) {
                    (None, Some(resource)) => {
                        trigger.written.push(WrittenResource { resource, at: write.at, message });
                    }
                    (Some(_), _) | (None, None) => trigger.refused.push(write),
                },
                Payload::Tick => trigger.ticks.push(message),
                Payload::Alarm(_)
                | Payload::Release(_)
                | Payload::Certificate(_)
                | Payload::Rollout(_)
                | Payload::Sweep { .. }
                | Payload::Drill(_) => {
                    trigger.foreign += 1;
                }
                // The caller has reported these before.
                Payload::NotOurs { .. } | Payload::Unreadable { .. } => {}
            }
        }
        trigger
    }

    /// Whether every mesh is on the agenda.
    pub(crate) fn is_for_everything(&self) -> bool {
        !self.ticks.is_empty() || !self.everything.is_empty()
    }

    /// The deliveries that a failure affects. Empty if no delivery requested the failed part.
    pub(crate) fn concerned(&self, concern: &Concern) -> RequestedBy {
        let (mesh, resource) = match concern {
            Concern::Delivery(message) => return RequestedBy::delivery(message.clone()),
            Concern::Mesh(mesh) => (Some(mesh), None),
            Concern::Resource(resource) => (Some(resource.mesh()), Some(resource)),
            Concern::AllMeshes => (None, None),
        };
        let is_of_item = |request: &&ItemRequest| {
            let path = request.item.path().filter(|path| mesh.is_some_and(|mesh| path.mesh() == mesh));
            path.is_some_and(|path| resource.is_none_or(|resource| resource == path))
        };
        let of_items = self.items.iter().filter(is_of_item).map(|request| &request.message);
        // A write of one resource may affect the compliance of any other.
        let is_of_mesh = |written: &&WrittenResource| mesh.is_some_and(|mesh| written.resource.mesh() == mesh);
        let of_writes = self.written.iter().filter(is_of_mesh).map(|written| &written.message);
        let of_everything = self.everything.iter().map(|request| &request.message);
        of_items.chain(of_writes).chain(of_everything).chain(&self.ticks).cloned().collect()
    }
}
