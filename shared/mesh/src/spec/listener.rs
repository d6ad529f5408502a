//! What virtual nodes, gateways and routers listen with.

use super::bounded::{Int, Text};
use super::tls::ListenerTls;
use super::{Duration, GrpcTimeout, HttpTimeout, TcpTimeout};
use crate::spec::shapes::{structure, union, words};
use crate::weights::Port;

words! {
    /// What a listener of a virtual node or router speaks.
    pub enum Protocol {
        /// HTTP/1.1.
        "http" => Http,
        /// Bytes.
        "tcp" => Tcp,
        /// HTTP/2.
        "http2" => Http2,
        /// gRPC.
        "grpc" => Grpc,
    }
}

words! {
    /// What a listener of a virtual gateway speaks: no TCP.
    pub enum GatewayProtocol {
        /// HTTP/1.1.
        "http" => Http,
        /// HTTP/2.
        "http2" => Http2,
        /// gRPC.
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
        /// What is spoken on it.
        "protocol" => protocol: Protocol,
    }
}

structure! {
    /// The port and protocol of a listener of a virtual gateway.
    pub struct GatewayPortMapping {
        /// The port.
        "port" => port: Port,
        /// What is spoken on it.
        "protocol" => protocol: GatewayProtocol,
    }
}

structure! {
    /// A listener of a virtual node.
    pub struct Listener {
        /// Limits on connections and requests; the member must equal the listener's protocol.
        "connectionPool" => connection_pool: Option<ConnectionPool>,
        /// How clients probe the node. Its protocol may differ from the listener's.
        "healthCheck" => health_check: Option<HealthCheck>,
        /// When clients stop using an endpoint that answers with errors.
        "outlierDetection" => outlier_detection: Option<OutlierDetection>,
        /// The port and what is spoken on it.
        "portMapping" => port_mapping: PortMapping,
        /// Time limits; the member must equal the listener's protocol.
        "timeout" => timeout: Option<ListenerTimeout>,
        /// Whether and how the listener ends TLS.
        "tls" => tls: Option<ListenerTls>,
    }
}

structure! {
    /// A listener of a virtual gateway.
    pub struct GatewayListener {
        /// Limits on connections and requests; the member must equal the listener's protocol.
        "connectionPool" => connection_pool: Option<GatewayConnectionPool>,
        /// How the gateway is probed. Its protocol may differ from the listener's.
        "healthCheck" => health_check: Option<GatewayHealthCheck>,
        /// The port and what is spoken on it.
        "portMapping" => port_mapping: GatewayPortMapping,
        /// Whether and how the listener ends TLS.
        "tls" => tls: Option<ListenerTls>,
    }
}

structure! {
    /// A listener of a virtual router.
    pub struct RouterListener {
        /// The port and what is spoken on it.
        "portMapping" => port_mapping: PortMapping,
    }
}

structure! {
    /// How a listener of a virtual node is probed.
    pub struct HealthCheck {
        /// Successes in a row that make an endpoint healthy.
        "healthyThreshold" => healthy_threshold: Int<2, 10>,
        /// Milliseconds between probes.
        "intervalMillis" => interval_millis: Int<5_000, 300_000>,
        /// The path of an HTTP probe.
        "path" => path: Option<String>,
        /// The port probed; the listener's when absent.
        "port" => port: Option<Port>,
        /// What the probe speaks.
        "protocol" => protocol: Protocol,
        /// Milliseconds until a probe counts as failed.
        "timeoutMillis" => timeout_millis: Int<2_000, 60_000>,
        /// Failures in a row that make an endpoint unhealthy.
        "unhealthyThreshold" => unhealthy_threshold: Int<2, 10>,
    }
}

