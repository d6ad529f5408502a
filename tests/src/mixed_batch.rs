//! A queue's batch with one failing mesh and one truncated message: only those two messages are delivered again.

use serde_json::{Value, json};

use crate::faults::Fault;
use crate::function::Function;
use crate::way::Way;

/// More than all attempts of a call.
const PERSISTENT: usize = 10_000;

/// The faults of this test.
pub const FAULTS: [Fault; 4] = [Fault::Unavailable, Fault::TooManyRequests, Fault::InternalError, Fault::Reset];

/// Delivers a batch with messages about the meshes `shop` and `lab`, of which `lab` cannot be read, and one truncated
/// message. `event` creates the event about a mesh.
pub async fn check(function: &mut Function, way: &Way, fault: Fault, event: impl Fn(&str) -> Value) {
    let of_shop = event("shop").to_string();
    let bodies = [("shop", of_shop.as_str()), ("lab", &event("lab").to_string()), ("cut", &of_shop[..40])]
        .map(|(id, body)| json!({ "messageId": id, "body": body, "eventSource": "aws:sqs" }));
    way.inject_next("/meshes/lab", fault, PERSISTENT);
    let answer = function.answer(&json!({ "Records": bodies })).await.unwrap();
    way.heal();
    let failures = answer["batchItemFailures"].as_array().unwrap().iter();
    let mut failed: Vec<&str> = failures.filter_map(|one| one["itemIdentifier"].as_str()).collect();
    failed.sort_unstable();
    assert_eq!(failed, ["cut", "lab"], "{fault:?}: {answer:#}");
}

/// A write to a mesh as CloudTrail reports it.
#[must_use]
pub fn mesh_update(mesh: &str) -> Value {
    json!({ "version": "0", "id": mesh, "detail-type": "AWS API Call via CloudTrail", "source": "aws.appmesh",
        "account": "123456789012", "time": "2026-11-20T10:03:51Z", "region": "eu-west-1", "resources": [],
        "detail": { "eventSource": "appmesh.amazonaws.com", "eventName": "UpdateMesh",
            "eventTime": "2026-11-20T10:03:50Z", "requestParameters": { "meshName": mesh },
            "userIdentity": { "type": "Root", "accountId": "123456789012" } } })
}
