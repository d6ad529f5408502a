//! Errors of the operator commands: one line with the cause and the remedy.

use std::path::PathBuf;

use decisions::failover::HoldReason;
use decisions::weights::Blocker;
use jiff::Timestamp;
use mesh::alarm::AlarmName;
use mesh::name::RouteId;
use policy::DrillName;
use ports::PortError;
use thiserror::Error;

use super::rollout::RolloutError;

/// Why a command failed.
#[derive(Debug, Error)]
pub(crate) enum Trouble {
    /// The current state prevents the action.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// A command on a rollout failed.
    #[error(transparent)]
    Rollout(Box<RolloutError>),
    /// A call to a service failed.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The confirmation prompt failed.
    #[error("failed to read the confirmation; pass --yes to skip it")]
    Prompt(#[source] std::io::Error),
    /// The output cannot be serialized.
    #[error("failed to write the output")]
    Output(#[source] serde_json::Error),
    /// The end of a hold is not in the future.
    #[error(
        "invalid end of the hold `{until:.0}`: expected a time after {now:.0}; pass a later --until or a longer --for"
    )]
    PastEnd {
        /// The given end.
        until: Timestamp,
        /// The current time.
        now: Timestamp,
    },
    /// The length of the hold exceeds the range of timestamps.
    #[error("--for exceeds the range of timestamps; pass --until")]
    TooLong,
    /// The weights are written, but another writer took the lease before the outcome was recorded.
    #[error(
        "route {route} is restored, but the lease expired before the outcome was recorded; `meshwarden explain {route}` shows the current state"
    )]
    Unfinished {
        /// The restored route.
        route: RouteId,
    },
    /// The weights are written, but the outcome could not be recorded.
    #[error("route {route} is restored, but the outcome is not recorded; the next run of route-failover records it")]
    Unrecorded {
        /// The restored route.
        route: RouteId,
        /// The failure of the state table.
        source: Box<PortError>,
    },
    /// The switch is changed, but the journal does not record the operator.
    #[error(
        "the kill switch is changed, but the change is not journalled, because other operators write the journal at the same time; notify them"
    )]
    Unjournalled,
    /// A file cannot be read or written.
    #[error("failed to {call} {}", path.display())]
    File {
        /// The failed operation.
        call: &'static str,
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The kill switch is on, and rollouts or drills are not ended everywhere.
    #[error(
        "the kill switch is on, but these weights are not restored; turn it off to let the functions restore them\n{failed}{restored}"
    )]
    NotAllRestored {
        /// The failures, one line each.
        failed: String,
        /// The restored routes, one line each, with a heading.
        restored: String,
    },
    /// The input is not a recorded decision.
    #[error("{what} is not a recorded decision: {why}")]
    NoRecord {
        /// The location of the input.
        what: String,
        /// Why the input is invalid.
        why: String,
    },
    /// The alarms of a mesh cannot be written or checked.
    #[error(transparent)]
    Alarms(#[from] super::alarms_error::AlarmsError),
    /// No decision is recorded for a replay.
    #[error("no decision about {what} is recorded; expected a route, a virtual node, a mesh or a certificate")]
    NoJournal {
        /// The subject of the replay.
        what: String,
    },
}

