//! The listeners of virtual nodes, gateways and routers.

use super::bounded::{Int, Text};
use super::protocol::Protocol;
use super::tls::ListenerTls;
use super::{Duration, GrpcTimeout, HttpTimeout, TcpTimeout};
use crate::spec::shapes::{structure, union, wire_through_words, words};
use crate::split::Port;

wire_through_words!(Protocol);

words! {
    /// The protocol of a listener of a virtual gateway; TCP is not supported.
    pub enum GatewayProtocol {
        /// HTTP/1.1 requests.
        "http" => Http,
        /// HTTP/2 requests.
        "http2" => Http2,
        /// gRPC requests.
        "grpc" => Grpc,
    }
}

impl From<&GatewayProtocol> for Protocol {
    fn from(protocol: &GatewayProtocol) -> Self {
        match protocol {
            GatewayProtocol::Http => Self::Http,
            GatewayProtocol::Http2 => Self::Http2,
            GatewayProtocol::Grpc => Self::Grpc,
            GatewayProtocol::Unrecognised(text) => Self::Unrecognised(text.clone()),
        }
    }
}

structure! {
    /// The port and protocol of a listener of a virtual node or router.
    pub struct PortMapping {
        /// The port.
        "port" => port: Port,
        /// The protocol.
        "protocol" => protocol: Protocol,
    }
}

structure! {
    /// The port and protocol of a listener of a virtual gateway.
    pub struct GatewayPortMapping {
        /// The port.
        "port" => port: Port,
        /// The protocol.
        "protocol" => protocol: GatewayProtocol,
    }
}

structure! {
    /// A listener of a virtual node.
    pub struct Listener {
        /// Limits on connections and requests; the member must equal the listener's protocol.
        "connectionPool" => connection_pool: Option<ConnectionPool>,
        /// The health check of the node. Its protocol may differ from the listener's.
        "healthCheck" => health_check: Option<HealthCheck>,
        /// The ejection of endpoints that return errors.
        "outlierDetection" => outlier_detection: Option<OutlierDetection>,
        /// The port and the protocol.
        "portMapping" => port_mapping: PortMapping,
        /// The timeouts; the member must equal the listener's protocol.
        "timeout" => timeout: Option<ListenerTimeout>,
        /// The listener's TLS settings.
        "tls" => tls: Option<ListenerTls>,
    }
}

structure! {
    /// A listener of a virtual gateway.
    pub struct GatewayListener {
        /// Limits on connections and requests; the member must equal the listener's protocol.
        "connectionPool" => connection_pool: Option<GatewayConnectionPool>,
        /// The health check of the gateway. Its protocol may differ from the listener's.
        "healthCheck" => health_check: Option<GatewayHealthCheck>,
        /// The port and the protocol.
        "portMapping" => port_mapping: GatewayPortMapping,
        /// The listener's TLS settings.
        "tls" => tls: Option<ListenerTls>,
    }
}

structure! {
    /// A listener of a virtual router.
    pub struct RouterListener {
        /// The port and the protocol.
        "portMapping" => port_mapping: PortMapping,
    }
}

structure! {
    /// The health check of a virtual node's listener.
    pub struct HealthCheck {
        /// The number of consecutive successes that make an endpoint healthy.
        "healthyThreshold" => healthy_threshold: Int<2, 10>,
        /// The interval of checks in milliseconds.
        "intervalMillis" => interval_millis: Int<5_000, 300_000>,
        /// The path of an HTTP check.
        "path" => path: Option<String>,
        /// The checked port; the listener's if absent.
        "port" => port: Option<Port>,
        /// The protocol of the check.
        "protocol" => protocol: Protocol,
        /// The timeout of a check in milliseconds.
        "timeoutMillis" => timeout_millis: Int<2_000, 60_000>,
        /// The number of consecutive failures that make an endpoint unhealthy.
        "unhealthyThreshold" => unhealthy_threshold: Int<2, 10>,
    }
}

