//! What an invocation was woken for, all its deliveries together.

use std::collections::{BTreeMap, BTreeSet};

use lambda_kit::wake::{Delivery, Payload, WakeId};
use mesh::name::MeshName;

/// The meshes that are to be swept.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Asked {
    /// Who asks for every mesh that there is.
    pub(crate) everything: Option<Asking>,
    /// Who asks for these meshes, each by its name.
    pub(crate) meshes: BTreeMap<MeshName, Asking>,
}

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Asking {
    /// The messages that brought it.
    messages: Vec<String>,
    /// The wakes.
    wakes: BTreeSet<WakeId>,
    /// Whether one of the wakes can't be told from others.
    is_unnamed: bool,
}

impl Asked {
    pub(crate) fn of(deliveries: &[Delivery]) -> Self {
        let mut asked = Self::default();
        for Delivery { message_id, wake, payload } in deliveries {
            let asking = match payload {
                Payload::Sweep { mesh } => asked.meshes.entry(mesh.clone()).or_default(),
                // Whatever else it is, something may have changed. The last two are reported before this is called.
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

    /// The messages that have to come again: those of what is not finished.
    pub(crate) fn left(&self, finished: &BTreeSet<MeshName>, all_finished: bool) -> Vec<String> {
        let of_meshes = self.meshes.iter().filter(|(mesh, _)| !finished.contains(*mesh)).map(|(_, asking)| asking);
        let of_all = self.everything.iter().filter(|_| !all_finished);
        of_meshes.chain(of_all).flat_map(|asking| &asking.messages).cloned().collect()
    }
}

impl Asking {
    /// Those who ask for a mesh among others, and by its name.
    pub(crate) fn and(&self, other: Option<&Self>) -> Self {
        let mut both = self.clone();
        if let Some(other) = other {
            both.messages.extend(other.messages.iter().cloned());
            both.wakes.extend(other.wakes.iter().cloned());
            both.is_unnamed |= other.is_unnamed;
        }
        both
    }

    /// The wakes that are known again when they come again.
    pub(crate) const fn wakes(&self) -> &BTreeSet<WakeId> {
        &self.wakes
    }

    /// Whether whoever asks was served before, every one of them.
    pub(crate) fn is_repeated(&self, served: &[WakeId]) -> bool {
        !self.is_unnamed && self.wakes.iter().all(|wake| served.contains(wake))
    }

    /// The wake of what is handed on for all who ask; `None` where it can't be told from others.
    pub(crate) fn wake(&self) -> Option<WakeId> {
        WakeId::joined(&self.wakes).filter(|_| !self.is_unnamed)
    }
}
