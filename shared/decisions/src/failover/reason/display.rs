//! The text of each reason.

use std::fmt;

use super::{ActReason, HoldReason, KeepReason, Return, StuckAlarm};
use mesh::alarm::AlarmName;
use mesh::name::VirtualNodeName;

impl fmt::Display for HoldReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InsideDwell { node, until } => {
                write!(f, "{node} is quiet, but stays drained until {until:.0}")
            }
            Self::InsideStep { node, step, until } => {
                write!(f, "{node} is watched at step {step} until {until:.0}")
            }
            Self::Settling { drained, until } => {
                write!(f, "{drained} was drained recently; no weight is returned to it until {until:.0}")
            }
            // The data points came in after CloudWatch last evaluated the alarm.
            Self::Unproven { node, seen, needed, health, missing } if *seen >= u32::from(*needed) => {
                write!(
                    f,
                    "{node} has the {needed} data points that it needs, but the state of its alarm lags behind: {health}"
                )?;
                if missing.is_empty() { Ok(()) } else { write!(f, "; {}", list(missing)) }
            }
            Self::Unproven { node, seen, needed, missing, .. } => {
                write!(
                    f,
                    "{node} has {seen} of {needed} data points since its last step, which does not prove health"
                )?;
                if missing.is_empty() { Ok(()) } else { write!(f, "; {}", list(missing)) }
            }
            Self::FlapBudget { node, drains, until } => {
                write!(f, "{node} was drained {drains} times; it stays drained until {until:.0}")
            }
            Self::NoVerdict { node, health } => {
                write!(f, "{node} is drained and its health is unknown: {health}")
            }
            Self::PersonEdited { split, until, .. } => {
                write!(f, "an operator set {split}; the route is held until {until:.0} or until it is released")
            }
            Self::Unplaced { failing, unplaced } => {
                write!(
                    f,
                    "{} still fails with {unplaced} points of its share: no other target has capacity for them",
                    list(failing)
                )
            }
            Self::NothingEligible { failing, .. } => {
                write!(f, "{} fails, and no other target is known or declared to be ready", list(failing))
            }
            Self::CommonCause { failing } => {
                write!(
                    f,
                    "{} fail together, which suggests a common cause elsewhere; no weight is moved",
                    list(failing)
                )
            }
            Self::CallersDisagree { node, failing, healthy } => write!(
                f,
                "{node} fails for {}, but not for {}; the failure may be on the callers' side, so no weight is moved",
                list(failing),
                list(healthy)
            ),
            Self::DependencyFailing { node, calls } => {
                write!(f, "{node} calls {}, which fails and explains its alarm", list(calls))
            }
            Self::NoRoute { node, .. } => {
                write!(f, "{node} fails, but no route targets it, so there are no weights to move")
            }
            Self::NodeMissing { node, .. } => {
                write!(f, "an alarm reports {node}, which does not exist in the mesh")
            }
            Self::Muted { node, by, .. } => {
                write!(f, "an alarm of {node} is in ALARM, but its actions are muted: {}", list(by))
            }
            Self::Harmful { harms, refused } => {
                let texts: Vec<&str> = harms.iter().map(|harm| harm.text.as_str()).collect();
                write!(f, "{refused} would cause harm: {}", texts.join("; "))
            }
            Self::BudgetSpent { used, cap } => {
                write!(f, "{used} of {cap} shifts of this window are spent")
            }
            Self::KillSwitchOn { by, why } => write!(f, "{by} has set the kill switch: {why}"),
            Self::RecordUnreadable { why } => {
                write!(f, "the stored record of the route cannot be read: {why}")
            }
            Self::StaleRead { read, known } => {
                write!(f, "the route was read at version {read}, which is older than the stored version {known}")
            }
            Self::DeclaredDrained => f.write_str("all weights of the route are 0, so it has no shares to move"),
            Self::Unattended { rollout, attend_by, roll_back_at, waits_for: None } => write!(
                f,
                "no run of traffic-shift has renewed rollout {rollout} since {attend_by:.0}; it is rolled back at \
                 {roll_back_at:.0}"
            ),
            Self::Unattended { rollout, attend_by, waits_for: Some(waits_for), .. } => write!(
                f,
                "no run of traffic-shift has renewed rollout {rollout} since {attend_by:.0}; its rollback waits: {waits_for}"
            ),
            Self::RestoreOverdue { drill, restore_by, waits_for } => {
                write!(f, "drill {drill} was to be restored by {restore_by:.0}; the restore waits: {waits_for}")
            }
            Self::RollbackWaits { rollout, cause, waits_for } => {
                write!(f, "rollout {rollout} is to be rolled back ({cause}), which waits: {waits_for}")
            }
        }
    }
}

