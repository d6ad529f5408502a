//! The metrics of Cloud Map services.

use std::sync::atomic::Ordering;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::instances::InstanceCounts;
use crate::label::Label;

/// The Cloud Map services that connected proxies call, by state, and their polls, by outcome. Every series exists
/// from the start, with value 0.
#[derive(Debug)]
pub(super) struct InstanceMetrics {
    services: Family<[Label; 1], Gauge>,
    calls: Family<[Label; 1], Counter>,
}

impl InstanceMetrics {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self { services: Family::default(), calls: Family::default() };
        let help = "Cloud Map services that proxies call: well, served with a problem, or with unknown instances";
        registry.register("cloud_map_services", help, metrics.services.clone());
        let help = "Polls for the instances of a service, by outcome";
        registry.register("cloud_map_calls", help, metrics.calls.clone());
        metrics.update(&InstanceCounts::default());
        metrics
    }

    pub(super) fn update(&self, counts: &InstanceCounts) {
        let InstanceCounts { well, with_problem, missing, answers, throttles, failures } = *counts;
        for (state, count) in [("well", well), ("with_problem", with_problem), ("unknown", missing)] {
            self.services.get_or_create(&[("state", state)]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        for (outcome, count) in [("success", answers), ("throttled", throttles), ("failure", failures)] {
            // The poller counts; this only copies its value.
            self.calls.get_or_create(&[("outcome", outcome)]).inner().store(count, Ordering::Relaxed);
        }
    }
}
