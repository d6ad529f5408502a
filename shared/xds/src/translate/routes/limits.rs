//! The timeouts of routes and listeners.

use envoy_types::pb::google::protobuf::Duration;
use mesh::name::ResourcePath;
use mesh::spec::{Listener, ListenerTimeout, RouteRule};

use super::super::draft::Draft;

/// The default timeout of a request (App Mesh User Guide).
const PER_REQUEST: Duration = Duration { seconds: 15, nanos: 0 };
/// The default idle timeout (App Mesh User Guide).
pub(in super::super) const IDLE: Duration = Duration { seconds: 300, nanos: 0 };

/// The timeouts of a route; 0 means unlimited.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) struct Limits {
    pub(in super::super) per_request: Duration,
    pub(in super::super) idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { per_request: PER_REQUEST, idle: IDLE }
    }
}

impl Limits {
    /// The longer of each timeout; unlimited is the longest.
    pub(super) fn or_longer(self, other: Self) -> Self {
        let length = |limit: &Duration| match (limit.seconds, limit.nanos) {
            (0, 0) => (i64::MAX, 0),
            limited => limited,
        };
        let longer = |one: Duration, other: Duration| if length(&other) > length(&one) { other } else { one };
        Self { per_request: longer(self.per_request, other.per_request), idle: longer(self.idle, other.idle) }
    }
}

impl<'m> Draft<'m> {
    /// The timeouts of the traffic that a listener accepts.
    pub(super) fn listener_limits(&mut self, listener: &'m Listener) -> Limits {
        let path = self.path();
        let (per_request, idle) = match listener.timeout.as_ref() {
            Some(ListenerTimeout::Http(timeout) | ListenerTimeout::Http2(timeout)) => {
                (timeout.per_request.as_ref(), timeout.idle.as_ref())
            }
            Some(ListenerTimeout::Grpc(timeout)) => (timeout.per_request.as_ref(), timeout.idle.as_ref()),
            Some(ListenerTimeout::Tcp(timeout)) => (None, timeout.idle.as_ref()),
            Some(ListenerTimeout::Unrecognised(_)) | None => (None, None),
        };
        self.limits(per_request, idle, &path, "listener")
    }

    /// The idle timeout of a TCP listener.
    pub(in super::super) fn listener_idle(&mut self, listener: &'m Listener) -> Duration {
        self.listener_limits(listener).idle
    }

    pub(super) fn route_limits(&mut self, rule: &RouteRule, path: &ResourcePath) -> Limits {
        let (per_request, idle) = match rule {
            RouteRule::Http(route) | RouteRule::Http2(route) => {
                let timeout = route.timeout.as_ref();
                (timeout.and_then(|timeout| timeout.per_request.as_ref()), timeout.and_then(|t| t.idle.as_ref()))
            }
            RouteRule::Grpc(route) => {
                let timeout = route.timeout.as_ref();
                (timeout.and_then(|timeout| timeout.per_request.as_ref()), timeout.and_then(|t| t.idle.as_ref()))
            }
            RouteRule::Tcp(route) => (None, route.timeout.as_ref().and_then(|timeout| timeout.idle.as_ref())),
            RouteRule::Unrecognised(_) => (None, None),
        };
        self.limits(per_request, idle, path, "route")
    }

    fn limits(
        &mut self,
        per_request: Option<&mesh::spec::Duration>,
        idle: Option<&mesh::spec::Duration>,
        at: &ResourcePath,
        of: &str,
    ) -> Limits {
        let per_request = self.duration(per_request, at, &format!("{of} timeout.perRequest"));
        let idle = self.duration(idle, at, &format!("{of} timeout.idle"));
        let default = Limits::default();
        Limits { per_request: per_request.unwrap_or(default.per_request), idle: idle.unwrap_or(default.idle) }
    }
}
