use jiff::Timestamp;

/// The time, as a port, so that tests can control it.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The present time in UTC.
    fn now(&self) -> Timestamp;
}

/// The system clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
