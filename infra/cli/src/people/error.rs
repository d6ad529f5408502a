//! Why something asked for is not done or not told: one line with what, where and how to mend it.

use std::path::PathBuf;

use jiff::Timestamp;
use mesh::alarm::AlarmName;
use mesh::failover::HoldReason;
use mesh::name::RouteId;
use ports::PortError;
use thiserror::Error;

/// What went wrong.
#[derive(Debug, Error)]
pub(crate) enum Trouble {
    /// It is not done, for a reason that lies in how things stand.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// A call failed.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The question can't be put.
    #[error("failed to ask; give --yes to do it without a question")]
    Ask(#[source] std::io::Error),
    /// It can't be shown.
    #[error("failed to write the output")]
    Output(#[source] serde_json::Error),
    /// The end of a hold has to be told.
    #[error("the hold would end at {until:.0}, which is not after {now:.0}; give a later --until or a longer --for")]
    PastEnd {
        /// The end that was given.
        until: Timestamp,
        /// Now.
        now: Timestamp,
    },
    /// So long can't be counted.
    #[error("--for is too long; give --until")]
    TooLong,
    /// The weights are written, and somebody took the lease before the end was recorded.
    #[error(
        "route {route} is restored, but that took longer than its lease; `meshwarden explain {route}` tells how it stands"
    )]
    Unfinished {
        /// The route.
        route: RouteId,
    },
    /// The weights are written and the end is not recorded.
    #[error("route {route} is restored, but that is not recorded; route-failover takes it up with its next wake")]
    Unrecorded {
        /// The route.
        route: RouteId,
        /// What failed.
        source: Box<PortError>,
    },
    /// The switch is turned and nobody will read who did it.
    #[error(
        "the kill switch is turned, but not journalled, since others journal at the same time; say so to the others"
    )]
    Unjournalled,
    /// A file can't be read or written.
    #[error("failed to {call} {}", path.display())]
    File {
        /// What was tried.
        call: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A record is none.
    #[error("{what} is no recorded decision: {why}")]
    NoRecord {
        /// Where it is.
        what: String,
        /// Why not.
        why: String,
    },
    /// The alarms of a mesh can't be written or checked.
    #[error(transparent)]
    Alarms(#[from] super::alarms::AlarmsError),
    /// There are no decisions of it to make again.
    #[error("no decision is recorded of {what}; routes and virtual nodes have a journal of decisions")]
    NoJournal {
        /// What was asked about.
        what: String,
    },
}

/// How things stand, so that nothing was done.
#[derive(Debug, PartialEq, Error)]
pub(crate) enum Refusal {
    #[error("nothing was changed")]
    Declined,
    #[error("there is no route {route}; `meshwarden status` lists the routes")]
    NoRoute { route: RouteId },
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
    #[error("route {route} is not restored: {}; mend that, or give --force", why.join("; "))]
    Unsafe { route: RouteId, why: Vec<String> },
    #[error("route {route} is not restored: the kill switch is on; turn it off with `meshwarden kill off`")]
    KillSwitchOn { route: RouteId },
    #[error("{different} of {all} decisions are not the same when they are made again\n{text}")]
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
    /// 1 for what was refused because of how things stand, 2 for what could not be asked or answered.
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
