//! Routes: the requests of a virtual router that go to virtual nodes.

use crate::spec::shapes::{serde_through_wire, shape, structure, union, words};
use serde_json::{Map, Value};

use super::bounded::{Int, List, Text};
use super::matching::{HeaderMatch, HttpMethod, HttpPathMatch, HttpScheme, MetadataMatch, QueryParameterMatch};
use super::wire::{Reader, Shape, Wire, write_member, write_rest};
use super::{Duration, Extra, GrpcTimeout, HttpTimeout, TcpTimeout};
use crate::name::VirtualNodeName;
use crate::split::{Port, Weight, WeightSplit, WeightedTarget};

/// The spec of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSpec {
    /// The match and the action, by protocol.
    pub rule: RouteRule,
    /// The priority, 0 to 1000, 0 first; routes without one come last.
    pub priority: Option<Int<0, 1000>>,
    /// Unknown members, as they were read.
    pub extra: Extra,
}

union! {
    /// The match and the action of a route: a member of the route's spec itself, not of a nested object.
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
    /// The action of the route, of any known kind; `None` for an unknown kind.
    #[must_use]
    pub const fn action(&self) -> Option<&RouteAction> {
        match self {
            Self::Grpc(route) => Some(&route.action),
            Self::Http(route) | Self::Http2(route) => Some(&route.action),
            Self::Tcp(route) => Some(&route.action),
            Self::Unrecognised(_) => None,
        }
    }

    /// The action of the route, for a change.
    pub const fn action_mut(&mut self) -> Option<&mut RouteAction> {
        match self {
            Self::Grpc(route) => Some(&mut route.action),
            Self::Http(route) | Self::Http2(route) => Some(&mut route.action),
            Self::Tcp(route) => Some(&mut route.action),
            Self::Unrecognised(_) => None,
        }
    }

    /// The router listener of the route, if it names one.
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
    /// The weighted targets; `None` for a route of an unknown kind.
    #[must_use]
    pub fn split(&self) -> Option<WeightSplit> {
        let targets = &self.rule.action()?.weighted_targets;
        // The list has the same bounds as a split, so this cannot fail.
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
        /// The targets.
        "action" => action: RouteAction,
        /// The condition on requests.
        "match" => matches: HttpRouteMatch,
        /// The retry policy; Envoy's and App Mesh's defaults if absent.
        "retryPolicy" => retry_policy: Option<HttpRetryPolicy>,
        /// The timeouts.
        "timeout" => timeout: Option<HttpTimeout>,
    }
}

structure! {
    /// A route for gRPC requests.
    pub struct GrpcRoute {
        /// The targets.
        "action" => action: RouteAction,
        /// The condition on requests.
        "match" => matches: GrpcRouteMatch,
        /// The retry policy.
        "retryPolicy" => retry_policy: Option<GrpcRetryPolicy>,
        /// The timeouts.
        "timeout" => timeout: Option<GrpcTimeout>,
    }
}

structure! {
    /// A route for TCP connections.
    pub struct TcpRoute {
        /// The targets.
        "action" => action: RouteAction,
        /// The condition on connections; all connections if absent.
        "match" => matches: Option<TcpRouteMatch>,
        /// The timeouts.
        "timeout" => timeout: Option<TcpTimeout>,
    }
}

structure! {
    /// The targets of a route.
    pub struct RouteAction {
        /// The virtual nodes, each with its weight.
        "weightedTargets" => weighted_targets: List<TargetEntry, 1, { WeightSplit::MAX_TARGETS }>,
    }
}

structure! {
    /// One of a route's `weightedTargets`: a [`WeightedTarget`] with the unknown members of the document.
    pub struct TargetEntry {
        /// The listener port at the node; required if the node has several listeners.
        "port" => port: Option<Port>,
        /// The virtual node that receives the traffic.
        "virtualNode" => virtual_node: VirtualNodeName,
        /// Its weight, relative to the other targets.
        "weight" => weight: Weight,
    }
}

