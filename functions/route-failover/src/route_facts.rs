//! Reads the facts of each route that a decision needs in addition to its spec.

use std::collections::BTreeMap;

use decisions::failover::{AlarmData, Memory, ProofTarget, RESTORE_TAG, RouteFacts, awaiting_proof, counted_metrics};
use futures::future::join_all;
use jiff::Timestamp;
use mesh::alarm::AlarmName;
use mesh::name::{ResourcePath, RouteId};
use mesh::resource::RouteData;
use mesh::split::WeightSplit;
use policy::AlarmRole;
use ports::{PortError, PortErrorKind, StateKey, StateView};
use records::route_memory;

use crate::Ports;
use crate::alarms::Alarms;
use crate::mesh_cache;
use crate::read_context::ReadContext;

/// The facts of these routes, and the failed reads. An unreadable route holds, and does not block other routes.
pub(crate) async fn read(
    ports: &Ports,
    routes: &BTreeMap<RouteId, RouteData>,
    state: &StateView,
    alarms: &Alarms,
    context: ReadContext<'_>,
) -> (Vec<RouteFacts>, Vec<(String, PortError)>) {
    let split = |route: &RouteData| route.spec.split();
    let readable = routes.iter().filter_map(|(id, route)| Some((id, route, split(route)?)));
    let read = readable.map(|(id, route, split)| route_facts(ports, id, route, split, state, alarms, context));
    let (facts, unread): (Vec<_>, Vec<_>) = join_all(read).await.into_iter().unzip();
    (facts, unread.into_iter().flatten().collect())
}

async fn route_facts(
    ports: &Ports,
    id: &RouteId,
    route: &RouteData,
    split: WeightSplit,
    state: &StateView,
    alarms: &Alarms,
    context: ReadContext<'_>,
) -> (RouteFacts, Vec<(String, PortError)>) {
    let mut unread = Vec::new();
    let mut restore_tag = None;
    let key = StateKey::route(id);
    let mut memory = state.documents.get(&key).map_or(Memory::None, |stored| route_memory(&key, &stored.document));
    if memory == Memory::None {
        match ports.meshes.tags(&route.metadata.arn.to_string()).await {
            Ok(mut tags) => restore_tag = tags.remove(RESTORE_TAG),
            Err(error) => {
                memory =
                    Memory::Unreadable(format!("no record is stored, and its restore tag cannot be read: {error}"));
                unread.push((ResourcePath::Route(id.clone()).to_string(), error));
            }
        }
    }
    let mut alarm_data = BTreeMap::new();
    if let Memory::Record(record) = &memory {
        for (node, since) in awaiting_proof(record, context.policy, context.now) {
            let (data, errors) = proof(
                ports,
                &ProofTarget { mesh: &id.mesh, node, discovery: &context.policy.discovery },
                since,
                alarms,
                context.now,
            )
            .await;
            alarm_data.insert(node.clone(), data);
            unread.extend(errors);
        }
    }
    // A release without a time counts as requested now.
    let released = context.trigger.released.get(id).map(|requested| requested.unwrap_or(context.now).min(context.now));
    let version = mesh_cache::version(route);
    let uid = route.metadata.uid.clone();
    let facts = RouteFacts {
        id: id.clone(),
        uid,
        version,
        split,
        memory,
        restore_tag,
        data_points: BTreeMap::new(),
        alarm_data,
        released,
        written_by: route.metadata.written_by().map(str::to_owned),
    };
    (facts, unread)
}

/// The data points of each of the node's request alarms since `since`, and the calls that failed. A failed read is part
/// of the facts, so that the hold names it.
async fn proof(
    ports: &Ports,
    target: &ProofTarget<'_>,
    since: Timestamp,
    alarms: &Alarms,
    now: Timestamp,
) -> (Vec<AlarmData>, Vec<(String, PortError)>) {
    let reporting = alarms.targets.alarms_of(target.mesh, target.node);
    // An alarm with a series for each node reports a node without a breaching series, too.
    let is_request = |name: &AlarmName| {
        reporting.iter().any(|found| found.name == *name && found.role == AlarmRole::Request)
            || alarms.targets.covers(name, target.mesh)
    };
    let counted = alarms.read.iter().filter(|alarm| is_request(&alarm.name)).map(|alarm| async move {
        let name = alarm.name.clone();
        let data = |metrics, unreadable| AlarmData { alarm: name.clone(), metrics, unreadable };
        let metrics = match counted_metrics(alarm, &alarms.read, target) {
            Ok(metrics) => metrics,
            Err(why) => return (data(Vec::new(), Some(why)), None),
        };
        match ports.alarms.data_points(alarm, &metrics, since, now).await {
            Ok(counted) => {
                // A role that may not read a metric is reported at once, not only when a return of the node depends on
                // it.
                let denied = counted.iter().find_map(|metric| metric.unreadable.clone());
                let error = denied.map(|why| {
                    PortError::new(format!("count data points of alarm {name}"), PortErrorKind::Denied, why)
                });
                (data(counted, None), error)
            }
            Err(error) => (data(Vec::new(), Some(error.to_string())), Some(error)),
        }
    });
    let (data, errors): (Vec<AlarmData>, Vec<Option<PortError>>) = join_all(counted).await.into_iter().unzip();
    // The decision about the route names the missing data; the data that could not be read belongs to the alarm.
    let named = data.iter().zip(errors).filter_map(|(data, error)| Some((format!("alarm/{}", data.alarm), error?)));
    let named = named.collect();
    (data, named)
}
