//! The contract of [`SecurityHub`], with findings as the sweep writes them.

use std::collections::BTreeMap;

use ::mesh::certificates::Readings;
use ::mesh::edges::edges;
use ::mesh::graph::Mesh;
use ::mesh::name::ResourcePath;
use ::mesh::pack::{Profile, judge};
use ::mesh::policy::Policy;
use ::mesh::spec::Spec;
use async_trait::async_trait;
use jiff::Timestamp;
use ports::SecurityHub;
use ports::memory::MemorySecurityHub;
use reports::{Changes, History, MeshReport, Place, asff};
use serde_json::{Value, json};

/// A test fixture with a separate Security Hub that can be read.
#[async_trait]
pub trait Hub {
    /// The port under test.
    fn port(&self) -> &dyn SecurityHub;

    /// Every finding that was accepted, by its id.
    async fn kept(&self) -> BTreeMap<String, Value>;

    /// Changes a finding so that it is not accepted.
    fn spoil(&self, finding: &mut Value);
}

/// The fixture in memory.
#[derive(Debug)]
pub struct InMemory(pub MemorySecurityHub);

/// The fixture on moto.
#[derive(Debug)]
pub struct OnMoto {
    /// The port over the SDK.
    pub hub: aws::FindingsImport,
    /// The endpoint of moto.
    pub endpoint: String,
}

#[async_trait]
impl Hub for InMemory {
    fn port(&self) -> &dyn SecurityHub {
        &self.0
    }

    async fn kept(&self) -> BTreeMap<String, Value> {
        self.0.findings()
    }

    fn spoil(&self, finding: &mut Value) {
        self.0.refuse(finding["Id"].as_str().unwrap());
    }
}

#[async_trait]
impl Hub for OnMoto {
    fn port(&self) -> &dyn SecurityHub {
        &self.hub
    }

    async fn kept(&self) -> BTreeMap<String, Value> {
        let (mut kept, mut token) = (BTreeMap::new(), Value::Null);
        loop {
            let mut request = json!({ "MaxResults": 100 });
            if !token.is_null() {
                request["NextToken"] = token;
            }
            // moto uses the region of the signature to select the findings.
            let authorization = "AWS4-HMAC-SHA256 Credential=tests/20261121/eu-west-1/securityhub/aws4_request, SignedHeaders=host, Signature=0";
            let post = reqwest::Client::new().post(format!("{}/findings", self.endpoint));
            let answer = post.header("authorization", authorization).json(&request).send().await.unwrap();
            let answer: Value = answer.error_for_status().unwrap().json().await.unwrap();
            for finding in answer["Findings"].as_array().unwrap() {
                kept.insert(finding["Id"].as_str().unwrap().to_owned(), finding.clone());
            }
            token = answer["NextToken"].clone();
            if token.is_null() {
                return kept;
            }
        }
    }

    fn spoil(&self, finding: &mut Value) {
        finding["Resources"] = json!([]);
    }
}

/// Runs every check, one after the other on the same hub.
pub async fn all(hub: &dyn Hub) {
    nothing_is_an_import_too(hub).await;
    many_findings_are_kept_as_they_were_written(hub).await;
    what_is_imported_again_is_updated(hub).await;
    one_that_is_not_taken_keeps_no_other_out(hub).await;
}

/// The findings on a mesh with this many nodes. The first `gone` findings are resolved.
fn findings(mesh: &str, nodes: usize, gone: usize) -> Vec<Value> {
    let now: Timestamp = "2026-11-21T06:00:00Z".parse().unwrap();
    let mut model = Mesh::new(mesh.parse().unwrap());
    for n in 0..nodes {
        let path: ResourcePath = format!("mesh/{mesh}/virtualNode/n{n}").parse().unwrap();
        let listeners = json!({"listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}]});
        model.insert(path.clone(), Spec::read(path.kind(), &listeners).unwrap()).unwrap();
    }
    let readings = Readings::default();
    let mut evaluation = judge(&model, &readings, &strict(), now);
    let mut history = History::default();
    history.update(&evaluation.findings, now);
    evaluation.findings.drain(..gone);
    let Changes { resolved, .. } = history.update(&evaluation.findings, now);
    assert_eq!(resolved.len(), gone);
    let edges = edges(&model, &readings, now);
    let report =
        MeshReport { mesh: &model, edges: &edges, evaluation: &evaluation, history: &history, at: now, unread: &[] };
    let place = Place { partition: "aws".into(), region: "eu-west-1".into(), account: "123456789012".into() };
    asff(&report, &Changes { new: Vec::new(), resolved }, &place)
}

fn id(finding: &Value) -> &str {
    finding["Id"].as_str().unwrap()
}

async fn nothing_is_an_import_too(hub: &dyn Hub) {
    assert_eq!(hub.port().import(&[]).await.unwrap(), []);
    assert_eq!(hub.kept().await.len(), 0);
}

async fn many_findings_are_kept_as_they_were_written(hub: &dyn Hub) {
    let all = findings("shop", 60, 0);
    assert!(all.len() > 200, "{}", all.len());
    assert_eq!(hub.port().import(&all).await.unwrap(), []);
    let kept = hub.kept().await;
    assert_eq!(kept.len(), all.len());
    for finding in &all {
        assert_eq!(kept[id(finding)], *finding);
    }
}

async fn what_is_imported_again_is_updated(hub: &dyn Hub) {
    let count = hub.kept().await.len();
    let all = findings("shop", 60, 3);
    assert_eq!(hub.port().import(&all).await.unwrap(), []);
    let kept = hub.kept().await;
    assert_eq!(kept.len(), count, "no finding is there twice");
    let (archived, active): (Vec<&Value>, Vec<&Value>) =
        kept.values().partition(|finding| finding["RecordState"] == "ARCHIVED");
    assert_eq!((archived.len(), active.len()), (3, count - 3));
    assert!(archived.iter().all(|finding| finding["Compliance"]["Status"] == "PASSED"));
    // Users of Security Hub own these members; an import that contains them would be refused or ignored.
    for member in ["Workflow", "Note", "UserDefinedFields", "VerificationState"] {
        assert!(all.iter().all(|finding| finding.get(member).is_none()), "{member}");
    }
}

async fn one_that_is_not_taken_keeps_no_other_out(hub: &dyn Hub) {
    let before = hub.kept().await.len();
    let mut all = findings("depot", 40, 0);
    assert!(all.len() > 100, "{}", all.len());
    let last = all.len() - 1;
    for at in [5, last] {
        hub.spoil(&mut all[at]);
    }
    let refused = hub.port().import(&all).await.unwrap();
    let ids: Vec<&str> = refused.iter().map(|refused| refused.id.as_str()).collect();
    assert_eq!(ids, [id(&all[5]), id(&all[last])]);
    assert!(refused.iter().all(|refused| refused.code == "InvalidInput" && !refused.message.is_empty()), "{refused:?}");
    assert_eq!(hub.kept().await.len(), before + all.len() - 2);
}

/// A policy with every rule, so that there are many findings.
fn strict() -> Policy {
    Policy { profile: Profile::Strict, ..Policy::built_in().unwrap() }
}
