//! `GET /proxies`: the sent and acknowledged configuration of each proxy.

use mesh::certificates::ServiceInstances;
use mesh::graph::Mesh;
use mesh::name::{MeshName, ResourcePath};
use serde_json::{Map, Value, json};
use xds::ads::{Status, TypeStatus};
use xds::ports::PortUse;
use xds::{Finding, Instance, ProxyId, ResourceType};

use super::AdsState;
use super::certificate_report::{AcknowledgedOnStream, certificates, served};
use super::proxy_snapshot::Served;
use super::registry::RegisteredStream;
use crate::instances::{CloudMapService, InstanceCounts};
use crate::metrics::CertificateCounts;
use crate::secrets::{SecretProblem, SecretReport};

impl AdsState {
    /// The report on one proxy, connected or not, with these streams. `None` if its resource does not exist.
    pub(super) async fn described(&self, path: &ResourcePath, streams: Vec<Value>) -> Option<Value> {
        let id: ProxyId = path.to_string().parse().ok()?;
        let description = self.cache.describe(id).await?;
        Some(json!({
            "resource": path.to_string(),
            "connected": !streams.is_empty(),
            "ports": ports(&description.ports),
            "findings": findings(&description.findings),
            "streams": streams,
        }))
    }

    /// The mesh that snapshots are built from, and the findings of each proxy that has any. `None` if the mesh does
    /// not exist.
    pub(crate) async fn model(&self, mesh: &MeshName) -> Option<(Mesh, Value)> {
        let model = self.cache.model(mesh).await?;
        let nodes = model.nodes.keys().map(|name| ResourcePath::VirtualNode(mesh.clone(), name.clone()));
        let gateways = model.gateways.keys().map(|name| ResourcePath::VirtualGateway(mesh.clone(), name.clone()));
        let mut left_out = Map::new();
        for path in nodes.chain(gateways) {
            let Ok(id) = path.to_string().parse() else { continue };
            let description = self.cache.describe(id).await;
            if let Some(description) = description.filter(|description| !description.findings.is_empty()) {
                left_out.insert(path.to_string(), findings(&description.findings));
            }
        }
        Some((model, Value::Object(left_out)))
    }

    /// All secrets of proxies.
    pub(crate) fn certificates(&self) -> Value {
        let one = |report: SecretReport| {
            let problem = report.problem.map(|SecretProblem { id, message }| json!({"id": id, "message": message}));
            json!({
                "name": report.name,
                "certificates": served(&report.certificates),
                "problem": problem,
                "checked": report.checked.map(|checked| checked.to_string()),
            })
        };
        json!({"certificates": self.secrets.reports().into_iter().map(one).collect::<Vec<_>>()})
    }

    /// The number of secrets by state.
    pub(crate) fn certificate_counts(&self) -> CertificateCounts {
        let mut counts = CertificateCounts::default();
        let reports = self.secrets.reports();
        for report in &reports {
            match (report.certificates.is_empty(), &report.problem) {
                (true, _) => counts.missing += 1,
                (false, Some(_)) => counts.with_problem += 1,
                (false, None) => counts.well += 1,
            }
        }
        let ends = reports.iter().flat_map(|report| &report.certificates).map(|one| one.not_after.as_second());
        counts.first_expiry = ends.min().unwrap_or_default();
        counts
    }

    /// The attributes of the known instances of each Cloud Map service.
    pub(crate) fn known_instances(&self) -> Vec<ServiceInstances> {
        let book = self.instances.known();
        let one = |((namespace, service), instances): (&CloudMapService, &Vec<Instance>)| ServiceInstances {
            namespace: namespace.clone(),
            service: service.clone(),
            attributes: instances.iter().map(|instance| instance.attributes.clone()).collect(),
        };
        book.known.iter().map(one).collect()
    }

    /// The counts of Cloud Map services; `None` for a source that does not poll.
    pub(crate) fn instance_counts(&self) -> Option<InstanceCounts> {
        self.instances.counts()
    }

