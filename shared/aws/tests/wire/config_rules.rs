//! The requests to AWS Config.

use crate::canned::{CannedResponse, CannedServer};
use ports::{
    Annotation, ConfigItem, ConfigResource, ConfigRules, Evaluation, ItemStatus, PortErrorKind, PutAnswer, ResultToken,
    RuleCompliance, put_all_evaluations,
};
use serde_json::{Value, json};

fn resource(number: usize) -> ConfigResource {
    ConfigResource {
        resource_type: "AWS::AppMesh::VirtualNode".into(),
        resource_id: format!("arn:aws:appmesh:eu-west-1:123456789012:mesh/shop/virtualNode/n{number}"),
    }
}

fn evaluation(number: usize) -> Evaluation {
    Evaluation {
        resource: resource(number),
        compliance: RuleCompliance::NonCompliant,
        annotation: Annotation::new("tag-missing: it lacks the tag `owner`"),
        at: "2026-11-20T10:03:50.512Z".parse().unwrap(),
    }
}

#[tokio::test]
async fn evaluations_are_sent_in_batches_of_100() {
    let server = CannedServer::start([
        CannedResponse::ok(json!({})),
        CannedResponse::ok(json!({})),
        CannedResponse::ok(json!({})),
    ])
    .await;
    let config = server.aws().await.config_rules();
    let all: Vec<_> = (0..250).map(evaluation).collect();
    let outcome = put_all_evaluations(&config, &ResultToken::new("token"), &all).await;
    assert!(outcome.is_complete() && outcome.accepted == 250, "{outcome:?}");
    let requests = server.requests();
    let sizes: Vec<_> =
        requests.iter().map(|request| request.json()["Evaluations"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [100, 100, 50]);
    let body = requests[0].json();
    assert_eq!((&body["ResultToken"], &body["TestMode"]), (&json!("token"), &json!(false)));
    let expected = json!({
        "ComplianceResourceType": "AWS::AppMesh::VirtualNode",
        "ComplianceResourceId": resource(0).resource_id,
        "ComplianceType": "NON_COMPLIANT",
        "Annotation": "tag-missing: it lacks the tag `owner`",
        "OrderingTimestamp": 1_795_169_030.512,
    });
    assert_eq!(body["Evaluations"][0], expected);
    assert_eq!(requests[2].json()["Evaluations"][49]["ComplianceResourceId"], resource(249).resource_id);
}

#[tokio::test]
async fn test_mode_is_passed_on_and_no_evaluation_sends_no_request() {
    let server = CannedServer::start([CannedResponse::ok(json!({}))]).await;
    let config = server.aws().await.config_rules();
    let token = ResultToken::new("TESTMODE");
    config.put_evaluations(&token, &[evaluation(1)]).await.unwrap();
    config.put_evaluations(&token, &[]).await.unwrap();
    assert_eq!(server.requests().len(), 1);
    assert_eq!(server.requests()[0].json()["TestMode"], true);
}

#[tokio::test]
async fn refused_evaluations_are_returned() {
    let failed = json!({ "FailedEvaluations": [{ "ComplianceResourceType": "AWS::AppMesh::VirtualNode",
        "ComplianceResourceId": resource(1).resource_id, "ComplianceType": "NON_COMPLIANT", "OrderingTimestamp": 1 }] });
    let server = CannedServer::start([CannedResponse::ok(failed)]).await;
    let config = server.aws().await.config_rules();
    let all = [evaluation(0), evaluation(1)];
    let answer = config.put_evaluations(&ResultToken::new("token"), &all).await.unwrap();
    assert_eq!(answer, PutAnswer::Taken { failed: vec![evaluation(1)] });
    let message = "no";
    for (code, expected) in [
        ("InvalidResultTokenException", Some(PutAnswer::InvalidToken { message: message.to_owned() })),
        ("NoSuchConfigRuleException", Some(PutAnswer::InvalidToken { message: message.to_owned() })),
        ("InvalidParameterValueException", Some(PutAnswer::Invalid { message: message.to_owned() })),
        ("AccessDeniedException", None),
    ] {
        let server = CannedServer::start([CannedResponse::error(400, code, json!({ "message": message }))]).await;
        let config = server.aws().await.config_rules();
        match (config.put_evaluations(&ResultToken::new("token"), &all).await, expected) {
            (Ok(answer), Some(expected)) => assert_eq!(answer, expected, "{code}"),
            (Err(error), None) => assert_eq!(error.kind, PortErrorKind::Denied, "{error}"),
            other => panic!("{code}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn newest_item_is_read_and_missing_item_is_not_an_error() {
    let arn = resource(1).resource_id;
    let found = |status: &str| -> Value {
        json!({ "configurationItems": [{ "version": "1.3", "accountId": "123456789012", "arn": arn,
            "configurationItemCaptureTime": 1_795_169_030.512, "configurationItemStatus": status,
            "resourceType": "AWS::AppMesh::VirtualNode", "resourceId": arn, "configuration": "{}" }] })
    };
    let unknown = json!({ "message": "Resource n1 of resourceType: AWS::AppMesh::VirtualNode is unknown" });
    let server = CannedServer::start([
        CannedResponse::ok(found("ResourceDeleted")),
        CannedResponse::ok(found("Vanished")),
        CannedResponse::ok(json!({ "configurationItems": [] })),
        CannedResponse::error(400, "ResourceNotDiscoveredException", unknown),
        CannedResponse::error(400, "NoAvailableConfigurationRecorderException", json!({ "message": "none" })),
    ])
    .await;
    let config = server.aws().await.config_rules();
    let item =
        |status| Some(ConfigItem::new(resource(1), Some(&arn), status, "2026-11-20T10:03:50.512Z".parse().unwrap()));
    let wanted = resource(1);
    assert_eq!(config.newest_item(&wanted).await.unwrap(), item(ItemStatus::ResourceDeleted));
    assert_eq!(config.newest_item(&wanted).await.unwrap(), item(ItemStatus::Unrecognised("Vanished".into())));
    assert_eq!(config.newest_item(&wanted).await.unwrap(), None);
    assert_eq!(config.newest_item(&wanted).await.unwrap(), None);
    assert_eq!(config.newest_item(&wanted).await.unwrap_err().kind, PortErrorKind::Other);
    let body = server.requests()[0].json();
    assert_eq!((&body["resourceType"], &body["resourceId"]), (&json!("AWS::AppMesh::VirtualNode"), &json!(arn)));
    assert_eq!(body["limit"], 1);
}
