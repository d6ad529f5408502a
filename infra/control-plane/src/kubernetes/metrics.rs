//! The metrics of the reconciliation with a Kubernetes cluster.

use std::sync::Arc;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::label::Label;

/// Every metric. A clone shares the values.
#[derive(Debug, Clone)]
pub(crate) struct KubernetesMetrics {
    registry: Arc<Registry>,
    passes: Family<[Label; 1], Counter>,
    last_success: Gauge,
    writes: Family<[Label; 2], Counter>,
    objects: Family<[Label; 1], Gauge>,
    orphans: Gauge,
    watches: Family<[Label; 1], Counter>,
    admissions: Family<[Label; 2], Counter>,
    leader: Gauge,
}

impl KubernetesMetrics {
    /// Registers every metric, with value 0.
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("meshwarden_kubernetes");
        let passes = Family::<[Label; 1], Counter>::default();
        registry.register("passes", "Passes over the objects of the cluster, by outcome", passes.clone());
        let last_success = Gauge::default();
        let help = "The end of the last pass without a failure, in seconds since 1970";
        registry.register("last_success_timestamp_seconds", help, last_success.clone());
        let writes = Family::<[Label; 2], Counter>::default();
        registry.register("writes", "Writes to the App Mesh API, by action and outcome", writes.clone());
        let objects = Family::<[Label; 1], Gauge>::default();
        registry.register("objects", "Objects with resources, by the status of their condition", objects.clone());
        let orphans = Gauge::default();
        let help = "Resources that an object created which vanished without its finalizer";
        registry.register("orphans", help, orphans.clone());
        let watches = Family::<[Label; 1], Counter>::default();
        registry.register("watch_ends", "Ends of watches, by reason", watches.clone());
        let admissions = Family::<[Label; 2], Counter>::default();
        registry.register("admissions", "Admission reviews, by webhook and verdict", admissions.clone());
        let leader = Gauge::default();
        registry.register("leader", "1 while this process holds the lease and writes", leader.clone());
        let uptime = Gauge::<i64>::default();
        registry.register_with_unit(
            "start_timestamp",
            "The start of the process since 1970",
            Unit::Seconds,
            uptime.clone(),
        );
        uptime.set(jiff::Timestamp::now().as_second());
        Self {
            registry: Arc::new(registry),
            passes,
            last_success,
            writes,
            objects,
            orphans,
            watches,
            admissions,
            leader,
        }
    }

    pub(super) fn passed(&self, is_complete: bool) {
        self.passes.get_or_create(&[("outcome", if is_complete { "complete" } else { "failed" })]).inc();
        if is_complete {
            self.last_success.set(jiff::Timestamp::now().as_second());
        }
    }

    pub(super) fn written(&self, action: &'static str, outcome: &'static str) {
        self.writes.get_or_create(&[("action", action), ("outcome", outcome)]).inc();
    }

    pub(super) fn objects(&self, active: usize, inactive: usize, orphans: usize) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.objects.get_or_create(&[("condition", "true")]).set(number(active));
        self.objects.get_or_create(&[("condition", "not_true")]).set(number(inactive));
        self.orphans.set(number(orphans));
    }

    pub(super) fn watch_ended(&self, reason: &'static str) {
        self.watches.get_or_create(&[("reason", reason)]).inc();
    }

    pub(super) fn admitted(&self, webhook: &'static str, verdict: &'static str) {
        self.admissions.get_or_create(&[("webhook", webhook), ("verdict", verdict)]).inc();
    }

    pub(super) fn leads(&self, is_leader: bool) {
        self.leader.set(i64::from(is_leader));
    }

    /// The metrics in the text format of Prometheus.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a text cannot fail.
        let _ = text::encode(&mut text, &self.registry);
        text
    }
}
