//! Meshes from YAML: resources by path, tags, a policy without its version, and certificate facts.

#![expect(clippy::disallowed_methods, reason = "a test reads its inputs and writes goldens")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use mesh::alarm::DeclaredAlarm;
use mesh::certificates::Readings;
use mesh::graph::{DrillFact, Mesh};
use mesh::name::ResourcePath;
use mesh::resource::{Tag, Tags};
use mesh::spec::Spec;
use policy::Policy;
use readers::Fault;
use rules::pack::{Evaluation, judge, judge_faults};
use serde::Deserialize;
use serde_json::{Value, json};

/// The time of cases without one.
const NOW: &str = "2026-11-21T00:00:00Z";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    policy: Option<Value>,
    #[serde(default)]
    now: Option<Timestamp>,
    resources: BTreeMap<String, Value>,
    #[serde(default)]
    tags: BTreeMap<String, BTreeMap<String, String>>,
    #[serde(default)]
    readings: Option<Readings>,
    /// The faults of a resource in its file.
    #[serde(default)]
    faults: Vec<Fault>,
    /// The resources of a CloudFormation template that are alarms, by logical id.
    #[serde(default)]
    alarms: BTreeMap<String, Value>,
    #[serde(default)]
    drills: Vec<DrillFact>,
}

#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) mesh: Mesh,
    pub(super) policy: Policy,
    pub(super) readings: Readings,
    pub(super) faults: Vec<Fault>,
    pub(super) now: Timestamp,
}

impl Case {
    pub(super) fn read(text: &str) -> Self {
        let written: Written = serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let mut mesh = Mesh::new("shop".parse().unwrap());
        for (path, spec) in &written.resources {
            let path = path_of(path);
            let spec = Spec::read(path.kind(), spec).unwrap_or_else(|error| panic!("{path}: {error:?}"));
            mesh.insert(path, spec).unwrap();
        }
        for (path, tags) in &written.tags {
            mesh.set_tags(path_of(path), tags_of(tags));
        }
        for (id, resource) in &written.alarms {
            let kind = resource["Type"].as_str().unwrap();
            let properties = resource["Properties"].as_object().unwrap();
            mesh.alarms.extend(DeclaredAlarm::from_cloudformation("template", id, kind, properties));
        }
        mesh.drills = written.drills;
        let mut policy = written.policy.unwrap_or_else(|| json!({}));
        policy["version"] = json!(1);
        // A case is about one rule, of any profile.
        if policy.get("profile").is_none() {
            policy["profile"] = json!("strict");
        }
        Self {
            mesh,
            policy: Policy::read(&policy.to_string()).unwrap_or_else(|error| panic!("{error}")),
            readings: written.readings.unwrap_or_default(),
            faults: written.faults,
            now: written.now.unwrap_or_else(|| NOW.parse().unwrap()),
        }
    }

    pub(super) fn judge(&self) -> Evaluation {
        let mut judged = judge(&self.mesh, &self.readings, &self.policy, self.now);
        let Evaluation { findings, waived } = judge_faults(&self.faults, &self.policy, self.now);
        judged.findings.extend(findings);
        judged.waived.extend(waived);
        if !self.faults.is_empty() {
            judged.findings.sort_by(|one, other| one.resource.cmp(&other.resource));
        }
        judged
    }
}

/// `virtualNode/a` of the mesh of all cases.
pub(super) fn path_of(text: &str) -> ResourcePath {
    let whole = if text.starts_with("mesh/") { text.to_owned() } else { format!("mesh/shop/{text}") };
    ResourcePath::parse(&whole).unwrap_or_else(|error| panic!("{whole}: {error}"))
}

pub(super) fn tags_of(tags: &BTreeMap<String, String>) -> Tags {
    let mut all = Tags::default();
    let tags = tags.iter().map(|(key, value)| serde_json::from_value::<Tag>(json!({"key": key, "value": value})));
    all.merge(tags.map(Result::unwrap)).unwrap();
    all
}

pub(super) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/pack/rules")
}

pub(super) fn text_of(rule: &str, verdict: &str) -> Option<String> {
    std::fs::read_to_string(folder().join(format!("{rule}.{verdict}.yaml"))).ok()
}

/// Every case, by the name of its file.
pub(super) fn all() -> Vec<(String, Case)> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
        .into_iter()
        .map(|name| {
            let text = std::fs::read_to_string(folder().join(&name)).unwrap();
            (name, Case::read(&text))
        })
        .collect()
}

/// Compares a text with a file of the repository, or writes it there with `UPDATE_GOLDENS=1`.
pub(super) fn golden(path: &str, text: &str) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var("UPDATE_GOLDENS").as_deref() == Ok("1") {
        std::fs::write(&file, text).unwrap();
    }
    let present = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(text, present, "{path} differs from the code; UPDATE_GOLDENS=1 rewrites it");
}
