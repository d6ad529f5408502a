//! Wires the function to AWS.

use std::process::ExitCode;
use std::sync::Arc;

use aws::Aws;
use jiff::Timestamp;
use policy::{BUILT_IN, Policy};
use ports::SystemClock;
use runner::{Config, PolicyKeeper, Runner, StartupError};
use traffic_shift::{NAME, Ports, TrafficShift};

fn main() -> ExitCode {
    runner::start(NAME, wire)
}

async fn wire(config: Config) -> Result<Runner<TrafficShift>, StartupError> {
    let aws = Aws::open_checked().await?;
    let source = aws.policy(&config.policy, BUILT_IN);
    let policy = PolicyKeeper::start(source, Policy::read, Timestamp::now()).await?;
    let mesh = Arc::new(aws.mesh_known_to(config.audience.as_deref()));
    let cloudwatch = Arc::new(aws.alarms());
    let ports = Ports {
        clock: Arc::new(SystemClock),
        meshes: Arc::clone(&mesh) as _,
        routes: Arc::clone(&mesh) as _,
        proxies: mesh,
        alarms: Arc::clone(&cloudwatch) as _,
        metrics: cloudwatch,
        functions: Arc::new(aws.functions()),
        state: Arc::new(aws.state(&config.table)),
        notifier: aws.notifier(config.topic.as_deref()),
        bus: aws.bus(config.bus.as_deref()),
        reports: aws.reports(config.reports.as_ref()),
    };
    Ok(traffic_shift::function(ports, policy))
}
