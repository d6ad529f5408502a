//! The text of each reason for people.

use std::fmt;

use super::{ActReason, HoldReason, KeepReason, Return, StuckAlarm};

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
                write!(f, "{drained} was drained a moment ago; nothing is given back until {until:.0}")
            }
            // The data points came in after CloudWatch last evaluated the alarm.
            Self::Unproven { node, seen, needed, health, missing } if *seen >= u32::from(*needed) => {
                write!(
                    f,
                    "{node} has the {needed} data points that it needs, and the state of its alarm lags behind them: {health}"
                )?;
                if missing.is_empty() { Ok(()) } else { write!(f, "; {}", list(missing)) }
            }
            Self::Unproven { node, seen, needed, missing, .. } => {
                write!(f, "{node} has had {seen} of {needed} data points since its last step: silence is not health")?;
                if missing.is_empty() { Ok(()) } else { write!(f, "; {}", list(missing)) }
            }
            Self::FlapBudget { node, drains, until } => {
                write!(f, "{node} was drained {drains} times; it stays drained until {until:.0}")
            }
            Self::NoVerdict { node, health } => {
                write!(f, "{node} is drained and can't be judged: {health}")
            }
            Self::PersonEdited { split, until, .. } => {
                write!(f, "somebody set {split}; it is left alone until {until:.0} or until it is released")
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
                write!(f, "{} fail together; that looks like one cause elsewhere, so nothing is moved", list(failing))
            }
            Self::CallersDisagree { node, failing, healthy } => write!(
                f,
                "{node} fails for {}, and not for {}; the callers' side may be what fails, so nothing is moved",
                list(failing),
                list(healthy)
            ),
            Self::DependencyFailing { node, calls } => {
                write!(f, "{node} calls {}, which fails; that comes first", list(calls))
            }
            Self::NoRoute { node, .. } => {
                write!(f, "{node} fails, but is no route's target: there are no weights to move")
            }
            Self::NodeMissing { node, .. } => {
                write!(f, "an alarm speaks of {node}, which the mesh does not have")
            }
            Self::Muted { node, by, .. } => {
                write!(f, "an alarm of {node} is in ALARM, but its actions are muted: {}", list(by))
            }
            Self::Harmful { harms, refused } => {
                let texts: Vec<&str> = harms.iter().map(|harm| harm.text.as_str()).collect();
                write!(f, "{refused} was not made: {}", texts.join("; "))
            }
            Self::BudgetSpent { used, cap } => {
                write!(f, "{used} of {cap} shifts of this window are spent")
            }
            Self::KillSwitchOn { by, why } => write!(f, "{by} has switched everything off: {why}"),
            Self::RecordUnreadable { why } => {
                write!(f, "what is remembered of the route can't be read: {why}")
            }
            Self::StaleRead { read, known } => {
                write!(f, "the route was read at version {read}, and version {known} has been seen")
            }
            Self::DeclaredDrained => f.write_str("all weights of the route are zero: it sends traffic nowhere"),
        }
    }
}

impl fmt::Display for ActReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failover { failing, alarms } => {
                write!(f, "{} fails by {}; its share goes to others", list(failing), list(alarms))
            }
            Self::PartialSpill { failing, alarms, unplaced } => write!(
                f,
                "{} fails by {}; {unplaced} points of its share stay, since nobody can carry them",
                list(failing),
                list(alarms)
            ),
            Self::BackDown { failing, alarms, drained_too } if drained_too.is_empty() => {
                write!(f, "{} fails again by {}; back down at once", list(failing), list(alarms))
            }
            Self::BackDown { failing, alarms, drained_too } => write!(
                f,
                "{} fails by {}; back down at once, and {} is drained with it",
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
                write!(f, "tries {}", steps.join(", "))
            }
            Self::Restore { returned } => write!(f, "{} is back; the original weights are written", list(returned)),
        }
    }
}

impl fmt::Display for KeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steady => f.write_str("as declared, and no alarm speaks against it"),
            Self::AlreadyShifted { drained, stuck } => {
                write!(f, "{} is drained already", list(drained))?;
                stuck.iter().try_for_each(|StuckAlarm { node, alarm, cause }| {
                    write!(f, "; alarm {alarm} cannot clear while {node} has no requests: {cause}")
                })
            }
            Self::FailingWithoutTraffic { nodes } => {
                write!(f, "{} fails, and the route gives it no traffic", list(nodes))
            }
        }
    }
}

fn list<T: fmt::Display>(items: &[T]) -> String {
    let texts: Vec<String> = items.iter().map(T::to_string).collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failover::health::{Health, Unknown};
    use crate::failover::sample::node;

    #[test]
    fn unproven_node_with_its_data_points_is_told_from_a_silent_one() {
        let text = |seen, unknown| {
            let health = Health::Unknown { unknown };
            HoldReason::Unproven { node: node("v1"), seen, needed: 1, health, missing: Vec::new() }.to_string()
        };
        assert_eq!(text(0, Unknown::Idle), "v1 has had 0 of 1 data points since its last step: silence is not health");
        assert_eq!(
            text(1, Unknown::InsufficientData),
            "v1 has the 1 data points that it needs, and the state of its alarm lags behind them: its alarms have too little \
             data"
        );
    }
}
