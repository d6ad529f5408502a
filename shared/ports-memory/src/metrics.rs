use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;

use super::{Cell, Faults};
use ports::{MetricReader, MetricSeries, PortError, SeriesData};

/// Metrics set by a test. The period of a series has no effect.
#[derive(Clone, Debug)]
pub struct MemoryMetrics(Cell<Metrics>);

#[derive(Clone, Debug, Default, PartialEq)]
struct Metrics {
    /// By caller, target, metric and statistic; the caller of a series of all callers together is empty.
    points: BTreeMap<(String, String, String, String), BTreeMap<Timestamp, f64>>,
    unreadable: Option<String>,
}

impl MemoryMetrics {
    /// Creates a port without metrics.
    #[must_use]
    pub fn new(faults: Faults) -> Self {
        Self(Cell::new(Metrics::default(), faults))
    }

    /// Adds a data point to the metric of a target, by the value of the dimension `TargetVirtualNode`.
    pub fn add(&self, target: &str, metric: &str, stat: &str, at: Timestamp, value: f64) {
        self.add_for_caller("", target, metric, stat, at, value);
    }

    /// Adds a data point to the metric of a target as one caller measures it, by the value of the dimension `VirtualNode` or
    /// `VirtualGateway`.
    pub fn add_for_caller(&self, caller: &str, target: &str, metric: &str, stat: &str, at: Timestamp, value: f64) {
        let key = (caller.to_owned(), target.to_owned(), metric.to_owned(), stat.to_owned());
        self.0.poke(|metrics| metrics.points.entry(key).or_default().insert(at, value));
    }

    /// Makes all series unreadable for this reason, or readable again.
    pub fn set_unreadable(&self, reason: Option<&str>) {
        self.0.poke(|metrics| metrics.unreadable = reason.map(str::to_owned));
    }
}

#[async_trait]
impl MetricReader for MemoryMetrics {
    async fn read(
        &self,
        series: &[MetricSeries],
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<SeriesData>, PortError> {
        self.0
            .read("read metrics", series.len(), |metrics| {
                Ok(series.iter().map(|series| metrics.data(series, from, until)).collect())
            })
            .await
    }
}

impl Metrics {
    fn data(&self, series: &MetricSeries, from: Timestamp, until: Timestamp) -> SeriesData {
        if let Some(reason) = &self.unreadable {
            return SeriesData::Unreadable(reason.clone());
        }
        let dimension = |name: &str| series.dimensions.get(name).cloned();
        let target = dimension("TargetVirtualNode").unwrap_or_default();
        let caller = dimension("VirtualNode").or_else(|| dimension("VirtualGateway")).unwrap_or_default();
        let points = self.points.get(&(caller, target, series.metric.clone(), series.stat.clone()));
        let points = points.into_iter().flatten().filter(|(at, _)| (from..until).contains(*at));
        SeriesData::Points(points.map(|(at, value)| (*at, *value)).collect())
    }
}
