//! The ids of findings: what a mesh has that is not sent to a proxy as it stands.

/// A route or service leads to a virtual node that doesn't exist.
pub const DANGLING_TARGET: &str = "dangling-target";
/// A virtual node that is called has no listener, or none on the port that is called.
pub const NO_LISTENER: &str = "no-listener";
/// A virtual node that is called has several listeners, and nothing says which one is meant.
pub const AMBIGUOUS_PORT: &str = "ambiguous-port";
/// A virtual node that is called can't be found: it has no service discovery.
pub const NO_DISCOVERY: &str = "no-service-discovery";
/// No instance has the attributes by which Cloud Map finds a virtual node that is called.
pub const NO_INSTANCE_MATCHES: &str = "no-instance-matches";
/// A virtual node that is called has a host name that can't be one.
pub const UNUSABLE_HOSTNAME: &str = "unusable-hostname";
/// A backend or gateway route names a virtual service that doesn't exist.
pub const DANGLING_BACKEND: &str = "dangling-backend";
/// Two backends want the same port, and their protocols can't share it.
pub const PORT_CONFLICT: &str = "port-conflict";
/// A listener has the port of another one.
pub const DUPLICATE_LISTENER: &str = "duplicate-listener";
/// Two virtual services have the same name on the wire.
pub const DUPLICATE_DOMAIN: &str = "duplicate-domain";
/// A route's kind doesn't suit the listener of its router.
pub const ROUTE_PROTOCOL: &str = "route-protocol-mismatch";
/// A regular expression that RE2 doesn't take.
pub const UNSUPPORTED_REGEX: &str = "unsupported-regex";
/// An outlier detection without an interval or an ejection time.
pub const ZERO_INTERVAL: &str = "zero-outlier-interval";
/// A gRPC health check of something that doesn't speak HTTP/2.
pub const GRPC_HEALTH_CHECK: &str = "grpc-health-check-without-http2";
/// A health check whose path can't stand in a request.
pub const HEALTH_CHECK_PATH: &str = "bad-health-check-path";
/// A time limit without unit or value.
pub const UNREADABLE_DURATION: &str = "unreadable-duration";
/// A time limit beyond what Envoy takes.
pub const DURATION_TOO_LONG: &str = "duration-too-long";
/// A retry event that isn't one.
pub const UNKNOWN_RETRY_EVENT: &str = "unknown-retry-event";
/// An access-log format that Envoy can't read.
pub const BAD_LOG_FORMAT: &str = "bad-log-format";
/// The loopback ports are used up.
pub const NO_PORT: &str = "no-loopback-port";
/// Something of a newer API that this version doesn't know.
pub const UNRECOGNISED: &str = "unrecognised-member";
/// A condition that no request can meet, or that Envoy refuses.
pub const IMPOSSIBLE_MATCH: &str = "impossible-match";
/// A rewrite that Envoy refuses, or that has nothing to change in what the route matches.
pub const IMPOSSIBLE_REWRITE: &str = "impossible-rewrite";
/// A route or gateway route is for a port that its router or gateway doesn't listen on.
pub const UNMATCHED_PORT: &str = "unmatched-port";
/// A certificate or trust that is to be asked for by a name, and has none.
pub const NAMELESS_SECRET: &str = "nameless-secret";

/// Every id.
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
