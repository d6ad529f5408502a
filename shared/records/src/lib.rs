//! Every stored document and journal entry as a versioned type, and the replay of recorded decisions.
//!
//! ```text
//!   functions ──┐                        ┌──▶ format 0, which this version writes
//!   meshwarden ─┼──▶ record, JournalBody ┤
//!   replay    ──┘                        └──▶ format 1, which this version reads and a later one writes
//!
//!   StateKey ─▶ stored JSON ─▶ read_record: format 0, format 1, or an error that is a hold
//! ```
//!
//! A document has a [`StateKey`] and one [`DocumentRecord`] type. In format 0 each function has its own members for
//! intents, reports and unsent messages. In format 1 these are the same for all functions: see [`Document`]. A document
//! of a newer format, or one that cannot be read, is a [`DocumentError`]. It is never read as an empty document.
//!
//! A journal entry has one of the bodies of [`JournalBody`]. [`replay`] makes its decisions again from its
//! [`Observation`].
//!
//! This crate never makes a call, and never decides anything that a function decides.

mod certificate;
mod change_audit;
mod compliance;
mod decision;
mod document;
mod drill;
mod error;
mod event_id;
mod facts;
mod format_0;
mod function;
mod journal;
mod key;
mod message;
mod observation;
mod plain;
mod replay;
mod rollout;
mod route;
mod stored;
mod sweep;

pub use certificate::{CertificateState, certificate_memory};
pub use change_audit::{AuditMessage, AuditOutboxEntry, AuditRecord, AuditState, SnapshotLocation};
pub use decision::{CertificatePlan, DecisionEntry, OutcomeEntry, PlanEntry, RepairPlan, WeightPlan};
pub use document::{Document, Intent, Message, MessageContent, Reported};
pub use drill::DrillsRecord;
pub use error::{DocumentError, ReadError};
pub use event_id::EventId;
pub use facts::{
    AuditFacts, ChangeFacts, ChangedMember, DeadLetterEntry, DeadLetterFacts, FindingSummary, FindingsSummary,
    OperatorFacts, RefusalFacts, WriteSummary,
};
pub use function::Function;
pub use journal::{JournalBody, Layout};
pub use key::StateKey;
pub use message::{BusEvent, Notice, Urgency};
pub use observation::{
    ComplianceFacts, ComplianceObservation, DrillObservation, FailoverObservation, Observation, ObservedRef,
    RawObservation, RecordedResource, RolloutObservation, WhatIf,
};
pub use plain::{DeadLetterLog, KillSwitchLog, RosterRecord, StandstillsRecord};
pub use replay::{Conclusion, Replay, replay};
pub use rollout::RolloutIndex;
pub use route::{FailoverIntent, FailoverMemory, FailoverState, RouteState, route_memory};
pub use stored::{DocumentRecord, FORMAT_WRITTEN, NEWEST_FORMAT, read_document, read_record, write_record};
pub use sweep::{DatedFinding, FindingsPart, SweepMessage, SweepRecord, SweepState};
