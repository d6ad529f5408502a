//! Wires the function to AWS.

use std::process::ExitCode;
use std::sync::Arc;

use aws::Aws;
use change_audit::{ChangeAudit, NAME, Ports, function};
use jiff::Timestamp;
use policy::{BUILT_IN, Policy};
use ports::SystemClock;
use runner::{Config, PolicyKeeper, Runner, StartupError};

fn main() -> ExitCode {
    runner::start(NAME, wire)
}

async fn wire(config: Config) -> Result<Runner<ChangeAudit>, StartupError> {
    let aws = Aws::open_checked().await?;
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
    Ok(function(ports, policy))
}
