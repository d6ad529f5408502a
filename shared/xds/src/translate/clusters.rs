//! Clusters: the application of a proxy, and the virtual nodes that the proxy calls.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, DnsLookupFamily, EdsClusterConfig, LbPolicy,
};
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint,
};
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::explicit_http_config::ProtocolConfig;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    ExplicitHttpConfig, UpstreamProtocolOptions,
};
use mesh::spec::{
    AwsCloudMapServiceDiscovery, ClientPolicy, DnsResponseType, GatewayConnectionPool, IpPreference, Listener,
    Protocol, ServiceDiscovery,
};
use mesh::validate::envoy::control_character;

use super::backends::Destination;
use super::breakers::{PoolLimits, breakers};
use super::draft::{CalledFor, Draft, member_names};
use super::proto::{LOOPBACK, address, ads, any, http2_with_websockets, millis};
use super::routes::Called;
use super::statistics::extension_metadata;
use super::tls::Upstream;
use super::{Discovered, Instance, finding, names};
use crate::port_book::PortUse;
use crate::proxy::Proxy;

/// The connect timeout to the application, in milliseconds.
const LOCAL_CONNECT: u32 = 250;
/// The connect timeout to another proxy, in milliseconds.
const CONNECT: u32 = 1000;

/// The extension that holds the HTTP options of a cluster.
const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

impl<'m> Draft<'m> {
    /// Adds the cluster of the application behind a listener; returns its name.
    pub(super) fn local_cluster(&mut self, listener: &'m Listener) -> Option<String> {
        let Proxy::Node(node) = self.proxy else { return None };
        let mapping = &listener.port_mapping;
        let name = names::local_cluster(&self.mesh.name, node, &mapping.protocol, mapping.port);
        let at = if self.is_explicit() {
            let of = PortUse::Application { mesh: self.mesh.name.clone(), node: node.clone(), port: mapping.port };
            self.assigned(&of)?
        } else {
            mapping.port.get()
        };
        let v6 = matches!(
            self.ip_preference(self.mesh.nodes.get(node)),
            Some(IpPreference::Ipv6Preferred | IpPreference::Ipv6Only)
        );
        let host = if v6 && !self.is_explicit() { "::1" } else { LOOPBACK };
        let cluster = Cluster {
            circuit_breakers: Some(breakers(
                listener.connection_pool.as_ref().map(PoolLimits::from).unwrap_or_default(),
            )),
            ..fixed(&name, host, at, LOCAL_CONNECT, &mapping.protocol)
        };
        self.out.clusters.insert(name.clone(), cluster);
        Some(name)
    }

    /// Adds the cluster by which a gateway forwards requests to its own egress side.
    pub(super) fn self_redirect(
        &mut self,
        name: &str,
        at: u16,
        protocol: &Protocol,
        pool: Option<&GatewayConnectionPool>,
    ) {
        let cluster = Cluster {
            circuit_breakers: Some(breakers(pool.map(PoolLimits::from).unwrap_or_default())),
            ..fixed(name, LOOPBACK, at, LOCAL_CONNECT, protocol)
        };
        self.out.clusters.insert(name.to_owned(), cluster);
    }

    /// Adds the cluster of a node's listener as a backend of this proxy; returns its name.
    ///
    /// What a TCP proxy forwards has no protocol that the proxy knows: it must not negotiate that of the listener within
    /// TLS. So connections have another cluster than requests, unless the listener itself uses TCP.
    ///
    /// Two backends may lead to the same listener with different client policies or different names of their
    /// statistics. The name of the second cluster then contains the backend, because App Mesh's own name has room for
    /// one cluster only.
    pub(super) fn egress_cluster(&mut self, called: Called<'_, 'm>, to: Destination<'m>) -> Option<String> {
        let Called { service, policy, offer } = called;
        let mapping = &to.listener.port_mapping;
        let protocol = if offer.is_tcp() { &Protocol::Tcp } else { &mapping.protocol };
        let key = CalledFor { service, node: to.node, port: mapping.port, is_tcp: *protocol == Protocol::Tcp };
        if let Some(name) = self.called.get(&key) {
            return Some(name.clone());
        }
        let name = names::egress_cluster(&self.mesh.name, to.node, protocol, mapping.port);
        let cluster = Cluster {
            alt_stat_name: self.surroundings.stat_names.of_cluster(&name, service),
            ..self.called_cluster(&name, protocol, policy, to)?
        };
        let name = match self.out.clusters.get(&name) {
            Some(other) if *other != cluster => format!("{name}_{service}"),
            Some(_) | None => name,
        };
        if let Some((discovered, endpoints)) = self.cloud_map_endpoints(&name, to) {
            self.out.discovered.insert(name.clone(), discovered);
            self.out.endpoints.insert(name.clone(), endpoints);
        }
        let cluster =
            Cluster { name: name.clone(), load_assignment: renamed(cluster.load_assignment, &name), ..cluster };
        self.out.clusters.insert(name.clone(), cluster);
        self.called.insert(key, name.clone());
        Some(name)
    }