    /// Requests all secrets again; returns their number.
    pub(crate) fn refresh_certificates(&self) -> usize {
        self.secrets.refresh()
    }

    /// The report on a stream of this replica.
    pub(super) fn stream(&self, entry: &RegisteredStream) -> Value {
        let who = &entry.who;
        let status = entry.acknowledged.status();
        let current = self.cache.served(&who.id).unwrap_or_default();
        let proxy_snapshot = current.proxy_snapshot();
        json!({
            "id": who.id.to_string(),
            "resource": who.id.path().to_string(),
            "cluster": who.cluster,
            "peer": who.peer.address.to_string(),
            "since": who.since.to_string(),
            "userAgent": who.user_agent,
            "protocol": who.protocol,
            "upToDate": up_to_date(&current, &status, entry),
            "types": types(&status),
            "certificates": proxy_snapshot.map(|proxy_snapshot| {
                let acknowledged = AcknowledgedOnStream { status: &status, stream: &*entry.acknowledged };
                certificates(proxy_snapshot, &acknowledged, self.files.as_ref())
            }),
            "findings": proxy_snapshot.map(|proxy_snapshot| findings(&proxy_snapshot.findings)),
        })
    }
}

fn types(status: &Status) -> Value {
    let types = status.types.iter().map(|(kind, status)| {
        let TypeStatus { sent, acknowledged, resources, nack } = status;
        let nack = nack.as_ref().map(|nack| json!({"version": nack.version.as_str(), "message": nack.message}));
        let value = json!({
            "sent": sent.as_ref().map(xds::Version::as_str),
            "acknowledged": acknowledged.as_ref().map(xds::Version::as_str),
            "resources": resources.iter().map(|(name, version)| (name.clone(), version.as_str().into())).collect::<Map<_, _>>(),
            "nack": nack,
        });
        (kind_name(*kind).to_owned(), value)
    });
    Value::Object(types.collect())
}

pub(super) const fn kind_name(kind: ResourceType) -> &'static str {
    match kind {
        ResourceType::Cluster => "clusters",
        ResourceType::Endpoint => "endpoints",
        ResourceType::Secret => "secrets",
        ResourceType::Listener => "listeners",
        ResourceType::Route => "routes",
    }
}

/// Whether the proxy has acknowledged its complete current configuration. A proxy that has not requested its clusters
/// and listeners yet has acknowledged nothing.
pub(super) fn up_to_date(served: &Served, status: &Status, entry: &RegisteredStream) -> bool {
    let requested = [ResourceType::Cluster, ResourceType::Listener].iter().all(|kind| status.types.contains_key(kind));
    requested && served.proxy_snapshot().is_some_and(|proxy_snapshot| entry.acknowledged.has(proxy_snapshot))
}

pub(super) fn findings(findings: &[Finding]) -> Value {
    let one = |finding: &Finding| json!({"id": finding.id, "resource": finding.resource.to_string(), "message": finding.message});
    findings.iter().map(one).collect()
}

/// Explicit ports: where the proxy accepts traffic, where its application has to listen, and where the application
/// reaches each backend.
fn ports(ports: &[(PortUse, u16)]) -> Value {
    let (mut ingress, mut application, mut egress) = (Vec::new(), Vec::new(), Vec::new());
    for (to, at) in ports {
        match to {
            PortUse::Ingress { port, .. } => ingress.push(json!({"listener": port.get(), "port": at})),
            PortUse::Application { port, .. } => application.push(json!({"listener": port.get(), "port": at})),
            PortUse::Egress { service, port, .. } => {
                egress.push(json!({"backend": service.as_str(), "servicePort": port.get(), "port": at}));
            }
            // A port between two listeners of one proxy, of no use outside it.
            PortUse::Loop { .. } => {}
        }
    }
    json!({"ingress": ingress, "application": application, "egress": egress})
}