impl fmt::Display for ActReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failover { failing, alarms } => {
                write!(f, "{} fails by {}; its share moves to other targets", list(failing), list(alarms))
            }
            Self::PartialSpill { failing, alarms, unplaced } => write!(
                f,
                "{} fails by {}; {unplaced} points of its share stay, since no other target has capacity for them",
                list(failing),
                list(alarms)
            ),
            Self::BackDown { failing, alarms, drained_too } if drained_too.is_empty() => {
                write!(f, "{} fails again by {}; it is drained again at once", list(failing), list(alarms))
            }
            Self::BackDown { failing, alarms, drained_too } => write!(
                f,
                "{} fails again by {}; it is drained again at once, and {} with it",
                list(failing),
                list(alarms),
                list(drained_too)
            ),
            Self::TrialEnded { nodes } => write!(
                f,
                "{} had the probe share without proof, and its alarms did not clear; it is drained again",
                list(nodes)
            ),
            Self::Failback { returning } => {
                let steps: Vec<String> = returning
                    .iter()
                    .map(|Return { node, step, without_proof }| match (step, without_proof) {
                        (0, false) => format!("{node} with the probe share"),
                        (0, true) => format!("{node} with the probe share, without proof, as the policy allows"),
                        (step, _) => format!("{node} at step {step}"),
                    })
                    .collect();
                write!(f, "returns {}", steps.join(", "))
            }
            Self::Restore { returned } => write!(f, "{} is back; the original weights are written", list(returned)),
            Self::Rollback { rollout, cause, alarms, drained } => {
                write!(f, "rolls rollout {rollout} back: {cause}")?;
                by_alarms(f, alarms)?;
                drained_too(f, drained)
            }
            Self::DrillRestored { drill, cause, alarms, drained } => {
                write!(f, "ends drill {drill}: {cause}")?;
                by_alarms(f, alarms)?;
                drained_too(f, drained)
            }
            Self::Reapplied { declared } => write!(f, "{declared} was declared; the layers are written again"),
            Self::StaleDeclaration { promoted } => {
                write!(
                    f,
                    "the split from before the promotion was declared; the promoted split {promoted} is written again"
                )
            }
            Self::StateLost { drained } => {
                f.write_str("the state table was lost during a rollout or drill; the declared split is written")?;
                drained_too(f, drained)
            }
        }
    }
}

impl fmt::Display for KeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steady => f.write_str("as declared, and no node fails"),
            Self::AlreadyShifted { drained, stuck } => {
                write!(f, "{} is drained already", list(drained))?;
                stuck.iter().try_for_each(|StuckAlarm { node, alarm, cause }| {
                    write!(f, "; alarm {alarm} cannot clear while {node} has no requests: {cause}")
                })
            }
            Self::FailingWithoutTraffic { nodes } => {
                write!(f, "{} fails, and its weight on the route is 0", list(nodes))
            }
        }
    }
}

fn by_alarms(f: &mut fmt::Formatter<'_>, alarms: &[AlarmName]) -> fmt::Result {
    if alarms.is_empty() { Ok(()) } else { write!(f, ", by {}", list(alarms)) }
}

fn drained_too(f: &mut fmt::Formatter<'_>, drained: &[VirtualNodeName]) -> fmt::Result {
    if drained.is_empty() { Ok(()) } else { write!(f, "; {} is drained with the same write", list(drained)) }
}

fn list<T: fmt::Display>(items: &[T]) -> String {
    let texts: Vec<String> = items.iter().map(T::to_string).collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failover::fixtures::node;
    use crate::failover::health::{Health, Unknown};

    #[test]
    fn unproven_node_with_data_points_is_distinguished_from_one_without() {
        let text = |seen, unknown| {
            let health = Health::Unknown { unknown };
            HoldReason::Unproven { node: node("v1"), seen, needed: 1, health, missing: Vec::new() }.to_string()
        };
        assert_eq!(
            text(0, Unknown::Idle),
            "v1 has 0 of 1 data points since its last step, which does not prove health"
        );
        assert_eq!(
            text(1, Unknown::InsufficientData),
            "v1 has the 1 data points that it needs, but the state of its alarm lags behind: its alarms have too little \
             data"
        );
    }
}
