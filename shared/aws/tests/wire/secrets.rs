//! The requests to Secrets Manager, and the parsing of its responses.

use crate::canned::{CannedResponse, CannedServer};
use ports::PortErrorKind;
use ports::certificates::{Bundle, PrivateKey, SecretBundles, SecretId, Stage, VersionId};
use serde_json::{Value, json};

const OLD: &str = "00000000-0000-4000-8000-000000000001";
const NEW: &str = "00000000-0000-4000-8000-000000000002";

fn secret() -> SecretId {
    SecretId::parse("mesh/orders").unwrap()
}

fn version(text: &str) -> VersionId {
    VersionId::parse(text).unwrap()
}

fn value(stages: &[&str]) -> CannedResponse {
    CannedResponse::ok(json!({ "VersionId": NEW, "VersionStages": stages, "SecretString": "{\"trust\":\"root\"}" }))
}

fn description(stages: &Value) -> CannedResponse {
    CannedResponse::ok(
        json!({ "ARN": "arn:aws:secretsmanager:x", "RotationEnabled": true, "VersionIdsToStages": stages,
        "Tags": [{ "Key": "mesh", "Value": "shop" }] }),
    )
}

#[tokio::test]
async fn missing_version_is_not_a_missing_secret() {
    let missing = || CannedResponse::error(400, "ResourceNotFoundException", json!({}));
    let server = CannedServer::start([missing(), description(&json!({})), missing(), missing()]).await;
    let bundles = server.aws().await.bundles();
    assert_eq!(bundles.read(&secret(), Stage::Previous).await.unwrap(), None);
    assert_eq!(bundles.read(&secret(), Stage::Previous).await.unwrap_err().kind, PortErrorKind::NotFound);
    assert_eq!(server.requests()[0].json(), json!({ "SecretId": "mesh/orders", "VersionStage": "AWSPREVIOUS" }));
}

#[tokio::test]
async fn current_version_is_not_pending() {
    let both = json!({ NEW: ["AWSCURRENT", "AWSPENDING"], OLD: ["AWSPREVIOUS", "blue"], "1": ["old"] });
    let server = CannedServer::start([
        value(&["AWSPENDING", "AWSCURRENT"]),
        value(&["AWSPENDING", "AWSCURRENT"]),
        value(&["AWSPENDING"]),
        description(&both),
    ])
    .await;
    let bundles = server.aws().await.bundles();
    assert_eq!(bundles.read(&secret(), Stage::Pending).await.unwrap(), None);
    let trust = Bundle { trust: Some("root".into()), ..Bundle::default() };
    for stage in [Stage::Current, Stage::Pending] {
        let found = bundles.read(&secret(), stage).await.unwrap().unwrap();
        assert_eq!((found.version, found.bundle), (version(NEW), trust.clone()));
    }
    let found = bundles.describe(&secret()).await.unwrap();
    let expected = [(Stage::Current, version(NEW)), (Stage::Previous, version(OLD))];
    assert_eq!(found.at.into_iter().collect::<Vec<_>>(), expected);
    assert!(found.rotated_by_others);
    assert_eq!(found.tags["mesh"], "shop");
}

#[tokio::test]
async fn bundle_is_stored_as_pending_under_its_version() {
    let server = CannedServer::start([
        CannedResponse::ok(json!({})),
        CannedResponse::error(400, "ResourceExistsException", json!({})),
    ])
    .await;
    let bundles = server.aws().await.bundles();
    let key = PrivateKey::new("key".to_owned().into());
    let bundle = Bundle { key: Some(key), request: Some("csr".into()), ..Bundle::default() };
    bundles.put_pending(&secret(), &version(NEW), &bundle).await.unwrap();
    let again = bundles.put_pending(&secret(), &version(NEW), &bundle).await.unwrap_err();
    assert_eq!(again.kind, PortErrorKind::Conflict);
    let expected = json!({
        "SecretId": "mesh/orders", "ClientRequestToken": NEW, "VersionStages": ["AWSPENDING"],
        "SecretString": "{\"privateKey\":\"key\",\"signingRequest\":\"csr\"}",
    });
    assert_eq!(server.requests()[0].json(), expected);
}

#[tokio::test]
async fn overtaken_promotion_is_a_conflict() {
    let overtaken = json!({ "message": "the label is attached to another version" });
    let server = CannedServer::start([
        CannedResponse::ok(json!({})),
        CannedResponse::error(400, "InvalidParameterException", overtaken),
    ])
    .await;
    let bundles = server.aws().await.bundles();
    bundles.promote(&secret(), Some(&version(OLD)), &version(NEW)).await.unwrap();
    let error = bundles.promote(&secret(), Some(&version(OLD)), &version(NEW)).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Conflict);
    let expected = json!({
        "SecretId": "mesh/orders", "VersionStage": "AWSCURRENT", "MoveToVersionId": NEW, "RemoveFromVersionId": OLD,
    });
    assert_eq!(server.requests()[0].json(), expected);
}

#[tokio::test]
async fn invalid_bundle_is_reported_without_its_content() {
    let stages = ["AWSCURRENT"];
    for (member, text, expected) in [
        ("SecretBinary", "aHVzaA==", "binary"),
        ("SecretString", "hush", "line 1"),
        ("SecretString", "{\"chain\": \"hush\"}", "`certificate`"),
    ] {
        let answer = json!({ "VersionId": NEW, "VersionStages": stages, member: text });
        let server = CannedServer::start([CannedResponse::ok(answer)]).await;
        let error = server.aws().await.bundles().read(&secret(), Stage::Current).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Other);
        assert!(error.message.contains(expected) && !format!("{error:?}").contains("hush"), "{error:?}");
    }
}

/// IAM does not say which condition failed, so the error names the tag that the role requires.
#[tokio::test]
async fn denied_call_names_the_tag_that_the_role_requires() {
    let denied = || CannedResponse::error(400, "AccessDeniedException", json!({ "Message": "not authorized" }));
    let server = CannedServer::start([denied(), denied(), denied()]).await;
    let aws = server.aws().await;
    let bundles = aws.bundles();
    let read = bundles.read(&secret(), Stage::Current).await.map(drop);
    let put = bundles.put_pending(&secret(), &version(NEW), &Bundle::default()).await;
    for outcome in [read, put] {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Denied);
        assert!(error.message.ends_with("with the tag `meshwarden:bundle` = `true`"), "{error}");
    }
}
