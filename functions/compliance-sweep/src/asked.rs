//! The triggers of an invocation, all its deliveries together.

use std::collections::{BTreeMap, BTreeSet};

use mesh::name::MeshName;
use runner::wake::{Delivery, Payload, WakeId};

/// The meshes to sweep.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Asked {
    /// The request for a sweep of every mesh.
    pub(crate) everything: Option<Asking>,
    /// The requests for a sweep of single meshes, by mesh name.
    pub(crate) meshes: BTreeMap<MeshName, Asking>,
}

/// The origin of a sweep request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Asking {
    /// The messages that delivered the request.
    messages: Vec<String>,
    /// The ids of its triggers.
    wakes: BTreeSet<WakeId>,
    /// Whether one of the triggers has no id.
    is_unnamed: bool,
}

impl Asked {
    pub(crate) fn of(deliveries: &[Delivery]) -> Self {
        let mut asked = Self::default();
        for Delivery { message_id, wake, payload } in deliveries {
            let asking = match payload {
                Payload::Sweep { mesh } => asked.meshes.entry(mesh.clone()).or_default(),
                // Any other event may indicate a change. The last two are reported before this function is called.
                Payload::Tick
                | Payload::Alarm(_)
                | Payload::Release(_)
                | Payload::Config(_)
                | Payload::MeshWrite(_)
                | Payload::Certificate(_)
                | Payload::NotOurs { .. }
                | Payload::Unreadable { .. } => asked.everything.get_or_insert_default(),
            };
            asking.messages.extend(message_id.clone());
            asking.wakes.extend(wake.clone());
            asking.is_unnamed |= wake.is_none();
        }
        asked
    }

    /// The messages to deliver again: the messages of unfinished requests.
    pub(crate) fn left(&self, finished: &BTreeSet<MeshName>, all_finished: bool) -> Vec<String> {
        let of_meshes = self.meshes.iter().filter(|(mesh, _)| !finished.contains(*mesh)).map(|(_, asking)| asking);
        let of_all = self.everything.iter().filter(|_| !all_finished);
        of_meshes.chain(of_all).flat_map(|asking| &asking.messages).cloned().collect()
    }
}

impl Asking {
    /// Combines the request for one mesh with the request for all meshes.
    pub(crate) fn and(&self, other: Option<&Self>) -> Self {
        let mut both = self.clone();
        if let Some(other) = other {
            both.messages.extend(other.messages.iter().cloned());
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