/// The state that prevents an action; nothing was changed.
#[derive(Debug, PartialEq, Error)]
pub(crate) enum Refusal {
    #[error("nothing was changed")]
    Declined,
    #[error("route {route} does not exist; `meshwarden status` lists the routes")]
    NoRoute { route: RouteId },
    #[error("drill {drill}: {why}")]
    NoDrill { drill: DrillName, why: String },
    #[error("alarm `{alarm}` does not exist in this account and region")]
    NoAlarm { alarm: AlarmName },
    #[error("route {route} has no weighted targets, so it cannot be held or restored")]
    NoTargets { route: RouteId },
    #[error("route {route}: {reason}; run the command again later")]
    Unclear { route: RouteId, reason: HoldReason },
    #[error(
        "route {route} was changed, or is being changed, by another writer; check it with `meshwarden explain {route}` and run the command again"
    )]
    Overtaken { route: RouteId },
    #[error("route {route} is not held; nothing was changed")]
    NotHeld { route: RouteId },
    #[error("route {route} is not held: {blocker}; run `{command}` first")]
    Blocked { route: RouteId, blocker: Blocker, command: String },
    #[error("no record of certificate {certificate}; `meshwarden status` lists the certificates")]
    NoCertificate { certificate: String },
    #[error("certificate {certificate} was not rolled back, and no attempt failed; nothing was changed")]
    NothingToRelease { certificate: String },
    #[error("failed to read the record of certificate {certificate}: {why}")]
    RecordUnclear { certificate: String, why: String },
    #[error("certificate {certificate} is being rotated now; run the command again in a minute")]
    CertificateInUse { certificate: String },
    #[error("route {route} is not shifted: {split} is the declared split")]
    NotShifted { route: RouteId, split: String },
    #[error("route {route} is not restored: {}; resolve this, or pass --force", why.join("; "))]
    Unsafe { route: RouteId, why: Vec<String> },
    #[error(
        "route {route} is not restored: {}; restore the alarm's data, or check the target and pass --allow-unknown",
        why.join("; ")
    )]
    HealthUnknown { route: RouteId, why: Vec<String> },
    #[error("route {route} is not restored: the kill switch is on; turn it off with `meshwarden kill off`")]
    KillSwitchOn { route: RouteId },
    #[error("{different} of {all} replayed decisions differ or are unknown\n{text}")]
    Different { different: usize, all: usize, text: String },
    #[error("{lacking} of {all} targets have no usable alarm\n{text}")]
    WithoutAlarm { lacking: usize, all: usize, text: String },
    #[error("document `{key}` does not exist; nothing was changed")]
    NoDocument { key: String },
    #[error(
        "document `{key}` was changed, or is being changed, by a function; nothing was changed. Run the command again"
    )]
    DocumentMoved { key: String },
    #[error("route {route} is not restored: {blocker}; run `{command}` first")]
    NotRestored { route: RouteId, blocker: Blocker, command: String },
    #[error("route {route} is not restored: no target may receive the share of a drained node")]
    NoReceiver { route: RouteId },
    #[error("the kill switch is already {so}")]
    AlreadySo { so: &'static str },
}

impl From<RolloutError> for Trouble {
    fn from(error: RolloutError) -> Self {
        Self::Rollout(Box::new(error))
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl Trouble {
    /// Whether a command is refused because the rollout is about to end, or has ended.
    pub(crate) fn is_about_an_ending_rollout(&self) -> bool {
        let Self::Rollout(error) = self else { return false };
        match error.as_ref() {
            RolloutError::State { .. } | RolloutError::Ended { .. } => true,
            RolloutError::Request { .. }
            | RolloutError::Unreadable { .. }
            | RolloutError::Missing { .. }
            | RolloutError::Ambiguous { .. }
            | RolloutError::Overtaken { .. }
            | RolloutError::NotPromoted { .. } => false,
        }
    }

    /// 1 if the current state prevents the action, 2 for any other failure.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) => 1,
            Self::Rollout(error) => match error.as_ref() {
                RolloutError::Request { .. } | RolloutError::Unreadable { .. } => 2,
                RolloutError::Missing { .. }
                | RolloutError::Ambiguous { .. }
                | RolloutError::Ended { .. }
                | RolloutError::Overtaken { .. }
                | RolloutError::State { .. }
                | RolloutError::NotPromoted { .. } => 1,
            },
            Self::Port(_)
            | Self::Prompt(_)
            | Self::Output(_)
            | Self::PastEnd { .. }
            | Self::TooLong
            | Self::Unfinished { .. }
            | Self::Unrecorded { .. }
            | Self::Unjournalled
            | Self::NotAllRestored { .. }
            | Self::File { .. }
            | Self::NoRecord { .. }
            | Self::Alarms(_)
            | Self::NoJournal { .. } => 2,
        }
    }
}
