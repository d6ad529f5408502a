//! Whatever a client asks for and stops asking for, by name or all at once, at rest it holds just that of the snapshot.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::google::rpc::Status as RpcStatus;
use proptest::prelude::*;
use xds::ads::{DeltaStream, SotwStream};
use xds::{ResourceType, Snapshot};

use crate::client::{World, name_of};

const KINDS: [ResourceType; 3] = [ResourceType::Cluster, ResourceType::Listener, ResourceType::Route];
/// Names that are asked for: some are there, some come and go, one is never there, and one means all.
const NAMES: [&str; 6] = ["l0", "l1", "l2", "c0", "nobody", "*"];

#[derive(Clone, Debug)]
enum Event {
    /// From now on these names of a type.
    Ask(usize, BTreeSet<&'static str>),
    Change(u8, u32),
    Remove(u8),
    Deliver,
    Receive,
    Refuse,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let names = || prop::collection::btree_set(prop::sample::select(&NAMES[..]), 0..4);
    let one = prop_oneof![
        2 => (0..KINDS.len(), names()).prop_map(|(kind, names)| Event::Ask(kind, names)),
        2 => (0_u8..4, 0_u32..3).prop_map(|(number, generation)| Event::Change(number, generation)),
        1 => (0_u8..4).prop_map(Event::Remove),
        4 => Just(Event::Deliver),
        4 => Just(Event::Receive),
        1 => Just(Event::Refuse),
    ];
    prop::collection::vec(one, 1..60)
}

/// Listeners and routes come and go; the clusters stay, without endpoints, as those that DNS finds.
fn snapshot(listeners: &BTreeMap<u8, u32>) -> Snapshot {
    // The last two are like none before: what was refused once is not sent again.
    let leads = |generation: u32| match generation {
        100 => BTreeSet::from(["c0".to_owned(), "c1".to_owned()]),
        101 => BTreeSet::from(["c1".to_owned()]),
        _ => (generation % 2 == 1).then(|| "c0".to_owned()).into_iter().collect(),
    };
    let routes = listeners.iter().map(|(number, generation)| (format!("l{number}"), (*generation, leads(*generation))));
    let world =
        World { clusters: BTreeMap::from([("c0".to_owned(), 0), ("c1".to_owned(), 0)]), routes: routes.collect() };
    let all = world.snapshot();
    let kept =
        KINDS.into_iter().flat_map(|kind| all.of(kind).map(move |(name, body)| (kind, name.clone(), body.clone())));
    Snapshot::new(kept.collect::<Vec<_>>())
}

type Held = BTreeMap<ResourceType, BTreeMap<String, Vec<u8>>>;

/// What a client that asks for these should hold.
fn wanted(snapshot: &Snapshot, asked: &BTreeMap<ResourceType, BTreeSet<&'static str>>) -> Held {
    let of = |(kind, names): (&ResourceType, &BTreeSet<&'static str>)| {
        let is_asked = |name: &String| names.contains("*") || names.contains(name.as_str());
        let held = snapshot.of(*kind).filter(|(name, _)| is_asked(name));
        (*kind, held.map(|(name, resource)| (name.clone(), resource.body().to_vec())).collect())
    };
    asked.iter().map(of).collect()
}

/// A client by either protocol.
trait Client {
    fn ask(&mut self, kind: ResourceType, names: &BTreeSet<&'static str>);
    fn deliver(&mut self, snapshot: &Snapshot) -> bool;
    fn update(&mut self, snapshot: &Snapshot);
    fn receive(&mut self, refuse: bool) -> bool;
    fn held(&self) -> Held;
}

fn play(client: &mut impl Client, events: &[Event]) -> Result<(), TestCaseError> {
    let (mut listeners, mut asked) = (BTreeMap::new(), BTreeMap::new());
    let settle = |client: &mut dyn FnMut() -> bool| -> Result<(), TestCaseError> {
        for _ in 0..1000 {
            if !client() {
                return Ok(());
            }
        }
        Err(TestCaseError::fail("never at rest"))
    };
    for event in events {
        match event {
            Event::Ask(kind, names) => {
                // A first word without names would mean all of them, of some types.
                if !names.is_empty() || asked.contains_key(&KINDS[*kind]) {
                    client.ask(KINDS[*kind], names);
                    asked.insert(KINDS[*kind], names.clone());
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
    // Whatever was refused is sent again once it changes.
    for generation in [100, 101] {
        for number in 0..4 {
            listeners.insert(number, generation);
        }
        let snapshot = snapshot(&listeners);
        client.update(&snapshot);
        settle(&mut || client.deliver(&snapshot) | client.receive(false))?;
    }
    let mut expected = wanted(&snapshot(&listeners), &asked);
    let mut held = client.held();
    for all in [&mut expected, &mut held] {
        // The clusters never change, so what was refused of them stays refused.
        all.retain(|kind, of| *kind != ResourceType::Cluster && !of.is_empty());
    }
    prop_assert_eq!(held, expected);
    Ok(())
}

#[derive(Default)]
struct Sotw {
    stream: SotwStream,
    to_server: VecDeque<DiscoveryRequest>,
    to_client: VecDeque<DiscoveryResponse>,
    held: Held,
    state: BTreeMap<ResourceType, (BTreeSet<&'static str>, String, String)>,
}

impl Sotw {
    fn say(&mut self, kind: ResourceType, error_detail: Option<RpcStatus>) {
        let (names, version, nonce) = self.state.entry(kind).or_default();
        self.to_server.push_back(DiscoveryRequest {
            type_url: kind.url().to_owned(),
            version_info: version.clone(),
            response_nonce: nonce.clone(),
            resource_names: names.iter().map(|name| (*name).to_owned()).collect(),
            error_detail,
            ..DiscoveryRequest::default()
        });
    }
}

impl Client for Sotw {
    fn ask(&mut self, kind: ResourceType, names: &BTreeSet<&'static str>) {
        self.state.entry(kind).or_default().0.clone_from(names);
        if let Some(held) = self.held.get_mut(&kind).filter(|_| !names.contains("*")) {
            held.retain(|name, _| names.contains(name.as_str()));
        }
        self.say(kind, None);
    }

    fn deliver(&mut self, snapshot: &Snapshot) -> bool {
        let Some(request) = self.to_server.pop_front() else { return false };
        self.to_client.extend(self.stream.on_request(&request, snapshot));
        true
    }

    fn update(&mut self, snapshot: &Snapshot) {
        self.to_client.extend(self.stream.on_snapshot(snapshot));
    }

    fn receive(&mut self, refuse: bool) -> bool {
        let Some(response) = self.to_client.pop_front() else { return false };
        let kind = ResourceType::of_url(&response.type_url).unwrap();
        let state = self.state.entry(kind).or_default();
        state.2 = response.nonce;
        if refuse {
            self.say(kind, Some(RpcStatus { code: 3, message: "no".to_owned(), ..RpcStatus::default() }));
            return true;
        }
        state.1 = response.version_info;
        let names = state.0.clone();
        let held = self.held.entry(kind).or_default();
        if kind.is_wildcard() {
            held.clear();
        }
        for resource in response.resources {
            let name = name_of(kind, &resource.value);
            if names.contains("*") || names.contains(name.as_str()) {
                held.insert(name, resource.value);
            }
        }
        self.say(kind, None);
        true
    }

    fn held(&self) -> Held {
        // That a route is gone can't be said by state of the world: none is, in the end.
        self.held.clone()
    }
}

#[derive(Default)]
struct Delta {
    stream: DeltaStream,
    to_server: VecDeque<DeltaDiscoveryRequest>,
    to_client: VecDeque<DeltaDiscoveryResponse>,
    held: Held,
    names: BTreeMap<ResourceType, BTreeSet<&'static str>>,
}

impl Client for Delta {
    fn ask(&mut self, kind: ResourceType, names: &BTreeSet<&'static str>) {
        let before = self.names.insert(kind, names.clone()).unwrap_or_default();
        let list = |of: BTreeSet<&'static str>| of.into_iter().map(str::to_owned).collect();
        if let Some(held) = self.held.get_mut(&kind).filter(|_| !names.contains("*")) {
            held.retain(|name, _| names.contains(name.as_str()));
        }
        self.to_server.push_back(DeltaDiscoveryRequest {
            type_url: kind.url().to_owned(),
            resource_names_subscribe: list(names - &before),
            resource_names_unsubscribe: list(&before - names),
            ..DeltaDiscoveryRequest::default()
        });
    }

    fn deliver(&mut self, snapshot: &Snapshot) -> bool {
        let Some(request) = self.to_server.pop_front() else { return false };
        self.to_client.extend(self.stream.on_request(&request, snapshot));
        true
    }

    fn update(&mut self, snapshot: &Snapshot) {
        self.to_client.extend(self.stream.on_snapshot(snapshot));
    }

    fn receive(&mut self, refuse: bool) -> bool {
        let Some(response) = self.to_client.pop_front() else { return false };
        let kind = ResourceType::of_url(&response.type_url).unwrap();
        let refusal = RpcStatus { code: 3, message: "no".to_owned(), ..RpcStatus::default() };
        self.to_server.push_back(DeltaDiscoveryRequest {
            type_url: kind.url().to_owned(),
            response_nonce: response.nonce,
            error_detail: refuse.then_some(refusal),
            ..DeltaDiscoveryRequest::default()
        });
        if refuse {
            return true;
        }
        let names = self.names.get(&kind).cloned().unwrap_or_default();
        let held = self.held.entry(kind).or_default();
        for resource in response.resources {
            if names.contains("*") || names.contains(resource.name.as_str()) {
                held.insert(resource.name, resource.resource.unwrap().value);
            }
        }
        for name in response.removed_resources {
            held.remove(&name);
        }
        true
    }

    fn held(&self) -> Held {
        self.held.clone()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_sotw_client_holds_what_it_asks_for(events in events()) {
        play(&mut Sotw::default(), &events)?;
    }

    #[test]
    fn a_delta_client_holds_what_it_asks_for(events in events()) {
        play(&mut Delta::default(), &events)?;
    }
}
