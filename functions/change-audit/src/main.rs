//! Wires the function to AWS.

use std::sync::Arc;

use aws::Aws;
use change_audit::{ChangeAudit, NAME, Ports};
use jiff::Timestamp;
use lambda_kit::{Config, PolicyKeeper};
use mesh::policy::{BUILT_IN, Policy};
use ports::SystemClock;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let config = Config::from_env(|variable| std::env::var(variable).ok())?;
    lambda_kit::log_to_stdout(&config.log);
    let aws = Aws::open().await;
    let source = aws.policy(&config.policy, BUILT_IN);
    let policy = PolicyKeeper::start(source, Policy::read, Timestamp::now()).await?;
    let ports = Ports {
        clock: Arc::new(SystemClock),
        meshes: Arc::new(aws.mesh_known_to(config.audience.as_deref())),
        state: Arc::new(aws.state(&config.table)),
        notifier: aws.notifier(config.topic.as_deref()),
        bus: aws.bus(config.bus.as_deref()),
        reports: config.reports.as_ref().map(|place| aws.reports(Some(place))),
    };
    lambda_kit::run(NAME, ChangeAudit::new(ports, policy)).await
}
