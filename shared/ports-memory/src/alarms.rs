use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use decisions::failover::{CountedMetric, MetricData, MetricUse, metric_name};
use jiff::Timestamp;
use mesh::alarm::{Alarm, AlarmName, AlarmState, Contributor, MuteRule};

use super::{Cell, Faults};
use ports::{AlarmReader, PortError, PortErrorKind};

/// Alarms set by a test.
#[derive(Clone, Debug)]
pub struct MemoryAlarms(Cell<Alarms>);

#[derive(Clone, Debug, Default, PartialEq)]
struct Alarms {
    by_name: BTreeMap<AlarmName, Alarm>,
    tags: BTreeMap<String, BTreeMap<String, String>>,
    data: BTreeMap<AlarmName, Vec<Timestamp>>,
    silent: BTreeMap<AlarmName, BTreeSet<String>>,
    forbidden: BTreeSet<String>,
    contributors: BTreeMap<AlarmName, Vec<Contributor>>,
    mute_rules: Vec<MuteRule>,
}

impl MemoryAlarms {
    /// Creates a port without alarms.
    #[must_use]
    pub fn new(faults: Faults) -> Self {
        Self(Cell::new(Alarms::default(), faults))
    }

    /// Adds or replaces an alarm.
    pub fn put(&self, alarm: Alarm) {
        self.0.poke(|alarms| alarms.by_name.insert(alarm.name.clone(), alarm));
    }

    /// Removes an alarm.
    pub fn remove(&self, name: &AlarmName) {
        self.0.poke(|alarms| alarms.by_name.remove(name));
    }

    /// Sets the state of an alarm; a missing alarm is ignored.
    pub fn set_state(&self, name: &AlarmName, state: AlarmState, since: Timestamp) {
        self.0.poke(|alarms| {
            if let Some(alarm) = alarms.by_name.get_mut(name) {
                alarm.state = state;
                alarm.since = Some(since);
            }
        });
    }

    /// Sets the tags of an alarm.
    pub fn set_tags(&self, arn: &str, tags: BTreeMap<String, String>) {
        self.0.poke(|alarms| alarms.tags.insert(arn.to_owned(), tags));
    }

    /// Sets the time series in `ALARM` of an alarm.
    pub fn set_contributors(&self, name: &AlarmName, contributors: Vec<Contributor>) {
        self.0.poke(|alarms| alarms.contributors.insert(name.clone(), contributors));
    }

    /// Sets the active mute rules.
    pub fn set_mute_rules(&self, rules: Vec<MuteRule>) {
        self.0.poke(|alarms| alarms.mute_rules = rules);
    }

    /// Makes a metric of an alarm, for example `AppMesh/Errors`, have no data points even if the alarm has some.
    pub fn silence_metric(&self, alarm: &AlarmName, metric: &str) {
        self.0.poke(|alarms| alarms.silent.entry(alarm.clone()).or_default().insert(metric.to_owned()));
    }

    /// Denies reads of an account's metrics.
    pub fn forbid_account(&self, account: &str) {
        self.0.poke(|alarms| alarms.forbidden.insert(account.to_owned()));
    }

    /// Adds a data point to the alarm's metric.
    pub fn add_data(&self, name: &AlarmName, at: Timestamp) {
        self.0.poke(|alarms| alarms.data.entry(name.clone()).or_default().push(at));
    }

    /// Sets the data points of the alarm's metric.
    pub fn set_data(&self, name: &AlarmName, at: impl IntoIterator<Item = Timestamp>) {
        let at = at.into_iter().collect();
        self.0.poke(|alarms| alarms.data.insert(name.clone(), at));
    }
}

#[async_trait]
impl AlarmReader for MemoryAlarms {
    async fn by_name(&self, names: &[AlarmName]) -> Result<Vec<Alarm>, PortError> {
        let found = |alarms: &Alarms| Ok(names.iter().filter_map(|name| alarms.by_name.get(name)).cloned().collect());
        self.0.read("describe alarms", listed(names), found).await
    }

    async fn all(&self, prefix: &str) -> Result<Vec<Alarm>, PortError> {
        let found = |alarms: &Alarms| {
            Ok(alarms.by_name.values().filter(|alarm| alarm.name.as_str().starts_with(prefix)).cloned().collect())
        };
        self.0.read("list alarms", format!("{prefix}*"), found).await
    }

    async fn tags(&self, arn: &str) -> Result<BTreeMap<String, String>, PortError> {
        self.0
            .read("list tags of alarm", arn, |alarms| {
                if alarms.by_name.values().any(|alarm| alarm.arn == arn) {
                    Ok(alarms.tags.get(arn).cloned().unwrap_or_default())
                } else {
                    let call = format!("list tags of alarm {arn}");
                    Err(PortError::new(call, PortErrorKind::NotFound, "no such alarm"))
                }
            })
            .await
    }

    async fn contributors(&self, alarm: &AlarmName) -> Result<Vec<Contributor>, PortError> {
        let found = |alarms: &Alarms| Ok(alarms.contributors.get(alarm).cloned().unwrap_or_default());
        self.0.read("describe alarm contributors", alarm, found).await
    }

    async fn active_mute_rules(&self) -> Result<Vec<MuteRule>, PortError> {
        self.0.read("list mute rules", "active", |alarms| Ok(alarms.mute_rules.clone())).await
    }

    async fn data_points(
        &self,
        alarm: &Alarm,
        metrics: &[CountedMetric],
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<MetricData>, PortError> {
        self.0
            .read("count data points", &alarm.name, |alarms| {
                let of_alarm = alarms.data.get(&alarm.name).into_iter().flatten();
                let points = u32::try_from(of_alarm.filter(|at| (from..until).contains(*at)).count());
                let points = points.unwrap_or(u32::MAX);
                Ok(metrics.iter().map(|metric| alarms.counted(&alarm.name, metric, points)).collect())
            })
            .await
    }
}

impl Alarms {
    /// The alarm's data points apply to each of its metrics. A companion, a silenced metric and a metric of a
    /// forbidden account have none.
    fn counted(&self, alarm: &AlarmName, metric: &CountedMetric, points: u32) -> MetricData {
        let name = metric_name(&metric.query);
        let is_silent = self.silent.get(alarm).is_some_and(|silent| silent.contains(&name));
        let account = metric.query.account_id.clone();
        let forbidden = account.as_ref().filter(|account| self.forbidden.contains(*account));
        let has_none = is_silent || forbidden.is_some() || metric.usage == MetricUse::Companion;
        let points = if has_none { 0 } else { points };
        let unreadable = forbidden.map(|account| format!("forbidden: account {account}"));
        MetricData { metric: name, account, usage: metric.usage, points, above_zero: points, unreadable }
    }
}

fn listed(names: &[AlarmName]) -> String {
    names.iter().map(AlarmName::as_str).collect::<Vec<_>>().join(",")
}
