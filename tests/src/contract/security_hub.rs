//! The contract of [`SecurityHub`], with findings as the sweep writes them.

use std::collections::BTreeMap;

use ::mesh::certificates::Readings;
use ::mesh::graph::Mesh;
use ::mesh::name::ResourcePath;
use ::mesh::spec::Spec;
use ::policy::Policy;
use ::policy::edges::edges;
use ::rules::pack::{Profile, judge};
use async_trait::async_trait;
use jiff::Timestamp;
use ports::SecurityHub;
use ports_memory::MemorySecurityHub;
use reports::{Changes, History, MeshReport, SecurityHubAccount, asff};
use serde_json::{Value, json};

/// A test fixture with a separate Security Hub that can be read.
#[async_trait]
pub trait SecurityHubUnderTest {
    /// The port under test.
    fn port(&self) -> &dyn SecurityHub;

    /// Every finding that was accepted, by its id.
    async fn stored(&self) -> BTreeMap<String, Value>;

    /// Changes a finding so that it is not accepted.
    fn invalidate(&self, finding: &mut Value);
}

/// The fixture in memory.
#[derive(Debug)]
pub struct SecurityHubInMemory(pub MemorySecurityHub);

/// The fixture on moto.
#[derive(Debug)]
pub struct SecurityHubOnMoto {
    /// The port over the SDK.
    pub hub: aws::FindingsImport,
    /// The endpoint of moto.
    pub endpoint: String,
}

#[async_trait]
impl SecurityHubUnderTest for SecurityHubInMemory {
    fn port(&self) -> &dyn SecurityHub {
        &self.0
    }

    async fn stored(&self) -> BTreeMap<String, Value> {
        self.0.findings()
    }

    fn invalidate(&self, finding: &mut Value) {
        self.0.refuse(finding["Id"].as_str().unwrap());
    }
}

#[async_trait]
impl SecurityHubUnderTest for SecurityHubOnMoto {
    fn port(&self) -> &dyn SecurityHub {
        &self.hub
    }

    async fn stored(&self) -> BTreeMap<String, Value> {
        let (mut stored, mut token) = (BTreeMap::new(), Value::Null);
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
                stored.insert(finding["Id"].as_str().unwrap().to_owned(), finding.clone());
            }
            token = answer["NextToken"].clone();
            if token.is_null() {
                return stored;
            }
        }
    }

    fn invalidate(&self, finding: &mut Value) {
        finding["Resources"] = json!([]);
    }
}

/// Runs every check, one after the other on the same hub.
pub async fn all(hub: &dyn SecurityHubUnderTest) {
    empty_import_is_accepted(hub).await;
    many_findings_are_stored_as_written(hub).await;
    repeated_import_updates_findings(hub).await;
    refused_finding_does_not_block_the_others(hub).await;
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
    let place =
        SecurityHubAccount { partition: "aws".into(), region: "eu-west-1".into(), account: "123456789012".into() };
    asff(&report, &Changes { new: Vec::new(), resolved }, &place)
}

fn id(finding: &Value) -> &str {
    finding["Id"].as_str().unwrap()
}

async fn empty_import_is_accepted(hub: &dyn SecurityHubUnderTest) {
    assert_eq!(hub.port().import(&[]).await.unwrap(), []);
    assert_eq!(hub.stored().await.len(), 0);
}

async fn many_findings_are_stored_as_written(hub: &dyn SecurityHubUnderTest) {
    let all = findings("shop", 60, 0);
    assert!(all.len() > 200, "{}", all.len());
    assert_eq!(hub.port().import(&all).await.unwrap(), []);
    let stored = hub.stored().await;
    assert_eq!(stored.len(), all.len());
    for finding in &all {
        assert_eq!(stored[id(finding)], *finding);
    }
}

async fn repeated_import_updates_findings(hub: &dyn SecurityHubUnderTest) {
    let count = hub.stored().await.len();
    let all = findings("shop", 60, 3);
    assert_eq!(hub.port().import(&all).await.unwrap(), []);
    let stored = hub.stored().await;
    assert_eq!(stored.len(), count, "each finding is stored once");
    let (archived, active): (Vec<&Value>, Vec<&Value>) =
        stored.values().partition(|finding| finding["RecordState"] == "ARCHIVED");
    assert_eq!((archived.len(), active.len()), (3, count - 3));
    assert!(archived.iter().all(|finding| finding["Compliance"]["Status"] == "PASSED"));
    // Users of Security Hub own these members; an import that contains them would be refused or ignored.
    for member in ["Workflow", "Note", "UserDefinedFields", "VerificationState"] {
        assert!(all.iter().all(|finding| finding.get(member).is_none()), "{member}");
    }
}

async fn refused_finding_does_not_block_the_others(hub: &dyn SecurityHubUnderTest) {
    let before = hub.stored().await.len();
    let mut all = findings("depot", 40, 0);
    assert!(all.len() > 100, "{}", all.len());
    let last = all.len() - 1;
    for at in [5, last] {
        hub.invalidate(&mut all[at]);
    }
    let refused = hub.port().import(&all).await.unwrap();
    let ids: Vec<&str> = refused.iter().map(|refused| refused.id.as_str()).collect();
    assert_eq!(ids, [id(&all[5]), id(&all[last])]);
    assert!(refused.iter().all(|refused| refused.code == "InvalidInput" && !refused.message.is_empty()), "{refused:?}");
    assert_eq!(hub.stored().await.len(), before + all.len() - 2);
}

/// A policy with every rule, so that there are many findings.
fn strict() -> Policy {
    Policy { profile: Profile::Strict, ..Policy::built_in().unwrap() }
}
