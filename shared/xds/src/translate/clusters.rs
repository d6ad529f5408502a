//! Clusters: the application behind a proxy, and the nodes that it calls.

use std::collections::HashMap;
use std::net::IpAddr;

use envoy_types::pb::envoy::config::cluster::v3::circuit_breakers::Thresholds;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, DnsLookupFamily, EdsClusterConfig, LbPolicy,
};
use envoy_types::pb::envoy::config::cluster::v3::{CircuitBreakers, Cluster, OutlierDetection};
use envoy_types::pb::envoy::config::core::v3::health_check::{
    GrpcHealthCheck, HealthChecker, HttpHealthCheck, TcpHealthCheck,
};
use envoy_types::pb::envoy::config::core::v3::{HealthCheck, Http2ProtocolOptions};
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint,
};
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::explicit_http_config::ProtocolConfig;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    ExplicitHttpConfig, UpstreamProtocolOptions,
};
use envoy_types::pb::envoy::r#type::v3::CodecClientType;
use mesh::name::VirtualServiceName;
use mesh::spec::{
    AwsCloudMapServiceDiscovery, ClientPolicy, ConnectionPool, DnsResponseType, GatewayConnectionPool, IpPreference,
    Listener, Protocol, ServiceDiscovery,
};

use super::backends::Destination;
use super::draft::{CalledFor, Draft};
use super::proto::{LOOPBACK, address, ads, any, millis, port, uint};
use super::{Instance, finding, names};
use crate::ports::PortUse;
use crate::proxy::Proxy;

/// What a breaker is set to that a spec leaves open: App Mesh's, the largest number that Envoy reads everywhere.
const UNLIMITED: u32 = 2_147_483_647;
/// How long a connection to the application may take to open.
const LOCAL_CONNECT: u32 = 250;
/// How long a connection to another proxy may take to open.
const CONNECT: u32 = 1000;

/// The extension under which a cluster's HTTP options stand.
const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

