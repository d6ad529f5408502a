//! The metrics of the process itself.

use std::time::Instant;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// The release, and how long the process has been running.
#[derive(Debug)]
pub(super) struct ProcessMetrics {
    uptime: Gauge,
    began: Instant,
}

impl ProcessMetrics {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self { uptime: Gauge::default(), began: Instant::now() };
        let build = Info::new([("version", env!("CARGO_PKG_VERSION")), ("target", std::env::consts::ARCH)]);
        registry.register("build", "The release of this process", build);
        registry.register_with_unit("uptime", "Time since the start", Unit::Seconds, metrics.uptime.clone());
        metrics
    }

    /// Updates the gauge that depends on the time.
    pub(super) fn refresh(&self) {
        self.uptime.set(i64::try_from(self.began.elapsed().as_secs()).unwrap_or(i64::MAX));
    }
}
