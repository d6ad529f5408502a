//! Why: every decision's stable code with its facts, the same in the log line, the metric, the journal and the docs.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::health::{Health, Unknown};
use super::proof::{MissingProof, StuckInAlarm};
use super::targets::{CallerAlarm, Muted};
use crate::alarm::AlarmName;
use crate::name::{RouteId, VirtualNodeName, VirtualServiceName};
use crate::weights::WeightSplit;

/// Why nothing needs doing.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "reason", rename_all_fields = "camelCase")]
pub enum KeepReason {
    /// The route is as it was declared, and no alarm speaks against it.
    Steady,
    /// A failing node is drained already.
    AlreadyShifted {
        /// The drained nodes.
        drained: Vec<VirtualNodeName>,
        /// The alarms that cannot leave `ALARM` while their node has no requests, so that nothing ever brings it back.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        stuck: Vec<StuckAlarm>,
    },
    /// A node fails to which the route gives no traffic, as a standby that would not be ready.
    FailingWithoutTraffic {
        /// The nodes.
        nodes: Vec<VirtualNodeName>,
    },
}

/// An alarm that its own configuration keeps in `ALARM` while its node has no requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StuckAlarm {
    /// The drained node.
    pub node: VirtualNodeName,
    /// The alarm.
    pub alarm: AlarmName,
    /// Why it cannot clear.
    #[serde(flatten)]
    pub cause: StuckInAlarm,
}

/// Why something that may need doing is not done now.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "reason", rename_all_fields = "camelCase")]
pub enum HoldReason {
    /// The node's alarm is out of `ALARM`, but not for long enough.
    InsideDwell {
        /// Which node.
        node: VirtualNodeName,
        /// When the dwell ends.
        until: Timestamp,
    },
    /// A step of the fail-back is still being watched.
    InsideStep {
        /// Which node.
        node: VirtualNodeName,
        /// Which step.
        step: u8,
        /// When it has been watched long enough.
        until: Timestamp,
    },
    /// Another node of the route was drained a moment ago, and the others are watched under its load first.
    Settling {
        /// The node that was drained.
        drained: VirtualNodeName,
        /// Until when.
        until: Timestamp,
    },
    /// The step's time is over, but the node's request alarms have had no data: silence is not health.
    Unproven {
        /// Which node.
        node: VirtualNodeName,
        /// Data points seen in the step.
        seen: u32,
        /// Data points needed.
        needed: u16,
        /// What the node's alarms say.
        health: Health,
        /// The metrics that lack data or cannot be read.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        missing: Vec<MissingProof>,
    },
    /// The node was drained too often; it stays drained until the oldest drain is out of the window.
    FlapBudget {
        /// Which node.
        node: VirtualNodeName,
        /// How often it was drained in the window.
        drains: usize,
        /// When the oldest leaves it.
        until: Timestamp,
    },
    /// What was drained can't be judged any more: its alarm is gone, muted or unreadable.
    NoVerdict {
        /// Which node.
        node: VirtualNodeName,
        /// What there is to go by.
        health: Health,
    },
    /// Somebody changed targets or weights by hand.
    PersonEdited {
        /// The split that is being left alone.
        split: WeightSplit,
        /// When it was first seen.
        seen: Timestamp,
        /// Until when, unless it is released.
        until: Timestamp,
    },
    /// Failing nodes still carry a part of their share: no other target has capacity for it.
    Unplaced {
        /// The nodes.
        failing: Vec<VirtualNodeName>,
        /// Percentage points that stay with them.
        unplaced: u8,
    },
    /// No other target is known or declared to be ready.
    NothingEligible {
        /// Which node fails.
        failing: Vec<VirtualNodeName>,
        /// Why not each of the others.
        others: Vec<Ineligible>,
    },
    /// Several nodes fail at once with no call between them that explains it; moving traffic could only make it worse.
    CommonCause {
        /// The nodes.
        failing: Vec<VirtualNodeName>,
    },
    /// Some callers of the node report that it fails, and others report with data that it does not: the callers' side
    /// may be what fails.
    CallersDisagree {
        /// The node.
        node: VirtualNodeName,
        /// The callers that report a failure.
        failing: Vec<CallerAlarm>,
        /// The callers that report none.
        healthy: Vec<CallerAlarm>,
    },
    /// The node calls another one that fails; its own alarm is explained by that.
    DependencyFailing {
        /// Which node.
        node: VirtualNodeName,
        /// What it calls.
        calls: Vec<VirtualNodeName>,
    },
    /// The node is no route's target, so there are no weights to move.
    NoRoute {
        /// Which node.
        node: VirtualNodeName,
        /// The services that it provides without a router.
        provides: Vec<VirtualServiceName>,
    },
    /// An alarm speaks of a node that the mesh does not have.
    NodeMissing {
        /// Which node.
        node: VirtualNodeName,
        /// The alarms that speak of it.
        alarms: Vec<AlarmName>,
    },
    /// Somebody has switched the alarm's actions off, or a suppressor has.
    Muted {
        /// Which node.
        node: VirtualNodeName,
        /// The alarms.
        alarms: Vec<AlarmName>,
        /// What mutes each of them.
        by: Vec<Muted>,
    },
    /// The change would break something.
    Harmful {
        /// What, by the stable ids of the harms and their texts.
        harms: Vec<HarmFact>,
        /// The split that was not made.
        refused: WeightSplit,
    },
    /// The window's shifts are spent.
    BudgetSpent {
        /// Shifts in this window.
        used: u32,
        /// Shifts allowed.
        cap: u32,
    },
    /// Everything is switched off.
    KillSwitchOn {
        /// By whom.
        by: String,
        /// Why.
        why: String,
    },
    /// What the state table has of the route can't be read; deciding without it could undo something.
    RecordUnreadable {
        /// What is wrong with it.
        why: String,
    },
    /// The route was read as it was before a write that is remembered; it is read again.
    StaleRead {
        /// The version that was read.
        read: u64,
        /// The version that is remembered.
        known: u64,
    },
    /// The route has no weight at all: its declared state sends traffic nowhere, and there are no shares to keep.
    DeclaredDrained,
}

