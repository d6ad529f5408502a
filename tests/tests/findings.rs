//! Tests that a mesh has the same findings, byte for byte, from every source.
//!
//! ```text
//!   CloudFormation, Terraform, manifests, Config items, API JSON ──▶ readers ──────────┐
//!   App Mesh API ──▶ control plane ──▶ the SDK, as sweeps and admission read it ───────┼──▶ the pack ──▶ one text
//!                          ├──▶ the meshes that proxy snapshots are built from ────────┤
//!                          └──▶ two observations of it, as change-audit reads them ────┘
//! ```
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use aws::Aws;
use jiff::Timestamp;
use mesh::certificates::Readings;
use mesh::graph::Mesh;
use mesh::name::{MeshName, ResourcePath};
use mesh::resource::Tags;
use meshwarden_tests::stack::{ControlPlane, sdk_config};
use policy::Policy;
use ports::{Pace, Survey, survey};
use readers::{File, Reading, Surroundings, read_all};
use rules::audit::{AuditInput, ResourceSnapshot, Snapshot, audit_changes};
use rules::pack::{Evaluation, Finding, judge, judge_each};
use serde_json::{Value, json};

/// Meshes that exist in every format. The third has references that the API does not accept.
const MESHES: [(&str, bool); 3] = [("shop", true), ("front", true), ("loose", false)];

#[tokio::test]
async fn mesh_has_the_same_findings_from_every_source() {
    for (name, is_accepted) in MESHES {
        let api = one(&read(&api_file(name)));
        let expected = text(&api);
        assert!(expected.lines().count() > 5, "{name}: {expected}");
        for files in
            [config_files(name), vec![format!("{name}/cloudformation.yaml")], vec![format!("{name}/terraform.json")]]
        {
            assert_eq!(text(&one(&read(&files))), expected, "{files:?}");
        }
        // A manifest cannot contain tags.
        let manifest = one(&read(&[format!("{name}/manifest.yaml")]));
        assert_eq!(text(&manifest), text(&one(&untagged(read(&api_file(name))))), "{name}");
        if is_accepted {
            let plane = ControlPlane::start().await;
            create(&plane, &read(&api_file(name))).await;
            let surveyed = surveyed(&plane, &name.parse().unwrap()).await;
            assert_eq!(
                text(&surveyed.model(&name.parse().unwrap()).unwrap()),
                expected,
                "{name}, as compliance-sweep reads it"
            );
            check_audit(&surveyed, &name.parse().unwrap(), &api);
        }
    }
}

#[tokio::test]
async fn proxy_model_has_the_same_findings() {
    for name in ["shop", "front"] {
        let reading = read(&api_file(name));
        let plane = ControlPlane::start().await;
        create(&plane, &reading).await;
        assert_eq!(of_proxies(&plane, name).await, text(&one(&reading)), "{name}");
    }
}

#[tokio::test]
async fn unknown_mesh_has_no_findings_endpoint() {
    let plane = ControlPlane::start().await;
    for path in ["/findings/none", "/findings/", "/findings/a%2Fb"] {
        let answer = reqwest::get(format!("{}{path}", plane.endpoint)).await.unwrap();
        assert!(answer.status().is_client_error(), "{path}: {}", answer.status());
    }
}

/// The findings that change-audit reports for each resource as the last write: each must be one of the findings of the
/// whole mesh.
fn check_audit(surveyed: &Survey, name: &MeshName, whole: &Mesh) {
    let seen = |without: Option<&ResourcePath>| {
        let resources = surveyed.resources.iter().filter(|(path, _)| Some(*path) != without);
        let resources = resources.map(|(path, one)| {
            (path.clone(), ResourceSnapshot { resource: one.resource.clone(), tags: one.tags.clone() })
        });
        Snapshot {
            mesh: name.clone(),
            at: Timestamp::now(),
            later: [].into(),
            resources: resources.collect(),
            unread: [].into(),
        }
    };
    // A change has each finding on the resource at fault, even if an evaluation of the mesh reports one finding for all
    // of them.
    let all = judge_each(whole, &Readings::default(), &policy(), Timestamp::now());
    let all: BTreeSet<String> = all.findings.iter().map(line).collect();
    let after = seen(None);
    let mut created = BTreeSet::new();
    for path in surveyed.resources.keys().filter(|path| !matches!(path, ResourcePath::Mesh(_))) {
        let before = seen(Some(path));
        let facts = AuditInput { before: Some(&before), after: &after, writes: &[], open: &[] };
        let audit = audit_changes(&facts, &policy(), Timestamp::now()).unwrap();
        created.extend(audit.effect.created.iter().map(line));
    }
    assert!(!created.is_empty() && created.is_subset(&all), "{name}: {:#?}", created.difference(&all));
}

