//! The triggers of an invocation, all its deliveries together.

use std::collections::{BTreeMap, BTreeSet};

use mesh::name::MeshName;
use runner::events::{Delivery, EventId, Payload};
use runner::{RequestedBy, WorkItem};

use crate::results::{ALL_MESHES, path};

/// The meshes to sweep.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trigger {
    /// The request for a sweep of every mesh.
    pub(crate) everything: Option<SweepRequest>,
    /// The requests for a sweep of single meshes, by mesh name.
    pub(crate) meshes: BTreeMap<MeshName, SweepRequest>,
}

/// The origin of a sweep request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SweepRequest {
    /// The deliveries of the request.
    requested_by: RequestedBy,
    /// The ids of its events.
    event_ids: BTreeSet<EventId>,
    /// Whether one of the events has no id.
    is_unnamed: bool,
}

impl Trigger {
    pub(crate) fn new(deliveries: &[Delivery]) -> Self {
        let mut requests = Self::default();
        for Delivery { message_id, event_id, payload } in deliveries {
            let request = match payload {
                Payload::Sweep { mesh } => requests.meshes.entry(mesh.clone()).or_default(),
                // Any other event may indicate a change. The last two are reported before this function is called.
                Payload::Tick
                | Payload::Alarm(_)
                | Payload::Drill(_)
                | Payload::Release(_)
                | Payload::Rollout(_)
                | Payload::Config(_)
                | Payload::MeshWrite(_)
                | Payload::Certificate(_)
                | Payload::NotOurs { .. }
                | Payload::Unreadable { .. } => requests.everything.get_or_insert_default(),
            };
            request.requested_by.insert(message_id.clone());
            request.event_ids.extend(event_id.clone());
            request.is_unnamed |= event_id.is_none();
        }
        requests
    }

    /// The requests as work.
    pub(crate) fn work(&self) -> Vec<WorkItem> {
        let item = |(subject, request): (String, &SweepRequest)| WorkItem {
            subject,
            requested_by: request.requested_by.clone(),
        };
        let of_meshes = self.meshes.iter().map(|(mesh, request)| (path(mesh), request));
        let of_all = self.everything.iter().map(|request| (ALL_MESHES.to_owned(), request));
        of_meshes.chain(of_all).map(item).collect()
    }
}

impl SweepRequest {
    /// Combines the request for one mesh with the request for all meshes.
    pub(crate) fn and(&self, other: Option<&Self>) -> Self {
        let mut both = self.clone();
        if let Some(other) = other {
            both.requested_by.extend(&other.requested_by);
            both.event_ids.extend(other.event_ids.iter().cloned());
            both.is_unnamed |= other.is_unnamed;
        }
        both
    }

    /// The ids of the events, by which repeated deliveries are recognised.
    pub(crate) const fn event_ids(&self) -> &BTreeSet<EventId> {
        &self.event_ids
    }

    /// Whether the mesh was swept for every event before.
    pub(crate) fn is_repeated(&self, served: &[EventId]) -> bool {
        !self.is_unnamed && self.event_ids.iter().all(|id| served.contains(id))
    }

    /// The joint id of all events, for the requests that they lead to; `None` if one of them has no id.
    pub(crate) fn joint_event_id(&self) -> Option<EventId> {
        EventId::joined(&self.event_ids).filter(|_| !self.is_unnamed)
    }
}
