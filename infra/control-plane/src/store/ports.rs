//! Listener ports as writes of the log, so that all replicas have the same ones.
//!
//! A replica plans the ports of its meshes, and requests them. The request is decided on the state that it is applied to: a
//! key that has a port keeps it, a used port is replaced by a free one, and a key that a mesh uses again is not freed. So
//! the requests of several replicas for one change lead to one assignment.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use mesh::graph::Mesh;
use mesh::name::MeshName;

use super::{DecidedWrite, Decision, Store, WriteAttempts};
use crate::error::ApiError;
use crate::state::{Answer, Record, State};

/// Assignments and releases of listener ports that a replica plans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRequest {
    /// The ports that may be assigned.
    pub range: RangeInclusive<u16>,
    /// The planned port of each key; `None` releases it.
    pub edits: BTreeMap<String, Option<u16>>,
    /// The ports that another process uses.
    pub busy: BTreeSet<u16>,
}

impl Store {
    /// Assigns and releases listener ports. Completes when they are stored, with the port that each key of the request has
    /// then.
    pub async fn assign_ports(&self, request: &PortRequest) -> Result<BTreeMap<String, Option<u16>>, ApiError> {
        let mut attempts = WriteAttempts::default();
        loop {
            let (assigned, stored) = self.shared.update(|replica| {
                replica.stage(|state| {
                    let records = decide(state, request);
                    for record in &records {
                        state.apply(record);
                    }
                    let assigned = request.edits.keys().map(|key| (key.clone(), state.ports().get(key).copied()));
                    (assigned.collect(), Decision { records, events: Vec::new(), repeatable: true })
                })
            });
            self.begin_append();
            let decided = DecidedWrite { store: self, outcome: Ok(Answer::Nothing), stored };
            if let Some(outcome) = decided.wait(&mut attempts).await {
                return outcome.map(|_| assigned);
            }
        }
    }
}

/// The records that a request leads to. The same request on the resulting state leads to none.
fn decide(state: &State, request: &PortRequest) -> Vec<Record> {
    let assigned = state.ports();
    let mut taken: BTreeSet<u16> = assigned.values().copied().collect();
    let mut records = Vec::new();
    let released = request.edits.iter().filter(|(_, port)| port.is_none()).map(|(key, _)| key);
    let released: Vec<&String> = released.filter(|key| assigned.contains_key(*key)).collect();
    let used = if released.is_empty() { BTreeSet::new() } else { keys_in_use(state) };
    for key in released {
        if let Some(port) = assigned.get(key).filter(|port| !(used.contains(key) && request.range.contains(port))) {
            taken.remove(port);
            records.push(Record::Port(key.clone(), None));
        }
    }
    for (key, port) in &request.edits {
        let Some(planned) = port else { continue };
        if assigned.contains_key(key) {
            continue;
        }
        let is_free =
            |port: &u16| request.range.contains(port) && !taken.contains(port) && !request.busy.contains(port);
        let (first, last) = (*request.range.start(), *request.range.end());
        // The planned port, or the next one after it.
        let mut candidates = (*planned..=last).chain(first..*planned);
        if let Some(port) = candidates.find(is_free) {
            taken.insert(port);
            records.push(Record::Port(key.clone(), Some(port)));
        }
    }
    records
}

/// The keys of all uses of ports in the state.
fn keys_in_use(state: &State) -> BTreeSet<String> {
    let mut meshes: BTreeMap<MeshName, Mesh> = BTreeMap::new();
    for resource in state.resources() {
        let name = resource.path.mesh();
        let mesh = meshes.entry(name.clone()).or_insert_with_key(|name| Mesh::new(name.clone()));
        let Some(spec) = resource.spec.spec() else { continue };
        if let Err(error) = mesh.insert(resource.path.clone(), spec.clone()) {
            tracing::error!(%error, "failed to read stored resource for its listener ports");
        }
    }
    meshes.values().flat_map(xds::ports::uses).map(|to| to.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use mesh::name::ResourcePath;
    use serde_json::json;

    use super::*;
    use crate::quotas::Quotas;
    use crate::state::{Action, Stamp, ValidSpec, Write};

    fn request(edits: &[(&str, Option<u16>)]) -> PortRequest {
        let edits = edits.iter().map(|(key, port)| ((*key).to_owned(), *port));
        PortRequest { range: 20_000..=20_003, edits: edits.collect(), busy: BTreeSet::from([20_001]) }
    }

    fn ports(store: &Store) -> Vec<(String, u16)> {
        store.inspect(|state| state.ports().iter().map(|(key, port)| (key.clone(), *port)).collect())
    }

    async fn create(store: &Store, path: &str, spec: serde_json::Value) {
        let path = ResourcePath::parse(path).unwrap();
        let spec = ValidSpec::parse(&path, spec).unwrap().into();
        let write = Write { path, action: Action::Create { spec, tags: Vec::new() }, if_version: None, token: None };
        store
            .write(&write, &Stamp { now: jiff::Timestamp::now(), uid: uuid::Uuid::new_v4(), caller: None })
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn requests_of_two_replicas_lead_to_one_assignment() {
        let store = Store::new(Quotas::default());
        let first = store.assign_ports(&request(&[("a", Some(20_000)), ("b", Some(20_001))])).await.unwrap();
        // The second port is busy.
        let expected = BTreeMap::from([("a".to_owned(), Some(20_000)), ("b".to_owned(), Some(20_002))]);
        assert_eq!(first, expected);
        // The plan of another replica, which does not know the first one.
        let second = request(&[("a", Some(20_002)), ("b", Some(20_000)), ("c", Some(20_000)), ("d", Some(20_000))]);
        let expected = [("a", Some(20_000)), ("b", Some(20_002)), ("c", Some(20_003)), ("d", None)];
        let expected: BTreeMap<_, _> = expected.map(|(key, port)| (key.to_owned(), port)).into();
        for _ in 0..2 {
            assert_eq!(store.assign_ports(&second).await.unwrap(), expected);
        }
        store.assign_ports(&request(&[("a", None)])).await.unwrap();
        assert_eq!(ports(&store), [("b".to_owned(), 20_002), ("c".to_owned(), 20_003)]);
    }

    /// A replica that is behind frees a port that another one has assigned again since.
    #[tokio::test]
    async fn port_of_a_resource_that_exists_again_is_not_released() {
        let store = Store::new(Quotas::default());
        create(&store, "mesh/m", json!({})).await;
        let listener = json!({"portMapping": {"port": 8080, "protocol": "http"}});
        create(
            &store,
            "mesh/m/virtualNode/n",
            json!({"listeners": [listener], "serviceDiscovery": {"dns": {"hostname": "n.local"}}}),
        )
        .await;
        let key = store.inspect(|state| keys_in_use(state).into_iter().next()).unwrap();
        store.assign_ports(&request(&[(&key, Some(20_000)), ("mesh/m/unused", Some(20_002))])).await.unwrap();
        store.assign_ports(&request(&[(&key, None), ("mesh/m/unused", None)])).await.unwrap();
        assert_eq!(ports(&store), [(key.clone(), 20_000)]);
        // Outside the range it has to move.
        let moved = PortRequest { range: 30_000..=30_001, ..request(&[(&key, None)]) };
        assert_eq!(store.assign_ports(&moved).await.unwrap(), BTreeMap::from([(key, None)]));
    }
}
