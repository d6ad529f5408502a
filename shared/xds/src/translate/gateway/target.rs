//! The virtual services behind a gateway, and the hosts by which its ingress side names them to its egress side.

use std::collections::BTreeMap;

use mesh::name::{ResourcePath, VirtualServiceName};
use mesh::spec::{DefaultRewrite, GatewayRouteTarget, HostnameRewrite};

use super::super::backends::{Offer, offers};
use super::super::draft::Draft;
use super::super::finding;

/// The targets of a gateway's routes, by the host that names them.
pub(super) type Targets<'m> = BTreeMap<String, Target<'m>>;

/// A virtual service, and one of its ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target<'m> {
    pub(super) service: &'m VirtualServiceName,
    pub(super) port: TargetPort,
    /// Whether a request keeps the client's host, and names its target in a header.
    pub(super) keeps_host: bool,
}

/// The port of a virtual service that a gateway route selects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TargetPort {
    /// A port that accepts requests.
    Offered(Offer),
    /// No port that accepts requests matches.
    Unusable,
    /// The service has no provider, so it has no ports.
    None,
}

impl<'m> Draft<'m> {
    /// The target of a gateway route, with the host that names it. `None`, with a finding, if the service does
    /// not exist.
    pub(super) fn target(
        &mut self,
        wanted: &'m GatewayRouteTarget,
        rewrite: Option<&HostnameRewrite>,
        path: &ResourcePath,
    ) -> Option<(String, Target<'m>)> {
        let service = &wanted.virtual_service.virtual_service_name;
        if !self.mesh.services.contains_key(service) {
            let message =
                format!("virtual service {service} doesn't exist, so its requests are answered with 503; create it");
            self.find(finding::DANGLING_BACKEND, path.clone(), message);
            return None;
        }
        let keeps_host =
            rewrite.is_some_and(|rewrite| rewrite.default_target_hostname == Some(DefaultRewrite::Disabled));
        let port = self.target_port(wanted, path);
        // The service's name means its first port, as it does for a service with one port.
        let is_first = match &port {
            TargetPort::Offered(offer) => self.for_requests(service).first() == Some(offer),
            TargetPort::Unusable => wanted.port.is_none(),
            TargetPort::None => true,
        };
        let host = match wanted.port {
            Some(port) if !is_first => format!("{service}:{port}"),
            _ => service.to_string(),
        };
        Some((host, Target { service, port, keeps_host }))
    }

    fn target_port(&mut self, wanted: &GatewayRouteTarget, path: &ResourcePath) -> TargetPort {
        let service = &wanted.virtual_service.virtual_service_name;
        if offers(self.mesh, service).is_empty() {
            return TargetPort::None;
        }
        let usable = self.for_requests(service);
        let found = match wanted.port {
            Some(port) => usable.iter().find(|offer| offer.port == port),
            None => usable.first(),
        };
        let Some(offer) = found else {
            let port = wanted.port.map_or_else(String::new, |port| format!(" on port {port}"));
            let message = format!("virtual service {service} accepts no requests{port}, so they are answered with 503");
            self.find(finding::NO_LISTENER, path.clone(), message);
            return TargetPort::Unusable;
        };
        if wanted.port.is_none() && usable.len() > 1 {
            let message = format!(
                "virtual service {service} has several ports and none is named, so {} is used; name one",
                offer.port
            );
            self.find(finding::AMBIGUOUS_PORT, path.clone(), message);
        }
        TargetPort::Offered(offer.clone())
    }

    /// The ports on which a service accepts requests.
    fn for_requests(&self, service: &VirtualServiceName) -> Vec<Offer> {
        offers(self.mesh, service).into_iter().filter(|offer| !offer.is_tcp()).collect()
    }
}