structure! {
    /// The health check of a virtual gateway's listener.
    pub struct GatewayHealthCheck {
        /// The number of consecutive successes that make an endpoint healthy.
        "healthyThreshold" => healthy_threshold: Int<2, 10>,
        /// The interval of checks in milliseconds.
        "intervalMillis" => interval_millis: Int<5_000, 300_000>,
        /// The path of an HTTP check.
        "path" => path: Option<String>,
        /// The checked port; the listener's if absent.
        "port" => port: Option<Port>,
        /// The protocol of the check.
        "protocol" => protocol: GatewayProtocol,
        /// The timeout of a check in milliseconds.
        "timeoutMillis" => timeout_millis: Int<2_000, 60_000>,
        /// The number of consecutive failures that make an endpoint unhealthy.
        "unhealthyThreshold" => unhealthy_threshold: Int<2, 10>,
    }
}

structure! {
    /// The ejection of an endpoint that returns errors.
    pub struct OutlierDetection {
        /// The duration of the first ejection.
        "baseEjectionDuration" => base_ejection_duration: Duration,
        /// The interval of checks.
        "interval" => interval: Duration,
        /// The maximum part of all endpoints that is ejected at once, in percent.
        "maxEjectionPercent" => max_ejection_percent: Int<0, 100>,
        /// The number of consecutive server errors that eject an endpoint.
        "maxServerErrors" => max_server_errors: Int<1, { i64::MAX }>,
    }
}

union! {
    /// The connection pool limits of a virtual node's listener.
    pub enum ConnectionPool {
        /// The limits of a grpc listener.
        "grpc" => Grpc(RequestPool),
        /// The limits of an http listener.
        "http" => Http(HttpConnectionPool),
        /// The limits of an http2 listener.
        "http2" => Http2(RequestPool),
        /// The limits of a tcp listener.
        "tcp" => Tcp(TcpConnectionPool),
    }
}

union! {
    /// The connection pool limits of a virtual gateway's listener.
    pub enum GatewayConnectionPool {
        /// The limits of a grpc listener.
        "grpc" => Grpc(RequestPool),
        /// The limits of an http listener.
        "http" => Http(HttpConnectionPool),
        /// The limits of an http2 listener.
        "http2" => Http2(RequestPool),
    }
}

structure! {
    /// Limits of a grpc or http2 listener.
    pub struct RequestPool {
        /// The maximum number of concurrent requests.
        "maxRequests" => max_requests: Int<1, { i32::MAX as i64 }>,
    }
}

structure! {
    /// Limits of an http listener.
    pub struct HttpConnectionPool {
        /// The maximum number of connections.
        "maxConnections" => max_connections: Int<1, { i32::MAX as i64 }>,
        /// The maximum number of requests that wait for a connection.
        "maxPendingRequests" => max_pending_requests: Option<Int<1, { i32::MAX as i64 }>>,
    }
}

structure! {
    /// Limits of a tcp listener.
    pub struct TcpConnectionPool {
        /// The maximum number of connections.
        "maxConnections" => max_connections: Int<1, { i32::MAX as i64 }>,
    }
}

union! {
    /// The timeouts of a listener.
    pub enum ListenerTimeout {
        /// The timeouts of a grpc listener.
        "grpc" => Grpc(GrpcTimeout),
        /// The timeouts of an http listener.
        "http" => Http(HttpTimeout),
        /// The timeouts of an http2 listener.
        "http2" => Http2(HttpTimeout),
        /// The timeouts of a tcp listener.
        "tcp" => Tcp(TcpTimeout),
    }
}

structure! {
    /// The logging of a virtual node or gateway.
    pub struct Logging {
        /// The access log.
        "accessLog" => access_log: Option<AccessLog>,
    }
}

union! {
    /// An access log.
    pub enum AccessLog {
        /// A log file.
        "file" => File(FileAccessLog),
    }
}

structure! {
    /// An access log in a file.
    pub struct FileAccessLog {
        /// The format of a line; Envoy's default if absent.
        "format" => format: Option<LoggingFormat>,
        /// The path of the file, for example `/dev/stdout`.
        "path" => path: Text<1, 255>,
    }
}

union! {
    /// The format of an access log's line, in Envoy's command operators.
    pub enum LoggingFormat {
        /// One JSON object per line.
        "json" => Json(Vec<JsonFormatMember>),
        /// One text per line.
        "text" => Text(Text<1, 1000>),
    }
}

structure! {
    /// One member of a JSON log line.
    pub struct JsonFormatMember {
        /// The member's name.
        "key" => key: Text<1, 100>,
        /// The member's value.
        "value" => value: Text<1, 100>,
    }
}
