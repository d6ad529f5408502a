//! `GET /proxies`: what each proxy was sent, and what it has taken.

use mesh::name::ResourcePath;
use serde_json::{Map, Value, json};
use xds::ads::{Status, TypeStatus};
use xds::ports::PortUse;
use xds::{Finding, ProxyId, ResourceType, SecretRef};

use super::Shared;
use super::picture::{Picture, SecretState, Served};
use super::roster::Entry;

impl Shared {
    /// Every open stream.
    pub(crate) async fn proxies(&self) -> Value {
        // What was written before the question is in the answer.
        self.cache.settle().await;
        let streams: Vec<Value> = self.roster.entries().iter().map(|entry| self.stream(entry)).collect();
        json!({"proxies": streams})
    }

    /// One proxy, connected or not. `None` if its resource does not exist.
    pub(crate) async fn proxy(&self, path: &ResourcePath) -> Option<Value> {
        let id: ProxyId = path.to_string().parse().ok()?;
        let description = self.cache.describe(id.clone()).await?;
        let streams: Vec<Value> = self.roster.entries_of(&id).iter().map(|entry| self.stream(entry)).collect();
        Some(json!({
            "resource": path.to_string(),
            "connected": !streams.is_empty(),
            "ports": ports(&description.ports),
            "findings": findings(&description.findings),
            "streams": streams,
        }))
    }

    fn stream(&self, entry: &Entry) -> Value {
        let who = &entry.who;
        let status = entry.acknowledged.status();
        let served = self.cache.served(&who.id).unwrap_or_default();
        let picture = served.picture();
        json!({
            "id": who.id.to_string(),
            "resource": who.id.path().to_string(),
            "cluster": who.cluster,
            "peer": who.peer.place.to_string(),
            "since": who.since.to_string(),
            "userAgent": who.user_agent,
            "protocol": who.protocol,
            "upToDate": up_to_date(&served, &status, entry),
            "types": types(&status),
            "certificates": picture.map(|picture| certificates(picture, &status)),
            "findings": picture.map(|picture| findings(&picture.findings)),
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

const fn kind_name(kind: ResourceType) -> &'static str {
    match kind {
        ResourceType::Cluster => "clusters",
        ResourceType::Endpoint => "endpoints",
        ResourceType::Secret => "secrets",
        ResourceType::Listener => "listeners",
        ResourceType::Route => "routes",
    }
}

/// Whether the proxy has acknowledged all that it is to have now. One that has not asked for its clusters and listeners
/// yet has nothing.
fn up_to_date(served: &Served, status: &Status, entry: &Entry) -> bool {
    let asked = [ResourceType::Cluster, ResourceType::Listener].iter().all(|kind| status.types.contains_key(kind));
    asked && served.picture().is_some_and(|picture| entry.acknowledged.has(&picture.snapshot))
}

/// The certificates that the proxy has acknowledged, by the name of their secret.
fn certificates(picture: &Picture, status: &Status) -> Value {
    let secrets = picture.secrets.iter().map(|(secret, state)| {
        let acknowledged = acknowledged(picture, status, secret);
        let value = match state {
            SecretState::BesideProxy => json!({"source": "besideProxy", "acknowledged": acknowledged}),
            SecretState::Missing => json!({"source": "missing", "acknowledged": false}),
            SecretState::Known(certificates) => json!({
                "source": "sent",
                "acknowledged": acknowledged,
                "certificates": certificates.iter().map(|certificate| json!({
                    "fingerprint": certificate.fingerprint,
                    "notAfter": certificate.not_after.to_string(),
                })).collect::<Vec<_>>(),
            }),
        };
        (secret.name(), value)
    });
    Value::Object(secrets.collect())
}

fn acknowledged(picture: &Picture, status: &Status, secret: &SecretRef) -> bool {
    let name = secret.name();
    let has = status.types.get(&ResourceType::Secret).and_then(|status| status.resources.get(&name));
    let is_to_have = picture.snapshot.find(ResourceType::Secret, &name).map(xds::Resource::version);
    has.is_some() && has == is_to_have
}

fn findings(findings: &[Finding]) -> Value {
    let one = |finding: &Finding| json!({"id": finding.id, "resource": finding.resource.to_string(), "message": finding.message});
    findings.iter().map(one).collect()
}

/// Explicit ports: where the proxy takes traffic in, where its application is to listen, and where the application
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
            // Between two listeners of one proxy: nobody else has any use for it.
            PortUse::Loop { .. } => {}
        }
    }
    json!({"ingress": ingress, "application": application, "egress": egress})
}
