//! The translation of any mesh is sound. It never panics, never names a missing resource, and never contains a part
//! that Envoy is known to refuse.

use std::collections::BTreeSet;

use mesh::graph::Mesh;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Map, Value, json};
use xds::{ClientAddress, Listeners, Proxy, SdsSource, StatNames, Surroundings, Translation, translate};

use crate::case::{mesh_of, ports_of};
use crate::corpus::{Specs, can_be_read, corpus};
use crate::envoy::{accepted_by_envoy, envoy};
use crate::goldens::inputs;
use crate::printed::printed;

/// Values that replace others, in addition to values from other places in the same mesh.
const ODD: [&str; 14] =
    ["", "*", "/", "a\nb", "%NONE%", "(?=a)", "(", "a{1000}", "\u{e9}", "::1", "x:8080", "*.shop", "SERVER", "grpc"];

/// A change to the specs of a mesh: numbers that select the spec, the place in it, and the edit.
type Edit = (usize, usize, usize);

#[test]
fn randomly_changed_mesh_has_a_sound_translation() {
    let meshes = meshes();
    let edits = proptest::collection::vec(any::<Edit>(), 0..12);
    let config = Config { cases: 60, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&(any::<usize>(), edits), |(mesh, edits)| {
            let specs = changed(&meshes[mesh % meshes.len()], &edits);
            for (proxy, explicit, translation) in translations(&specs) {
                let faults = faults(&translation);
                prop_assert!(
                    faults.is_empty(),
                    "{proxy:?}, explicit: {explicit}: {}\nof the mesh in {}",
                    summary(&faults),
                    saved("sound", &specs)
                );
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn envoy_accepts_randomly_changed_meshes() {
    let Some(envoy) = envoy() else { return };
    let meshes = meshes();
    let edits = proptest::collection::vec(any::<Edit>(), 0..12);
    // The number of cases fits the time of a test, and the cases are the same each time. `ENVOY_CASES` sets another
    // number, with random cases.
    let more = std::env::var("ENVOY_CASES").ok().and_then(|cases| cases.parse().ok());
    let config = Config { cases: more.unwrap_or(20), failure_persistence: None, ..Config::default() };
    let rng = if more.is_some() {
        TestRng::from_seed(RngAlgorithm::ChaCha, &rand_seed())
    } else {
        TestRng::deterministic_rng(RngAlgorithm::ChaCha)
    };
    TestRunner::new_with_rng(config, rng)
        .run(&(any::<usize>(), any::<usize>(), edits), |(mesh, which, edits)| {
            let specs = changed(&meshes[mesh % meshes.len()], &edits);
            let translations = translations(&specs);
            let (proxy, explicit, translation) = &translations[which % translations.len()];
            if let Err(why) = accepted_by_envoy(&envoy, translation) {
                let file = saved("envoy-accepts", &specs);
                return Err(TestCaseError::fail(format!(
                    "{proxy:?}, explicit: {explicit}: {why}\nof the mesh in {file}"
                )));
            }
            Ok(())
        })
        .unwrap();
}

/// Writes a mesh for which a test fails to a file, and returns the path. A printed mesh of the corpus would have
/// thousands of lines.
fn saved(name: &str, specs: &Specs) -> String {
    let file = format!("{}/{name}.json", env!("CARGO_TARGET_TMPDIR"));
    let written = std::fs::write(&file, serde_json::to_string_pretty(specs).expect("is JSON"));
    written.map_or_else(|error| format!("{file} (failed to write: {error})"), |()| file.clone())
}

/// The number of faults, and the first of them.
fn summary<T: std::fmt::Debug>(faults: &[T]) -> String {
    const SHOWN: usize = 5;
    let first: Vec<String> = faults.iter().take(SHOWN).map(|fault| format!("\n  {fault:?}")).collect();
    format!("{} faults{}", faults.len(), first.concat())
}

#[test]
fn failure_message_is_short() {
    let mesh = &meshes()[0];
    let file = saved("message", mesh);
    let read: Specs = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(&read, mesh);
    let many: Vec<usize> = (0..100_000).collect();
    assert_eq!(summary(&many).lines().count(), 6);
}

fn rand_seed() -> [u8; 32] {
    let mut seed = [0; 32];
    seed[..4].copy_from_slice(&std::process::id().to_be_bytes());
    seed
}

/// The meshes of the goldens, and one mesh of the whole corpus.
fn meshes() -> Vec<Specs> {
    let goldens = inputs().into_iter().map(|(_, case)| case["mesh"].as_object().expect("is an object").clone());
    goldens.chain(corpus()).collect()
}

/// The specs with these edits. Edits that make a spec unreadable are skipped.
fn changed(specs: &Specs, edits: &[Edit]) -> Specs {
    let mut specs = specs.clone();
    for (which, place, what) in edits {
        let count = specs.len();
        let Some((path, spec)) = specs.iter().nth(which % count) else { continue };
        let places = places(spec);
        let pointer = &places[place % places.len()];
        let mut edited = spec.clone();
        let replacement = replacement(&specs, *what);
        let target = edited.pointer_mut(pointer).expect("is there");
        match what % 5 {
            0 => *target = Value::Null,
            1 => {
                // Repeats the first item of a list.
                if let Value::Array(items) = target
                    && let Some(item) = items.first().cloned()
                {
                    items.push(item);
                }
            }
            2 => {
                if let Some(number) = target.as_u64() {
                    *target = json!([0, 1, 443, 8080, 65_535, number + 1][what / 5 % 6]);
                } else {
                    *target = replacement;
                }
            }
            _ => *target = replacement,
        }
        let (path, edited) = (path.clone(), without_null(edited));
        if can_be_read(&path, &edited) {
            specs.insert(path, edited);
        }
    }
    specs
}

fn without_null(value: Value) -> Value {
    match value {
        Value::Object(members) => members
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name, without_null(value)))
            .collect(),
        Value::Array(items) => items.into_iter().filter(|item| !item.is_null()).map(without_null).collect(),
        other => other,
    }
}

/// An odd value, or a value from another place in the mesh.
fn replacement(specs: &Specs, what: usize) -> Value {
    let choice = what / 5;
    if choice.is_multiple_of(3) {
        return json!(ODD[choice / 3 % ODD.len()]);
    }
    let spec = specs.values().nth(choice % specs.len()).expect("is there");
    let places = places(spec);
    spec.pointer(&places[choice / specs.len() % places.len()]).cloned().expect("is there")
}

/// Every place in a spec, as a JSON pointer.
pub(crate) fn places(spec: &Value) -> Vec<String> {
    let mut places = Vec::new();
    let mut waiting = vec![(String::new(), spec)];
    while let Some((pointer, value)) = waiting.pop() {
        match value {
            Value::Object(members) => {
                waiting.extend(
                    members.iter().map(|(name, value)| (format!("{pointer}/{}", name.replace('/', "~1")), value)),
                );
            }
            Value::Array(items) => {
                waiting.extend(items.iter().enumerate().map(|(index, value)| (format!("{pointer}/{index}"), value)));
            }
            _ => {}
        }
        places.push(pointer);
    }
    places
}

/// The translations for every proxy of a mesh, with and without redirection.
fn translations(specs: &Specs) -> Vec<(Proxy, bool, Translation)> {
    let mesh = mesh_of(specs);
    let ports = ports_of(&mesh);
    let instances = std::collections::BTreeMap::new();
    let mut all = Vec::new();
    for proxy in proxies(&mesh) {
        for explicit in [false, true] {
            let listeners = if explicit { Listeners::Explicit(&ports) } else { Listeners::Interception };
            let surroundings = Surroundings {
                listeners,
                sds: SdsSource::Socket,
                stat_names: StatNames::Service,
                client_address: ClientAddress::default(),
                instances: &instances,
            };
            let translation = translate(&mesh, &proxy, surroundings);
            // An unchanged resource must not be sent again.
            assert_eq!(translation.encode(), translate(&mesh, &proxy, surroundings).encode());
            all.push((proxy.clone(), explicit, translation));
        }
    }
    all
}

fn proxies(mesh: &Mesh) -> Vec<Proxy> {
    let nodes = mesh.nodes.keys().cloned().map(Proxy::Node);
    nodes.chain(mesh.gateways.keys().cloned().map(Proxy::Gateway)).collect()
}

/// The faults of a translation that are visible without Envoy.
fn faults(translation: &Translation) -> Vec<String> {
    let mut faults = translation.dangling();
    let all = printed(translation);
    let none = Map::new();
    let mut once = |what: String, values: Vec<String>| {
        let count = values.len();
        if values.iter().collect::<BTreeSet<_>>().len() != count {
            faults.push(format!("{what} occurs twice: {values:?}"));
        }
    };
    let listeners = all["listeners"].as_object().unwrap_or(&none);
    once("an address".to_owned(), listeners.values().map(|listener| listener["address"].to_string()).collect());
    for (name, listener) in listeners {
        let chains = listener["filter_chains"].as_array().into_iter().flatten();
        let matches = chains.map(|chain| chain["filter_chain_match"].to_string()).collect();
        once(format!("a filter chain of {name}"), matches);
    }
    for (name, routes) in all["routes"].as_object().unwrap_or(&none) {
        let hosts = routes["virtual_hosts"].as_array().into_iter().flatten();
        let names = hosts.clone().map(|host| host["name"].to_string()).collect();
        once(format!("a virtual host of {name}"), names);
        let domains = hosts.flat_map(|host| host["domains"].as_array().into_iter().flatten());
        once(format!("a domain of {name}"), domains.map(|domain| domain.to_string().to_lowercase()).collect());
    }
    let texts = all.to_string();
    if texts.contains(r#""weighted_clusters":{}"#) || texts.contains(r#""clusters":[]"#) {
        faults.push("a weighted cluster has no targets".to_owned());
    }
    faults
}
