//! Gateway routes: the requests at a virtual gateway that go to a virtual service.

use crate::spec::shapes::{serde_through_wire, shape, structure, union, words};
use serde_json::{Map, Value};

use super::Extra;
use super::bounded::{Int, List, Text};
use super::matching::{HeaderMatch, HostnameMatch, HttpMethod, HttpPathMatch, MetadataMatch, QueryParameterMatch};
use super::wire::{Reader, Shape, Wire, write_member, write_rest};
use crate::name::VirtualServiceName;
use crate::split::Port;

/// The spec of a gateway route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayRouteSpec {
    /// The match and the action, by protocol.
    pub rule: GatewayRouteRule,
    /// The priority, 0 to 1000, 0 first; gateway routes without one come last.
    pub priority: Option<Int<0, 1000>>,
    /// Unknown members, as they were read.
    pub extra: Extra,
}

union! {
    /// The match and the action of a gateway route: a member of the spec itself, not of a nested object.
    pub enum GatewayRouteRule {
        /// gRPC requests.
        "grpcRoute" => Grpc(GrpcGatewayRoute),
        /// HTTP/2 requests.
        "http2Route" => Http2(HttpGatewayRoute),
        /// HTTP/1.1 requests.
        "httpRoute" => Http(HttpGatewayRoute),
    }
}

impl GatewayRouteRule {
    /// The target of requests; `None` for an unknown kind.
    #[must_use]
    pub const fn target(&self) -> Option<&GatewayRouteTarget> {
        match self {
            Self::Grpc(route) => Some(&route.action.target),
            Self::Http(route) | Self::Http2(route) => Some(&route.action.target),
            Self::Unrecognised(_) => None,
        }
    }

    /// The gateway listener of the route, if it names one.
    #[must_use]
    pub const fn match_port(&self) -> Option<Port> {
        match self {
            Self::Grpc(route) => route.matches.port,
            Self::Http(route) | Self::Http2(route) => route.matches.port,
            Self::Unrecognised(_) => None,
        }
    }
}

impl Wire for GatewayRouteSpec {
    fn read(value: &Value, reader: &mut Reader) -> Option<Self> {
        let object = reader.object(value)?;
        let priority = reader.member(object, "priority");
        let extra = reader.rest(object, &["grpcRoute", "http2Route", "httpRoute", "priority"]);
        let rule = reader.union_within(object, &extra);
        Some(Self { rule: rule?, priority: priority?, extra })
    }

    fn write(&self) -> Option<Value> {
        let mut object = match self.rule.write() {
            Some(Value::Object(object)) => object,
            _ => Map::new(),
        };
        write_member(&mut object, "priority", &self.priority);
        write_rest(&mut object, &self.extra);
        Some(Value::Object(object))
    }

    fn is_known(&self) -> bool {
        self.extra.is_empty() && self.rule.is_known()
    }

    fn shape() -> Shape {
        shape! {
            "grpcRoute" => GrpcGatewayRoute,
            "http2Route" => HttpGatewayRoute,
            "httpRoute" => HttpGatewayRoute,
            "priority" => Option<Int<0, 1000>>,
        }
    }
}

serde_through_wire!(GatewayRouteSpec);

structure! {
    /// A gateway route for HTTP/1.1 or HTTP/2 requests.
    pub struct HttpGatewayRoute {
        /// The target of requests.
        "action" => action: HttpGatewayRouteAction,
        /// The condition on requests.
        "match" => matches: HttpGatewayRouteMatch,
    }
}

structure! {
    /// A gateway route for gRPC requests.
    pub struct GrpcGatewayRoute {
        /// The target of requests.
        "action" => action: GrpcGatewayRouteAction,
        /// The condition on requests.
        "match" => matches: GrpcGatewayRouteMatch,
    }
}

