//! The targets of TCP connections.

use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy::{
    ClusterSpecifier, WeightedCluster, weighted_cluster,
};
use envoy_types::pb::google::protobuf::Duration;
use mesh::name::{ResourcePath, VirtualRouterName};
use mesh::spec::RouteRule;

use super::super::backends::{Provider, provider};
use super::super::draft::Draft;
use super::super::finding;
use super::Called;
use super::limits::IDLE;

impl<'m> Draft<'m> {
    /// The targets for connections of a TCP backend, and their idle timeout; `None` without a target.
    pub(in super::super) fn tcp_route(&mut self, called: Called<'_, 'm>) -> Option<(ClusterSpecifier, Duration)> {
        match provider(self.mesh, called.service) {
            Provider::Router(router) => self.first_tcp_route(router, called),
            Provider::Node(node) => {
                let by = self.service_path(called.service);
                let to = self.provided(node, called.offer.port, &by)?;
                let cluster = self.egress_cluster(called, to)?;
                Some((ClusterSpecifier::Cluster(cluster), IDLE))
            }
            Provider::None => None,
        }
    }

    /// The first TCP route. A connection has no properties to match, so this route receives all connections.
    fn first_tcp_route(
        &mut self,
        router: &'m VirtualRouterName,
        called: Called<'_, 'm>,
    ) -> Option<(ClusterSpecifier, Duration)> {
        for (name, spec) in self.routes_for(router, called) {
            let path = ResourcePath::Route(self.mesh.route_id(router, name));
            let RouteRule::Tcp(route) = &spec.rule else {
                let message = format!(
                    "only a tcpRoute can match connections to virtual service {}: its port {} uses tcp; the route is left out",
                    called.service, called.offer.port
                );
                self.find(finding::ROUTE_PROTOCOL, path, message);
                continue;
            };
            let idle = self.route_limits(&spec.rule, &path).idle;
            let weighted = self.weighted(&route.action, called, &path);
            // Envoy does not accept a weight of 0 here.
            let weighted = weighted.into_iter().filter(|(_, weight)| *weight > 0);
            let clusters: Vec<_> = weighted
                .map(|(name, weight)| weighted_cluster::ClusterWeight {
                    name,
                    weight,
                    ..weighted_cluster::ClusterWeight::default()
                })
                .collect();
            return (!clusters.is_empty())
                .then_some((ClusterSpecifier::WeightedClusters(WeightedCluster { clusters }), idle));
        }
        None
    }
}