    fn called_cluster(
        &mut self,
        name: &str,
        protocol: &Protocol,
        policy: Option<&'m ClientPolicy>,
        to: Destination<'m>,
    ) -> Option<Cluster> {
        let spec = self.mesh.nodes.get(to.node)?;
        let mapping = &to.listener.port_mapping;
        let path = self.node_path(to.node);
        let Some(discovery) = spec.service_discovery.as_ref() else {
            let message =
                format!("virtual node {} has no service discovery, so clients can't call it; add one", to.node);
            self.find(finding::NO_DISCOVERY, path, message);
            return None;
        };
        let (hostname, kind) = match discovery {
            ServiceDiscovery::Dns(dns) => match dns.response_type {
                Some(DnsResponseType::Endpoints) => (dns.hostname.clone(), DiscoveryType::StrictDns),
                Some(DnsResponseType::LoadBalancer | DnsResponseType::Unrecognised(_)) | None => {
                    (dns.hostname.clone(), DiscoveryType::LogicalDns)
                }
            },
            ServiceDiscovery::AwsCloudMap(map) => {
                (format!("{}.{}", map.service_name, map.namespace_name), DiscoveryType::Eds)
            }
            ServiceDiscovery::Unrecognised(kind) => {
                let kinds = member_names(kind);
                let message = format!("service discovery {kinds:?} is unknown, so clients can't call the node");
                self.find(finding::UNRECOGNISED, path, message);
                return None;
            }
        };
        if hostname.is_empty() || control_character(&hostname).is_some() {
            let message = format!(
                "host name {hostname:?} is empty or has a control character, so clients can't call the node; change it"
            );
            self.find(finding::UNUSABLE_HOSTNAME, path, message);
            return None;
        }
        // This step comes before the TLS settings, so that no secret is named for a cluster that is left out.
        let own_port = if self.is_explicit() {
            let proxy = Proxy::Node(to.node.clone());
            let of = PortUse::Ingress { mesh: self.mesh.name.clone(), proxy, port: mapping.port };
            Some(self.assigned(&of)?)
        } else {
            None
        };
        let upstream = self.upstream(policy, to.listener, protocol, &hostname)?;
        let base = Cluster {
            connect_timeout: millis(CONNECT),
            circuit_breakers: Some(breakers(PoolLimits::default())),
            metadata: Some(extension_metadata(&[("TargetVirtualNode", to.node.as_str())])),
            // A gRPC health check needs them, also where the calls are connections.
            typed_extension_protocol_options: http_options(&mapping.protocol),
            health_checks: self.health_check(to, protocol, &hostname, &upstream).into_iter().collect(),
            outlier_detection: self.outlier_detection(to),
            transport_socket: match upstream {
                Upstream::Plaintext => None,
                Upstream::Tls(socket) => Some(*socket),
            },
            ..named(name)
        };
        if let Some(at) = own_port {
            return Some(Cluster {
                cluster_discovery_type: discovery_type(DiscoveryType::Static),
                load_assignment: Some(assignment(name, [(LOOPBACK.to_owned(), at)])),
                ..base
            });
        }
        let at = mapping.port.get();
        // An address that Cloud Map or DNS no longer returns is removed, even if its health check still succeeds. A
        // load balancer is one host, which is replaced and never removed.
        let ignore_health_on_host_removal = matches!(kind, DiscoveryType::Eds | DiscoveryType::StrictDns);
        let base = Cluster { ignore_health_on_host_removal, ..base };
        Some(match kind {
            DiscoveryType::Eds => Cluster {
                cluster_discovery_type: discovery_type(kind),
                eds_cluster_config: Some(EdsClusterConfig { eds_config: Some(ads()), ..EdsClusterConfig::default() }),
                ..base
            },
            _ => Cluster {
                cluster_discovery_type: discovery_type(kind),
                dns_lookup_family: lookup_family(self.ip_preference(Some(spec))).into(),
                load_assignment: Some(assignment(name, [(hostname, at)])),
                ..base
            },
        })
    }

    /// The instances of a node in Cloud Map, with their source; `None` if the cluster gets no endpoints over ADS.
    fn cloud_map_endpoints(&mut self, name: &str, to: Destination<'m>) -> Option<(Discovered, ClusterLoadAssignment)> {
        let spec = self.mesh.nodes.get(to.node)?;
        let Some(ServiceDiscovery::AwsCloudMap(map)) = &spec.service_discovery else { return None };
        if self.is_explicit() {
            return None;
        }
        let key = (map.namespace_name.to_string(), map.service_name.to_string());
        let instances = self.surroundings.instances.get(&key).map(Vec::as_slice).unwrap_or_default();
        let preference = self.ip_preference(Some(spec));
        // Sorted and without duplicates, so that the same instances always give the same response.
        let addresses: BTreeSet<IpAddr> = instances
            .iter()
            .filter(|instance| has_attributes(instance, map))
            .filter_map(|instance| preferred(instance, preference))
            .collect();
        let at = to.listener.port_mapping.port.get();
        if !instances.is_empty() && !instances.iter().any(|instance| has_attributes(instance, map)) {
            let (count, (namespace, service)) = (instances.len(), &key);
            let message = format!(
                "none of the {count} instances of service {service}.{namespace} has all attributes of the virtual node, so it has no endpoints"
            );
            self.find(finding::NO_INSTANCE_MATCHES, self.node_path(to.node), message);
        }
        let addresses = addresses.into_iter().map(|address| (address.to_string(), at));
        Some((Discovered { service: key, node: self.node_path(to.node) }, assignment(name, addresses)))
    }

