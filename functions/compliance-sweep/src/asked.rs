//! The triggers of an invocation, all its deliveries together.

use std::collections::{BTreeMap, BTreeSet};

use mesh::name::MeshName;
use runner::wake::{Delivery, Payload, WakeId};
use runner::{RequestedBy, WorkItem};

use crate::done::{ALL_MESHES, path};

/// The meshes to sweep.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asked {
    /// The request for a sweep of every mesh.
    pub(crate) everything: Option<Asking>,
    /// The requests for a sweep of single meshes, by mesh name.
    pub(crate) meshes: BTreeMap<MeshName, Asking>,
}

/// The origin of a sweep request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Asking {
    /// The deliveries of the request.
    requested_by: RequestedBy,
    /// The ids of its triggers.
    wakes: BTreeSet<WakeId>,
    /// Whether one of the triggers has no id.
    is_unnamed: bool,
}

impl Asked {
    pub(crate) fn of(deliveries: &[Delivery]) -> Self {
        let mut requests = Self::default();
        for Delivery { message_id, wake, payload } in deliveries {
            let asking = match payload {
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
            asking.requested_by.insert(message_id.clone());
            asking.wakes.extend(wake.clone());
            asking.is_unnamed |= wake.is_none();
        }
        requests
    }

    /// The requests as work.
    pub(crate) fn work(&self) -> Vec<WorkItem> {
        let item =
            |(subject, asking): (String, &Asking)| WorkItem { subject, requested_by: asking.requested_by.clone() };
        let of_meshes = self.meshes.iter().map(|(mesh, asking)| (path(mesh), asking));
        let of_all = self.everything.iter().map(|asking| (ALL_MESHES.to_owned(), asking));
        of_meshes.chain(of_all).map(item).collect()
    }
}

impl Asking {
    /// Combines the request for one mesh with the request for all meshes.
    pub(crate) fn and(&self, other: Option<&Self>) -> Self {
        let mut both = self.clone();
        if let Some(other) = other {
            both.requested_by.extend(&other.requested_by);
            both.wakes.extend(other.wakes.iter().cloned());
            both.is_unnamed |= other.is_unnamed;
        }
        both
    }

    /// The ids of the triggers, by which repeated deliveries are recognised.
    pub(crate) const fn wakes(&self) -> &BTreeSet<WakeId> {
        &self.wakes
    }

    /// Whether every trigger was served before.
    pub(crate) fn is_repeated(&self, served: &[WakeId]) -> bool {
        !self.is_unnamed && self.wakes.iter().all(|wake| served.contains(wake))
    }

    /// The joint id of all triggers, for events in their name; `None` if one of them has no id.
    pub(crate) fn wake(&self) -> Option<WakeId> {
        WakeId::joined(&self.wakes).filter(|_| !self.is_unnamed)
    }
}
