use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use mesh::alarm::{Alarm, AlarmName, Contributor, MuteRule};
use mesh::failover::{CountedMetric, MetricData};

use crate::PortError;

/// Reads alarms: metric, composite and PromQL alarms alike.
#[async_trait]
pub trait AlarmReader: Send + Sync + std::fmt::Debug {
    /// The alarms of these names; one that does not exist is left out.
    async fn by_name(&self, names: &[AlarmName]) -> Result<Vec<Alarm>, PortError>;

    /// Every alarm whose name begins with `prefix`, all pages.
    async fn all(&self, prefix: &str) -> Result<Vec<Alarm>, PortError>;

    /// The alarm's tags.
    async fn tags(&self, arn: &str) -> Result<BTreeMap<String, String>, PortError>;

    /// The time series that are in `ALARM` now, of an alarm that evaluates several; none for any other alarm.
    async fn contributors(&self, alarm: &AlarmName) -> Result<Vec<Contributor>, PortError>;

    /// The alarm mute rules that are active now, all pages.
    async fn active_mute_rules(&self) -> Result<Vec<MuteRule>, PortError>;

    /// How many data points each of these metrics has in `from..until`, in the same order, each in the account that holds
    /// it. A metric that the caller may not read says so; the others are counted all the same.
    async fn data_points(
        &self,
        alarm: &Alarm,
        metrics: &[CountedMetric],
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<MetricData>, PortError>;
}
