//! Wires the function to AWS.

use std::process::ExitCode;
use std::sync::Arc;

use aws::Aws;
use jiff::Timestamp;
use policy::{BUILT_IN, Policy};
use ports::SystemClock;
use route_failover::{NAME, Ports, Recipient, RouteFailover, function};
use runner::{Config, PolicyKeeper, Runner, StartupError};

fn main() -> ExitCode {
    runner::start(NAME, wire)
}

async fn wire(config: Config) -> Result<Runner<RouteFailover>, StartupError> {
    let aws = Aws::open_checked().await?;
    let source = aws.policy(&config.policy, BUILT_IN);
    let policy = PolicyKeeper::start(source, Policy::read, Timestamp::now()).await?;
    let mesh = Arc::new(aws.mesh_known_to(config.audience.as_deref()));
    let ports = Ports {
        clock: Arc::new(SystemClock),
        meshes: Arc::clone(&mesh) as _,
        routes: mesh,
        alarms: Arc::new(aws.alarms()),
        state: Arc::new(aws.state(&config.table)),
        notifier: aws.notifier(config.topic.as_deref()),
        bus: aws.bus(config.bus.as_deref()),
        reports: aws.reports(config.reports.as_ref()),
    };
    let set = |variable: &str| std::env::var(variable).ok().filter(|value| !value.is_empty());
    let recipient = Recipient {
        function: set("AWS_LAMBDA_FUNCTION_NAME"),
        topics: config.alarm_topics.iter().cloned().collect(),
        region: set("AWS_REGION"),
    };
    Ok(function(ports, policy, recipient))
}
