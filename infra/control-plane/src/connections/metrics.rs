//! The metrics of connections and of unknown callers.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Closed, ConnectionLimits, Service};
use crate::label::Label;

/// Counted by the connection table and by authentication. Every series exists from the start, with value 0.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionMetrics {
    connections: Family<[Label; 2], Gauge>,
    limits: Family<[Label; 1], Gauge>,
    closed: Family<[Label; 2], Counter>,
    unknown_bytes: Gauge,
    bodies_refused: Counter,
    replay_entries: Gauge,
    sts: Family<[Label; 1], Counter>,
}

/// The outcomes of an identity check.
pub(crate) const STS_OUTCOMES: [&str; 5] = ["vouched", "refused", "unavailable", "remembered_refusal", "queue_full"];

impl ConnectionMetrics {
    pub(crate) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self {
            connections: Family::default(),
            limits: Family::default(),
            closed: Family::default(),
            unknown_bytes: Gauge::default(),
            bodies_refused: Counter::default(),
            replay_entries: Gauge::default(),
            sts: Family::default(),
        };
        let help = "Open connections, by service and by whether an authenticated request or stream is under way";
        registry.register("connections", help, metrics.connections.clone());
        let help = "The bounds on connections: in all, idle of one service, idle of one client";
        registry.register("connections_limit", help, metrics.limits.clone());
        let help = "Connections that the server closed or did not serve, by service and reason";
        registry.register("connections_closed", help, metrics.closed.clone());
        let help = "Bytes of buffered requests from callers that are not authenticated yet";
        registry.register("unauthenticated_bytes", help, metrics.unknown_bytes.clone());
        let help = "Request bodies of unauthenticated callers that were refused or displaced because the memory limit was reached";
        registry.register("unauthenticated_bodies_refused", help, metrics.bodies_refused.clone());
        let help = "Remembered signatures of writes, against replay";
        registry.register("replay_entries", help, metrics.replay_entries.clone());
        let help = "Presented identities with --api-auth sts, by outcome";
        registry.register("sts_identities", help, metrics.sts.clone());
        for service in Service::ALL {
            metrics.count(service, 0, 0);
            for why in Closed::ALL {
                drop(metrics.closed.get_or_create(&[("service", service.label()), ("reason", why.label())]));
            }
        }
        for outcome in STS_OUTCOMES {
            drop(metrics.sts.get_or_create(&[("outcome", outcome)]));
        }
        metrics
    }

    pub(crate) fn count(&self, service: Service, open: usize, idle: usize) {
        for (state, count) in [("idle", idle), ("busy", open.saturating_sub(idle))] {
            let labels = [("service", service.label()), ("state", state)];
            self.connections.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    pub(crate) fn limits(&self, limits: &ConnectionLimits) {
        let ConnectionLimits { total, idle, idle_per_client, .. } = *limits;
        for (scope, limit) in [("total", total), ("idle", idle), ("idle_per_client", idle_per_client)] {
            self.limits.get_or_create(&[("scope", scope)]).set(i64::try_from(limit).unwrap_or(i64::MAX));
        }
    }

    pub(crate) fn closed(&self, service: Service, why: Closed) {
        self.closed.get_or_create(&[("service", service.label()), ("reason", why.label())]).inc();
    }

    pub(crate) fn unknown_bytes(&self, bytes: usize) {
        self.unknown_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub(crate) fn body_refused(&self) {
        self.bodies_refused.inc();
    }

    pub(crate) fn replay_entries(&self, entries: usize) {
        self.replay_entries.set(i64::try_from(entries).unwrap_or(i64::MAX));
    }

    pub(crate) fn sts(&self, outcome: &'static str) {
        self.sts.get_or_create(&[("outcome", outcome)]).inc();
    }
}
