//! The proxy of a virtual node: inbound traffic for the application, and outbound traffic from it.

use std::collections::{BTreeMap, BTreeSet};

use envoy_types::pb::envoy::config::core::v3::TrafficDirection;
use envoy_types::pb::envoy::config::listener::v3::{FilterChain, FilterChainMatch};
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy::ClusterSpecifier;
use mesh::name::{VirtualNodeName, VirtualServiceName};
use mesh::spec::{Backend, ClientPolicy, EgressFilterType, Port, Protocol, VirtualNodeSpec};
use mesh::tls::client_policy_for;

use super::backends::{Offer, offers};
use super::draft::Draft;
use super::finding;
use super::listeners::{
    chains, closing, http_manager, listener, original_dst, tcp_proxy, tls_inspector, tls_inspector_on, to_anywhere,
    to_port,
};
use super::names::{self, EGRESS_PORT, INGRESS_PORT};
use super::proto::LOOPBACK;
use super::routes::{Called, domains, virtual_host};
use super::tls::Served;
use crate::port_book::PortUse;
use crate::proxy::Proxy;

/// The hosts that App Mesh proxies can reach regardless of the egress filter.
const AWS_HOSTS: &str = "*.amazonaws.com";
const HTTPS: u16 = 443;

/// The port where a proxy accepts the traffic of a listener.
#[derive(Debug, Clone, Copy)]
enum IngressPort {
    /// The port of all redirected traffic.
    Shared,
    /// A loopback port for this listener only.
    Own(u16),
}

/// A backend that the application calls, on one of the backend's ports.
struct CalledBackend<'m> {
    service: &'m VirtualServiceName,
    policy: Option<&'m ClientPolicy>,
    offer: Offer,
}

impl<'m> Draft<'m> {
    pub(super) fn node(&mut self, name: &'m VirtualNodeName, spec: &'m VirtualNodeSpec) {
        self.node_ingress(name, spec);
        if self.is_explicit() {
            self.explicit_egress(name, spec);
        } else {
            self.intercepted_egress(spec);
        }
    }

    fn node_ingress(&mut self, name: &'m VirtualNodeName, spec: &'m VirtualNodeSpec) {
        let logs = self.access_logs(spec.logging.as_ref());
        let mut seen = BTreeSet::new();
        let mut intercepted: Vec<FilterChain> = Vec::new();
        let mut inspected = BTreeSet::new();
        for inner in spec.listeners() {
            let at = inner.port_mapping.port;
            if !seen.insert(at) {
                let path = self.path();
                self.find(
                    finding::DUPLICATE_LISTENER,
                    path,
                    format!("another listener already uses port {at}; this listener is left out"),
                );
                continue;
            }
            let protocol = &inner.port_mapping.protocol;
            if !self.is_known(protocol, at) {
                continue;
            }
            let Some(ingress_port) = self.ingress_port(name, at) else { continue };
            let Some(cluster) = self.local_cluster(inner) else { continue };
            let Some(served) = self.served(inner.tls.as_ref(), protocol) else { continue };
            let both = matches!(served, Served::Both(_));
            let stat_prefix = format!("ingress.{protocol}.{at}");
            let filter = if *protocol == Protocol::Tcp {
                let idle = self.listener_idle(inner);
                tcp_proxy(stat_prefix, ClusterSpecifier::Cluster(cluster), Some(idle), logs.clone())
            } else {
                let routes = names::ingress_routes(at.get());
                let configuration = self.ingress_routes(inner, &routes, &cluster);
                self.out.routes.insert(routes.clone(), configuration);
                http_manager(stat_prefix, routes, logs.clone())
            };
            match ingress_port {
                IngressPort::Own(bound) => {
                    let host = LOOPBACK;
                    let mut ingress =
                        listener(names::ingress_listener(host, bound), host, bound, TrafficDirection::Inbound);
                    ingress.filter_chains = chains(&FilterChainMatch::default(), &filter, served);
                    ingress.listener_filters.extend(both.then(tls_inspector));
                    self.out.listeners.insert(ingress.name.clone(), ingress);
                }
                IngressPort::Shared => {
                    if both {
                        inspected.insert(at.get());
                    }
                    intercepted.extend(chains(&to_port(at.get()), &filter, served));
                }
            }
        }
        if !intercepted.is_empty() {
            let host = Self::any_address(self.ip_preference(Some(spec)));
            let listener_name = names::ingress_listener("0.0.0.0", INGRESS_PORT);
            let mut ingress = listener(listener_name, host, INGRESS_PORT, TrafficDirection::Inbound);
            ingress.listener_filters = vec![original_dst()];
            if !inspected.is_empty() {
                ingress.listener_filters.push(tls_inspector_on(&inspected));
            }
            ingress.filter_chains = intercepted;
            self.out.listeners.insert(ingress.name.clone(), ingress);
        }
    }

