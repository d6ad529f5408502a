//! Real App Mesh specs: specs that App Mesh accepts are read, accepted and written back unchanged; the others are refused.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "the specs are files next to the repository, and a skipped test says so"
)]

use std::path::Path;

use mesh::name::ResourceKind;
use mesh::spec::Spec;
use mesh::validate;
use serde_json::Value;

/// Specs that break the API model, by file, with the member at fault.
const INVALID: [(&str, &str); 2] = [
    ("walkthroughs__howto-k8s-ipv6__README.md.block1.json", "spec.serviceDiscovery.ipPreference"),
    (
        "walkthroughs__howto-mutual-tls-file-provided__README.md.block1.json",
        "spec.backendDefaults.clientPolicy.tls.subjectAlternativeNames",
    ),
];

#[test]
fn valid_specs_are_accepted_and_written_back_equal() {
    let Some(specs) = corpus() else { return };
    let mut accepted = 0;
    for Sample { file, kind, spec, .. } in specs.iter().filter(|sample| sample.valid) {
        let read = Spec::read(*kind, spec).unwrap_or_else(|violations| panic!("{file}: {violations:?}"));
        assert_eq!(read.to_json(), *spec, "{file}");
        assert_eq!(validate::spec(*kind, &filled_in(spec)), Ok(()), "{file}");
        accepted += 1;
    }
    assert!(accepted > 50, "only {accepted} specs are in the corpus");
}

#[test]
fn invalid_specs_are_refused_naming_the_member() {
    let Some(specs) = corpus() else { return };
    let invalid: Vec<_> = specs.iter().filter(|sample| !sample.valid).collect();
    assert_eq!(invalid.len(), INVALID.len());
    for Sample { file, kind, spec, .. } in invalid {
        let (_, member) = INVALID.iter().find(|(name, _)| file.ends_with(name)).expect("is listed above");
        let violations = validate::spec(*kind, spec).unwrap_err();
        assert!(violations.iter().any(|violation| violation.path == *member), "{file}: {violations:?}");
    }
}

/// The spec with host names in place of the placeholder of its script, `$DNS_HOSTNAME`.
fn filled_in(spec: &Value) -> Value {
    let mut filled = spec.clone();
    if let Some(Value::String(hostname)) = filled.pointer_mut("/serviceDiscovery/dns/hostname")
        && hostname.contains('$')
    {
        "orders.shop.local".clone_into(hostname);
    }
    filled
}

#[derive(Debug)]
struct Sample {
    file: String,
    kind: ResourceKind,
    spec: Value,
    valid: bool,
}

fn corpus() -> Option<Vec<Sample>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let Ok(index) = std::fs::read_to_string(root.join("index.tsv")) else {
        println!("skipped: no corpus next to the repository");
        return None;
    };
    let rows = index.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let samples = rows.filter_map(|row| match row.as_slice() {
        ["json", kind, file, _, notes] => Some(Sample {
            file: (*file).to_owned(),
            kind: kind.parse().ok()?,
            spec: spec(&root.join(file), kind)?,
            valid: notes.split(';').any(|note| note == "model=ok"),
        }),
        _ => None,
    });
    Some(samples.collect())
}

fn spec(file: &Path, kind: &str) -> Option<Value> {
    let body: Value = serde_json::from_str(&std::fs::read_to_string(file).ok()?).ok()?;
    // A describe output of the CLI wraps the resource in its kind; an input is the resource; some files are only the spec.
    let resource = body.get(kind).cloned().unwrap_or(body);
    Some(resource.get("spec").cloned().unwrap_or(resource))
}
