//! The path of a write: from the control plane over an event bus and a queue to the payload of a function.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use aws::Aws;
use control_plane::{EventReceiver, ReceiverKind};
use meshwarden_tests::stack::{ACCOUNT, ControlPlane, MiniStack, REGION, sdk_config};
use rules::audit::Who;
use runner::events::{MeshWrite, Payload, parse};
use serde_json::{Value, json};

/// The maximum time of events from the write to the queue.
const WITHIN: Duration = Duration::from_secs(20);

/// Calls a service of MiniStack in the JSON protocol.
async fn call(stack: &MiniStack, service: &str, target: &str, body: &Value) -> Value {
    let scope = format!("Credential={ACCOUNT}/20260101/{REGION}/{service}/aws4_request");
    let answer = reqwest::Client::new()
        .post(&stack.endpoint)
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", target)
        .header("authorization", format!("AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=00"))
        .body(body.to_string())
        .send()
        .await
        .unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{target}: {status} {text}");
    serde_json::from_str(&text).unwrap_or_default()
}

/// Creates a bus that forwards mesh writes to a queue, and returns the queue's address.
async fn bus(stack: &MiniStack) -> String {
    let queue = call(stack, "sqs", "AmazonSQS.CreateQueue", &json!({ "QueueName": "writes" })).await;
    call(stack, "events", "AWSEvents.CreateEventBus", &json!({ "Name": "mesh" })).await;
    let pattern = json!({ "source": ["aws.appmesh", "meshwarden.appmesh"] }).to_string();
    let rule = json!({ "Name": "writes", "EventBusName": "mesh", "EventPattern": pattern });
    call(stack, "events", "AWSEvents.PutRule", &rule).await;
    let arn = format!("arn:aws:sqs:{REGION}:{ACCOUNT}:writes");
    let targets = json!({ "Rule": "writes", "EventBusName": "mesh", "Targets": [{ "Id": "queue", "Arn": arn }] });
    call(stack, "events", "AWSEvents.PutTargets", &targets).await;
    queue["QueueUrl"].as_str().unwrap().to_owned()
}

/// Receives the bodies of `count` messages.
async fn received(stack: &MiniStack, queue: &str, count: usize) -> Vec<String> {
    let give_up = Instant::now() + WITHIN;
    let mut bodies = Vec::new();
    while bodies.len() < count {
        assert!(Instant::now() < give_up, "only {bodies:?} arrived");
        let request = json!({ "QueueUrl": queue, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 1 });
        let answer = call(stack, "sqs", "AmazonSQS.ReceiveMessage", &request).await;
        for message in answer["Messages"].as_array().into_iter().flatten() {
            let handle = json!({ "QueueUrl": queue, "ReceiptHandle": message["ReceiptHandle"] });
            call(stack, "sqs", "AmazonSQS.DeleteMessage", &handle).await;
            bodies.push(message["Body"].as_str().unwrap().to_owned());
        }
    }
    bodies
}

#[tokio::test]
async fn mesh_write_arrives_in_the_queue_unchanged() {
    let Some(stack) = MiniStack::start().await else { return };
    let queue = bus(&stack).await;
    let bus = Aws::with_config(sdk_config(&stack.endpoint).await).bus_of_mesh_writes("mesh");
    let plane = ControlPlane::with_event_receivers(vec![EventReceiver {
        kind: ReceiverKind::Bus,
        name: "bus:mesh".to_owned(),
        bus,
    }])
    .await;
    let appmesh = aws_sdk_appmesh::Client::new(&sdk_config(&plane.endpoint).await);
    appmesh.create_mesh().mesh_name("shop").send().await.unwrap();
    appmesh.update_mesh().mesh_name("shop").send().await.unwrap();
    let arn = format!("arn:aws:appmesh:{REGION}:{ACCOUNT}:mesh/shop");
    let tag = aws_sdk_appmesh::types::TagRef::builder().key("owner").value("ann").build().unwrap();
    appmesh.tag_resource().resource_arn(arn).tags(tag).send().await.unwrap();

    let mut writes: Vec<MeshWrite> = Vec::new();
    for body in received(&stack, &queue, 3).await {
        let record = json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "m", "body": body }] });
        match parse(&record).remove(0).payload {
            Payload::MeshWrite(write) => writes.push(write),
            other => panic!("{other:?} of {body}"),
        }
    }
    writes.sort_by_key(|write| (write.version.is_none(), write.version));
    let received_writes: Vec<(&str, Option<u64>)> =
        writes.iter().map(|write| (write.operation.as_str(), write.version)).collect();
    assert_eq!(received_writes, [("CreateMesh", Some(1)), ("UpdateMesh", Some(2)), ("TagResource", None)]);
    for write in &writes {
        assert_eq!(write.resource.as_ref().unwrap().to_string(), "mesh/shop");
        assert_eq!((&write.region, &write.error), (&Some(REGION.to_owned()), &None));
        assert!(write.at.is_some() && write.id.is_some());
        assert_eq!(write.caller.who, Who::Unknown, "callers on loopback are not authenticated");
        assert_eq!(write.caller.address.as_deref(), Some("127.0.0.1"));
        assert!(write.caller.agent.as_ref().unwrap().contains("aws-sdk-rust"), "{:?}", write.caller);
    }
}