/// Why something is done.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "reason", rename_all_fields = "camelCase")]
pub enum ActReason {
    /// Nodes fail; their share goes to others.
    Failover {
        /// The failing nodes.
        failing: Vec<VirtualNodeName>,
        /// The alarms that say so.
        alarms: Vec<AlarmName>,
    },
    /// Nodes fail; a part of their share goes to others, and the rest stays, since nobody can carry it.
    PartialSpill {
        /// The failing nodes.
        failing: Vec<VirtualNodeName>,
        /// The alarms that say so.
        alarms: Vec<AlarmName>,
        /// Percentage points that stay.
        unplaced: u8,
    },
    /// A node that was coming back fails again.
    BackDown {
        /// The failing nodes.
        failing: Vec<VirtualNodeName>,
        /// The alarms that say so.
        alarms: Vec<AlarmName>,
        /// Those of the failing nodes that had not been drained before; their share goes with the same write.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        drained_too: Vec<VirtualNodeName>,
    },
    /// A node had the probe share without proof, and its alarms did not clear or had no data: it is drained again.
    TrialEnded {
        /// The nodes.
        nodes: Vec<VirtualNodeName>,
    },
    /// A node is tried again with the probe share, or with its next step.
    Failback {
        /// The nodes and the step that each is at now.
        returning: Vec<Return>,
    },
    /// Everything is back: the original integers are written.
    Restore {
        /// The nodes that came back.
        returned: Vec<VirtualNodeName>,
    },
}

/// A node on its way back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Return {
    /// Which.
    pub node: VirtualNodeName,
    /// At which step; 0 is the probe.
    pub step: u8,
    /// Whether the policy allows the probe without proof, because the node's alarms cannot clear without requests.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub without_proof: bool,
}

/// Why a target may not receive.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ineligible {
    /// Which.
    pub node: VirtualNodeName,
    /// Why not.
    pub why: Obstacle,
}

