//! What an invocation was woken for, all its deliveries together.

use std::collections::{BTreeMap, BTreeSet};

use lambda_kit::wake::{Delivery, Payload};
use mesh::name::MeshName;

/// The meshes that are to be swept.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Asked {
    /// Every mesh that there is, and the messages that ask for it.
    pub(crate) everything: Option<Vec<String>>,
    /// These meshes, each with the messages that ask for it.
    pub(crate) meshes: BTreeMap<MeshName, Vec<String>>,
}

impl Asked {
    pub(crate) fn of(deliveries: &[Delivery]) -> Self {
        let mut asked = Self::default();
        for Delivery { message_id, payload } in deliveries {
            let messages = match payload {
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
            messages.extend(message_id.clone());
        }
        asked
    }

    /// The messages that have to come again: those of what is not finished.
    pub(crate) fn left(&self, finished: &BTreeSet<MeshName>, all_finished: bool) -> Vec<String> {
        let of_meshes = self.meshes.iter().filter(|(mesh, _)| !finished.contains(*mesh)).flat_map(|(_, ids)| ids);
        let of_all = self.everything.iter().flatten().filter(|_| !all_finished);
        of_meshes.chain(of_all).cloned().collect()
    }
}
