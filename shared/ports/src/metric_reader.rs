use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::PortError;

/// Reads the data points of CloudWatch metrics.
#[async_trait]
pub trait MetricReader: Send + Sync + std::fmt::Debug {
    /// The data points of each series in `from..until`, in the order of the series. A series that the caller may not
    /// read has a reason; the other series are read.
    async fn read(
        &self,
        series: &[MetricSeries],
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<SeriesData>, PortError>;
}

/// A metric with its statistic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetricSeries {
    /// The namespace.
    pub namespace: String,
    /// The name of the metric.
    pub metric: String,
    /// The dimensions by name.
    pub dimensions: BTreeMap<String, String>,
    /// The statistic, as in `Sum` or `p99`.
    pub stat: String,
    /// The period in seconds.
    pub period: u32,
}

/// The data of a series.
#[derive(Clone, Debug, PartialEq)]
pub enum SeriesData {
    /// The data points, oldest first. An empty list means that the metric has none.
    Points(Vec<(Timestamp, f64)>),
    /// The series is only partly readable, or not at all, for this reason.
    Unreadable(String),
}
