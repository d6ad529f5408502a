//! Practice runs of failovers: their plans, their times and their bounds.

use jiff::SignedDuration;
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Period;
use super::drill_window::DrillWindow;
use super::failover::Budget;
use mesh::alarm::AlarmName;
use mesh::name::{DrillName, MeshName, VirtualNodeName};

/// The settings of drills. A drill drains one virtual node as a failover would, for a bounded time, and restores
/// the weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DrillsPolicy {
    /// How long the node stays drained: 1 minute to 2 hours.
    pub duration: Period,
    /// The time between two drills of a plan: 1 to 30 days.
    pub every: Period,
    /// The times in UTC at which the schedule may start a drill. Empty: drills start by command only.
    pub windows: Vec<DrillWindow>,
    /// The days in UTC on which no drill starts.
    #[schemars(with = "Vec<String>")]
    pub blocked_dates: Vec<Date>,
    /// The capacity that the other targets must have.
    pub capacity: DrillCapacity,
    /// How the node gets its share back after a successful drill.
    pub come_back: ComeBack,
    /// The plans.
    pub plans: Vec<DrillPlanPolicy>,
    /// The budget of drills. A restore is never charged to it.
    pub budget: Budget,
}

impl Default for DrillsPolicy {
    fn default() -> Self {
        Self {
            // As in ARC's practice runs: long enough for caches, pools and autoscaling of the receivers to react.
            duration: Period::minutes(30),
            every: Period::minutes(7 * 24 * 60),
            windows: Vec::new(),
            blocked_dates: Vec::new(),
            capacity: DrillCapacity::default(),
            come_back: ComeBack::default(),
            plans: Vec::new(),
            budget: Budget { changes: 10, window: Period::minutes(60) },
        }
    }
}

/// The capacity check: a receiver's present request rate plus its part of the drained node's rate stays below a multiple
/// of the receiver's highest rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DrillCapacity {
    /// The permitted load of a receiver, in percent of its highest rate within `lookback`: 50 to 500.
    #[schemars(range(min = 50, max = 500))]
    pub headroom: u16,
    /// How far back the highest rate counts: 1 to 15 days.
    pub lookback: Period,
}

impl Default for DrillCapacity {
    fn default() -> Self {
        // A week contains each weekday's peak. A fifth above it is what autoscaling adds within minutes.
        Self { headroom: 120, lookback: Period::minutes(7 * 24 * 60) }
    }
}

/// How a node gets its share back after a successful drill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ComeBack {
    /// One write restores the split before the drill.
    #[default]
    AtOnce,
    /// route-failover returns the node in the steps of its failback.
    Steps,
}

/// The plan of a drill. Absent members have the values of the section `drills`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DrillPlanPolicy {
    /// The name, unique within the mesh.
    pub name: DrillName,
    /// The mesh.
    pub mesh: MeshName,
    /// The virtual node that is drained.
    pub virtual_node: VirtualNodeName,
    /// The alarms that report whether users notice the drill. One in `ALARM` ends the drill as failed.
    #[schemars(length(min = 1))]
    pub outcome_alarms: Vec<AlarmName>,
    /// The alarms that prevent a drill, or end it early.
    #[serde(default)]
    pub blocking_alarms: Vec<AlarmName>,
    /// How long the node stays drained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Period>,
    /// The time between two drills.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Period>,
    /// The times at which the schedule may start the drill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<Vec<DrillWindow>>,
}

/// The shortest and the longest duration of a drill.
pub const DRILL_DURATION: (SignedDuration, SignedDuration) =
    (SignedDuration::from_mins(1), SignedDuration::from_hours(2));

const EVERY: (SignedDuration, SignedDuration) = (SignedDuration::from_hours(24), SignedDuration::from_hours(30 * 24));

/// CloudWatch keeps data points of one minute for 15 days.
const LOOKBACK: (SignedDuration, SignedDuration) =
    (SignedDuration::from_hours(24), SignedDuration::from_hours(15 * 24));

