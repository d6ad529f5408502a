//! The metrics of the ADS server.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::durations::histogram;
use crate::label::Label;

/// The kind of resource that an Envoy serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProxyKind {
    /// A virtual node.
    VirtualNode,
    /// A virtual gateway.
    VirtualGateway,
}

/// The xDS resource types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum XdsType {
    /// Listener configurations.
    Listener,
    /// Route configurations.
    Route,
    /// Cluster configurations.
    Cluster,
    /// Cluster load assignments.
    Endpoint,
    /// TLS secrets.
    Secret,
}

/// Counted by the ADS server. Every series exists from the start, with value 0.
#[derive(Debug)]
pub struct XdsMetrics {
    streams: Family<[Label; 1], Gauge>,
    pushes: Family<[Label; 1], Counter>,
    acks: Family<[Label; 1], Counter>,
    nacks: Family<[Label; 1], Counter>,
    refused: Family<[Label; 1], Counter>,
    builds: Histogram,
}

impl XdsMetrics {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self {
            streams: Family::default(),
            pushes: Family::default(),
            acks: Family::default(),
            nacks: Family::default(),
            refused: Family::default(),
            builds: histogram(),
        };
        registry.register("xds_streams", "Connected ADS streams, by kind of proxy", metrics.streams.clone());
        registry.register("xds_pushes", "Responses sent to proxies, by resource type", metrics.pushes.clone());
        registry.register("xds_acks", "Responses that proxies accepted, by resource type", metrics.acks.clone());
        registry.register("xds_nacks", "Responses that proxies refused, by resource type", metrics.nacks.clone());
        let help = "ADS streams that were refused or ended by a limit on proxies, by reason";
        registry.register("xds_streams_refused", help, metrics.refused.clone());
        for reason in ["no_request", "too_many_names", "too_many_streams"] {
            drop(metrics.refused.get_or_create(&[("reason", reason)]));
        }
        let help = "Time to build the snapshot of one proxy's resources";
        registry.register_with_unit("xds_snapshot_build_duration", help, Unit::Seconds, metrics.builds.clone());
        for kind in [ProxyKind::VirtualNode, ProxyKind::VirtualGateway] {
            drop(metrics.streams.get_or_create(&kind.label()));
        }
        for resource in [XdsType::Listener, XdsType::Route, XdsType::Cluster, XdsType::Endpoint, XdsType::Secret] {
            for family in [&metrics.pushes, &metrics.acks, &metrics.nacks] {
                drop(family.get_or_create(&resource.label()));
            }
        }
        metrics
    }

    /// Counts a stream that has identified its proxy.
    pub fn stream_opened(&self, kind: ProxyKind) {
        self.streams.get_or_create(&kind.label()).inc();
    }

    /// Counts the end of an opened stream.
    pub fn stream_closed(&self, kind: ProxyKind) {
        self.streams.get_or_create(&kind.label()).dec();
    }

    /// Counts a response that was sent.
    pub fn pushed(&self, resource: XdsType) {
        self.pushes.get_or_create(&resource.label()).inc();
    }

    /// Counts a response that was accepted.
    pub fn acked(&self, resource: XdsType) {
        self.acks.get_or_create(&resource.label()).inc();
    }

    /// Counts a response that was refused.
    pub fn nacked(&self, resource: XdsType) {
        self.nacks.get_or_create(&resource.label()).inc();
    }

    /// Counts a stream that was refused, or ended, by a limit.
    pub fn stream_refused(&self, reason: &'static str) {
        self.refused.get_or_create(&[("reason", reason)]).inc();
    }

    /// Records the time to build a snapshot.
    pub fn snapshot_built(&self, took: Duration) {
        self.builds.observe(took.as_secs_f64());
    }
}

impl ProxyKind {
    const fn label(self) -> [Label; 1] {
        let value = match self {
            Self::VirtualNode => "virtual_node",
            Self::VirtualGateway => "virtual_gateway",
        };
        [("kind", value)]
    }
}

impl XdsType {
    const fn label(self) -> [Label; 1] {
        let value = match self {
            Self::Listener => "listener",
            Self::Route => "route",
            Self::Cluster => "cluster",
            Self::Endpoint => "endpoint",
            Self::Secret => "secret",
        };
        [("type", value)]
    }
}
