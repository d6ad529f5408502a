//! Durations and the time limits made of them.

use crate::spec::shapes::{structure, words};
use jiff::SignedDuration;

use super::bounded::Int;

words! {
    /// The unit of a duration.
    pub enum DurationUnit {
        /// Seconds.
        "s" => Seconds,
        /// Milliseconds.
        "ms" => Milliseconds,
    }
}

structure! {
    /// A length of time. The API requires neither member.
    pub struct Duration {
        /// The unit of the value.
        "unit" => unit: Option<DurationUnit>,
        /// How many units.
        "value" => value: Option<Int<0, { i64::MAX }>>,
    }
}

impl Duration {
    /// The length of time; `None` when a member is missing, unknown or too large, which is not zero.
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
    /// Time limits of http and http2.
    pub struct HttpTimeout {
        /// Without any traffic; 300 s when absent.
        "idle" => idle: Option<Duration>,
        /// For a whole request; 15 s when absent, none when 0.
        "perRequest" => per_request: Option<Duration>,
    }
}

structure! {
    /// Time limits of grpc.
    pub struct GrpcTimeout {
        /// Without any traffic; 300 s when absent.
        "idle" => idle: Option<Duration>,
        /// For a whole request; 15 s when absent, none when 0.
        "perRequest" => per_request: Option<Duration>,
    }
}

structure! {
    /// Time limits of tcp.
    pub struct TcpTimeout {
        /// Without any traffic; 300 s when absent.
        "idle" => idle: Option<Duration>,
    }
}
