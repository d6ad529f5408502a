//! Routes: which requests of a virtual router go to which virtual nodes.

use crate::spec::shapes::{serde_through_wire, shape, structure, union, words};
use serde_json::{Map, Value};

use super::bounded::{Int, List, Text};
use super::matching::{HeaderMatch, HttpMethod, HttpPathMatch, HttpScheme, MetadataMatch, QueryParameterMatch};
use super::wire::{Reader, Shape, Wire, write_member, write_rest};
use super::{Duration, Extra, GrpcTimeout, HttpTimeout, TcpTimeout};
use crate::name::VirtualNodeName;
use crate::weights::{Port, Weight, WeightSplit, WeightedTarget};

/// The spec of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSpec {
    /// What is matched and where it goes, by protocol.
    pub rule: RouteRule,
    /// 0 to 1000, 0 first; routes without one come after all that have one.
    pub priority: Option<Int<0, 1000>>,
    /// Members that this crate doesn't know, kept as they were read.
    pub extra: Extra,
}

union! {
    /// What a route matches and where it goes. A member of the route's spec itself, not of an object of its own.
    pub enum RouteRule {
        /// gRPC requests.
        "grpcRoute" => Grpc(GrpcRoute),
        /// HTTP/2 requests.
        "http2Route" => Http2(HttpRoute),
        /// HTTP/1.1 requests.
        "httpRoute" => Http(HttpRoute),
        /// TCP connections.
        "tcpRoute" => Tcp(TcpRoute),
    }
}

impl RouteRule {
    /// What the route does, whatever its kind; `None` for a kind that this crate doesn't know.
    #[must_use]
    pub const fn action(&self) -> Option<&RouteAction> {
        match self {
            Self::Grpc(route) => Some(&route.action),
            Self::Http(route) | Self::Http2(route) => Some(&route.action),
            Self::Tcp(route) => Some(&route.action),
            Self::Unrecognised(_) => None,
        }
    }

    /// What the route does, to change it.
    pub const fn action_mut(&mut self) -> Option<&mut RouteAction> {
        match self {
            Self::Grpc(route) => Some(&mut route.action),
            Self::Http(route) | Self::Http2(route) => Some(&mut route.action),
            Self::Tcp(route) => Some(&mut route.action),
            Self::Unrecognised(_) => None,
        }
    }

    /// The router listener that the route is for, where it names one.
    #[must_use]
    pub fn match_port(&self) -> Option<Port> {
        match self {
            Self::Grpc(route) => route.matches.port,
            Self::Http(route) | Self::Http2(route) => route.matches.port,
            Self::Tcp(route) => route.matches.as_ref().and_then(|matches| matches.port),
            Self::Unrecognised(_) => None,
        }
    }
}

impl RouteSpec {
    /// The weighted targets; `None` for a route of a kind that this crate doesn't know.
    #[must_use]
    pub fn split(&self) -> Option<WeightSplit> {
        let targets = &self.rule.action()?.weighted_targets;
        // The list has the same bounds as a split, so this can't fail.
        WeightSplit::new(targets.iter().map(TargetEntry::target).collect()).ok()
    }
}

impl Wire for RouteSpec {
    fn read(value: &Value, reader: &mut Reader) -> Option<Self> {
        let object = reader.object(value)?;
        let priority = reader.member(object, "priority");
        let extra = reader.rest(object, &["grpcRoute", "http2Route", "httpRoute", "priority", "tcpRoute"]);
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
            "grpcRoute" => GrpcRoute,
            "http2Route" => HttpRoute,
            "httpRoute" => HttpRoute,
            "tcpRoute" => TcpRoute,
            "priority" => Option<Int<0, 1000>>,
        }
    }
}

serde_through_wire!(RouteSpec);

structure! {
    /// A route for HTTP/1.1 or HTTP/2 requests.
    pub struct HttpRoute {
        /// Where requests go.
        "action" => action: RouteAction,
        /// Which requests.
        "match" => matches: HttpRouteMatch,
        /// When a request is tried again; Envoy's and App Mesh's defaults when absent.
        "retryPolicy" => retry_policy: Option<HttpRetryPolicy>,
        /// Time limits.
        "timeout" => timeout: Option<HttpTimeout>,
    }
}

structure! {
    /// A route for gRPC requests.
    pub struct GrpcRoute {
        /// Where requests go.
        "action" => action: RouteAction,
        /// Which requests.
        "match" => matches: GrpcRouteMatch,
        /// When a request is tried again.
        "retryPolicy" => retry_policy: Option<GrpcRetryPolicy>,
        /// Time limits.
        "timeout" => timeout: Option<GrpcTimeout>,
    }
}

