//! The metrics of the server, in the text format of Prometheus.
//!
//! Labels have few values, all known here: names of meshes or of resources are never labels.

mod durations;
mod events;
mod instances;
mod process;
mod rights;
mod store;
mod xds;

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use mesh::name::ResourceKind;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use rules::pack::Severity;

use crate::connections::ConnectionMetrics;
use crate::error::ErrorType;
use crate::instances::InstanceCounts;
use crate::label::Label;
use crate::state::{Change, Operation, State};
use durations::histogram;
pub(crate) use events::EventMetrics;
use instances::InstanceMetrics;
use process::ProcessMetrics;
pub(crate) use rights::RightsMetrics;
use store::StoreMetrics;
pub use xds::{ProxyKind, XdsMetrics, XdsType};

/// The content type of [`Metrics::text`].
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Histograms = Family<[Label; 1], Histogram, fn() -> Histogram>;

/// Every metric of one server.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<[Label; 2], Counter>,
    responses: Family<[Label; 2], Counter>,
    durations: Histograms,
    writes: Family<[Label; 2], Counter>,
    findings: Family<[Label; 2], Counter>,
    resources: Family<[Label; 1], Gauge>,
    commits: Family<[Label; 1], Counter>,
    commit_durations: Histogram,
    writable: Gauge,
    certificates: Family<[Label; 1], Gauge>,
    certificate_expiry: Gauge,
    events: EventMetrics,
    instances: InstanceMetrics,
    xds: XdsMetrics,
    connections: ConnectionMetrics,
    store: StoreMetrics,
    process: ProcessMetrics,
    rights: RightsMetrics,
}

