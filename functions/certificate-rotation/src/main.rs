//! Wires the function to AWS.

use std::process::ExitCode;
use std::sync::Arc;

use aws::Aws;
use certificate_rotation::{CertificateRotation, NAME, Ports};
use jiff::Timestamp;
use policy::{BUILT_IN, Policy};
use ports::SystemClock;
use ports::certificates::{SystemKeys, SystemProbe};
use runner::{Config, PolicyKeeper, Runner, StartupError};

fn main() -> ExitCode {
    runner::start(NAME, wire)
}

async fn wire(config: Config) -> Result<Runner<CertificateRotation>, StartupError> {
    let aws = Aws::open_checked().await?;
    let source = aws.policy(&config.policy, BUILT_IN);
    let policy = PolicyKeeper::start(source, Policy::read, Timestamp::now()).await?;
    let mesh = Arc::new(aws.mesh_known_to(config.audience.as_deref()));
    let ports = Ports {
        clock: Arc::new(SystemClock),
        meshes: Arc::clone(&mesh) as _,
        writer: Arc::clone(&mesh) as _,
        proxies: mesh,
        probe: Arc::new(SystemProbe),
        certificates: Arc::new(aws.certificates()),
        authorities: Arc::new(aws.authorities()),
        bundles: Arc::new(aws.bundles()),
        keys: Arc::new(SystemKeys),
        state: Arc::new(aws.state(&config.table)),
        notifier: aws.notifier(config.topic.as_deref()),
        bus: aws.bus(config.bus.as_deref()),
        reports: aws.reports(config.reports.as_ref()),
    };
    Ok(certificate_rotation::function(ports, policy))
}