/// The findings that the control plane reports for the configuration of its proxies.
async fn of_proxies(plane: &ControlPlane, mesh: &str) -> String {
    let body = plane.get(&format!("/findings/{mesh}")).await;
    assert_eq!((&body["mesh"], &body["waived"]), (&json!(mesh), &json!([])));
    lines(body["findings"].as_array().unwrap().iter().map(ToString::to_string))
}

async fn surveyed(plane: &ControlPlane, mesh: &MeshName) -> Survey {
    let aws = Aws::with_config(sdk_config(&plane.endpoint).await);
    let survey = survey(&aws.mesh(), mesh, &mut Pace::new(8, 40)).await.unwrap();
    assert!(survey.unread.is_empty());
    survey
}

/// Creates a mesh through the API, each resource after the resources that it refers to.
async fn create(plane: &ControlPlane, reading: &Reading) {
    let rank = |path: &ResourcePath| match path {
        ResourcePath::Mesh(_) => 0,
        ResourcePath::VirtualNode(..) => 1,
        ResourcePath::VirtualRouter(..) => 2,
        ResourcePath::Route(_) => 3,
        ResourcePath::VirtualService(..) => 4,
        ResourcePath::VirtualGateway(..) => 5,
        ResourcePath::GatewayRoute(..) => 6,
    };
    let mut resources: Vec<_> = reading.resources.iter().collect();
    resources.sort_by_key(|one| rank(&one.path));
    for one in resources {
        let path = &one.path;
        let (mesh, member) = (path.mesh(), format!("{}Name", path.kind()));
        let below = match path {
            ResourcePath::Mesh(_) => String::new(),
            ResourcePath::Route(id) => format!("/{mesh}/virtualRouter/{}/routes", id.router),
            ResourcePath::GatewayRoute(_, gateway, _) => format!("/{mesh}/virtualGateway/{gateway}/gatewayRoutes"),
            ResourcePath::VirtualNode(..)
            | ResourcePath::VirtualRouter(..)
            | ResourcePath::VirtualService(..)
            | ResourcePath::VirtualGateway(..) => format!("/{mesh}/{}s", path.kind()),
        };
        let tags: Vec<Value> =
            one.tags.iter().flat_map(Tags::iter).map(|(key, value)| json!({ "key": key, "value": value })).collect();
        let body = json!({ member: path.name(), "spec": one.spec.to_json(), "tags": tags });
        plane.put(&format!("/v20190125/meshes{below}"), &body).await;
    }
}

fn policy() -> Policy {
    Policy::built_in().unwrap()
}

fn evaluate(mesh: &Mesh) -> Evaluation {
    judge(mesh, &Readings::default(), &policy(), Timestamp::now())
}

fn text(mesh: &Mesh) -> String {
    lines(evaluate(mesh).findings.iter().map(line))
}

fn line(finding: &Finding) -> String {
    serde_json::to_string(finding).unwrap()
}

fn lines(findings: impl Iterator<Item = String>) -> String {
    findings.map(|finding| finding + "\n").collect()
}

/// Removes the tags of a reading, as for a source without tags.
fn untagged(mut reading: Reading) -> Reading {
    reading.resources.iter_mut().for_each(|one| one.tags = None);
    reading
}

fn one(reading: &Reading) -> Mesh {
    let mut meshes = reading.meshes().into_values();
    let (Some(mesh), None) = (meshes.next(), meshes.next()) else { panic!("a file contains one mesh") };
    mesh
}

fn read(files: &[String]) -> Reading {
    let texts: Vec<String> = files.iter().map(|file| std::fs::read_to_string(root().join(file)).unwrap()).collect();
    let files: Vec<File<'_>> = files.iter().zip(&texts).map(|(name, text)| File { name, text }).collect();
    let around = Surroundings {
        region: Some("eu-west-1".to_owned()),
        account: Some("123456789012".to_owned()),
        ..Surroundings::default()
    };
    let (reading, errors) = read_all(&files, &around);
    assert_eq!((errors, &reading.refusals), (vec![], &vec![]));
    reading
}

fn api_file(mesh: &str) -> [String; 1] {
    [format!("{mesh}/api.json")]
}

fn config_files(mesh: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(mesh).join("config")).unwrap();
    entries.map(|entry| format!("{mesh}/config/{}", entry.unwrap().file_name().to_string_lossy())).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/readers/tests/readers/fixtures")
}
