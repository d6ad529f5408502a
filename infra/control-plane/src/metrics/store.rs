//! The metrics of a store that several replicas share.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::durations::histogram;

/// Updated by the worker of the store. A store of this process alone has no conflicts, reads and reports.
#[derive(Debug)]
pub(crate) struct StoreMetrics {
    conflicts: Counter,
    reads: Histogram,
    replicas: Gauge,
    registry_age: Gauge,
    /// The last successful report to the registry of replicas.
    reported: Mutex<Option<Instant>>,
}

impl StoreMetrics {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self {
            conflicts: Counter::default(),
            reads: histogram(),
            replicas: Gauge::default(),
            registry_age: Gauge::default(),
            reported: Mutex::default(),
        };
        let help = "Appends to the shared store that found another replica's entry at their position";
        registry.register("storage_conflicts", help, metrics.conflicts.clone());
        let help = "Time of a read of the shared log, which all waiting readers share";
        registry.register_with_unit("storage_read_duration", help, Unit::Seconds, metrics.reads.clone());
        let help = "Live replicas of the store as this one observes them, itself included";
        registry.register("replicas", help, metrics.replicas.clone());
        let help = "Time since this replica last reported itself and read the other reports; 0 before the first report";
        registry.register_with_unit("registry_age", help, Unit::Seconds, metrics.registry_age.clone());
        metrics.replicas.set(1);
        metrics
    }

    /// Counts an append that found its position used.
    pub(crate) fn conflicted(&self) {
        self.conflicts.inc();
    }

    /// Records the time of a read of the log.
    pub(crate) fn read(&self, took: Duration) {
        self.reads.observe(took.as_secs_f64());
    }

    /// Records a successful report to the registry, which lists this many live replicas.
    pub(crate) fn reported(&self, replicas: usize) {
        *self.reported.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.replicas.set(i64::try_from(replicas).unwrap_or(i64::MAX));
    }

    /// Updates the gauges that depend on the time.
    pub(super) fn refresh(&self) {
        let reported = *self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let age = reported.map_or(0, |reported| reported.elapsed().as_secs());
        self.registry_age.set(i64::try_from(age).unwrap_or(i64::MAX));
    }
}
