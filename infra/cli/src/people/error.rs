//! Errors of the operator commands: one line with the cause and the remedy.

use std::path::PathBuf;

use jiff::Timestamp;
use mesh::alarm::AlarmName;
use mesh::failover::HoldReason;
use mesh::name::RouteId;
use mesh::policy::DrillName;
use ports::PortError;
use thiserror::Error;

/// Why a command failed.
#[derive(Debug, Error)]
pub(crate) enum Trouble {
    /// The current state prevents the action.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// A call to a service failed.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The confirmation prompt failed.
    #[error("failed to ask; give --yes to do it without a question")]
    Ask(#[source] std::io::Error),
    /// The output cannot be serialized.
    #[error("failed to write the output")]
    Output(#[source] serde_json::Error),
    /// The end of a hold is not in the future.
    #[error("the hold would end at {until:.0}, which is not after {now:.0}; give a later --until or a longer --for")]
    PastEnd {
        /// The given end.
        until: Timestamp,
        /// The current time.
        now: Timestamp,
    },
    /// The length of the hold exceeds the range of timestamps.
    #[error("--for is too long; give --until")]
    TooLong,
    /// The weights are written, but another writer took the lease before the outcome was recorded.
    #[error(
        "route {route} is restored, but that took longer than its lease; `meshwarden explain {route}` tells how it stands"
    )]
    Unfinished {
        /// The restored route.
        route: RouteId,
    },
    /// The weights are written, but the outcome could not be recorded.
    #[error("route {route} is restored, but that is not recorded; route-failover takes it up with its next wake")]
    Unrecorded {
        /// The restored route.
        route: RouteId,
        /// The failure of the state table.
        source: Box<PortError>,
    },
    /// The switch is changed, but the journal does not record the operator.
    #[error(
        "the kill switch is turned, but not journalled, since others journal at the same time; say so to the others"
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
    /// The input is not a recorded decision.
    #[error("{what} is no recorded decision: {why}")]
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
    #[error("no decision is recorded of {what}; routes and virtual nodes have a journal of decisions")]
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
    #[error("there is no route {route}; `meshwarden status` lists the routes")]
    NoRoute { route: RouteId },
    #[error("drill {drill}: {why}")]
    NoDrill { drill: DrillName, why: String },
    #[error("alarm `{alarm}` does not exist in this account and region")]
    NoAlarm { alarm: AlarmName },
    #[error("route {route} has no weighted targets, so there is nothing to hold or restore")]
    NoTargets { route: RouteId },
    #[error("route {route}: {reason}; ask again once that has passed")]
    Unclear { route: RouteId, reason: HoldReason },
    #[error(
        "route {route} was written, or is being written, by somebody else; look at it with `meshwarden explain {route}` and ask again"
    )]
    Overtaken { route: RouteId },
    #[error("route {route} is held by nobody; nothing was changed")]
    NotHeld { route: RouteId },
    #[error("no record of certificate {certificate}; `meshwarden status` lists the certificates")]
    NoCertificate { certificate: String },
    #[error("certificate {certificate} was not moved back, and no attempt failed; nothing was changed")]
    NothingToRelease { certificate: String },
    #[error("failed to read the record of certificate {certificate}: {why}")]
    RecordUnclear { certificate: String, why: String },
    #[error("certificate {certificate} is being rotated now; run the command again in a minute")]
    CertificateInUse { certificate: String },
    #[error("route {route} is not shifted: {split} is what is declared")]
    NotShifted { route: RouteId, split: String },
    #[error("route {route} is not restored: {}; resolve that, or pass --force", why.join("; "))]
    Unsafe { route: RouteId, why: Vec<String> },
    #[error(
        "route {route} is not restored: {}; restore the alarm's data, or check the target and pass --allow-unknown",
        why.join("; ")
    )]
    HealthUnknown { route: RouteId, why: Vec<String> },
    #[error("route {route} is not restored: the kill switch is on; turn it off with `meshwarden kill off`")]
    KillSwitchOn { route: RouteId },
    #[error("{different} of {all} decisions are not the same when they are made again, or are unknown\n{text}")]
    Different { different: usize, all: usize, text: String },
    #[error("{lacking} of {all} targets have no usable alarm\n{text}")]
    WithoutAlarm { lacking: usize, all: usize, text: String },
    #[error("there is no document `{key}`; nothing was changed")]
    NoDocument { key: String },
    #[error("document `{key}` was written, or is being written, by a function; nothing was changed, try again")]
    DocumentMoved { key: String },
    #[error("the kill switch is already {so}")]
    AlreadySo { so: &'static str },
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl Trouble {
    /// 1 if the current state prevents the action, 2 for any other failure.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) => 1,
            Self::Port(_)
            | Self::Ask(_)
            | Self::Output(_)
            | Self::PastEnd { .. }
            | Self::TooLong
            | Self::Unfinished { .. }
            | Self::Unrecorded { .. }
            | Self::Unjournalled
            | Self::File { .. }
            | Self::NoRecord { .. }
            | Self::Alarms(_)
            | Self::NoJournal { .. } => 2,
        }
    }
}
