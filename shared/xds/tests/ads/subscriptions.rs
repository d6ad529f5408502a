//! For any sequence of subscriptions, by name or to all resources, a client at rest holds exactly the subscribed
//! resources of the snapshot.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use xds::{ResourceType, Snapshot};

use crate::client::{Client, Delta, Sotw};
use crate::synthetic::{HeldResources, SyntheticMesh};

const KINDS: [ResourceType; 3] = [ResourceType::Cluster, ResourceType::Listener, ResourceType::Route];
/// Names to subscribe to: some always exist, some exist at times, one never exists, and one means all.
const NAMES: [&str; 6] = ["l0", "l1", "l2", "c0", "absent", "*"];

#[derive(Clone, Debug)]
enum Event {
    /// Replaces the subscribed names of a type.
    Subscribe(usize, BTreeSet<&'static str>),
    Change(u8, u32),
    Remove(u8),
    Deliver,
    Receive,
    Refuse,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let names = || prop::collection::btree_set(prop::sample::select(&NAMES[..]), 0..4);
    let one = prop_oneof![
        2 => (0..KINDS.len(), names()).prop_map(|(kind, names)| Event::Subscribe(kind, names)),
        2 => (0_u8..4, 0_u32..3).prop_map(|(number, generation)| Event::Change(number, generation)),
        1 => (0_u8..4).prop_map(Event::Remove),
        4 => Just(Event::Deliver),
        4 => Just(Event::Receive),
        1 => Just(Event::Refuse),
    ];
    prop::collection::vec(one, 1..60)
}

/// Listeners and routes change. The clusters stay and have no endpoints, like clusters that are resolved by DNS.
fn snapshot(listeners: &BTreeMap<u8, u32>) -> Snapshot {
    // The last two generations differ from all others, because a refused version is not sent again.
    let leads = |generation: u32| match generation {
        100 => BTreeSet::from(["c0".to_owned(), "c1".to_owned()]),
        101 => BTreeSet::from(["c1".to_owned()]),
        _ => (generation % 2 == 1).then(|| "c0".to_owned()).into_iter().collect(),
    };
    let routes = listeners.iter().map(|(number, generation)| (format!("l{number}"), (*generation, leads(*generation))));
    let mesh = SyntheticMesh {
        clusters: BTreeMap::from([("c0".to_owned(), 0), ("c1".to_owned(), 0)]),
        routes: routes.collect(),
    };
    let all = mesh.snapshot();
    let kept =
        KINDS.into_iter().flat_map(|kind| all.of(kind).map(move |(name, body)| (kind, name.clone(), body.clone())));
    Snapshot::new(kept.collect::<Vec<_>>())
}

/// The resources that a client with these subscriptions should hold.
fn expected_resources(
    snapshot: &Snapshot,
    subscribed: &BTreeMap<ResourceType, BTreeSet<&'static str>>,
) -> HeldResources {
    let of = |(kind, names): (&ResourceType, &BTreeSet<&'static str>)| {
        let is_subscribed = |name: &String| names.contains("*") || names.contains(name.as_str());
        let held = snapshot.of(*kind).filter(|(name, _)| is_subscribed(name));
        (*kind, held.map(|(name, resource)| (name.clone(), resource.body().to_vec())).collect())
    };
    subscribed.iter().map(of).collect()
}

fn run_events(client: &mut impl Client, events: &[Event]) -> Result<(), TestCaseError> {
    let (mut listeners, mut subscribed) = (BTreeMap::new(), BTreeMap::new());
    for event in events {
        match event {
            Event::Subscribe(kind, names) => {
                // A first request without names would be a subscription to all resources, for some types.
                if !names.is_empty() || subscribed.contains_key(&KINDS[*kind]) {
                    client.subscribe(KINDS[*kind], names.iter().map(|name| (*name).to_owned()).collect());
                    subscribed.insert(KINDS[*kind], names.clone());
                }
            }
            Event::Change(number, generation) => {
                listeners.insert(*number, *generation);
                client.update(&snapshot(&listeners));
            }
            Event::Remove(number) => {
                listeners.remove(number);
                client.update(&snapshot(&listeners));
            }
            Event::Deliver => drop(client.deliver(&snapshot(&listeners))),
            Event::Receive => drop(client.receive(false)),
            Event::Refuse => drop(client.receive(true)),
        }
    }
    // A refused resource is sent again once it changes.
    for generation in [100, 101] {
        for number in 0..4 {
            listeners.insert(number, generation);
        }
        let snapshot = snapshot(&listeners);
        client.update(&snapshot);
        client.settle(&snapshot);
    }
    let mut expected = expected_resources(&snapshot(&listeners), &subscribed);
    let mut held = client.held().clone();
    for all in [&mut expected, &mut held] {
        // The clusters never change, so a refused cluster stays refused.
        all.retain(|kind, of| *kind != ResourceType::Cluster && !of.is_empty());
    }
    prop_assert_eq!(held, expected);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn sotw_client_holds_its_subscribed_resources(events in events()) {
        run_events(&mut Sotw::default(), &events)?;
    }

    #[test]
    fn delta_client_holds_its_subscribed_resources(events in events()) {
        run_events(&mut Delta::default(), &events)?;
    }
}
