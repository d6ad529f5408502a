//! Tables that are refused.

use control_plane::state::{Realm, Region};
use control_plane::storage::ItemLog;
use mesh::name::AccountId;

use crate::contract::realm;
use crate::ministack::MiniStack;

async fn refused(stack: &MiniStack, table: &str, realm: &Realm) -> String {
    ItemLog::open_table(stack.existing(table), realm).await.unwrap_err().to_string()
}

/// Calls DynamoDB with a body that the adapter has no operation for.
async fn call(stack: &MiniStack, operation: &str, body: serde_json::Value) {
    let client = reqwest::Client::new();
    let credential = "AWS4-HMAC-SHA256 Credential=123456789012/20260101/eu-west-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0";
    let request = client
        .post(&stack.endpoint)
        .header("authorization", credential)
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
        .body(body.to_string());
    let answer = request.send().await.unwrap();
    let status = answer.status();
    assert!(status.is_success(), "{operation}: {status} {}", answer.text().await.unwrap());
}

#[tokio::test]
async fn unsuitable_table_is_refused_with_a_remedy() {
    let Some(stack) = MiniStack::start().await else { return };
    let error = refused(&stack, "missing", &realm()).await;
    assert!(error.contains("does not exist") && error.contains("pk"), "{error}");

    drop(ItemLog::open_table(stack.table("other").await, &realm()).await.unwrap());
    for (account, region) in [("210987654321", "eu-west-1"), ("123456789012", "eu-north-1")] {
        let other = Realm::new(AccountId::parse(account).unwrap(), Region::parse(region).unwrap());
        let error = refused(&stack, "other", &other).await;
        assert!(error.contains("--account 123456789012 --region eu-west-1"), "{error}");
    }
    drop(ItemLog::open_table(stack.existing("other"), &realm()).await.unwrap());

    let mut store = stack.existing("other").get("meta", "store").await.unwrap().unwrap();
    store.insert("format".to_owned(), aws::TableValue::Number(99));
    stack.existing("other").put(&store).await.unwrap();
    let error = refused(&stack, "other", &realm()).await;
    assert!(error.contains("format 99"), "{error}");

    let copy = stack.table("copy").await;
    store.insert("format".to_owned(), aws::TableValue::Number(1));
    copy.put(&store).await.unwrap();
    let error = refused(&stack, "copy", &realm()).await;
    assert!(error.contains("table/other") && error.contains("table/copy"), "{error}");

    stack.table("ttl").await;
    let specification = serde_json::json!({"Enabled": true, "AttributeName": "until"});
    let body = serde_json::json!({"TableName": "ttl", "TimeToLiveSpecification": specification});
    call(&stack, "UpdateTimeToLive", body).await;
    let error = refused(&stack, "ttl", &realm()).await;
    assert!(error.contains("time to live"), "{error}");

    stack.table("global").await;
    let updates = serde_json::json!([{"Create": {"RegionName": "eu-north-1"}}]);
    call(&stack, "UpdateTable", serde_json::json!({
        "TableName": "global", "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    }))
    .await;
    call(&stack, "UpdateTable", serde_json::json!({"TableName": "global", "ReplicaUpdates": updates})).await;
    let error = refused(&stack, "global", &realm()).await;
    assert!(error.contains("global table"), "{error}");
}
