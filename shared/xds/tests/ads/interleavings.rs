//! For any order of updates, requests, refusals and reconnections, a client at rest holds the snapshot. No route that
//! it uses ever leads to a cluster that the client does not have.

use std::collections::BTreeSet;

use proptest::prelude::*;
use xds::{Resource, Version};

use crate::client::{Client, Delta, Sotw};
use crate::synthetic::{SyntheticMesh, dangling, expected_resources};

#[derive(Clone, Debug)]
enum Event {
    /// The mesh changes.
    Change(Change),
    /// The server gets its oldest message.
    Deliver,
    /// The client gets its oldest message.
    Receive,
    /// The client refuses its oldest message.
    Refuse,
    /// The stream breaks.
    Reconnect,
}

#[derive(Clone, Debug)]
enum Change {
    PutCluster(u8, u32),
    RemoveCluster(u8),
    PutListener(u8, u32, BTreeSet<u8>),
    RemoveListener(u8),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (0_u8..4, 0_u32..3).prop_map(|(name, generation)| Change::PutCluster(name, generation)),
        (0_u8..4).prop_map(Change::RemoveCluster),
        (0_u8..3, 0_u32..2, prop::collection::btree_set(0_u8..4, 0..3))
            .prop_map(|(name, generation, clusters)| Change::PutListener(name, generation, clusters)),
        (0_u8..3).prop_map(Change::RemoveListener),
    ]
}

fn events(refuses: bool) -> impl Strategy<Value = Vec<Event>> {
    let one = prop_oneof![
        3 => change().prop_map(Event::Change),
        4 => Just(Event::Deliver),
        4 => Just(Event::Receive),
        1 => Just(if refuses { Event::Refuse } else { Event::Receive }),
        1 => Just(Event::Reconnect),
    ];
    prop::collection::vec(one, 1..80)
}

fn apply(mesh: &mut SyntheticMesh, change: &Change) {
    let name = |kind: &str, number: u8| format!("{kind}{number}");
    match change {
        Change::PutCluster(number, generation) => {
            mesh.clusters.insert(name("c", *number), *generation);
        }
        Change::RemoveCluster(number) => {
            mesh.clusters.remove(&name("c", *number));
        }
        Change::PutListener(number, generation, clusters) => {
            let clusters = clusters.iter().map(|number| name("c", *number)).collect();
            mesh.routes.insert(name("l", *number), (*generation, clusters));
        }
        Change::RemoveListener(number) => {
            mesh.routes.remove(&name("l", *number));
        }
    }
}

/// Plays the events. With `check_after_each_event`, all clusters of the client's routes must exist after each event.
fn run_events(client: &mut impl Client, events: &[Event], check_after_each_event: bool) -> Result<(), TestCaseError> {
    let mut mesh = SyntheticMesh::default();
    for event in events {
        match event {
            Event::Change(change) => {
                apply(&mut mesh, change);
                client.update(&mesh.snapshot());
            }
            Event::Deliver => {
                client.deliver(&mesh.snapshot());
            }
            Event::Receive => {
                client.receive(false);
            }
            Event::Refuse => {
                client.receive(true);
            }
            Event::Reconnect => client.reconnect(),
        }
        if check_after_each_event {
            prop_assert_eq!(dangling(client.held()), Vec::<String>::new());
        }
    }
    // A refused resource is sent again once it changes.
    for generation in [100, 101] {
        for cluster in mesh.clusters.values_mut() {
            *cluster = generation;
        }
        mesh.routes.entry("extra".to_owned()).or_default();
        for (listener, _) in mesh.routes.values_mut() {
            *listener = generation;
        }
        let clusters: BTreeSet<String> = ["extra".to_owned()].into();
        mesh.clusters.insert("extra".to_owned(), generation);
        for (_, to) in mesh.routes.values_mut() {
            to.extend(if generation == 100 { clusters.clone() } else { BTreeSet::new() });
        }
        client.update(&mesh.snapshot());
        client.settle(&mesh.snapshot());
    }
    let snapshot = mesh.snapshot();
    let mut held = client.held().clone();
    let expected = expected_resources(&snapshot);
    for (kind, resources) in expected {
        prop_assert_eq!(held.remove(&kind).unwrap_or_default(), resources, "{:?}", kind);
    }
    prop_assert_eq!(client.responses_in_flight(), 0);
    prop_assert!(client.has(&snapshot));
    // The held resources are the acknowledged ones, even on a stream on which the server has sent nothing.
    for _ in 0..2 {
        for (kind, resources) in expected_resources(&snapshot) {
            let status = client.status().types.get(&kind);
            let acknowledged: BTreeSet<&String> = status.into_iter().flat_map(|one| one.resources.keys()).collect();
            prop_assert_eq!(acknowledged, resources.keys().collect::<BTreeSet<_>>(), "{:?}", kind);
            let is_current = |(name, version): (&String, &Version)| {
                snapshot.find(kind, name).map(Resource::version) == Some(version)
            };
            prop_assert!(status.is_none_or(|one| one.resources.iter().all(is_current)), "{:?}", kind);
        }
        client.reconnect();
        client.settle(&snapshot);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn sotw_client_converges_to_the_snapshot(events in events(true)) {
        run_events(&mut Sotw::connected(), &events, false)?;
    }

    #[test]
    fn delta_client_converges_to_the_snapshot(events in events(true)) {
        run_events(&mut Delta::connected(), &events, false)?;
    }

    #[test]
    fn sotw_client_always_has_the_clusters_of_its_routes(events in events(false)) {
        run_events(&mut Sotw::connected(), &events, true)?;
    }

    #[test]
    fn delta_client_always_has_the_clusters_of_its_routes(events in events(false)) {
        run_events(&mut Delta::connected(), &events, true)?;
    }
}
