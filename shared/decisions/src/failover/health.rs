//! The health of a node: a conclusion from the states of its alarms.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use super::targets::{Muted, TargetAlarm};
use mesh::alarm::{AlarmName, AlarmState};
use policy::{AlarmRole, TargetPolicy};

/// The health of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "health", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Health {
    /// At least one unmuted alarm is in `ALARM`.
    Failing {
        /// The unmuted alarms in `ALARM`.
        alarms: Vec<AlarmName>,
        /// When the first of them entered `ALARM`, if CloudWatch returned the time.
        since: Option<Timestamp>,
    },
    /// Alarms are in `ALARM`, but all of them are muted. The node is not drained, and receives no additional traffic.
    Muted {
        /// The alarms in `ALARM`.
        alarms: Vec<AlarmName>,
        /// The cause of the mute, for each alarm.
        by: Vec<Muted>,
    },
    /// The node may receive traffic.
    Ready {
        /// The evidence of readiness.
        by: Evidence,
    },
    /// The alarms allow no conclusion.
    Unknown {
        /// The reason.
        unknown: Unknown,
    },
}

/// The evidence that a node is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// A readiness alarm is `OK`.
    ReadinessAlarm,
    /// The node has traffic, and a request alarm is `OK`.
    Requests,
    /// The policy declares the node ready (`assumeReady`).
    Declared,
}

/// The reason why the health of a node is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unknown {
    /// No alarm reports the node.
    NoAlarm,
    /// The request alarms have no data because the node has no traffic.
    Idle,
    /// The alarms have too little data, or a state that this version does not know.
    InsufficientData,
    /// The alarms are `OK`, but CloudWatch reports that their evaluation failed or was partial: the state is out
    /// of date.
    NotEvaluated,
    /// The metrics that the alarm evaluates cannot be read.
    Unreadable,
}

impl TargetAlarm {
    /// Whether the alarm is `OK`, readable and fully evaluated. `OK` does not count while CloudWatch reports a failed
    /// or partial evaluation. `ALARM` does, since CloudWatch acts on it, too.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.state == AlarmState::Ok && self.readable && self.evaluation.is_none()
    }
}

