//! The messages about a decision: pages, notes and events.

use jiff::Timestamp;
use policy::PagingPolicy;
use serde_json::{Value, json};

use crate::decide::Decision;
use crate::gate::{GateRecord, GateResult};
use crate::message::RolloutMessage;
use crate::reason::Reason;
use crate::record::{ReportedReason, RolloutRecord, RolloutState};

/// The longest text in a message, in characters. Messages are stored with the record until they are sent.
const LONGEST: usize = 2_000;

/// Whether a reason is reported to operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attention {
    /// Only the report, the journal and the event have it.
    Record,
    /// Operators receive a notice.
    Note,
    /// Operators are paged; again after `repeatAfter` while it lasts.
    Page,
}

/// The news of a decision.
#[derive(Clone, Debug, PartialEq)]
pub struct News {
    /// The record with the reported decision.
    pub record: RolloutRecord,
    /// Whether the decision differs from the last reported one.
    pub is_new: bool,
    /// The messages.
    pub messages: Vec<RolloutMessage>,
}

/// The type of the events about rollouts.
pub const EVENT: &str = "Meshwarden Rollout Changed";

/// Compares a decision with the last reported one.
#[must_use]
pub fn news(decision: &Decision, paging: &PagingPolicy, now: Timestamp) -> News {
    let mut record = decision.record.clone();
    let reason = &decision.reason;
    let code = format!("{} {} {}", record.state.name(), record.step, reason.code());
    let is_new = record.reported.as_ref().is_none_or(|last| last.code != code);
    let mut messages = Vec::new();
    let attention = attention(&record, reason);
    let key = reason_key(reason);
    let repeat = paging.repeat_after.get();
    let is_due = record.paged.get(&key).is_none_or(|last| now.duration_since(*last) >= repeat);
    match attention {
        Attention::Page if is_due => {
            record.paged.insert(key, now);
            messages.push(notice(true, &record, reason));
        }
        Attention::Note if is_new => messages.push(notice(false, &record, reason)),
        Attention::Page | Attention::Note | Attention::Record => {}
    }
    if is_new {
        record.reported = Some(ReportedReason { code, since: now });
        messages.push(RolloutMessage::Event { detail_type: EVENT.to_owned(), detail: detail(&record, reason) });
    }
    News { record, is_new, messages }
}

/// The condition that a page is about: a rollback is paged by its cause, and once.
fn reason_key(reason: &Reason) -> String {
    match reason {
        Reason::RollingBack { failure, .. } | Reason::Ended { failure, .. } => failure.clone(),
        other => other.code(),
    }
}

/// Whether a decision is reported to operators.
fn attention(record: &RolloutRecord, reason: &Reason) -> Attention {
    match reason {
        Reason::Unacknowledged { .. }
        | Reason::FromScaledDown { .. }
        | Reason::RolloutStalled { .. }
        | Reason::RouteUnclear { .. }
        | Reason::RollbackFailed { .. } => Attention::Page,
        Reason::RollingBack { failure, .. } if failure != "Aborted" => Attention::Page,
        Reason::GateNoData { .. } | Reason::TooFewProxies { .. } if record.state == RolloutState::Paused => {
            Attention::Page
        }
        // The kill switch stops a rollback too, and traffic stays where it is.
        Reason::Blocked { route: None, .. } if record.state == RolloutState::RollingBack => Attention::Page,
        // A rollback that was made before its record could be stored is paged now.
        Reason::Ended { failure, .. }
            if record.state == RolloutState::RolledBack
                && failure != "Aborted"
                && !record.paged.contains_key(failure) =>
        {
            Attention::Page
        }
        Reason::Shifting { step: 1, .. }
        | Reason::AwaitingApproval { .. }
        | Reason::RollingBack { .. }
        | Reason::Promoted
        | Reason::Ended { .. } => Attention::Note,
        Reason::GateNoData { .. }
        | Reason::TooFewProxies { .. }
        | Reason::Blocked { .. }
        | Reason::Shifting { .. }
        | Reason::RequestInvalid { .. }
        | Reason::ModeObserve
        | Reason::TooManyRollouts { .. }
        | Reason::BudgetSpent { .. }
        | Reason::GateFailingBeforeStart { .. }
        | Reason::GateFailed { .. }
        | Reason::Harmful { .. }
        | Reason::HookWaits { .. }
        | Reason::HookFailed { .. }
        | Reason::HookTimedOut { .. }
        | Reason::NotAcknowledged { .. }
        | Reason::ProxyRefused { .. }
        | Reason::Watching { .. }
        | Reason::PersonPaused { .. }
        | Reason::RouteChanged { .. }
        | Reason::EndedByOther { .. }
        | Reason::Aborted { .. }
        | Reason::Promoting => Attention::Record,
    }
}

fn notice(page: bool, record: &RolloutRecord, reason: &Reason) -> RolloutMessage {
    let rollout = &record.rollout;
    let subject = format!("traffic-shift: rollout {} {}: {}", rollout.id, record.state.name(), reason_key(reason));
    let routes: Vec<String> = rollout.routes.iter().map(ToString::to_string).collect();
    let moves: Vec<String> = rollout.moves.iter().map(|pair| format!("{} to {}", pair.from, pair.to)).collect();
    let mut body = format!(
        "rollout {} of {} ({}), requested by {}: {}\n{}: {reason}\n",
        rollout.id,
        moves.join(", "),
        routes.join(", "),
        record.by,
        record.state.name(),
        reason.code()
    );
    for (name, gate) in &record.gates {
        body.push_str(&format_gate(name, gate));
    }
    body.push_str("To see it, run: meshwarden rollout status ");
    body.push_str(rollout.id.as_str());
    RolloutMessage::Notice { page, subject: printable(&subject), body: body.chars().take(LONGEST).collect() }
}

fn format_gate(name: &str, gate: &GateRecord) -> String {
    let result = match gate.result {
        GateResult::Pass => "PASS",
        GateResult::Fail => "FAIL",
        GateResult::Unknown => "UNKNOWN",
    };
    format!("gate {name}: {result}: {}\n", gate.text)
}

/// The content of an event.
fn detail(record: &RolloutRecord, reason: &Reason) -> Value {
    let rollout = &record.rollout;
    json!({
        "rollout": rollout.id,
        "mesh": rollout.mesh,
        "routes": rollout.routes,
        "moves": rollout.moves,
        "state": record.state,
        "step": record.step,
        "percent": rollout.percent_of_step(record.step),
        "code": reason.code(),
        "reason": reason.to_string(),
        "by": record.by,
        "gates": record.gates,
    })
}

/// A subject that SNS accepts.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() { c } else { ' ' }).take(100).collect()
}
