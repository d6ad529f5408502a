//! An echo that makes the same SDK clients as route-failover, and uses none of them.

use aws::Aws;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let aws = Aws::open().await;
    let clients = (aws.mesh(), aws.alarms(), aws.state("meshwarden"), aws.notifier(None), aws.bus(None));
    let clients = &clients;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| async move {
        // What is never used would be left out of the binary.
        if event.payload.get("print").is_some() {
            return Ok(Value::String(format!("{clients:?}")));
        }
        Ok::<_, Error>(event.payload)
    }))
    .await
}
