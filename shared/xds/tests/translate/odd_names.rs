//! Odd names for every kind of resource: Envoy accepts the translations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use mesh::name::{VirtualNodeName, VirtualServiceName};
use serde_json::{Map, Value};

use crate::batch::validate_batch;
use crate::case::Case;
use crate::envoy::envoy;
use crate::goldens::inputs;

/// The resources per batch: as many as Envoy reads in less time than it takes to start.
const BATCH: usize = 100;

/// Names that the API accepts and that have a meaning in Envoy, HTTP or JSON. Only a virtual service may have a slash.
const NAMES: [&str; 18] = [
    "*", "*.x", "x.*", "a b", " a", "%", "%REQ(X)%", "%%", "{a}", "\"q\"", "\\", "é", "😀", "[::1]", "x:8080", ":",
    ".", "a/b",
];

/// The input with renamed resources: each gets a different one of the names, beginning with the name at `first`.
fn renamed(input: &Value, first: usize) -> Value {
    let mesh = input["mesh"].as_object().expect("a case has a mesh");
    let mut fresh: BTreeMap<&str, String> = BTreeMap::new();
    let mut next = NAMES.into_iter().cycle().skip(first).take(NAMES.len());
    let names = |path: &'_ String| path.split('/').skip(1).step_by(2).map(ToOwned::to_owned).collect::<Vec<_>>();
    let others: BTreeSet<String> =
        mesh.keys().filter(|path| !path.starts_with("virtualService/")).flat_map(names).collect();
    for path in mesh.keys() {
        for name in path.split('/').skip(1).step_by(2) {
            let fits = |odd: &&str| {
                let is_other = others.contains(name);
                if is_other { VirtualNodeName::parse(odd).is_ok() } else { VirtualServiceName::parse(odd).is_ok() }
            };
            if !fresh.contains_key(name)
                && let Some(odd) = next.find(fits)
            {
                fresh.insert(name, odd.to_owned());
            }
        }
    }
    let new = |name: &str| fresh.get(name).cloned().unwrap_or_else(|| name.to_owned());
    let path = |path: &str| {
        let parts = path.split('/').enumerate();
        parts.map(|(at, part)| if at % 2 == 1 { new(part) } else { part.to_owned() }).collect::<Vec<_>>().join("/")
    };
    let mut after = input.clone();
    let specs = mesh.iter().map(|(at, spec)| (path(at), values(spec, &new)));
    after["mesh"] = Value::Object(specs.collect::<Map<_, _>>());
    let proxies = input["proxies"].as_array().expect("a case has proxies").iter();
    after["proxies"] = proxies.map(|proxy| Value::from(path(proxy.as_str().expect("is a text")))).collect();
    after
}

fn values(spec: &Value, new: &dyn Fn(&str) -> String) -> Value {
    match spec {
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| {
                let refers = matches!(
                    name.as_str(),
                    "virtualNode" | "virtualNodeName" | "virtualRouterName" | "virtualServiceName"
                );
                let value = match value.as_str() {
                    Some(text) if refers => new(text).into(),
                    _ => values(value, new),
                };
                (name.clone(), value)
            };
            Value::Object(members.iter().map(member).collect())
        }
        Value::Array(items) => items.iter().map(|item| values(item, new)).collect(),
        other => other.clone(),
    }
}

#[test]
fn envoy_accepts_odd_names() {
    let Some(envoy) = envoy() else { return };
    let (mut seen, mut tried) = (BTreeSet::new(), Vec::new());
    let unchanged = xds::Translation::default();
    for (name, input) in inputs() {
        for first in (0..NAMES.len()).step_by(3) {
            let case = Case::read(&renamed(&input, first));
            for proxy in &case.proxies {
                let of = format!("{proxy:?} of {name} with names from {first}");
                let translation = case.translate(proxy);
                assert_eq!(translation.dangling(), Vec::<String>::new(), "{of}");
                tried.extend(crate::batch::new_resources(&translation, &unchanged, &of, &mut seen));
            }
        }
    }
    let refused = Mutex::new(Vec::new());
    for batch in tried.chunks(BATCH) {
        validate_batch(&envoy, batch, &|tried, why| {
            let why: String = why.chars().take(2000).collect();
            refused.lock().unwrap().push(format!("{}: {why}", tried.origin));
        });
    }
    let refused = refused.into_inner().unwrap();
    println!("{} resources with odd names, {} refused", tried.len(), refused.len());
    assert!(refused.is_empty(), "{}", refused.iter().take(5).cloned().collect::<Vec<_>>().join("\n"));
}
