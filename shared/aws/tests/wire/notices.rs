//! The requests to topics, buses, parameters and buckets.

use crate::canned::{CannedResponse, CannedServer};
use ports::{BusEvent, Notice, PolicyLocation, PortErrorKind, ReportsLocation, Urgency};
use serde_json::json;

fn event(n: usize) -> BusEvent {
    BusEvent { detail_type: "Meshwarden Decision".into(), detail: json!({ "n": n }), resources: vec!["arn:r".into()] }
}

#[tokio::test]
async fn events_are_sent_in_batches_of_10_with_our_source() {
    let well = || CannedResponse::ok(json!({ "FailedEntryCount": 0, "Entries": [] }));
    let server = CannedServer::start([well(), well()]).await;
    let events: Vec<_> = (0..12).map(event).collect();
    server.aws().await.bus(Some("mesh")).put(&events).await.unwrap();
    let sizes: Vec<_> =
        server.requests().iter().map(|request| request.json()["Entries"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [10, 2]);
    let entry = &server.requests()[1].json()["Entries"][1];
    assert_eq!(entry["Source"], "meshwarden");
    assert_eq!(entry["EventBusName"], "mesh");
    assert_eq!(entry["Detail"], "{\"n\":11}");
    assert_eq!(entry["Resources"], json!(["arn:r"]));
}

#[tokio::test]
async fn refused_entry_in_a_successful_call_is_an_error() {
    for (code, kind) in [
        ("ThrottlingException", PortErrorKind::Throttled),
        ("InternalFailure", PortErrorKind::Unavailable),
        ("NotAuthorizedForSourceException", PortErrorKind::Denied),
        ("MalformedDetail", PortErrorKind::Other),
    ] {
        let entries = json!([{ "EventId": "1" }, { "ErrorCode": code, "ErrorMessage": "no" }]);
        let server =
            CannedServer::start([CannedResponse::ok(json!({ "FailedEntryCount": 1, "Entries": entries }))]).await;
        let error = server.aws().await.bus(Some("mesh")).put(&[event(1), event(2)]).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(code), "{error}");
    }
}

#[tokio::test]
async fn notice_has_a_bounded_subject_and_its_urgency() {
    let answer = "<PublishResponse><PublishResult><MessageId>m</MessageId></PublishResult></PublishResponse>";
    let server = CannedServer::start([CannedResponse::ok(answer)]).await;
    let notice = Notice { urgency: Urgency::Page, subject: "drained ü".repeat(40), body: "all of it".into() };
    server.aws().await.notifier(Some("arn:aws:sns:eu-west-1:123456789012:mesh")).notify(&notice).await.unwrap();
    let body = String::from_utf8(server.requests()[0].body.to_vec()).unwrap();
    assert!(body.contains("TopicArn=arn%3Aaws%3Asns%3Aeu-west-1%3A123456789012%3Amesh"), "{body}");
    assert!(body.contains("Value.StringValue=page"), "{body}");
    assert!(!body.contains("%C3"), "{body}");
}

#[tokio::test]
async fn notice_and_event_without_destination_are_only_logged() {
    let server = CannedServer::start([]).await;
    let aws = server.aws().await;
    let notice = Notice { urgency: Urgency::Note, subject: "s".into(), body: "b".into() };
    aws.notifier(None).notify(&notice).await.unwrap();
    aws.bus(None).put(&[event(1)]).await.unwrap();
    aws.reports(None).put("a/b.json", b"{}").await.unwrap();
    assert_eq!(server.requests().len(), 0);
}

#[cfg(feature = "ssm")]
#[tokio::test]
async fn policy_is_read_from_parameter_or_object() {
    let server = CannedServer::start([
        CannedResponse::ok(json!({ "Parameter": { "Name": "/mw", "Value": "version: 1" } })),
        CannedResponse::ok("version: 2"),
        CannedResponse::error(400, "ParameterNotFound", json!({})),
    ])
    .await;
    let aws = server.aws().await;
    let parameter = aws.policy(&PolicyLocation::Ssm { parameter: "/mw".into() }, "version: 0");
    assert_eq!(parameter.read().await.unwrap(), "version: 1");
    let object = aws.policy(&PolicyLocation::S3 { bucket: "rules".into(), key: "mesh/p.yaml".into() }, "version: 0");
    assert_eq!(object.read().await.unwrap(), "version: 2");
    assert_eq!(parameter.read().await.unwrap_err().kind, PortErrorKind::NotFound);
    assert_eq!(aws.policy(&PolicyLocation::BuiltIn, "version: 0").read().await.unwrap(), "version: 0");
    let requests = server.requests();
    assert_eq!(requests[0].json(), json!({ "Name": "/mw", "WithDecryption": true }));
    assert_eq!(requests[1].uri.path(), "/rules/mesh/p.yaml");
}

#[tokio::test]
async fn report_is_stored_under_its_prefix() {
    let server = CannedServer::start([CannedResponse::ok("")]).await;
    let place = ReportsLocation::S3 { bucket: "reports".into(), prefix: "mesh/".into() };
    let stored = server.aws().await.reports(Some(&place)).put("2026/a.json", b"{}").await.unwrap();
    assert_eq!(stored, "s3://reports/mesh/2026/a.json");
    assert_eq!(
        (server.requests()[0].method.as_str(), server.requests()[0].uri.path()),
        ("PUT", "/reports/mesh/2026/a.json")
    );
}
