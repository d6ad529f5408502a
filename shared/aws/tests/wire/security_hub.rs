//! The requests to Security Hub.

use crate::canned::{CannedResponse, CannedServer};
use jiff::Timestamp;
use mesh::certificates::Readings;
use mesh::graph::Mesh;
use mesh::name::ResourcePath;
use mesh::spec::Spec;
use policy::Policy;
use policy::edges::edges;
use ports::{PortErrorKind, RefusedFinding, SecurityHub};
use reports::{Changes, History, MeshReport, SecurityHubAccount, asff};
use rules::pack::{Profile, judge};
use serde_json::{Value, json};

/// The findings on a mesh with this many nodes, as the sweep writes them, and one that is resolved.
fn findings(nodes: usize) -> Vec<Value> {
    let mut mesh = Mesh::new("shop".parse().unwrap());
    for n in 0..nodes {
        let path: ResourcePath = format!("mesh/shop/virtualNode/n{n}").parse().unwrap();
        let listeners = json!({"listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}]});
        mesh.insert(path.clone(), Spec::read(path.kind(), &listeners).unwrap()).unwrap();
    }
    let now: Timestamp = "2026-11-21T06:00:00Z".parse().unwrap();
    let readings = Readings::default();
    let evaluation = judge(&mesh, &readings, &strict(), now);
    let edges = edges(&mesh, &readings, now);
    let mut history = History::default();
    let before = history.update(&evaluation.findings, now);
    let changes = Changes { new: Vec::new(), resolved: before.new.into_iter().take(1).collect() };
    let report =
        MeshReport { mesh: &mesh, edges: &edges, evaluation: &evaluation, history: &history, at: now, unread: &[] };
    let place =
        SecurityHubAccount { partition: "aws".into(), region: "eu-west-1".into(), account: "123456789012".into() };
    asff(&report, &changes, &place)
}

fn accepted(count: usize) -> CannedResponse {
    CannedResponse::ok(json!({"FailedCount": 0, "SuccessCount": count, "FailedFindings": []}))
}

#[tokio::test]
async fn findings_are_sent_complete_in_batches_of_100() {
    let all = findings(50);
    assert!((201..=400).contains(&all.len()), "{}", all.len());
    let server = CannedServer::start((0..4).map(|_| accepted(100))).await;
    assert_eq!(server.aws().await.security_hub().import(&all).await.unwrap(), []);
    let requests = server.requests();
    assert_eq!((requests[0].method.as_str(), requests[0].uri.path()), ("POST", "/findings/import"));
    let sent: Vec<Vec<Value>> =
        requests.iter().map(|request| request.json()["Findings"].as_array().unwrap().clone()).collect();
    assert!(sent.iter().all(|batch| batch.len() <= 100));
    assert_eq!(sent.iter().map(Vec::len).min(), Some(all.len() % 100));
    // No finding is lost or changed on the way.
    assert_eq!(sent.concat(), all);
    assert_eq!(all.last().unwrap()["RecordState"], "ARCHIVED");
}

#[tokio::test]
async fn refused_finding_is_returned() {
    let all = findings(1);
    let id = all[0]["Id"].as_str().unwrap();
    let failed = json!([{"Id": id, "ErrorCode": "InvalidInput", "ErrorMessage": "Title is too long"}]);
    let server = CannedServer::start([CannedResponse::ok(
        json!({"FailedCount": 1, "SuccessCount": 0, "FailedFindings": failed}),
    )])
    .await;
    let refused = server.aws().await.security_hub().import(&all).await.unwrap();
    let expected = RefusedFinding { id: id.into(), code: "InvalidInput".into(), message: "Title is too long".into() };
    assert_eq!(refused, [expected]);
}

#[tokio::test]
async fn invalid_finding_is_not_sent() {
    let mut all = findings(1);
    all.truncate(3);
    all[0]["Description"] = "x".repeat(250_000).into();
    all[1]["Region"] = "eu-west-1".into();
    let server = CannedServer::start([accepted(1)]).await;
    let refused = server.aws().await.security_hub().import(&all).await.unwrap();
    let codes: Vec<&str> = refused.iter().map(|refused| refused.code.as_str()).collect();
    assert_eq!(codes, ["TooLarge", "NotAFinding"]);
    assert!(refused[1].message.contains("Region"), "{}", refused[1].message);
    assert_eq!(server.requests()[0].json()["Findings"].as_array().unwrap().len(), 1);
    let server = CannedServer::start([]).await;
    assert_eq!(server.aws().await.security_hub().import(&[]).await.unwrap(), []);
    assert_eq!(server.requests().len(), 0);
}

#[tokio::test]
async fn failures_have_different_kinds() {
    let all = findings(1);
    let id = all[0]["Id"].as_str().unwrap();
    let internal = json!([{"Id": id, "ErrorCode": "InternalError", "ErrorMessage": "later"}]);
    let not_subscribed = json!({"Message": "Account is not subscribed to AWS Security Hub"});
    for (answer, kind) in [
        (
            CannedResponse::ok(json!({"FailedCount": 1, "SuccessCount": 0, "FailedFindings": internal})),
            PortErrorKind::Unavailable,
        ),
        (CannedResponse::error(403, "AccessDeniedException", json!({"Message": "no"})), PortErrorKind::Denied),
        (CannedResponse::error(401, "InvalidAccessException", not_subscribed), PortErrorKind::Denied),
    ] {
        let server = CannedServer::start([answer]).await;
        let error = server.aws().await.security_hub().import(&all).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(!error.message.is_empty());
    }
}

/// A policy with every rule, so that there are many findings.
fn strict() -> Policy {
    Policy { profile: Profile::Strict, ..Policy::built_in().unwrap() }
}