structure! {
    /// The target of HTTP requests, and their rewrite.
    pub struct HttpGatewayRouteAction {
        /// The rewrite of the request; absent parts have defaults.
        "rewrite" => rewrite: Option<HttpRewrite>,
        /// The virtual service.
        "target" => target: GatewayRouteTarget,
    }
}

structure! {
    /// The target of gRPC requests, and their rewrite.
    pub struct GrpcGatewayRouteAction {
        /// The rewrite of the request.
        "rewrite" => rewrite: Option<GrpcRewrite>,
        /// The virtual service.
        "target" => target: GatewayRouteTarget,
    }
}

structure! {
    /// The virtual service that receives the requests of a gateway route.
    pub struct GatewayRouteTarget {
        /// The listener port of its provider; required if the provider has several listeners.
        "port" => port: Option<Port>,
        /// The virtual service.
        "virtualService" => virtual_service: GatewayRouteVirtualService,
    }
}

structure! {
    /// The virtual service, by name.
    pub struct GatewayRouteVirtualService {
        /// Its name, which the API limits here (and nowhere else) to 255 characters.
        "virtualServiceName" => virtual_service_name: VirtualServiceName,
    }
}

structure! {
    /// The rewrite of an HTTP request: the host name, and the path or its prefix.
    pub struct HttpRewrite {
        /// The host name.
        "hostname" => hostname: Option<HostnameRewrite>,
        /// The whole path.
        "path" => path: Option<PathRewrite>,
        /// The matched prefix.
        "prefix" => prefix: Option<PrefixRewrite>,
    }
}

structure! {
    /// The rewrite of a gRPC request.
    pub struct GrpcRewrite {
        /// The host name.
        "hostname" => hostname: Option<HostnameRewrite>,
    }
}

structure! {
    /// Whether the host name is replaced by the virtual service's name.
    pub struct HostnameRewrite {
        /// Enabled if absent.
        "defaultTargetHostname" => default_target_hostname: Option<DefaultRewrite>,
    }
}

structure! {
    /// The rewrite of the whole path.
    pub struct PathRewrite {
        /// The new path.
        "exact" => exact: Option<Text<1, 255>>,
    }
}

union! {
    /// The rewrite of the matched prefix.
    pub enum PrefixRewrite {
        /// Whether the prefix becomes `/`.
        "defaultPrefix" => DefaultPrefix(DefaultRewrite),
        /// The new prefix.
        "value" => Value(Text<1, 255>),
    }
}

words! {
    /// Whether a default rewrite applies.
    pub enum DefaultRewrite {
        /// The rewrite applies.
        "ENABLED" => Enabled,
        /// The rewrite does not apply.
        "DISABLED" => Disabled,
    }
}

structure! {
    /// The condition of a gateway route on HTTP requests; all members must match.
    pub struct HttpGatewayRouteMatch {
        /// Conditions on headers.
        "headers" => headers: Option<List<HeaderMatch, 1, 10>>,
        /// The condition on the host name.
        "hostname" => hostname: Option<HostnameMatch>,
        /// The method.
        "method" => method: Option<HttpMethod>,
        /// The condition on the whole path.
        "path" => path: Option<HttpPathMatch>,
        /// The gateway's listener port; required if the gateway has several listeners.
        "port" => port: Option<Port>,
        /// The prefix of the path.
        "prefix" => prefix: Option<String>,
        /// Conditions on query parameters.
        "queryParameters" => query_parameters: Option<List<QueryParameterMatch, 1, 10>>,
    }
}

structure! {
    /// The condition of a gateway route on gRPC requests; all members must match.
    pub struct GrpcGatewayRouteMatch {
        /// The condition on the host name.
        "hostname" => hostname: Option<HostnameMatch>,
        /// Conditions on metadata.
        "metadata" => metadata: Option<List<MetadataMatch, 1, 10>>,
        /// The gateway's listener port; required if the gateway has several listeners.
        "port" => port: Option<Port>,
        /// The fully qualified service.
        "serviceName" => service_name: Option<String>,
    }
}
