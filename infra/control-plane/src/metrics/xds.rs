//! The metrics of the ADS server.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::{Label, histogram};

/// What an Envoy stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProxyKind {
    /// A member of a virtual node.
    VirtualNode,
    /// A member of a virtual gateway.
    VirtualGateway,
}

/// The resource types that Envoys are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum XdsType {
    /// Listeners.
    Listener,
    /// Route configurations.
    Route,
    /// Clusters.
    Cluster,
    /// Cluster load assignments.
    Endpoint,
    /// TLS secrets.
    Secret,
}

/// Counted by the ADS server. Every series is there from the start, at 0.
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
        let help = "ADS streams that were refused or ended by the limits on what proxies may take, by reason";
        registry.register("xds_streams_refused", help, metrics.refused.clone());
        for reason in ["no_request", "too_many_names", "too_many_streams"] {
            drop(metrics.refused.get_or_create(&[("reason", reason)]));
        }
        let help = "Time to build the snapshot of one proxy's resources";
        registry.register_with_unit("xds_snapshot_build_duration", help, Unit::Seconds, metrics.builds.clone());
        for kind in [ProxyKind::VirtualNode, ProxyKind::VirtualGateway] {
            drop(metrics.streams.get_or_create(&kind.label()));
        }
        for of in [XdsType::Listener, XdsType::Route, XdsType::Cluster, XdsType::Endpoint, XdsType::Secret] {
            for family in [&metrics.pushes, &metrics.acks, &metrics.nacks] {
                drop(family.get_or_create(&of.label()));
            }
        }
        metrics
    }

    /// A stream told who it is.
    pub fn stream_opened(&self, kind: ProxyKind) {
        self.streams.get_or_create(&kind.label()).inc();
    }

    /// A stream that was opened ended.
    pub fn stream_closed(&self, kind: ProxyKind) {
        self.streams.get_or_create(&kind.label()).dec();
    }

    /// A response was sent.
    pub fn pushed(&self, of: XdsType) {
        self.pushes.get_or_create(&of.label()).inc();
    }

    /// A response was accepted.
    pub fn acked(&self, of: XdsType) {
        self.acks.get_or_create(&of.label()).inc();
    }

    /// A response was refused.
    pub fn nacked(&self, of: XdsType) {
        self.nacks.get_or_create(&of.label()).inc();
    }

    /// A stream was refused, or ended, by a limit.
    pub fn stream_refused(&self, reason: &'static str) {
        self.refused.get_or_create(&[("reason", reason)]).inc();
    }

    /// A snapshot was built.
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
