//! Wires the function to AWS.

use std::sync::Arc;

use aws::Aws;
use certificate_rotation::{CertificateRotation, NAME, Ports};
use jiff::Timestamp;
use lambda_kit::{Config, PolicyKeeper};
use mesh::policy::{BUILT_IN, Policy};
use ports::SystemClock;
use ports::certificates::{SystemKeys, SystemProbe};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let config = Config::from_env(|variable| std::env::var(variable).ok())?;
    lambda_kit::log_to_stdout(&config.log);
    let aws = Aws::open().await;
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
    lambda_kit::run(NAME, CertificateRotation::new(ports, policy)).await
}