impl<'m> Draft<'m> {
    /// The cluster of the application behind a listener; says its name.
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
            circuit_breakers: Some(breakers(listener.connection_pool.as_ref().map(pool))),
            ..fixed(&name, host, at, LOCAL_CONNECT, &mapping.protocol)
        };
        self.out.clusters.insert(name.clone(), cluster);
        Some(name)
    }

    /// The cluster by which a gateway hands requests to its own egress side.
    pub(super) fn self_redirect(
        &mut self,
        name: &str,
        at: u16,
        protocol: &Protocol,
        pool: Option<&GatewayConnectionPool>,
    ) {
        let cluster = Cluster {
            circuit_breakers: Some(breakers(pool.map(gateway_pool))),
            ..fixed(name, LOOPBACK, at, LOCAL_CONNECT, protocol)
        };
        self.out.clusters.insert(name.to_owned(), cluster);
    }

    /// The cluster of a node's listener as a backend of this proxy; says its name.
    ///
    /// Two backends with different client policies may lead to the same listener. The second one's cluster then has
    /// the backend in its name, since App Mesh's own name knows of one policy only.
    pub(super) fn egress_cluster(
        &mut self,
        service: &'m VirtualServiceName,
        policy: Option<&'m ClientPolicy>,
        to: Destination<'m>,
    ) -> Option<String> {
        let mapping = &to.listener.port_mapping;
        let key = CalledFor { service, node: to.node, port: mapping.port };
        if let Some(name) = self.called.get(&key) {
            return Some(name.clone());
        }
        let name = names::egress_cluster(&self.mesh.name, to.node, &mapping.protocol, mapping.port);
        let cluster = self.called_cluster(&name, policy, to)?;
        let name = match self.out.clusters.get(&name) {
            Some(other) if *other != cluster => format!("{name}_{service}"),
            Some(_) | None => name,
        };
        let endpoints = self.cloud_map_endpoints(&name, to);
        self.out.endpoints.extend(endpoints.map(|endpoints| (name.clone(), endpoints)));
        let cluster =
            Cluster { name: name.clone(), load_assignment: renamed(cluster.load_assignment, &name), ..cluster };
        self.out.clusters.insert(name.clone(), cluster);
        self.called.insert(key, name.clone());
        Some(name)
    }

    fn called_cluster(&mut self, name: &str, policy: Option<&'m ClientPolicy>, to: Destination<'m>) -> Option<Cluster> {
        let spec = self.mesh.nodes.get(to.node)?;
        let mapping = &to.listener.port_mapping;
        let path = self.node_path(to.node);
        let Some(discovery) = spec.service_discovery.as_ref() else {
            let message = format!("virtual node {} has no service discovery, so nobody can call it; add one", to.node);
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
                let message = format!("service discovery {kind:?} isn't known, so the node can't be called");
                self.find(finding::UNRECOGNISED, path, message);
                return None;
            }
        };
        let transport_socket = self.upstream(policy, to.listener, Some(&hostname));
        let base = Cluster {
            connect_timeout: millis(CONNECT),
            circuit_breakers: Some(breakers(None)),
            typed_extension_protocol_options: http_options(&mapping.protocol),
            health_checks: self.health_check(to, &hostname).into_iter().collect(),
            outlier_detection: self.outlier_detection(to),
            transport_socket,
            ..named(name)
        };
        if self.is_explicit() {
            let of = PortUse::Ingress {
                mesh: self.mesh.name.clone(),
                proxy: Proxy::Node(to.node.clone()),
                port: mapping.port,
            };
            let at = self.assigned(&of)?;
            return Some(Cluster {
                cluster_discovery_type: discovery_type(DiscoveryType::Static),
                load_assignment: Some(assignment(name, [(LOOPBACK.to_owned(), at)])),
                ..base
            });
        }
        let at = mapping.port.get();
        Some(match kind {
            DiscoveryType::Eds => Cluster {
                cluster_discovery_type: discovery_type(kind),
                eds_cluster_config: Some(EdsClusterConfig { eds_config: Some(ads()), ..EdsClusterConfig::default() }),
                // An instance that Cloud Map forgot is gone, whatever its health check still says.
                ignore_health_on_host_removal: true,
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

    /// The instances of a node that Cloud Map finds; `None` where the cluster takes none over ADS.
    fn cloud_map_endpoints(&self, name: &str, to: Destination<'m>) -> Option<ClusterLoadAssignment> {
        let spec = self.mesh.nodes.get(to.node)?;
        let Some(ServiceDiscovery::AwsCloudMap(map)) = &spec.service_discovery else { return None };
        if self.is_explicit() {
            return None;
        }
        let key = (map.namespace_name.to_string(), map.service_name.to_string());
        let instances = self.surroundings.instances.get(&key).map(Vec::as_slice).unwrap_or_default();
        let preference = self.ip_preference(Some(spec));
        let addresses = instances
            .iter()
            .filter(|instance| has_attributes(instance, map) && is_preferred(instance.address, preference))
            .map(|instance| (instance.address.to_string(), to.listener.port_mapping.port.get()));
        Some(assignment(name, addresses))
    }

    /// Every client checks every endpoint of what it calls.
    fn health_check(&mut self, to: Destination<'m>, hostname: &str) -> Option<HealthCheck> {
        let check = to.listener.health_check.as_ref()?;
        let mapping = &to.listener.port_mapping;
        let number = |number: i64| u32::try_from(number).ok();
        let checker = match &check.protocol {
            Protocol::Http | Protocol::Http2 => {
                let codec =
                    if check.protocol == Protocol::Http2 { CodecClientType::Http2 } else { CodecClientType::Http1 };
                HealthChecker::HttpHealthCheck(HttpHealthCheck {
                    host: format!("{hostname}:{}", mapping.port),
                    path: check.path.clone().unwrap_or_else(|| "/".to_owned()),
                    codec_client_type: codec.into(),
                    ..HttpHealthCheck::default()
                })
            }
            Protocol::Grpc => {
                if !speaks_http2(&mapping.protocol) {
                    let message = format!(
                        "the health check of port {} speaks gRPC and its listener {}, which Envoy refuses; nothing is checked",
                        mapping.port, mapping.protocol
                    );
                    let path = self.node_path(to.node);
                    self.find(finding::GRPC_HEALTH_CHECK, path, message);
                    return None;
                }
                HealthChecker::GrpcHealthCheck(GrpcHealthCheck::default())
            }
            Protocol::Tcp => HealthChecker::TcpHealthCheck(TcpHealthCheck::default()),
            Protocol::Unrecognised(protocol) => {
                let message = format!("health check protocol {protocol} isn't known, so nothing is checked");
                let path = self.node_path(to.node);
                self.find(finding::UNRECOGNISED, path, message);
                return None;
            }
        };
        let elsewhere = check.port.filter(|at| *at != mapping.port && !self.is_explicit());
        Some(HealthCheck {
            timeout: millis(number(check.timeout_millis.get())?),
            interval: millis(number(check.interval_millis.get())?),
            unhealthy_threshold: uint(number(check.unhealthy_threshold.get())?),
            healthy_threshold: uint(number(check.healthy_threshold.get())?),
            alt_port: elsewhere.and_then(|at| uint(port(at))),
            health_checker: Some(checker),
            ..HealthCheck::default()
        })
    }

    fn outlier_detection(&mut self, to: Destination<'m>) -> Option<OutlierDetection> {
        let outlier = to.listener.outlier_detection.as_ref()?;
        let path = self.node_path(to.node);
        let interval = self.duration(Some(&outlier.interval), &path, "outlierDetection.interval");
        let ejection =
            self.duration(Some(&outlier.base_ejection_duration), &path, "outlierDetection.baseEjectionDuration");
        let is_some_time = |time: &envoy_types::pb::google::protobuf::Duration| time.seconds > 0 || time.nanos > 0;
        let (Some(interval), Some(ejection)) = (interval.filter(is_some_time), ejection.filter(is_some_time)) else {
            let message = "an outlier detection needs an interval and an ejection time above 0; it is left out";
            self.find(finding::ZERO_INTERVAL, path, message);
            return None;
        };
        Some(OutlierDetection {
            consecutive_5xx: uint(u32::try_from(outlier.max_server_errors.get()).unwrap_or(u32::MAX)),
            interval: Some(interval),
            // Without this Envoy's own limit of 300 s would refuse a longer first ejection.
            max_ejection_time: Some(longer(ejection, 300)),
            base_ejection_time: Some(ejection),
            max_ejection_percent: uint(u32::try_from(outlier.max_ejection_percent.get()).unwrap_or(100)),
            // App Mesh ejects by errors in a row and by nothing else.
            enforcing_success_rate: uint(0),
            ..OutlierDetection::default()
        })
    }

    /// A cluster that goes wherever the connection was going.
    pub(super) fn pass_through(&mut self, what: &str) -> String {
        let name = names::pass_through(&self.mesh.name, what);
        let cluster = Cluster {
            cluster_discovery_type: discovery_type(DiscoveryType::OriginalDst),
            lb_policy: LbPolicy::ClusterProvided.into(),
            connect_timeout: millis(CONNECT),
            circuit_breakers: Some(breakers(None)),
            ..named(&name)
        };
        self.out.clusters.insert(name.clone(), cluster);
        name
    }
}

fn longer(
    duration: envoy_types::pb::google::protobuf::Duration,
    seconds: i64,
) -> envoy_types::pb::google::protobuf::Duration {
    envoy_types::pb::google::protobuf::Duration { seconds: duration.seconds.max(seconds), ..duration }
}

fn named(name: &str) -> Cluster {
    Cluster { name: name.to_owned(), ..Cluster::default() }
}

#[expect(clippy::unnecessary_wraps, reason = "a cluster has it as an option")]
const fn discovery_type(kind: DiscoveryType) -> Option<ClusterDiscoveryType> {
    Some(ClusterDiscoveryType::Type(kind as i32))
}

/// A cluster of one fixed address.
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

const fn speaks_http2(protocol: &Protocol) -> bool {
    matches!(protocol, Protocol::Http2 | Protocol::Grpc)
}

/// HTTP/2 where the listener speaks it; HTTP/1.1 is the default.
fn http_options(protocol: &Protocol) -> HashMap<String, envoy_types::pb::google::protobuf::Any> {
    if !speaks_http2(protocol) {
        return HashMap::new();
    }
    let explicit = ExplicitHttpConfig {
        protocol_config: Some(ProtocolConfig::Http2ProtocolOptions(Http2ProtocolOptions::default())),
    };
    let options = HttpProtocolOptions {
        upstream_protocol_options: Some(UpstreamProtocolOptions::ExplicitHttpConfig(explicit)),
        ..HttpProtocolOptions::default()
    };
    HashMap::from([(HTTP_OPTIONS.to_owned(), any(options))])
}

/// What a pool limits; `None` is unlimited.
#[derive(Debug, Clone, Copy, Default)]
struct Pool {
    connections: Option<u32>,
    pending: Option<u32>,
    requests: Option<u32>,
}

fn limit(number: i64) -> Option<u32> {
    u32::try_from(number).ok()
}

fn pool(pool: &ConnectionPool) -> Pool {
    match pool {
        ConnectionPool::Http(http) => Pool {
            connections: limit(http.max_connections.get()),
            pending: http.max_pending_requests.and_then(|pending| limit(pending.get())),
            requests: None,
        },
        ConnectionPool::Http2(requests) | ConnectionPool::Grpc(requests) => {
            Pool { requests: limit(requests.max_requests.get()), ..Pool::default() }
        }
        ConnectionPool::Tcp(tcp) => Pool { connections: limit(tcp.max_connections.get()), ..Pool::default() },
        ConnectionPool::Unrecognised(_) => Pool::default(),
    }
}

fn gateway_pool(pool: &GatewayConnectionPool) -> Pool {
    match pool {
        GatewayConnectionPool::Http(http) => Pool {
            connections: limit(http.max_connections.get()),
            pending: http.max_pending_requests.and_then(|pending| limit(pending.get())),
            requests: None,
        },
        GatewayConnectionPool::Http2(requests) | GatewayConnectionPool::Grpc(requests) => {
            Pool { requests: limit(requests.max_requests.get()), ..Pool::default() }
        }
        GatewayConnectionPool::Unrecognised(_) => Pool::default(),
    }
}

fn breakers(pool: Option<Pool>) -> CircuitBreakers {
    let pool = pool.unwrap_or_default();
    CircuitBreakers {
        thresholds: vec![Thresholds {
            max_connections: uint(pool.connections.unwrap_or(UNLIMITED)),
            max_pending_requests: uint(pool.pending.unwrap_or(UNLIMITED)),
            max_requests: uint(pool.requests.unwrap_or(UNLIMITED)),
            max_retries: uint(UNLIMITED),
            ..Thresholds::default()
        }],
        ..CircuitBreakers::default()
    }
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

fn is_preferred(address: IpAddr, preference: Option<&IpPreference>) -> bool {
    match preference {
        Some(IpPreference::Ipv4Only) => address.is_ipv4(),
        Some(IpPreference::Ipv6Only) => address.is_ipv6(),
        Some(IpPreference::Ipv4Preferred | IpPreference::Ipv6Preferred | IpPreference::Unrecognised(_)) | None => true,
    }
}
