//! The state of a route, from its record.

use decisions::failover::{Phase, RouteRecord};
use jiff::{SignedDuration, Timestamp};
use mesh::name::VirtualNodeName;
use mesh::split::WeightSplit;
use policy::FailoverPolicy;
use serde::Serialize;

/// The state of a route. If several apply, the earlier check in `State::from_record` wins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub(super) enum State {
    /// The record is unreadable.
    Unreadable { why: String },
    /// An operator holds the route.
    Held { since: Timestamp, until: Timestamp },
    /// A write was started, and its outcome is not recorded yet.
    Changing { plan: String, to: WeightSplit },
    /// The route was changed outside Meshwarden, and no function has observed the change yet.
    Edited,
    /// A drained node returns in steps.
    Probing { node: VirtualNodeName, step: u8, since: Timestamp },
    /// Nodes are drained.
    Shifted { drained: Vec<VirtualNodeName>, since: Timestamp },
    /// The weights are the declared ones.
    Steady,
}

impl State {
    pub(super) fn from_record(record: &RouteRecord, split: &WeightSplit, now: Timestamp) -> Self {
        if let Some(edit) = record.edit.filter(|edit| edit.until > now) {
            return Self::Held { since: edit.seen, until: edit.until };
        }
        if let Some(intent) = &record.intent {
            return Self::Changing { plan: intent.plan.clone(), to: intent.to.clone() };
        }
        if record.split != *split {
            return Self::Edited;
        }
        let phases = &record.shift.phases;
        let returning = phases.iter().filter_map(|(node, phase)| match phase {
            Phase::Returning { step, since, .. } => Some((node, *step, *since)),
            Phase::Drained { .. } => None,
        });
        if let Some((node, step, since)) = returning.max_by_key(|(_, _, since)| *since) {
            return Self::Probing { node: node.clone(), step, since };
        }
        let since = record.shift.restore.as_ref().map(|point| point.taken);
        match since {
            Some(since) => Self::Shifted { drained: phases.keys().cloned().collect(), since },
            None => Self::Steady,
        }
    }

    /// The urgency for an operator, lowest number first; `None` for a route in its declared state.
    pub(super) const fn rank(&self) -> Option<u8> {
        match self {
            Self::Unreadable { .. } => Some(0),
            Self::Shifted { .. } => Some(1),
            Self::Probing { .. } => Some(2),
            Self::Changing { .. } => Some(3),
            Self::Edited => Some(4),
            Self::Held { .. } => Some(5),
            Self::Steady => None,
        }
    }

    /// The state in a few words, with its start.
    pub(super) fn words(&self) -> (String, Option<Timestamp>) {
        match self {
            Self::Unreadable { .. } => ("unreadable".to_owned(), None),
            Self::Held { since, until } => (format!("held until {}", short(*until)), Some(*since)),
            Self::Changing { .. } => ("changing".to_owned(), None),
            Self::Edited => ("edited".to_owned(), None),
            Self::Probing { node, step, since } => (format!("probing {node} step {step}"), Some(*since)),
            Self::Shifted { since, .. } => ("shifted".to_owned(), Some(*since)),
            Self::Steady => ("steady".to_owned(), None),
        }
    }
}

/// The pending conditions and the next steps, as sentences.
pub(super) fn next(record: &RouteRecord, split: &WeightSplit, policy: &FailoverPolicy, now: Timestamp) -> Vec<String> {
    let mut lines = match State::from_record(record, split, now) {
        State::Unreadable { .. } => Vec::new(),
        State::Held { until, .. } => {
            let mut lines = vec![format!(
                "An operator holds the route until {}, or until it is released. Until then no function changes its weights.",
                short(until)
            )];
            if record.shift.restore.is_some() {
                lines.push("The failover then resumes from its current state.".to_owned());
            }
            lines
        }
        State::Changing { to, .. } => vec![format!(
            "A change to {to} was started and its outcome is not recorded; the next run of route-failover determines the outcome."
        )],
        State::Edited => {
            let hold = length(policy.edits.hold_for.get());
            vec![format!(
                "An operator or another tool changed it from {}; from its next run on, route-failover does not change it for {hold}.",
                record.split
            )]
        }
        State::Probing { .. } | State::Shifted { .. } => phases(record, policy),
        State::Steady => vec!["No step is pending: an alarm on one of its targets triggers route-failover.".to_owned()],
    };
    if record.shift.unplaced > 0 {
        let unplaced = record.shift.unplaced;
        lines.push(format!("{unplaced} weight points stay on failing nodes until another target can accept them."));
    }
    lines
}

fn phases(record: &RouteRecord, policy: &FailoverPolicy) -> Vec<String> {
    let failback = &policy.failback;
    let last = failback.steps.len();
    let line = |(node, phase): (&VirtualNodeName, &Phase)| match phase {
        Phase::Drained { since, .. } => format!(
            "{node} has been drained since {}. Once its alarm has been OK for {} (at {} at the earliest), it returns with a probe share of {}%.",
            short(*since),
            length(policy.dwell.get()),
            short(*since + policy.dwell.get()),
            failback.probe_share.get()
        ),
        Phase::Returning { step, since, .. } => {
            let then = match failback.steps.get(usize::from(*step)) {
                Some(share) => format!("{}% of its original share", share.get()),
                None => "its whole share, and the route its original weights if no other node is drained".to_owned(),
            };
            format!(
                "{node} has been at step {step} of {last} of its return since {}. The step ends at {} at the earliest and needs {} data points. Then the node gets {then}; an alarm drains it again.",
                short(*since),
                short(*since + failback.step_every.get()),
                failback.min_data_points
            )
        }
    };
    record.shift.phases.iter().map(line).collect()
}

/// A time with a precision of seconds.
pub(super) fn short(at: Timestamp) -> String {
    format!("{at:.0}")
}

fn length(of: SignedDuration) -> String {
    format!("{of:#}")
}
