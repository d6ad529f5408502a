//! The bounds on responses, and the errors when a service exceeds them.

use aws::{LONGEST_ANSWER, MOST_PAGES};
use mesh::alarm::AlarmName;
use ports::{AlarmReader as _, MeshReader as _, PortErrorKind};
use serde_json::json;

use crate::canned::{Answer, Canned};

#[tokio::test]
async fn answer_that_is_too_long_is_an_error_that_names_service_operation_and_bound() {
    let long = " ".repeat(usize::try_from(LONGEST_ANSWER).unwrap() + 1);
    let server = Canned::answering([Answer::ok(long), Answer::ok(json!({ "meshes": [] }))]).await;
    let error = server.aws().await.mesh().meshes().await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Other, "{error}");
    let text = "refused: the answer is longer than 24 MiB, the most that is read [App Mesh ListMeshes]";
    assert_eq!(error.to_string(), format!("failed to list meshes: {text}"));
    assert_eq!(server.asked().len(), 1, "no retry makes it shorter");
}

#[tokio::test]
async fn list_without_end_is_an_error() {
    let page = |number: u32| Answer::ok(json!({ "meshes": [], "nextToken": format!("t{number}") }));
    let server = Canned::answering((0..=MOST_PAGES).map(page)).await;
    let error = server.aws().await.mesh().meshes().await.unwrap_err().to_string();
    assert!(error.contains("more than 1000 pages") && error.contains("[App Mesh ListMeshes]"), "{error}");
    assert_eq!(u32::try_from(server.asked().len()).unwrap(), MOST_PAGES);
}

#[tokio::test]
async fn list_that_repeats_its_token_is_an_error() {
    let page = || Answer::ok(json!({ "meshes": [], "nextToken": "again" }));
    let server = Canned::answering([page(), page(), page()]).await;
    let error = server.aws().await.mesh().meshes().await.unwrap_err().to_string();
    assert!(error.contains("repeats the token") && error.contains("[App Mesh ListMeshes]"), "{error}");
    assert_eq!(server.asked().len(), 2);

    let page = || Answer::cbor(200, &json!({ "AlarmContributors": [], "NextToken": "again" }));
    let server = Canned::answering([page(), page(), page()]).await;
    let alarm = AlarmName::parse("errors").unwrap();
    let error = server.aws().await.alarms().contributors(&alarm).await.unwrap_err().to_string();
    assert!(error.contains("repeats the token") && error.contains("[CloudWatch DescribeAlarmContributors]"), "{error}");
    assert_eq!(server.asked().len(), 2);
}