impl Health {
    /// Concludes the health of a node from its alarms, whether it has traffic, and what the policy declares.
    #[must_use]
    pub fn from_alarms(alarms: &[TargetAlarm], has_traffic: bool, declared: Option<&TargetPolicy>) -> Self {
        let on: Vec<&TargetAlarm> = alarms.iter().filter(|alarm| alarm.state == AlarmState::Alarm).collect();
        let acting: Vec<&TargetAlarm> = on.iter().copied().filter(|alarm| alarm.muted.is_none()).collect();
        if !acting.is_empty() {
            return Self::Failing {
                alarms: acting.iter().map(|alarm| alarm.name.clone()).collect(),
                since: acting.iter().filter_map(|alarm| alarm.since).min(),
            };
        }
        if !on.is_empty() {
            return Self::Muted {
                alarms: on.iter().map(|alarm| alarm.name.clone()).collect(),
                by: on.iter().filter_map(|alarm| alarm.muted.clone()).collect(),
            };
        }
        let ok = |role| move |alarm: &&TargetAlarm| alarm.role == role && alarm.is_ok();
        if alarms.iter().any(|alarm| ok(AlarmRole::Readiness)(&alarm)) {
            return Self::Ready { by: Evidence::ReadinessAlarm };
        }
        if has_traffic && alarms.iter().any(|alarm| ok(AlarmRole::Request)(&alarm)) {
            return Self::Ready { by: Evidence::Requests };
        }
        if declared.is_some_and(|target| target.assume_ready) {
            return Self::Ready { by: Evidence::Declared };
        }
        let unknown = if alarms.is_empty() {
            Unknown::NoAlarm
        } else if alarms.iter().any(|alarm| !alarm.readable) {
            Unknown::Unreadable
        } else if alarms.iter().any(|alarm| ok(AlarmRole::Request)(&alarm)) {
            Unknown::Idle
        } else if alarms.iter().any(|alarm| alarm.state == AlarmState::Ok && alarm.evaluation.is_some()) {
            Unknown::NotEvaluated
        } else {
            Unknown::InsufficientData
        };
        Self::Unknown { unknown }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failing { .. } => "its alarm is in ALARM",
            Self::Muted { .. } => "its alarm is in ALARM and muted",
            Self::Ready { .. } => "it is ready",
            Self::Unknown { unknown: Unknown::NoAlarm } => "no alarm reports it",
            Self::Unknown { unknown: Unknown::Idle } => "it has no traffic",
            Self::Unknown { unknown: Unknown::InsufficientData } => "its alarms have too little data",
            Self::Unknown { unknown: Unknown::NotEvaluated } => "CloudWatch failed to evaluate its alarm",
            Self::Unknown { unknown: Unknown::Unreadable } => "its alarm can't be read",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failover::fixtures::{at, node, policy};
    use mesh::alarm::EvaluationState;
    use mesh::name::MeshName;

    fn alarm(name: &str, role: AlarmRole, state: AlarmState) -> TargetAlarm {
        TargetAlarm {
            name: AlarmName::parse(name).unwrap(),
            role,
            state,
            since: Some(at(0)),
            muted: None,
            readable: true,
            evaluation: None,
            caller: None,
            recent_data_points: None,
        }
    }

    #[test]
    fn health_follows_from_alarm_states_traffic_and_policy() {
        use AlarmRole::{Readiness, Request};
        use AlarmState::{Alarm, InsufficientData, Ok, Unrecognised};
        let paused = || Unrecognised("PAUSED".to_owned());
        let partial =
            |state| TargetAlarm { evaluation: Some(EvaluationState::PartialData), ..alarm("e", Request, state) };
        // alarms, has traffic, declared ready -> health
        let cases: Vec<(Vec<TargetAlarm>, bool, bool, &str)> = vec![
            (vec![], true, false, "no alarm reports it"),
            (vec![], false, true, "it is ready"),
            (vec![alarm("q", Request, Ok)], true, false, "it is ready"),
            (vec![alarm("q", Request, Ok)], false, false, "it has no traffic"),
            (vec![alarm("q", Request, Ok)], false, true, "it is ready"),
            (vec![alarm("q", Request, InsufficientData)], true, false, "its alarms have too little data"),
            (vec![alarm("q", Request, InsufficientData)], false, false, "its alarms have too little data"),
            (vec![alarm("q", Request, InsufficientData), alarm("p", Request, Ok)], true, false, "it is ready"),
            (vec![alarm("r", Readiness, Ok)], false, false, "it is ready"),
            (vec![alarm("r", Readiness, InsufficientData)], false, false, "its alarms have too little data"),
            (vec![alarm("r", Readiness, paused())], false, false, "its alarms have too little data"),
            (vec![alarm("r", Readiness, Alarm)], false, true, "its alarm is in ALARM"),
            (vec![alarm("r", Readiness, Ok), alarm("q", Request, Alarm)], false, true, "its alarm is in ALARM"),
            (
                vec![TargetAlarm {
                    muted: Some(Muted::ActionsDisabled { alarm: AlarmName::parse("q").unwrap() }),
                    ..alarm("q", Request, Alarm)
                }],
                true,
                true,
                "its alarm is in ALARM and muted",
            ),
            (vec![TargetAlarm { readable: false, ..alarm("q", Request, Ok) }], true, false, "its alarm can't be read"),
            (vec![partial(Ok)], true, false, "CloudWatch failed to evaluate its alarm"),
            (vec![partial(Ok), alarm("p", Request, Ok)], true, false, "it is ready"),
            (
                vec![TargetAlarm { role: Readiness, ..partial(Ok) }],
                true,
                false,
                "CloudWatch failed to evaluate its alarm",
            ),
            (vec![partial(Ok)], true, true, "it is ready"),
            (vec![partial(Alarm)], true, true, "its alarm is in ALARM"),
            (vec![partial(InsufficientData)], true, false, "its alarms have too little data"),
        ];
        let declaring = policy("targets: [{mesh: shop, virtualNode: v1, assumeReady: true}]").failover;
        let target = declaring.target(&MeshName::parse("shop").unwrap(), &node("v1")).unwrap();
        for (alarms, has_traffic, declared, expected) in cases {
            let health = Health::from_alarms(&alarms, has_traffic, declared.then_some(target));
            assert_eq!(health.to_string(), expected, "{alarms:?}, traffic {has_traffic}, declared {declared}");
        }
    }
}