/// What stands between a target and more traffic.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "obstacle", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Obstacle {
    /// Its own alarm is on.
    InAlarm {
        /// Which.
        alarms: Vec<AlarmName>,
    },
    /// It is not known to be ready.
    NotKnownReady {
        /// What is missing.
        unknown: Unknown,
    },
    /// It is drained or on its way back itself.
    NotBackYet,
    /// It carries all that it is declared to be able to.
    Full,
    /// A standby that is not a target of the route; add it at weight 0.
    NotATarget,
    /// The mesh has no such node.
    Missing,
}

/// A harm as a decision records it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HarmFact {
    /// Its stable id.
    pub id: String,
    /// What it is, for people.
    pub text: String,
}

/// Gives a reason its code, which is its serialised tag.
macro_rules! code {
    ($($reason:ident),*) => {$(
        impl $reason {
            /// The stable code.
            #[must_use]
            pub fn code(&self) -> String {
                let value = serde_json::to_value(self).unwrap_or_default();
                value.get("reason").and_then(|code| code.as_str()).unwrap_or("unprintable").to_owned()
            }
        }
    )*};
}
code!(KeepReason, HoldReason, ActReason);

impl HoldReason {
    /// The node that the hold is about, where it is about one.
    #[must_use]
    pub fn node(&self) -> Option<&VirtualNodeName> {
        match self {
            Self::InsideDwell { node, .. }
            | Self::InsideStep { node, .. }
            | Self::Unproven { node, .. }
            | Self::FlapBudget { node, .. }
            | Self::NoVerdict { node, .. }
            | Self::DependencyFailing { node, .. }
            | Self::NoRoute { node, .. }
            | Self::NodeMissing { node, .. }
            | Self::Muted { node, .. } => Some(node),
            Self::Settling { drained, .. } => Some(drained),
            Self::PersonEdited { .. }
            | Self::Unplaced { .. }
            | Self::NothingEligible { .. }
            | Self::CommonCause { .. }
            | Self::CallersDisagree { .. }
            | Self::Harmful { .. }
            | Self::BudgetSpent { .. }
            | Self::KillSwitchOn { .. }
            | Self::RecordUnreadable { .. }
            | Self::StaleRead { .. }
            | Self::DeclaredDrained => None,
        }
    }

    /// Whether people should be woken: something fails and nothing is done about it, or soon will be.
    #[must_use]
    pub fn pages(&self) -> bool {
        match self {
            Self::InsideDwell { .. }
            | Self::InsideStep { .. }
            | Self::Settling { .. }
            | Self::Unproven { .. }
            | Self::StaleRead { .. }
            | Self::DependencyFailing { .. }
            // Somebody muted it on purpose.
            | Self::Muted { .. } => false,
            Self::FlapBudget { .. }
            | Self::NoVerdict { .. }
            | Self::Unplaced { .. }
            | Self::PersonEdited { .. }
            | Self::NothingEligible { .. }
            | Self::CommonCause { .. }
            | Self::CallersDisagree { .. }
            | Self::NoRoute { .. }
            | Self::NodeMissing { .. }
            | Self::Harmful { .. }
            | Self::BudgetSpent { .. }
            | Self::KillSwitchOn { .. }
            | Self::RecordUnreadable { .. }
            | Self::DeclaredDrained => true,
        }
    }
}

/// What people were last told of a route, so that the same thing is not said every minute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// The code of the reason.
    pub code: String,
    /// Since when it has held.
    pub since: Timestamp,
    /// How often it has come up again.
    pub repeats: u32,
    /// When somebody was last woken for it.
    pub paged: Option<Timestamp>,
}

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

/// What a decision is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Subject {
    /// A route.
    Route(RouteId),
    /// A virtual node that no route carries.
    Node(VirtualNodeName),
}

fn list<T: fmt::Display>(items: &[T]) -> String {
    let texts: Vec<String> = items.iter().map(T::to_string).collect();
    texts.join(", ")
}
