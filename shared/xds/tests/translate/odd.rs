//! Odd values in every place of every spec: Envoy takes what is made of them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::case::Case;
use crate::corpus::can_be_read;
use crate::goldens::inputs;
use crate::printed::printed;
use crate::taken::{envoy, taken};

/// What the API may let through, or an import bring, and Envoy may not like.
fn odd_values() -> Vec<Value> {
    let long = "x".repeat(300);
    let texts = [
        "",
        " ",
        "*",
        "*.*",
        "/",
        "//",
        "a\nb",
        "\u{0}",
        "%",
        "%REQ(a b)%",
        "(?=a)",
        "[",
        "a{1000}",
        "\u{e9}",
        "::1",
        "x:8080",
        "a b",
        ":method",
        "host",
        "Host",
        "h\u{e9}ader",
        "-1",
        &long,
    ];
    let numbers = [json!(0), json!(1), json!(65_535), json!(i32::MAX), json!(i64::MAX), json!(i64::MIN)];
    texts.into_iter().map(|text| json!(text)).chain(numbers).chain([json!({}), json!([]), json!(true)]).collect()
}

#[test]
#[ignore = "takes minutes: thousands of Envoys"]
fn envoy_takes_odd_values_in_every_place() {
    let Some(envoy) = envoy() else { return };
    let (_, input) = inputs().into_iter().find(|(name, _)| name == "everything").expect("is there");
    let specs = input["mesh"].as_object().expect("is an object");
    let (mut tried, mut seen, mut refused) = (0, BTreeSet::new(), BTreeMap::new());
    for (path, spec) in specs {
        for pointer in crate::meshes::places(spec) {
            for value in odd_values() {
                let mut edited = spec.clone();
                *edited.pointer_mut(&pointer).expect("is there") = value.clone();
                if !can_be_read(path, &edited) {
                    continue;
                }
                let mut input = input.clone();
                input["mesh"][path] = edited;
                let case = Case::read(&input);
                for proxy in &case.proxies {
                    let translation = case.translate(proxy);
                    let faults = translation.dangling();
                    assert!(faults.is_empty(), "{path}{pointer} = {value}: {faults:?}");
                    if !seen.insert(printed(&translation).to_string()) {
                        continue;
                    }
                    tried += 1;
                    if let Err(why) = taken(&envoy, &translation) {
                        refused.entry(format!("{path}{pointer} = {value}")).or_insert(why);
                    }
                }
            }
        }
    }
    assert!(refused.is_empty(), "of {tried} refused: {refused:#?}");
}
