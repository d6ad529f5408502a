//! Circuit breakers: the limits of a connection pool.

use envoy_types::pb::envoy::config::cluster::v3::CircuitBreakers;
use envoy_types::pb::envoy::config::cluster::v3::circuit_breakers::Thresholds;
use mesh::spec::{ConnectionPool, GatewayConnectionPool, HttpConnectionPool, RequestPool};

use super::proto::uint;

/// The value of a limit that a spec does not set. App Mesh used it too: the largest number that Envoy reads everywhere.
const UNLIMITED: u32 = 2_147_483_647;

/// The limits of a connection pool; `None` is unlimited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct PoolLimits {
    connections: Option<u32>,
    pending: Option<u32>,
    requests: Option<u32>,
}

impl PoolLimits {
    fn connections(number: i64) -> Self {
        Self { connections: limit(number), ..Self::default() }
    }

    fn requests(pool: &RequestPool) -> Self {
        Self { requests: limit(pool.max_requests.get()), ..Self::default() }
    }

    fn http(pool: &HttpConnectionPool) -> Self {
        let pending = pool.max_pending_requests.and_then(|pending| limit(pending.get()));
        Self { pending, ..Self::connections(pool.max_connections.get()) }
    }
}

impl From<&ConnectionPool> for PoolLimits {
    fn from(pool: &ConnectionPool) -> Self {
        match pool {
            ConnectionPool::Http(pool) => Self::http(pool),
            ConnectionPool::Http2(pool) | ConnectionPool::Grpc(pool) => Self::requests(pool),
            ConnectionPool::Tcp(pool) => Self::connections(pool.max_connections.get()),
            ConnectionPool::Unrecognised(_) => Self::default(),
        }
    }
}

impl From<&GatewayConnectionPool> for PoolLimits {
    fn from(pool: &GatewayConnectionPool) -> Self {
        match pool {
            GatewayConnectionPool::Http(pool) => Self::http(pool),
            GatewayConnectionPool::Http2(pool) | GatewayConnectionPool::Grpc(pool) => Self::requests(pool),
            GatewayConnectionPool::Unrecognised(_) => Self::default(),
        }
    }
}

fn limit(number: i64) -> Option<u32> {
    u32::try_from(number).ok()
}

pub(super) fn breakers(limits: PoolLimits) -> CircuitBreakers {
    CircuitBreakers {
        thresholds: vec![Thresholds {
            max_connections: uint(limits.connections.unwrap_or(UNLIMITED)),
            max_pending_requests: uint(limits.pending.unwrap_or(UNLIMITED)),
            max_requests: uint(limits.requests.unwrap_or(UNLIMITED)),
            max_retries: uint(UNLIMITED),
            ..Thresholds::default()
        }],
        ..CircuitBreakers::default()
    }
}
