//! Meshes and their translations, as files. `UPDATE_GOLDENS=1` writes the current translations; read the difference.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::case::Case;
use crate::printed::{abbreviated, laid_out, printed};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// The inputs by name, in order.
pub(crate) fn inputs() -> Vec<(String, Value)> {
    let mut inputs: Vec<(String, Value)> = fs::read_dir(folder())
        .expect("the golden folder exists")
        .filter_map(|entry| {
            let path = entry.expect("is readable").path();
            let name = path.file_name()?.to_str()?.strip_suffix(".mesh.json")?.to_owned();
            let text = fs::read_to_string(&path).expect("is readable");
            let case: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            Some((name, case))
        })
        .collect();
    inputs.sort_by(|(one, _), (other, _)| one.cmp(other));
    inputs
}

/// The cases by name, in order.
pub(crate) fn cases() -> Vec<(String, Case)> {
    inputs().into_iter().map(|(name, input)| (name, Case::read(&input))).collect()
}

#[test]
fn every_translation_equals_its_golden() {
    let fragments = fs::read_to_string(folder().join("fragments.json")).expect("is readable");
    let fragments: Map<String, Value> = serde_json::from_str(&fragments).expect("is an object");
    let update = std::env::var_os("UPDATE_GOLDENS").is_some();
    let mut wrong = Vec::new();
    for (name, case) in cases() {
        assert!(!case.proxies.is_empty(), "{name} lists no proxy");
        let translations: Map<String, Value> =
            case.proxies.iter().map(|proxy| (proxy.clone(), printed(&case.translate(proxy)))).collect();
        let translations = abbreviated(Value::Object(translations), &fragments);
        let now = laid_out(&translations);
        let golden = folder().join(format!("{name}.envoy.json"));
        if update {
            fs::write(&golden, now).expect("is writable");
        } else if fs::read_to_string(&golden).ok().as_deref() != Some(&now) {
            wrong.push(name);
        }
    }
    assert!(
        wrong.is_empty(),
        "translations differ from their goldens: {wrong:?}; run with UPDATE_GOLDENS=1 and read the difference in version control"
    );
}
