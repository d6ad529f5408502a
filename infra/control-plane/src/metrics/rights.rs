//! The metrics of rights.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::label::Label;

/// Counts denied requests, and writes beyond the limit.
#[derive(Debug, Clone)]
pub(crate) struct RightsMetrics {
    denied: Family<[Label; 2], Counter>,
    limited: Counter,
}

impl RightsMetrics {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let denied = Family::<[Label; 2], Counter>::default();
        let help = "Requests that the rights of their caller do not allow, by operation and missing grant";
        registry.register("rights_denied", help, denied.clone());
        let limited = Counter::default();
        registry.register("writes_limited", "Writes beyond the limit of their key or role", limited.clone());
        Self { denied, limited }
    }

    /// Counts a denied request.
    pub(crate) fn denied(&self, operation: &'static str, missing: &'static str) {
        self.denied.get_or_create(&[("operation", operation), ("missing", missing)]).inc();
    }

    /// Counts a write beyond the limit.
    pub(crate) fn write_limited(&self) {
        self.limited.inc();
    }
}
