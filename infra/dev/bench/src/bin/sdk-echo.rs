//! An echo that creates the SDK clients of route-failover, without using them.

use aws::Aws;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let aws = Aws::open().await;
    let clients = (aws.mesh(), aws.alarms(), aws.state("meshwarden"), aws.notifier(None), aws.bus(None));
    let clients = &clients;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| async move {
        // The linker would remove unused clients from the binary.
        if event.payload.get("print").is_some() {
            return Ok(Value::String(format!("{clients:?}")));
        }
        Ok::<_, Error>(event.payload)
    }))
    .await
}
