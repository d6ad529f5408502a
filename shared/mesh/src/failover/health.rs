//! What is known of a node: a conclusion from alarm states, never a state of an alarm itself.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use super::targets::{Muted, TargetAlarm};
use crate::alarm::{AlarmName, AlarmState};
use crate::policy::{AlarmRole, TargetPolicy};

/// What is known of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "health", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Health {
    /// An alarm that may act is on.
    Failing {
        /// Which.
        alarms: Vec<AlarmName>,
        /// When the first of them went on, if CloudWatch told.
        since: Option<Timestamp>,
    },
    /// Alarms are on, but somebody has muted every one of them: no trigger, and no place for traffic either.
    Muted {
        /// Which.
        alarms: Vec<AlarmName>,
        /// What mutes each of them.
        by: Vec<Muted>,
    },
    /// It may receive traffic.
    Ready {
        /// By what.
        by: Evidence,
    },
    /// Nothing can be said.
    Unknown {
        /// Why not.
        unknown: Unknown,
    },
}

/// What readiness rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// A readiness alarm is `OK`.
    ReadinessAlarm,
    /// It has traffic, and a request alarm is `OK`.
    Requests,
    /// The policy vouches for it.
    Declared,
}

/// Why nothing can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unknown {
    /// No alarm speaks of it.
    NoAlarm,
    /// Its request alarms are quiet because it has no traffic.
    Idle,
    /// Its alarms have too little data, or a state that this version does not know.
    InsufficientData,
    /// Its alarms are `OK`, but CloudWatch reports that their evaluation failed or left data out: the state is that of an
    /// earlier moment.
    NotEvaluated,
    /// What its alarm watches can't be read.
    Unreadable,
}

impl TargetAlarm {
    /// Whether the alarm says that its condition does not hold. `OK` is not believed while CloudWatch reports that the
    /// evaluation failed or had partial data. `ALARM` is, as CloudWatch acts on it, too.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.state == AlarmState::Ok && self.readable && self.evaluation.is_none()
    }
}

impl Health {
    /// Concludes from what alarms say of a node.
    #[must_use]
    pub fn of(alarms: &[TargetAlarm], has_traffic: bool, declared: Option<&TargetPolicy>) -> Self {
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
            Self::Failing { .. } => "its alarm is on",
            Self::Muted { .. } => "its alarm is on and muted",
            Self::Ready { .. } => "it is ready",
            Self::Unknown { unknown: Unknown::NoAlarm } => "no alarm speaks of it",
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
    use crate::alarm::EvaluationState;
    use crate::failover::sample::{at, node, policy};
    use crate::name::MeshName;

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
    fn a_conclusion_for_every_case() {
        use AlarmRole::{Readiness, Request};
        use AlarmState::{Alarm, InsufficientData, Ok, Unrecognised};
        let paused = || Unrecognised("PAUSED".to_owned());
        let partial =
            |state| TargetAlarm { evaluation: Some(EvaluationState::PartialData), ..alarm("e", Request, state) };
        // alarms, has traffic, vouched for -> conclusion
        let cases: Vec<(Vec<TargetAlarm>, bool, bool, &str)> = vec![
            (vec![], true, false, "no alarm speaks of it"),
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
            (vec![alarm("r", Readiness, Alarm)], false, true, "its alarm is on"),
            (vec![alarm("r", Readiness, Ok), alarm("q", Request, Alarm)], false, true, "its alarm is on"),
            (
                vec![TargetAlarm {
                    muted: Some(Muted::ActionsDisabled { alarm: AlarmName::parse("q").unwrap() }),
                    ..alarm("q", Request, Alarm)
                }],
                true,
                true,
                "its alarm is on and muted",
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
            (vec![partial(Alarm)], true, true, "its alarm is on"),
            (vec![partial(InsufficientData)], true, false, "its alarms have too little data"),
        ];
        let vouched = policy("targets: [{mesh: shop, virtualNode: v1, assumeReady: true}]").failover;
        let target = vouched.target(&MeshName::parse("shop").unwrap(), &node("v1")).unwrap();
        for (alarms, has_traffic, declared, expected) in cases {
            let health = Health::of(&alarms, has_traffic, declared.then_some(target));
            assert_eq!(health.to_string(), expected, "{alarms:?}, traffic {has_traffic}, vouched {declared}");
        }
    }
}
