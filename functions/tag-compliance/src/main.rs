//! Wires the function to AWS.

use std::process::ExitCode;
use std::sync::Arc;

use aws::Aws;
use compliance::{Compliance, Ports};
use jiff::Timestamp;
use policy::{BUILT_IN, Policy};
use ports::SystemClock;
use runner::{Config, PolicyKeeper, Runner, StartupError};
use tag_compliance::{NAME, function};

fn main() -> ExitCode {
    runner::start(NAME, wire)
}

async fn wire(config: Config) -> Result<Runner<Compliance>, StartupError> {
    let aws = Aws::open_checked().await?;
    let source = aws.policy(&config.policy, BUILT_IN);
    let policy = PolicyKeeper::start(source, Policy::read, Timestamp::now()).await?;
    let mesh = Arc::new(aws.mesh_known_to(config.audience.as_deref()));
    let ports = Ports {
        clock: Arc::new(SystemClock),
        meshes: Arc::clone(&mesh) as _,
        tags: Arc::clone(&mesh) as _,
        specs: mesh,
        config: Arc::new(aws.config_rules()),
        state: Arc::new(aws.state(&config.table)),
        notifier: aws.notifier(config.topic.as_deref()),
        bus: aws.bus(config.bus.as_deref()),
        reports: aws.reports(config.reports.as_ref()),
    };
    Ok(function(ports, policy))
}
