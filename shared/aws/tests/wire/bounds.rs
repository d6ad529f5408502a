//! The bounds on responses, and the errors when a service exceeds them.

use aws::{LONGEST_ANSWER, MOST_PAGES};
use mesh::alarm::AlarmName;
use ports::{AlarmReader as _, MeshReader as _, PortErrorKind};
use serde_json::json;

use crate::canned::{CannedResponse, CannedServer};

#[tokio::test]
async fn too_long_response_is_an_error_with_service_operation_and_limit() {
    let long = " ".repeat(usize::try_from(LONGEST_ANSWER).unwrap() + 1);
    let server = CannedServer::start([CannedResponse::ok(long), CannedResponse::ok(json!({ "meshes": [] }))]).await;
    let error = server.aws().await.mesh().meshes().await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Other, "{error}");
    let text = "refused: the response is longer than the limit of 24 MiB [App Mesh ListMeshes]";
    assert_eq!(error.to_string(), format!("failed to list meshes: {text}"));
    assert_eq!(server.requests().len(), 1, "a too long response is not retried");
}

#[tokio::test]
async fn endless_list_is_an_error() {
    let page = |number: u32| CannedResponse::ok(json!({ "meshes": [], "nextToken": format!("t{number}") }));
    let server = CannedServer::start((0..=MOST_PAGES).map(page)).await;
    let error = server.aws().await.mesh().meshes().await.unwrap_err().to_string();
    assert!(error.contains("more than 1000 pages") && error.contains("[App Mesh ListMeshes]"), "{error}");
    assert_eq!(u32::try_from(server.requests().len()).unwrap(), MOST_PAGES);
}

#[tokio::test]
async fn list_with_a_repeated_token_is_an_error() {
    let page = || CannedResponse::ok(json!({ "meshes": [], "nextToken": "again" }));
    let server = CannedServer::start([page(), page(), page()]).await;
    let error = server.aws().await.mesh().meshes().await.unwrap_err().to_string();
    assert!(error.contains("repeats the token") && error.contains("[App Mesh ListMeshes]"), "{error}");
    assert_eq!(server.requests().len(), 2);

    let page = || CannedResponse::cbor(200, &json!({ "AlarmContributors": [], "NextToken": "again" }));
    let server = CannedServer::start([page(), page(), page()]).await;
    let alarm = AlarmName::parse("errors").unwrap();
    let error = server.aws().await.alarms().contributors(&alarm).await.unwrap_err().to_string();
    assert!(error.contains("repeats the token") && error.contains("[CloudWatch DescribeAlarmContributors]"), "{error}");
    assert_eq!(server.requests().len(), 2);
}
