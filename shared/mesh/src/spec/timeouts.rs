//! Durations and timeouts.

use crate::spec::shapes::{structure, words};
use jiff::SignedDuration;

use super::bounded::Int;

words! {
    /// The unit of a duration.
    pub enum DurationUnit {
        /// The unit `s`, seconds.
        "s" => Seconds,
        /// The unit `ms`, milliseconds.
        "ms" => Milliseconds,
    }
}

structure! {
    /// A duration. The API requires neither member.
    pub struct Duration {
        /// The unit of the value.
        "unit" => unit: Option<DurationUnit>,
        /// The number of units.
        "value" => value: Option<Int<0, { i64::MAX }>>,
    }
}

impl Duration {
    /// The duration; `None` if a member is absent, unknown or too large, which differs from zero.
    #[must_use]
    pub fn length(&self) -> Option<SignedDuration> {
        let value = self.value?.get();
        match self.unit.as_ref()? {
            DurationUnit::Seconds => Some(SignedDuration::from_secs(value)),
            DurationUnit::Milliseconds => Some(SignedDuration::from_millis(value)),
            DurationUnit::Unrecognised(_) => None,
        }
    }
}

structure! {
    /// The timeouts of http and http2.
    pub struct HttpTimeout {
        /// The idle timeout; 300 s if absent.
        "idle" => idle: Option<Duration>,
        /// The timeout of a whole request; 15 s if absent, unlimited if 0.
        "perRequest" => per_request: Option<Duration>,
    }
}

structure! {
    /// The timeouts of grpc.
    pub struct GrpcTimeout {
        /// The idle timeout; 300 s if absent.
        "idle" => idle: Option<Duration>,
        /// The timeout of a whole request; 15 s if absent, unlimited if 0.
        "perRequest" => per_request: Option<Duration>,
    }
}

structure! {
    /// The timeouts of tcp.
    pub struct TcpTimeout {
        /// The idle timeout; 300 s if absent.
        "idle" => idle: Option<Duration>,
    }
}
