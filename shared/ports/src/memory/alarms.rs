use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use mesh::alarm::{Alarm, AlarmName, AlarmState, Contributor, MuteRule};

use super::{Cell, Faults};
use crate::{AlarmReader, PortError, PortErrorKind};

/// Alarms that a test sets by hand.
#[derive(Clone, Debug)]
pub struct MemoryAlarms(Cell<Alarms>);

#[derive(Clone, Debug, Default, PartialEq)]
struct Alarms {
    by_name: BTreeMap<AlarmName, Alarm>,
    tags: BTreeMap<String, BTreeMap<String, String>>,
    data: BTreeMap<AlarmName, Vec<Timestamp>>,
    contributors: BTreeMap<AlarmName, Vec<Contributor>>,
    mute_rules: Vec<MuteRule>,
}

impl MemoryAlarms {
    /// No alarms yet.
    #[must_use]
    pub fn new(faults: Faults) -> Self {
        Self(Cell::new(Alarms::default(), faults))
    }

    /// Adds or replaces an alarm.
    pub fn put(&self, alarm: Alarm) {
        self.0.poke(|alarms| alarms.by_name.insert(alarm.name.clone(), alarm));
    }

    /// Takes an alarm away.
    pub fn remove(&self, name: &AlarmName) {
        self.0.poke(|alarms| alarms.by_name.remove(name));
    }

    /// Moves an alarm into a state; one that does not exist is left alone.
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

    /// Sets the time series of an alarm that are in `ALARM`.
    pub fn set_contributors(&self, name: &AlarmName, contributors: Vec<Contributor>) {
        self.0.poke(|alarms| alarms.contributors.insert(name.clone(), contributors));
    }

    /// Sets the active mute rules.
    pub fn set_mute_rules(&self, rules: Vec<MuteRule>) {
        self.0.poke(|alarms| alarms.mute_rules = rules);
    }

    /// Gives the alarm's metric one more data point.
    pub fn add_data(&self, name: &AlarmName, at: Timestamp) {
        self.0.poke(|alarms| alarms.data.entry(name.clone()).or_default().push(at));
    }

    /// Says when the alarm's metric had data points.
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

    async fn data_points(&self, alarm: &Alarm, from: Timestamp, until: Timestamp) -> Result<u32, PortError> {
        self.0
            .read("count data points", &alarm.name, |alarms| {
                let points = alarms.data.get(&alarm.name).into_iter().flatten();
                let within = points.filter(|at| (from..until).contains(*at)).count();
                Ok(u32::try_from(within).unwrap_or(u32::MAX))
            })
            .await
    }
}

fn listed(names: &[AlarmName]) -> String {
    names.iter().map(AlarmName::as_str).collect::<Vec<_>>().join(",")
}
