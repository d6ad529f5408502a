//! The function: its topic, its services and its warm state.

use jiff::SignedDuration;
use rules::compliance::Topic;
use tokio::sync::Mutex;

use crate::Ports;
use crate::observe::WarmCache;

/// The interval of the schedule.
pub(crate) const INTERVAL: SignedDuration = SignedDuration::from_mins(15);

/// The compliance function of a topic.
#[derive(Debug)]
pub struct Compliance {
    pub(crate) topic: Topic,
    pub(crate) ports: Ports,
    pub(crate) warm: Mutex<WarmCache>,
}