structure! {
    /// How a listener of a virtual gateway is probed.
    pub struct GatewayHealthCheck {
        /// Successes in a row that make an endpoint healthy.
        "healthyThreshold" => healthy_threshold: Int<2, 10>,
        /// Milliseconds between probes.
        "intervalMillis" => interval_millis: Int<5_000, 300_000>,
        /// The path of an HTTP probe.
        "path" => path: Option<String>,
        /// The port probed; the listener's when absent.
        "port" => port: Option<Port>,
        /// What the probe speaks.
        "protocol" => protocol: GatewayProtocol,
        /// Milliseconds until a probe counts as failed.
        "timeoutMillis" => timeout_millis: Int<2_000, 60_000>,
        /// Failures in a row that make an endpoint unhealthy.
        "unhealthyThreshold" => unhealthy_threshold: Int<2, 10>,
    }
}

structure! {
    /// When an endpoint that answers with errors is left out for a while.
    pub struct OutlierDetection {
        /// How long it is left out at first.
        "baseEjectionDuration" => base_ejection_duration: Duration,
        /// Time between looks.
        "interval" => interval: Duration,
        /// The largest part of all endpoints that is left out at once, in percent.
        "maxEjectionPercent" => max_ejection_percent: Int<0, 100>,
        /// Server errors in a row that leave it out.
        "maxServerErrors" => max_server_errors: Int<1, { i64::MAX }>,
    }
}

union! {
    /// Limits on what a listener of a virtual node takes at once.
    pub enum ConnectionPool {
        /// For a grpc listener.
        "grpc" => Grpc(RequestPool),
        /// For an http listener.
        "http" => Http(HttpConnectionPool),
        /// For an http2 listener.
        "http2" => Http2(RequestPool),
        /// For a tcp listener.
        "tcp" => Tcp(TcpConnectionPool),
    }
}

union! {
    /// Limits on what a listener of a virtual gateway takes at once.
    pub enum GatewayConnectionPool {
        /// For a grpc listener.
        "grpc" => Grpc(RequestPool),
        /// For an http listener.
        "http" => Http(HttpConnectionPool),
        /// For an http2 listener.
        "http2" => Http2(RequestPool),
    }
}

structure! {
    /// Limits of a grpc or http2 listener.
    pub struct RequestPool {
        /// Requests at once.
        "maxRequests" => max_requests: Int<1, { i32::MAX as i64 }>,
    }
}

structure! {
    /// Limits of an http listener.
    pub struct HttpConnectionPool {
        /// Connections at once.
        "maxConnections" => max_connections: Int<1, { i32::MAX as i64 }>,
        /// Requests that wait for a connection.
        "maxPendingRequests" => max_pending_requests: Option<Int<1, { i32::MAX as i64 }>>,
    }
}

structure! {
    /// Limits of a tcp listener.
    pub struct TcpConnectionPool {
        /// Connections at once.
        "maxConnections" => max_connections: Int<1, { i32::MAX as i64 }>,
    }
}

union! {
    /// Time limits of a listener.
    pub enum ListenerTimeout {
        /// For a grpc listener.
        "grpc" => Grpc(GrpcTimeout),
        /// For an http listener.
        "http" => Http(HttpTimeout),
        /// For an http2 listener.
        "http2" => Http2(HttpTimeout),
        /// For a tcp listener.
        "tcp" => Tcp(TcpTimeout),
    }
}

structure! {
    /// Where a virtual node or gateway logs requests.
    pub struct Logging {
        /// The access log.
        "accessLog" => access_log: Option<AccessLog>,
    }
}

union! {
    /// An access log.
    pub enum AccessLog {
        /// Written to a file.
        "file" => File(FileAccessLog),
    }
}

structure! {
    /// An access log in a file.
    pub struct FileAccessLog {
        /// What a line holds; Envoy's default when absent.
        "format" => format: Option<LoggingFormat>,
        /// The file, such as `/dev/stdout`.
        "path" => path: Text<1, 255>,
    }
}

union! {
    /// What a line of an access log holds, in Envoy's command operators.
    pub enum LoggingFormat {
        /// A JSON object a line.
        "json" => Json(Vec<JsonFormatMember>),
        /// A text a line.
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
