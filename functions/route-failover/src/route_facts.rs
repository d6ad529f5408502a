//! Reads what a decision needs to know of each route beyond its spec.

use std::collections::BTreeMap;

use futures::future::{join_all, try_join_all};
use jiff::Timestamp;
use mesh::alarm::AlarmName;
use mesh::failover::{Memory, RESTORE_TAG, RouteFacts, RouteRecord, awaiting_proof};
use mesh::name::{RouteId, VirtualNodeName};
use mesh::policy::AlarmRole;
use mesh::resource::RouteData;
use mesh::weights::WeightSplit;
use ports::{PortError, StateKey, StateView};

use crate::Ports;
use crate::alarms::Alarms;
use crate::atlas;
use crate::observe::Look;

/// The facts of these routes, and what could not be read: a route that nothing can be said of holds, and stands in no
/// other route's way.
pub(crate) async fn of(
    ports: &Ports,
    routes: &BTreeMap<RouteId, RouteData>,
    state: &StateView,
    alarms: &Alarms,
    look: Look<'_>,
) -> (Vec<RouteFacts>, Vec<(RouteId, PortError)>) {
    let split = |route: &RouteData| route.spec.split();
    let readable = routes.iter().filter_map(|(id, route)| Some((id, route, split(route)?)));
    let read = readable.map(|(id, route, split)| of_route(ports, id, route, split, state, alarms, look));
    let (facts, unread): (Vec<_>, Vec<_>) = join_all(read).await.into_iter().unzip();
    (facts, unread.into_iter().flatten().collect())
}

async fn of_route(
    ports: &Ports,
    id: &RouteId,
    route: &RouteData,
    split: WeightSplit,
    state: &StateView,
    alarms: &Alarms,
    look: Look<'_>,
) -> (RouteFacts, Vec<(RouteId, PortError)>) {
    let mut unread = Vec::new();
    let mut restore_tag = None;
    let mut memory = match state.documents.get(&StateKey::route(id)) {
        None => Memory::None,
        Some(stored) => match serde_json::from_value::<RouteRecord>(stored.document.clone()) {
            Ok(record) => Memory::Record(Box::new(record)),
            Err(error) => Memory::Unreadable(error.to_string()),
        },
    };
    if memory == Memory::None {
        match ports.meshes.tags(&route.metadata.arn.to_string()).await {
            Ok(mut tags) => restore_tag = tags.remove(RESTORE_TAG),
            Err(error) => {
                memory =
                    Memory::Unreadable(format!("nothing is remembered, and its restore tag can't be read: {error}"));
                unread.push((id.clone(), error));
            }
        }
    }
    let mut data_points = BTreeMap::new();
    if let Memory::Record(record) = &memory {
        for (node, since) in awaiting_proof(record, look.policy, look.now) {
            match proof(ports, id, node, since, alarms, look.now).await {
                Ok(seen) => {
                    data_points.insert(node.clone(), seen);
                }
                // Without proof the node waits.
                Err(error) => unread.push((id.clone(), error)),
            }
        }
    }
    // Without a time it can't be told from a later one.
    let released = look.wake.released.get(id).map(|asked| asked.unwrap_or(look.now).min(look.now));
    let version = atlas::version(route);
    let uid = route.metadata.uid.clone();
    (RouteFacts { id: id.clone(), uid, version, split, memory, restore_tag, data_points, released }, unread)
}

/// The most data points that any one of the node's request alarms has seen since then.
async fn proof(
    ports: &Ports,
    route: &RouteId,
    node: &VirtualNodeName,
    since: Timestamp,
    alarms: &Alarms,
    now: Timestamp,
) -> Result<u32, PortError> {
    let targets = alarms.targets.alarms_of(&route.mesh, node);
    let request =
        |name: &AlarmName| targets.iter().any(|alarm| alarm.name == *name && alarm.role == AlarmRole::Request);
    let speaking = alarms.read.iter().filter(|alarm| request(&alarm.name));
    let counts = try_join_all(speaking.map(|alarm| ports.alarms.data_points(alarm, since, now))).await?;
    Ok(counts.into_iter().max().unwrap_or_default())
}
