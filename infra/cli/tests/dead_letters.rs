//! The built command over SQS queues of MiniStack. It lists, redrives and deletes a message that a consumer could not
//! handle.
#![cfg(feature = "aws")]
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use meshwarden_tests::stack::{ACCOUNT, MiniStack, REGION};
use serde_json::{Value, json};
use tokio::process::Command;

/// The time limit for the move of a message between queues.
const WITHIN: Duration = Duration::from_secs(20);

async fn sqs(stack: &MiniStack, operation: &str, body: &Value) -> Value {
    let scope = format!("Credential={ACCOUNT}/20260101/{REGION}/sqs/aws4_request");
    let request = reqwest::Client::new()
        .post(&stack.endpoint)
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-target", format!("AmazonSQS.{operation}"))
        .header("authorization", format!("AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=00"))
        .body(body.to_string());
    let answer = request.send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{operation}: {status} {text}");
    serde_json::from_str(&text).unwrap_or_default()
}

/// Runs the command, and returns its exit code and output.
async fn meshwarden(stack: &MiniStack, line: &str) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_meshwarden"))
        .arg("dead-letters")
        .args(line.split(' '))
        .env_clear()
        .env("AWS_ENDPOINT_URL", &stack.endpoint)
        .env("AWS_REGION", REGION)
        .env("MESHWARDEN_TABLE", "letters")
        .env("USER", "dana")
        .env("AWS_ACCESS_KEY_ID", ACCOUNT)
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .output()
        .await
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Receives without deletion until the dead-letter queue has the wanted number of messages.
async fn exhaust(stack: &MiniStack, queue: &str, dead: &str, wanted: usize) {
    let give_up = Instant::now() + WITHIN;
    loop {
        sqs(stack, "ReceiveMessage", &json!({ "QueueUrl": queue, "VisibilityTimeout": 0 })).await;
        let request = json!({ "QueueUrl": dead, "AttributeNames": ["ApproximateNumberOfMessages"] });
        let answer = sqs(stack, "GetQueueAttributes", &request).await;
        if answer["Attributes"]["ApproximateNumberOfMessages"].as_str() == Some(wanted.to_string().as_str()) {
            return;
        }
        assert!(Instant::now() < give_up, "{answer}");
    }
}

#[tokio::test]
async fn dead_letters_are_listed_sent_again_and_deleted() {
    let Some(stack) = MiniStack::start().await else { return };
    stack.create_table("letters").await;
    let dead = sqs(&stack, "CreateQueue", &json!({ "QueueName": "mw-DeadLetterQueue" })).await;
    let dead = dead["QueueUrl"].as_str().unwrap();
    let policy = json!({ "deadLetterTargetArn": format!("arn:aws:sqs:{REGION}:{ACCOUNT}:mw-DeadLetterQueue"), "maxReceiveCount": 1 });
    let attributes = json!({ "RedrivePolicy": policy.to_string() });
    let created = json!({ "QueueName": "mw-AlarmQueue", "Attributes": attributes });
    let queue = sqs(&stack, "CreateQueue", &created).await;
    let queue = queue["QueueUrl"].as_str().unwrap();
    let alarm = json!({ "AlarmName": "a", "NewStateValue": "ALARM" }).to_string();
    let cut = "{\"AlarmName\":";
    let mut ids = Vec::new();
    for body in [alarm.as_str(), cut] {
        let traced = json!({ "trace": { "DataType": "String", "StringValue": "t-1" } });
        let message = json!({ "QueueUrl": queue, "MessageBody": body, "MessageAttributes": traced });
        ids.push(sqs(&stack, "SendMessage", &message).await["MessageId"].as_str().unwrap().to_owned());
    }
    exhaust(&stack, queue, dead, 2).await;

    let (code, listed, error) = meshwarden(&stack, "list --queue mw-DeadLetterQueue").await;
    assert_eq!(code, Some(0), "{error}");
    assert!(
        listed.contains("route-failover") && listed.contains("alarm a ALARM") && listed.contains("not JSON"),
        "{listed}"
    );
    assert!(ids.iter().all(|id| listed.contains(id.as_str())) && listed.ends_with("2 dead letters\n"), "{listed}");
    let (code, shown, _) = meshwarden(&stack, &format!("show {} --queue {dead}", ids[0])).await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        (code, &shown[0]["event"]["AlarmName"], &shown[0]["attributes"]["trace"]),
        (Some(0), &json!("a"), &json!("t-1"))
    );

    let (code, _, error) = meshwarden(&stack, "redrive --all --queue mw-DeadLetterQueue").await;
    assert_eq!(code, Some(1), "{error}");
    assert!(
        error.contains("it is unreadable and would become a dead letter again")
            && error.contains("1 of 2 dead letters stay"),
        "{error}"
    );
    let request = json!({ "QueueUrl": queue, "MessageAttributeNames": ["All"] });
    let again = sqs(&stack, "ReceiveMessage", &request).await;
    assert_eq!((&again["Messages"][0]["Body"], again["Messages"].as_array().unwrap().len()), (&json!(alarm), 1));
    assert_eq!(again["Messages"][0]["MessageAttributes"]["trace"]["StringValue"], "t-1");

    let (code, _, error) = meshwarden(&stack, "drop none --queue mw-DeadLetterQueue").await;
    assert_eq!((code, error.contains("no dead letter has the id none")), (Some(1), true), "{error}");
    let (code, dropped, error) = meshwarden(&stack, &format!("drop {} --queue mw-DeadLetterQueue", ids[1])).await;
    assert_eq!((code, dropped.as_str()), (Some(0), "1 dead letter deleted\n"), "{error}");
    let (code, history, error) = meshwarden(&stack, "history").await;
    assert_eq!(code, Some(0), "{error}");
    assert!(history.contains("dana redrives 1 dead letter") && history.contains("dana deletes 1"), "{history}");
    let (_, listed, _) = meshwarden(&stack, "list --queue mw-DeadLetterQueue").await;
    assert_eq!(listed, "0 dead letters\n");
    let (code, _, error) = meshwarden(&stack, "list --queue absent").await;
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("failed to find queue absent") && !error.contains(" { "), "{error}");
}
