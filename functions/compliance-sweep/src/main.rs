//! Wires the function to AWS.

use std::process::ExitCode;
use std::sync::Arc;

use aws::Aws;
use compliance_sweep::{ComplianceSweep, NAME, Ports, Settings, function};
use jiff::Timestamp;
use policy::{BUILT_IN, Policy};
use ports::SystemClock;
use runner::{Config, PolicyKeeper, Runner, StartupError};

fn main() -> ExitCode {
    runner::start(NAME, wire)
}

async fn wire(config: Config) -> Result<Runner<ComplianceSweep>, StartupError> {
    let settings = Settings::from_env(|variable| std::env::var(variable).ok(), config.bus.is_some())?;
    let aws = Aws::open_checked().await?;
    let source = aws.policy(&config.policy, BUILT_IN);
    let policy = PolicyKeeper::start(source, Policy::read, Timestamp::now()).await?;
    let ports = Ports {
        clock: Arc::new(SystemClock),
        meshes: Arc::new(aws.mesh_known_to(config.audience.as_deref())),
        certificates: Arc::new(aws.certificates()),
        authorities: Arc::new(aws.authorities()),
        bundles: Arc::new(aws.bundles()),
        state: Arc::new(aws.state(&config.table)),
        notifier: aws.notifier(config.topic.as_deref()),
        bus: aws.bus(config.bus.as_deref()),
        reports: aws.reports(config.reports.as_ref()),
        security_hub: settings.security_hub.then(|| Arc::new(aws.security_hub()) as _),
    };
    Ok(function(ports, policy, settings.fan_out))
}
