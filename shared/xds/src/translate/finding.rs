//! The ids of findings: parts of a mesh that are not sent to a proxy as written.

/// A route or service leads to a virtual node that doesn't exist.
pub const DANGLING_TARGET: &str = "dangling-target";
/// A called virtual node has no listener, or none on the called port.
pub const NO_LISTENER: &str = "no-listener";
/// A called virtual node has several listeners, and no port is named.
pub const AMBIGUOUS_PORT: &str = "ambiguous-port";
/// A called virtual node has no service discovery, so clients cannot find it.
pub const NO_DISCOVERY: &str = "no-service-discovery";
/// No instance has the attributes by which Cloud Map finds a called virtual node.
pub const NO_INSTANCE_MATCHES: &str = "no-instance-matches";
/// A called virtual node has an invalid host name.
pub const UNUSABLE_HOSTNAME: &str = "unusable-hostname";
/// A backend or gateway route names a virtual service that doesn't exist.
pub const DANGLING_BACKEND: &str = "dangling-backend";
/// Two backends use the same port, and their protocols cannot share it.
pub const PORT_CONFLICT: &str = "port-conflict";
/// A listener has the port of another one.
pub const DUPLICATE_LISTENER: &str = "duplicate-listener";
/// Two virtual services have the same name on the wire.
pub const DUPLICATE_DOMAIN: &str = "duplicate-domain";
/// The kind of a route does not fit the listener of its router.
pub const ROUTE_PROTOCOL: &str = "route-protocol-mismatch";
/// A regular expression that RE2 does not accept.
pub const UNSUPPORTED_REGEX: &str = "unsupported-regex";
/// An outlier detection without an interval or an ejection time above 0.
pub const ZERO_INTERVAL: &str = "zero-outlier-interval";
/// A gRPC health check of a listener without HTTP/2.
pub const GRPC_HEALTH_CHECK: &str = "grpc-health-check-without-http2";
/// A health check with a path that cannot be sent in a request.
pub const HEALTH_CHECK_PATH: &str = "bad-health-check-path";
/// A duration without a unit or value.
pub const UNREADABLE_DURATION: &str = "unreadable-duration";
/// A duration that is longer than Envoy accepts.
pub const DURATION_TOO_LONG: &str = "duration-too-long";
/// A retry event that does not exist.
pub const UNKNOWN_RETRY_EVENT: &str = "unknown-retry-event";
/// An access log format that Envoy cannot parse.
pub const BAD_LOG_FORMAT: &str = "bad-log-format";
/// No loopback port is left.
pub const NO_PORT: &str = "no-loopback-port";
/// A member or value of a newer API that this version does not know.
pub const UNRECOGNISED: &str = "unrecognised-member";
/// A match condition that no request can meet, or that Envoy refuses.
pub const IMPOSSIBLE_MATCH: &str = "impossible-match";
/// A rewrite that Envoy refuses, or that does not apply to the match of its route.
pub const IMPOSSIBLE_REWRITE: &str = "impossible-rewrite";
/// A route or gateway route names a port that its router or gateway does not listen on.
pub const UNMATCHED_PORT: &str = "unmatched-port";
/// A certificate or trust that a proxy requests by name has no name.
pub const NAMELESS_SECRET: &str = "nameless-secret";

/// All finding ids.
pub const ALL: &[&str] = &[
    DANGLING_TARGET,
    NO_LISTENER,
    AMBIGUOUS_PORT,
    NO_DISCOVERY,
    NO_INSTANCE_MATCHES,
    UNUSABLE_HOSTNAME,
    DANGLING_BACKEND,
    PORT_CONFLICT,
    DUPLICATE_LISTENER,
    DUPLICATE_DOMAIN,
    ROUTE_PROTOCOL,
    UNSUPPORTED_REGEX,
    ZERO_INTERVAL,
    GRPC_HEALTH_CHECK,
    HEALTH_CHECK_PATH,
    UNREADABLE_DURATION,
    DURATION_TOO_LONG,
    UNKNOWN_RETRY_EVENT,
    BAD_LOG_FORMAT,
    NO_PORT,
    UNRECOGNISED,
    IMPOSSIBLE_MATCH,
    IMPOSSIBLE_REWRITE,
    UNMATCHED_PORT,
    NAMELESS_SECRET,
];
