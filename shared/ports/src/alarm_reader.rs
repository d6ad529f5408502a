use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use mesh::alarm::{Alarm, AlarmName, Contributor, CountedMetric, MetricData, MuteRule};

use crate::PortError;

/// Reads CloudWatch alarms: metric, composite and PromQL alarms.
#[async_trait]
pub trait AlarmReader: Send + Sync + std::fmt::Debug {
    /// The alarms of these names; missing alarms are left out.
    async fn by_name(&self, names: &[AlarmName]) -> Result<Vec<Alarm>, PortError>;

    /// Every alarm with a name that begins with `prefix`, all pages.
    async fn all(&self, prefix: &str) -> Result<Vec<Alarm>, PortError>;

    /// The tags of an alarm.
    async fn tags(&self, arn: &str) -> Result<BTreeMap<String, String>, PortError>;

    /// The time series in `ALARM` of an alarm that evaluates several; empty for any other alarm.
    async fn contributors(&self, alarm: &AlarmName) -> Result<Vec<Contributor>, PortError>;

    /// The active alarm mute rules, all pages.
    async fn active_mute_rules(&self) -> Result<Vec<MuteRule>, PortError>;

    /// The number of data points of each of these metrics in `from..until`, in the same order, each in the account that
    /// holds it. A metric that the caller may not read has an error; the other metrics are counted.
    async fn data_points(
        &self,
        alarm: &Alarm,
        metrics: &[CountedMetric],
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<MetricData>, PortError>;
}
