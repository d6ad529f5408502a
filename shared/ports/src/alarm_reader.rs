use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use mesh::alarm::{Alarm, AlarmName};

use crate::PortError;

/// Reads alarms, metric and composite alike.
#[async_trait]
pub trait AlarmReader: Send + Sync + std::fmt::Debug {
    /// The alarms of these names; one that does not exist is left out.
    async fn by_name(&self, names: &[AlarmName]) -> Result<Vec<Alarm>, PortError>;

    /// Every alarm whose name begins with `prefix`, all pages.
    async fn all(&self, prefix: &str) -> Result<Vec<Alarm>, PortError>;

    /// The alarm's tags.
    async fn tags(&self, arn: &str) -> Result<BTreeMap<String, String>, PortError>;

    /// How many data points the alarm's own metric has in `from..until`. Of an anomaly alarm the metric counts, not
    /// the band. A composite alarm has none.
    async fn data_points(&self, alarm: &Alarm, from: Timestamp, until: Timestamp) -> Result<u32, PortError>;
}