impl TargetEntry {
    /// The target without unknown members.
    #[must_use]
    pub fn target(&self) -> WeightedTarget {
        WeightedTarget { virtual_node: self.virtual_node.clone(), weight: self.weight, port: self.port }
    }
}

structure! {
    /// The condition of a route on HTTP requests; all members must match.
    pub struct HttpRouteMatch {
        /// Conditions on headers.
        "headers" => headers: Option<List<HeaderMatch, 1, 10>>,
        /// The method.
        "method" => method: Option<HttpMethod>,
        /// The condition on the whole path.
        "path" => path: Option<HttpPathMatch>,
        /// The router's listener port; required if the router has several listeners.
        "port" => port: Option<Port>,
        /// The prefix of the path.
        "prefix" => prefix: Option<String>,
        /// Conditions on query parameters.
        "queryParameters" => query_parameters: Option<List<QueryParameterMatch, 1, 10>>,
        /// The scheme.
        "scheme" => scheme: Option<HttpScheme>,
    }
}

structure! {
    /// The condition of a route on gRPC requests; all members must match.
    pub struct GrpcRouteMatch {
        /// Conditions on metadata.
        "metadata" => metadata: Option<List<MetadataMatch, 1, 10>>,
        /// The method; requires the service.
        "methodName" => method_name: Option<Text<1, 50>>,
        /// The router's listener port; required if the router has several listeners.
        "port" => port: Option<Port>,
        /// The fully qualified service.
        "serviceName" => service_name: Option<String>,
    }
}

structure! {
    /// The condition of a route on TCP connections.
    pub struct TcpRouteMatch {
        /// The router's listener port; required if the router has several listeners.
        "port" => port: Option<Port>,
    }
}

structure! {
    /// The retry policy of an HTTP route.
    pub struct HttpRetryPolicy {
        /// `server-error`, `gateway-error`, `client-error` or `stream-error`; the API accepts any text.
        "httpRetryEvents" => http_retry_events: Option<List<Text<1, 25>, 1, 25>>,
        /// The maximum number of retries; 0 disables retries.
        "maxRetries" => max_retries: Int<0, { i64::MAX }>,
        /// The timeout of each attempt.
        "perRetryTimeout" => per_retry_timeout: Duration,
        /// The connection failures to retry.
        "tcpRetryEvents" => tcp_retry_events: Option<List<TcpRetryEvent, 1, 1>>,
    }
}

structure! {
    /// The retry policy of a gRPC route.
    pub struct GrpcRetryPolicy {
        /// The gRPC statuses to retry.
        "grpcRetryEvents" => grpc_retry_events: Option<List<GrpcRetryEvent, 1, 5>>,
        /// `server-error`, `gateway-error`, `client-error` or `stream-error`; the API accepts any text.
        "httpRetryEvents" => http_retry_events: Option<List<Text<1, 25>, 1, 25>>,
        /// The maximum number of retries; 0 disables retries.
        "maxRetries" => max_retries: Int<0, { i64::MAX }>,
        /// The timeout of each attempt.
        "perRetryTimeout" => per_retry_timeout: Duration,
        /// The connection failures to retry.
        "tcpRetryEvents" => tcp_retry_events: Option<List<TcpRetryEvent, 1, 1>>,
    }
}

words! {
    /// A connection failure.
    pub enum TcpRetryEvent {
        /// The connection could not be established.
        "connection-error" => ConnectionError,
    }
}

words! {
    /// A gRPC status.
    pub enum GrpcRetryEvent {
        /// The caller cancelled the request.
        "cancelled" => Cancelled,
        /// The deadline expired.
        "deadline-exceeded" => DeadlineExceeded,
        /// An internal error occurred.
        "internal" => Internal,
        /// A quota is exhausted.
        "resource-exhausted" => ResourceExhausted,
        /// The service is unavailable.
        "unavailable" => Unavailable,
    }
}