    /// The port where inbound traffic for a listener is accepted; `None` if no loopback port is left.
    fn ingress_port(&mut self, name: &VirtualNodeName, port: Port) -> Option<IngressPort> {
        if !self.is_explicit() {
            return Some(IngressPort::Shared);
        }
        let of = PortUse::Ingress { mesh: self.mesh.name.clone(), proxy: Proxy::Node(name.clone()), port };
        self.assigned(&of).map(IngressPort::Own)
    }

    /// Whether a protocol is known; adds a finding if not.
    pub(super) fn is_known(&mut self, protocol: &Protocol, at: Port) -> bool {
        let Protocol::Unrecognised(protocol) = protocol else { return true };
        let message = format!("protocol {protocol} of port {at} is unknown, so the port is left out");
        let path = self.path();
        self.find(finding::UNRECOGNISED, path, message);
        false
    }

    /// The backends with their ports, in the order of the spec. If a service is named twice, the first entry is used.
    fn backends(&mut self, spec: &'m VirtualNodeSpec) -> Vec<CalledBackend<'m>> {
        let mut called: Vec<CalledBackend<'m>> = Vec::new();
        for backend in spec.backends.iter().flatten() {
            let backend = match backend {
                Backend::VirtualService(backend) => backend,
                Backend::Unrecognised(_) => {
                    let path = self.path();
                    self.find(finding::UNRECOGNISED, path, "a backend of an unknown kind is left out");
                    continue;
                }
            };
            let service = &backend.virtual_service_name;
            if called.iter().any(|other| other.service == service) {
                continue;
            }
            if !self.mesh.services.contains_key(service) {
                let path = self.path();
                let message = format!("virtual service {service} doesn't exist, so it can't be called; create it");
                self.find(finding::DANGLING_BACKEND, path, message);
                continue;
            }
            let policy = client_policy_for(spec, service);
            for offer in offers(self.mesh, service) {
                if self.is_known(&offer.protocol, offer.port) {
                    called.push(CalledBackend { service, policy, offer });
                }
            }
        }
        called
    }

    fn explicit_egress(&mut self, name: &'m VirtualNodeName, spec: &'m VirtualNodeSpec) {
        let logs = self.access_logs(spec.logging.as_ref());
        for backend in self.backends(spec) {
            let of = PortUse::Egress {
                mesh: self.mesh.name.clone(),
                node: name.clone(),
                service: backend.service.clone(),
                port: backend.offer.port,
            };
            let Some(at) = self.assigned(&of) else { continue };
            let called = Called { service: backend.service, offer: &backend.offer, policy: backend.policy };
            let stat_prefix = format!("egress.{}.{}", backend.offer.protocol, backend.offer.port);
            let filter = if backend.offer.is_tcp() {
                let Some((to, idle)) = self.tcp_route(called) else { continue };
                tcp_proxy(stat_prefix, to, Some(idle), logs.clone())
            } else {
                let routes = names::egress_routes(at);
                let own = self.service_routes(called);
                let configuration = RouteConfiguration {
                    name: routes.clone(),
                    virtual_hosts: vec![virtual_host(backend.service.as_str(), vec!["*".to_owned()], own)],
                    ..RouteConfiguration::default()
                };
                self.out.routes.insert(routes.clone(), configuration);
                http_manager(stat_prefix, routes, logs.clone())
            };
            let mut egress = listener(names::egress_listener(LOOPBACK, at), LOOPBACK, at, TrafficDirection::Outbound);
            egress.filter_chains = chains(&FilterChainMatch::default(), &filter, Served::Plaintext);
            self.out.listeners.insert(egress.name.clone(), egress);
        }
    }

    fn intercepted_egress(&mut self, spec: &'m VirtualNodeSpec) {
        let logs = self.access_logs(spec.logging.as_ref());
        let mut by_port: BTreeMap<Port, Vec<CalledBackend<'m>>> = BTreeMap::new();
        for backend in self.backends(spec) {
            by_port.entry(backend.offer.port).or_default().push(backend);
        }
        let host = Self::any_address(self.ip_preference(Some(spec)));
        let https_is_called = by_port.keys().any(|port| port.get() == HTTPS);
        let mut filter_chains = Vec::new();
        for (at, backends) in by_port {
            let matching = match at.get() {
                // The chain for AWS on this port names addresses, so this one must too. Of two chains for the same
                // addresses, one that names them and one that does not, Envoy may use either.
                HTTPS => to_anywhere(host, Some(HTTPS)),
                at => to_port(at),
            };
            let stat_prefix = |protocol: &str| format!("egress.{protocol}.{at}");
            let Some(first) = backends.first() else { continue };
            if first.offer.is_tcp() {
                for other in backends.iter().skip(1) {
                    self.port_conflict(other.service, first.service, at);
                }
                let called = Called { service: first.service, offer: &first.offer, policy: first.policy };
                let Some((to, idle)) = self.tcp_route(called) else {
                    // The chain that allows all egress must not accept these connections.
                    filter_chains.push(closing(matching));
                    continue;
                };
                let filter = tcp_proxy(stat_prefix("tcp"), to, Some(idle), logs.clone());
                filter_chains.extend(chains(&matching, &filter, Served::Plaintext));
                continue;
            }
            let protocol = first.offer.protocol.to_string();
            let configuration = self.egress_routes(at, &backends);
            let routes = configuration.name.clone();
            self.out.routes.insert(routes.clone(), configuration);
            let filter = http_manager(stat_prefix(&protocol), routes, logs.clone());
            filter_chains.extend(chains(&matching, &filter, Served::Plaintext));
        }
        filter_chains.extend(self.pass_through_chains(host, https_is_called));
        let mut egress =
            listener(names::egress_listener("0.0.0.0", EGRESS_PORT), host, EGRESS_PORT, TrafficDirection::Outbound);
        // Only traffic to AWS is identified by its server name.
        egress.listener_filters = vec![original_dst(), tls_inspector_on(&BTreeSet::from([HTTPS]))];
        egress.filter_chains = filter_chains;
        self.out.listeners.insert(egress.name.clone(), egress);
    }

    fn port_conflict(&mut self, left_out: &VirtualServiceName, by: &VirtualServiceName, at: Port) {
        let path = self.path();
        let message = format!(
            "backends {by} and {left_out} both use port {at}, and a TCP connection does not name its backend; {left_out} is left out"
        );
        self.find(finding::PORT_CONFLICT, path, message);
    }

    /// The virtual hosts of the HTTP backends of a port.
    fn egress_routes(&mut self, at: Port, backends: &[CalledBackend<'m>]) -> RouteConfiguration {
        let mut taken = BTreeSet::new();
        let mut virtual_hosts = Vec::new();
        for backend in backends {
            if backend.offer.is_tcp() {
                if let Some(first) = backends.first() {
                    self.port_conflict(backend.service, first.service, at);
                }
                continue;
            }
            // Envoy compares hosts without letter case.
            let own: Vec<String> = domains(backend.service, at);
            if own.iter().any(|domain| taken.contains(&domain.to_ascii_lowercase())) {
                let path = self.service_path(backend.service);
                let message = format!(
                    "another backend already has the name {} on port {at}; this backend is left out",
                    backend.service
                );
                self.find(finding::DUPLICATE_DOMAIN, path, message);
                continue;
            }
            taken.extend(own.iter().map(|domain| domain.to_ascii_lowercase()));
            let called = Called { service: backend.service, offer: &backend.offer, policy: backend.policy };
            let routes = self.service_routes(called);
            virtual_hosts.push(virtual_host(backend.service.as_str(), own, routes));
        }
        RouteConfiguration { name: names::egress_routes(at.get()), virtual_hosts, ..RouteConfiguration::default() }
    }

    /// The filter chains for traffic that leaves the mesh: to AWS always, to other hosts by the mesh's egress filter.
    fn pass_through_chains(&mut self, host: &str, https_is_called: bool) -> Vec<FilterChain> {
        let aws = self.pass_through("amazonaws");
        let to_aws = ClusterSpecifier::Cluster(aws);
        let mut matching = to_anywhere(host, Some(HTTPS));
        matching.server_names = vec![AWS_HOSTS.to_owned()];
        let filter = tcp_proxy("egress.amazonaws".to_owned(), to_aws, None, Vec::new());
        let mut all = chains(&matching, &filter, Served::Plaintext);
        let egress = self.mesh.spec.as_ref().and_then(|spec| spec.egress_filter.as_ref());
        // Only `ALLOW_ALL` permits all traffic; an unknown filter type permits none.
        if egress.is_some_and(|egress| egress.filter == EgressFilterType::AllowAll) {
            let cluster = self.pass_through("mesh-allow-all");
            let filter = tcp_proxy("egress.allow_all".to_owned(), ClusterSpecifier::Cluster(cluster), None, Vec::new());
            all.extend(chains(&to_anywhere(host, None), &filter, Served::Plaintext));
            // The chain for AWS hides the previous chain on its port.
            if !https_is_called {
                all.extend(chains(&to_anywhere(host, Some(HTTPS)), &filter, Served::Plaintext));
            }
        }
        all
    }
}