    /// Adds a cluster that forwards each connection to its original destination; returns its name.
    pub(super) fn pass_through(&mut self, what: &str) -> String {
        let name = names::pass_through(&self.mesh.name, what);
        let cluster = Cluster {
            cluster_discovery_type: discovery_type(DiscoveryType::OriginalDst),
            lb_policy: LbPolicy::ClusterProvided.into(),
            connect_timeout: millis(CONNECT),
            circuit_breakers: Some(breakers(PoolLimits::default())),
            ..named(&name)
        };
        self.out.clusters.insert(name.clone(), cluster);
        name
    }
}

fn named(name: &str) -> Cluster {
    Cluster { name: name.to_owned(), ..Cluster::default() }
}

#[expect(clippy::unnecessary_wraps, reason = "a cluster has it as an option")]
const fn discovery_type(kind: DiscoveryType) -> Option<ClusterDiscoveryType> {
    Some(ClusterDiscoveryType::Type(kind as i32))
}

/// A cluster with one fixed address.
fn fixed(name: &str, host: &str, port: u16, connect: u32, protocol: &Protocol) -> Cluster {
    Cluster {
        cluster_discovery_type: discovery_type(DiscoveryType::Static),
        connect_timeout: millis(connect),
        load_assignment: Some(assignment(name, [(host.to_owned(), port)])),
        typed_extension_protocol_options: http_options(protocol),
        ..named(name)
    }
}

fn assignment(name: &str, addresses: impl IntoIterator<Item = (String, u16)>) -> ClusterLoadAssignment {
    let endpoint = |(host, port): (String, u16)| LbEndpoint {
        host_identifier: Some(lb_endpoint::HostIdentifier::Endpoint(Endpoint {
            address: Some(address(&host, port)),
            ..Endpoint::default()
        })),
        ..LbEndpoint::default()
    };
    ClusterLoadAssignment {
        cluster_name: name.to_owned(),
        endpoints: vec![LocalityLbEndpoints {
            lb_endpoints: addresses.into_iter().map(endpoint).collect(),
            ..LocalityLbEndpoints::default()
        }],
        ..ClusterLoadAssignment::default()
    }
}

fn renamed(assignment: Option<ClusterLoadAssignment>, name: &str) -> Option<ClusterLoadAssignment> {
    assignment.map(|assignment| ClusterLoadAssignment { cluster_name: name.to_owned(), ..assignment })
}

pub(super) const fn speaks_http2(protocol: &Protocol) -> bool {
    matches!(protocol, Protocol::Http2 | Protocol::Grpc)
}

/// HTTP/2 options if the listener's protocol needs them; HTTP/1.1 is the default.
fn http_options(protocol: &Protocol) -> HashMap<String, envoy_types::pb::google::protobuf::Any> {
    if !speaks_http2(protocol) {
        return HashMap::new();
    }
    let explicit =
        ExplicitHttpConfig { protocol_config: Some(ProtocolConfig::Http2ProtocolOptions(http2_with_websockets())) };
    let options = HttpProtocolOptions {
        upstream_protocol_options: Some(UpstreamProtocolOptions::ExplicitHttpConfig(explicit)),
        ..HttpProtocolOptions::default()
    };
    HashMap::from([(HTTP_OPTIONS.to_owned(), any(options))])
}

fn lookup_family(preference: Option<&IpPreference>) -> DnsLookupFamily {
    match preference {
        Some(IpPreference::Ipv4Preferred) => DnsLookupFamily::V4Preferred,
        Some(IpPreference::Ipv4Only) => DnsLookupFamily::V4Only,
        Some(IpPreference::Ipv6Only) => DnsLookupFamily::V6Only,
        Some(IpPreference::Ipv6Preferred | IpPreference::Unrecognised(_)) | None => DnsLookupFamily::Auto,
    }
}

fn has_attributes(instance: &Instance, map: &AwsCloudMapServiceDiscovery) -> bool {
    let wanted = map.attributes.iter().flatten();
    wanted
        .into_iter()
        .all(|wanted| instance.attributes.get(wanted.key.as_str()).map(String::as_str) == Some(wanted.value.as_str()))
}

/// The address of an instance to use: IPv4 first if nothing is preferred.
fn preferred(instance: &Instance, preference: Option<&IpPreference>) -> Option<IpAddr> {
    let (v4, v6) = (instance.ipv4.map(IpAddr::V4), instance.ipv6.map(IpAddr::V6));
    match preference {
        Some(IpPreference::Ipv4Only) => v4,
        Some(IpPreference::Ipv6Only) => v6,
        Some(IpPreference::Ipv6Preferred) => v6.or(v4),
        Some(IpPreference::Ipv4Preferred | IpPreference::Unrecognised(_)) | None => v4.or(v6),
    }
}