structure! {
    /// A route for TCP connections.
    pub struct TcpRoute {
        /// Where connections go.
        "action" => action: RouteAction,
        /// Which connections; all when absent.
        "match" => matches: Option<TcpRouteMatch>,
        /// Time limits.
        "timeout" => timeout: Option<TcpTimeout>,
    }
}

structure! {
    /// Where the traffic of a route goes.
    pub struct RouteAction {
        /// The virtual nodes, each with its weight.
        "weightedTargets" => weighted_targets: List<TargetEntry, 1, { WeightSplit::MAX_TARGETS }>,
    }
}

structure! {
    /// One of a route's `weightedTargets`: a [`WeightedTarget`] with what else the document says about it.
    pub struct TargetEntry {
        /// The listener port at the node; needed when the node has several listeners.
        "port" => port: Option<Port>,
        /// The virtual node that receives the traffic.
        "virtualNode" => virtual_node: VirtualNodeName,
        /// Its share, relative to the other targets.
        "weight" => weight: Weight,
    }
}

impl TargetEntry {
    /// The target on its own.
    #[must_use]
    pub fn target(&self) -> WeightedTarget {
        WeightedTarget { virtual_node: self.virtual_node.clone(), weight: self.weight, port: self.port }
    }
}

structure! {
    /// Which HTTP requests a route takes: those that match every member.
    pub struct HttpRouteMatch {
        /// Headers they have.
        "headers" => headers: Option<List<HeaderMatch, 1, 10>>,
        /// Their method.
        "method" => method: Option<HttpMethod>,
        /// Their whole path.
        "path" => path: Option<HttpPathMatch>,
        /// The router's listener; needed when the router has several.
        "port" => port: Option<Port>,
        /// What their path begins with.
        "prefix" => prefix: Option<String>,
        /// Query parameters they have.
        "queryParameters" => query_parameters: Option<List<QueryParameterMatch, 1, 10>>,
        /// Their scheme.
        "scheme" => scheme: Option<HttpScheme>,
    }
}

structure! {
    /// Which gRPC requests a route takes: those that match every member.
    pub struct GrpcRouteMatch {
        /// Metadata they have.
        "metadata" => metadata: Option<List<MetadataMatch, 1, 10>>,
        /// Their method; needs the service.
        "methodName" => method_name: Option<Text<1, 50>>,
        /// The router's listener; needed when the router has several.
        "port" => port: Option<Port>,
        /// The fully qualified service.
        "serviceName" => service_name: Option<String>,
    }
}

structure! {
    /// Which TCP connections a route takes.
    pub struct TcpRouteMatch {
        /// The router's listener; needed when the router has several.
        "port" => port: Option<Port>,
    }
}

structure! {
    /// When an HTTP request is tried again.
    pub struct HttpRetryPolicy {
        /// `server-error`, `gateway-error`, `client-error` or `stream-error`; the API takes any text.
        "httpRetryEvents" => http_retry_events: Option<List<Text<1, 25>, 1, 25>>,
        /// How often it is tried again; 0 switches retries off.
        "maxRetries" => max_retries: Int<0, { i64::MAX }>,
        /// The time limit of each try.
        "perRetryTimeout" => per_retry_timeout: Duration,
        /// Failures of the connection.
        "tcpRetryEvents" => tcp_retry_events: Option<List<TcpRetryEvent, 1, 1>>,
    }
}

structure! {
    /// When a gRPC request is tried again.
    pub struct GrpcRetryPolicy {
        /// Statuses.
        "grpcRetryEvents" => grpc_retry_events: Option<List<GrpcRetryEvent, 1, 5>>,
        /// `server-error`, `gateway-error`, `client-error` or `stream-error`; the API takes any text.
        "httpRetryEvents" => http_retry_events: Option<List<Text<1, 25>, 1, 25>>,
        /// How often it is tried again; 0 switches retries off.
        "maxRetries" => max_retries: Int<0, { i64::MAX }>,
        /// The time limit of each try.
        "perRetryTimeout" => per_retry_timeout: Duration,
        /// Failures of the connection.
        "tcpRetryEvents" => tcp_retry_events: Option<List<TcpRetryEvent, 1, 1>>,
    }
}

words! {
    /// A failure of the connection.
    pub enum TcpRetryEvent {
        /// It could not be made.
        "connection-error" => ConnectionError,
    }
}

words! {
    /// A gRPC status.
    pub enum GrpcRetryEvent {
        /// The caller gave up.
        "cancelled" => Cancelled,
        /// The time ran out.
        "deadline-exceeded" => DeadlineExceeded,
        /// Something is broken.
        "internal" => Internal,
        /// A quota ran out.
        "resource-exhausted" => ResourceExhausted,
        /// Nothing answers for now.
        "unavailable" => Unavailable,
    }
}
