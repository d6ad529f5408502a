//! Gateway routes: which requests at a virtual gateway go to which virtual service.

use crate::spec::shapes::{serde_through_wire, shape, structure, union, words};
use serde_json::{Map, Value};

use super::Extra;
use super::bounded::{Int, List, Text};
use super::matching::{HeaderMatch, HostnameMatch, HttpMethod, HttpPathMatch, MetadataMatch, QueryParameterMatch};
use super::wire::{Reader, Shape, Wire, write_member, write_rest};
use crate::name::VirtualServiceName;
use crate::weights::Port;

/// The spec of a gateway route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayRouteSpec {
    /// What is matched and where it goes, by protocol.
    pub rule: GatewayRouteRule,
    /// 0 to 1000, 0 first; gateway routes without one come after all that have one.
    pub priority: Option<Int<0, 1000>>,
    /// Members that this crate doesn't know, kept as they were read.
    pub extra: Extra,
}

union! {
    /// What a gateway route matches and where it goes. A member of the spec itself, not of an object of its own.
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
    /// Where requests go; `None` for a kind that this crate doesn't know.
    #[must_use]
    pub const fn target(&self) -> Option<&GatewayRouteTarget> {
        match self {
            Self::Grpc(route) => Some(&route.action.target),
            Self::Http(route) | Self::Http2(route) => Some(&route.action.target),
            Self::Unrecognised(_) => None,
        }
    }

    /// The gateway listener that the route is for, where it names one.
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
        /// Where requests go.
        "action" => action: HttpGatewayRouteAction,
        /// Which requests.
        "match" => matches: HttpGatewayRouteMatch,
    }
}

structure! {
    /// A gateway route for gRPC requests.
    pub struct GrpcGatewayRoute {
        /// Where requests go.
        "action" => action: GrpcGatewayRouteAction,
        /// Which requests.
        "match" => matches: GrpcGatewayRouteMatch,
    }
}

structure! {
    /// Where HTTP requests go, and as what.
    pub struct HttpGatewayRouteAction {
        /// What is changed in the request; the defaults of the parts when absent.
        "rewrite" => rewrite: Option<HttpRewrite>,
        /// The virtual service.
        "target" => target: GatewayRouteTarget,
    }
}

structure! {
    /// Where gRPC requests go, and as what.
    pub struct GrpcGatewayRouteAction {
        /// What is changed in the request.
        "rewrite" => rewrite: Option<GrpcRewrite>,
        /// The virtual service.
        "target" => target: GatewayRouteTarget,
    }
}

structure! {
    /// The virtual service that receives the requests of a gateway route.
    pub struct GatewayRouteTarget {
        /// The listener port of its provider; needed when the provider has several listeners.
        "port" => port: Option<Port>,
        /// The virtual service.
        "virtualService" => virtual_service: GatewayRouteVirtualService,
    }
}

structure! {
    /// The virtual service, by name.
    pub struct GatewayRouteVirtualService {
        /// Its name, which the API bounds here (and nowhere else) to 255 characters.
        "virtualServiceName" => virtual_service_name: VirtualServiceName,
    }
}

structure! {
    /// What is changed in an HTTP request: the host name, and the path or its prefix.
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
    /// What is changed in a gRPC request.
    pub struct GrpcRewrite {
        /// The host name.
        "hostname" => hostname: Option<HostnameRewrite>,
    }
}

structure! {
    /// Whether the host name becomes the virtual service's.
    pub struct HostnameRewrite {
        /// Yes when absent.
        "defaultTargetHostname" => default_target_hostname: Option<DefaultRewrite>,
    }
}

structure! {
    /// What the whole path becomes.
    pub struct PathRewrite {
        /// This.
        "exact" => exact: Option<Text<1, 255>>,
    }
}

union! {
    /// What the matched prefix becomes.
    pub enum PrefixRewrite {
        /// Whether it becomes `/`.
        "defaultPrefix" => DefaultPrefix(DefaultRewrite),
        /// It becomes this.
        "value" => Value(Text<1, 255>),
    }
}

words! {
    /// Whether a default rewrite is made.
    pub enum DefaultRewrite {
        /// It is.
        "ENABLED" => Enabled,
        /// It is not.
        "DISABLED" => Disabled,
    }
}

structure! {
    /// Which HTTP requests a gateway route takes: those that match every member.
    pub struct HttpGatewayRouteMatch {
        /// Headers they have.
        "headers" => headers: Option<List<HeaderMatch, 1, 10>>,
        /// Their host name.
        "hostname" => hostname: Option<HostnameMatch>,
        /// Their method.
        "method" => method: Option<HttpMethod>,
        /// Their whole path.
        "path" => path: Option<HttpPathMatch>,
        /// The gateway's listener; needed when the gateway has several.
        "port" => port: Option<Port>,
        /// What their path begins with.
        "prefix" => prefix: Option<String>,
        /// Query parameters they have.
        "queryParameters" => query_parameters: Option<List<QueryParameterMatch, 1, 10>>,
    }
}

structure! {
    /// Which gRPC requests a gateway route takes: those that match every member.
    pub struct GrpcGatewayRouteMatch {
        /// Their host name.
        "hostname" => hostname: Option<HostnameMatch>,
        /// Metadata they have.
        "metadata" => metadata: Option<List<MetadataMatch, 1, 10>>,
        /// The gateway's listener; needed when the gateway has several.
        "port" => port: Option<Port>,
        /// The fully qualified service.
        "serviceName" => service_name: Option<String>,
    }
}