impl Metrics {
    /// Registers every metric, with value 0.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("meshwarden");
        let requests = Family::<[Label; 2], Counter>::default();
        registry.register("requests", "Requests to the API, by operation and outcome", requests.clone());
        let responses = Family::<[Label; 2], Counter>::default();
        registry.register("responses", "Responses of the API, by operation and HTTP status code", responses.clone());
        let durations = Histograms::new_with_constructor(histogram);
        let help = "Time from a request's head to its response, by operation";
        registry.register_with_unit("request_duration", help, Unit::Seconds, durations.clone());
        let writes = Family::<[Label; 2], Counter>::default();
        registry.register("writes", "Changes, by operation and kind of resource", writes.clone());
        let findings = Family::<[Label; 2], Counter>::default();
        let help = "Findings that writes create, by outcome of the write and severity";
        registry.register("admission_findings", help, findings.clone());
        let resources = Family::<[Label; 1], Gauge>::default();
        registry.register("resources", "Resources that exist, by kind", resources.clone());
        let commits = Family::<[Label; 1], Counter>::default();
        registry.register("storage_commits", "Commits to the storage, by outcome", commits.clone());
        let commit_durations = histogram();
        let help = "Time of a commit to the storage, which all waiting writes share";
        registry.register_with_unit("storage_commit_duration", help, Unit::Seconds, commit_durations.clone());
        let writable = Gauge::default();
        registry.register("storage_writable", "1 unless the last commit to the storage failed", writable.clone());
        writable.set(1);
        for outcome in ["success", "failure"] {
            drop(commits.get_or_create(&[("outcome", outcome)]));
        }
        let certificates = Family::<[Label; 1], Gauge>::default();
        let help = "Secrets for proxies, by state: well, served with a problem, or missing";
        registry.register("certificates", help, certificates.clone());
        let certificate_expiry = Gauge::default();
        let help = "The earliest expiry of the served certificates, in seconds since 1970; 0 if none is served";
        registry.register("certificates_first_expiry_timestamp_seconds", help, certificate_expiry.clone());
        let events = EventMetrics::registered(&mut registry);
        let instances = InstanceMetrics::registered(&mut registry);
        let xds = XdsMetrics::registered(&mut registry);
        let connections = ConnectionMetrics::registered(&mut registry);
        let store = StoreMetrics::registered(&mut registry);
        let process = ProcessMetrics::registered(&mut registry);
        let rights = RightsMetrics::registered(&mut registry);
        Self {
            registry,
            requests,
            responses,
            durations,
            writes,
            findings,
            resources,
            commits,
            commit_durations,
            writable,
            certificates,
            certificate_expiry,
            events,
            instances,
            xds,
            connections,
            store,
            process,
            rights,
        }
    }

    /// The metrics of a shared store, updated by its worker.
    pub(crate) const fn store(&self) -> &StoreMetrics {
        &self.store
    }

    /// The metrics of connections and unknown callers, updated by the connection table and by authentication.
    pub(crate) fn connections(&self) -> ConnectionMetrics {
        self.connections.clone()
    }

    /// The metrics of rights, updated by their gate.
    pub(crate) fn rights(&self) -> RightsMetrics {
        self.rights.clone()
    }

    /// The metrics of the ADS server, updated by it.
    #[must_use]
    pub const fn xds(&self) -> &XdsMetrics {
        &self.xds
    }

    /// The metrics of change events, updated by the event queues.
    pub(crate) fn events(&self) -> EventMetrics {
        self.events.clone()
    }

    /// Counts a completed request.
    pub(crate) fn completed(&self, operation: &'static str, error: Option<ErrorType>, took: Duration) {
        let outcome = error.map_or("success", ErrorType::name);
        let code = error.map_or("200", code);
        self.responses.get_or_create(&[("operation", operation), ("code", code)]).inc();
        self.requests.get_or_create(&[("operation", operation), ("outcome", outcome)]).inc();
        self.durations.get_or_create(&[("operation", operation)]).observe(took.as_secs_f64());
    }

    /// Counts an accepted change.
    pub(crate) fn changed(&self, change: &Change) {
        let operation = match change.operation {
            Operation::Created => "created",
            Operation::Updated => "updated",
            Operation::Deleted => "deleted",
            Operation::Retagged => "retagged",
        };
        self.writes.get_or_create(&[("operation", operation), ("kind", kind(change.path.kind()))]).inc();
    }

    /// Counts a finding that a stored write created, or a refused one would have created.
    pub(crate) fn judged(&self, outcome: &'static str, severity: Severity) {
        let severity = match severity {
            Severity::Info => "info",
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        };
        self.findings.get_or_create(&[("outcome", outcome), ("severity", severity)]).inc();
    }

    /// Counts a commit.
    pub(crate) fn committed(&self, success: bool, took: Duration) {
        let outcome = if success { "success" } else { "failure" };
        self.commits.get_or_create(&[("outcome", outcome)]).inc();
        self.commit_durations.observe(took.as_secs_f64());
        self.writable.set(i64::from(success));
    }

    /// Updates the gauges of certificates.
    pub(crate) fn certificates(&self, counts: &CertificateCounts) {
        let CertificateCounts { well, with_problem, missing, first_expiry } = *counts;
        for (state, count) in [("well", well), ("with_problem", with_problem), ("missing", missing)] {
            self.certificates.get_or_create(&[("state", state)]).set(count);
        }
        self.certificate_expiry.set(first_expiry);
    }

    /// Updates the gauges of Cloud Map services.
    pub(crate) fn instances(&self, counts: &InstanceCounts) {
        self.instances.update(counts);
    }

    /// Whether the last commit succeeded.
    pub(crate) fn is_writable(&self) -> bool {
        self.writable.get() == 1
    }

    /// All metrics as text, including the number of resources of this state.
    pub(crate) fn text(&self, state: &State) -> Result<String, fmt::Error> {
        for (kind_of, count) in state.counts() {
            self.resources.get_or_create(&[("kind", kind(kind_of))]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.store.refresh();
        self.process.refresh();
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// The number of secrets for proxies by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CertificateCounts {
    /// Served without a problem.
    pub(crate) well: i64,
    /// Served, but expired or not renewed.
    pub(crate) with_problem: i64,
    /// Needed, but not available.
    pub(crate) missing: i64,
    /// The earliest expiry of the served certificates, in seconds since 1970.
    pub(crate) first_expiry: i64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// The label value of an error's status code.
const fn code(error: ErrorType) -> &'static str {
    match error {
        ErrorType::BadRequest | ErrorType::LimitExceeded | ErrorType::TooManyTags => "400",
        ErrorType::Forbidden => "403",
        ErrorType::NotFound | ErrorType::UnknownOperation => "404",
        ErrorType::MethodNotAllowed => "405",
        ErrorType::Conflict | ErrorType::ResourceInUse => "409",
        ErrorType::TooManyRequests => "429",
        ErrorType::ServiceUnavailable => "503",
    }
}

/// The label value of a kind.
const fn kind(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Mesh => "mesh",
        ResourceKind::VirtualNode => "virtual_node",
        ResourceKind::VirtualGateway => "virtual_gateway",
        ResourceKind::VirtualRouter => "virtual_router",
        ResourceKind::Route => "route",
        ResourceKind::VirtualService => "virtual_service",
        ResourceKind::GatewayRoute => "gateway_route",
    }
}