impl DrillsPolicy {
    /// The first contradiction: its key and its remedy.
    pub(super) fn contradiction(&self) -> Option<(String, String)> {
        let bounds = [
            ("duration".to_owned(), Some(self.duration), DRILL_DURATION, "1m to 2h"),
            ("every".to_owned(), Some(self.every), EVERY, "24h to 720h (30 days)"),
            ("capacity.lookback".to_owned(), Some(self.capacity.lookback), LOOKBACK, "24h to 360h (15 days)"),
        ];
        let plans = self.plans.iter().enumerate().flat_map(|(index, plan)| {
            [
                (format!("plans[{index}].duration"), plan.duration, DRILL_DURATION, "1m to 2h"),
                (format!("plans[{index}].every"), plan.every, EVERY, "24h to 720h (30 days)"),
            ]
        });
        let out_of_bounds = bounds.into_iter().chain(plans).find_map(|(key, period, (least, most), expected)| {
            let period = period?;
            let is_outside = period.get() < least || most < period.get();
            is_outside.then(|| (format!("drills.{key}"), format!("invalid duration `{period}`: expected {expected}")))
        });
        out_of_bounds.or_else(|| self.wrong_headroom()).or_else(|| self.wrong_plan())
    }

    fn wrong_headroom(&self) -> Option<(String, String)> {
        let headroom = self.capacity.headroom;
        let text = || format!("invalid headroom {headroom}: expected 50 to 500 percent of the highest rate");
        (!(50..=500).contains(&headroom)).then(|| ("drills.capacity.headroom".to_owned(), text()))
    }

    fn wrong_plan(&self) -> Option<(String, String)> {
        for (index, plan) in self.plans.iter().enumerate() {
            let key = format!("drills.plans[{index}]");
            if plan.outcome_alarms.is_empty() {
                let problem = "expected at least one outcome alarm: without it no drill could fail";
                return Some((format!("{key}.outcomeAlarms"), problem.to_owned()));
            }
            let is_same = |other: &DrillPlanPolicy| other.mesh == plan.mesh && other.name == plan.name;
            if self.plans.iter().take(index).any(is_same) {
                let problem =
                    format!("mesh {} has another plan `{}`; give each plan its own name", plan.mesh, plan.name);
                return Some((format!("{key}.name"), problem));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Policy;

    const PLAN: &str = "{name: recs, mesh: shop, virtualNode: recs-v1, outcomeAlarms: [checkout]}";

    #[test]
    fn section_has_the_documented_defaults() {
        let drills = Policy::read("version: 1").unwrap().drills;
        assert_eq!(drills.duration.get(), SignedDuration::from_mins(30));
        assert_eq!(drills.every.get(), SignedDuration::from_hours(7 * 24));
        assert_eq!((drills.capacity.headroom, drills.come_back), (120, ComeBack::AtOnce));
        assert!(drills.windows.is_empty() && drills.plans.is_empty() && drills.blocked_dates.is_empty());
    }

    #[test]
    fn invalid_values_are_refused_with_key_and_remedy() {
        let plan = |more: &str| format!("plans: [{PLAN}, {more}]");
        for (section, key, part) in [
            ("duration: 30s".to_owned(), "drills.duration", "1m to 2h"),
            ("duration: 3h".to_owned(), "drills.duration", "1m to 2h"),
            ("every: 1h".to_owned(), "drills.every", "24h"),
            ("capacity: {headroom: 20}".to_owned(), "drills.capacity.headroom", "50 to 500"),
            ("capacity: {lookback: 1h}".to_owned(), "drills.capacity.lookback", "15 days"),
            ("windows: ['Mon:10:00']".to_owned(), "drills.windows[0]", "Mon:10:00-Mon:16:00"),
            ("blockedDates: [tomorrow]".to_owned(), "drills.blockedDates[0]", ""),
            (plan(PLAN), "drills.plans[1].name", "own name"),
            (
                plan(&PLAN.replace("recs,", "other,").replace("[checkout]", "[]")),
                "drills.plans[1].outcomeAlarms",
                "one",
            ),
            (plan(&PLAN.replace("recs,", "'a b',")), "drills.plans[1].name", "1 to 64"),
            (plan(&PLAN.replace("recs,", "other, duration: 5h,")), "drills.plans[1].duration", "2h"),
        ] {
            let error = Policy::read(&format!("version: 1\ndrills:\n  {section}\n")).unwrap_err();
            assert_eq!(error.key, key, "{error}");
            assert!(error.problem.contains(part), "{error}");
        }
    }
}
