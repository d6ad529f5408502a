//! The new decisions about a mesh: their notices, their events, and the report that the record remembers.

use jiff::Timestamp;
use mesh::failures::FailureClass;
use mesh::name::ResourcePath;
use mesh::watch::{Expects, NoProgress, WatchLimits, WatchedDecision, watch};
use policy::PagingPolicy;
use ports::{BusEvent, Notice, Urgency};
use rules::compliance::{
    ComplianceRecord as Record, ComplianceStatus, ComplianceVerdict as Verdict, StateAccess, UNDONE_FOR, is_late,
    is_news,
};
use runner::{FailureRun, Message, Outcome, WorkItem};
use serde_json::{Value, json};

use crate::function::INTERVAL;
use crate::lines::reason;
use crate::observe::Observation;
use crate::record::RepairDecision;

/// The maximum number of lines of one notice. The report has all lines.
const MOST_LINES: usize = 40;

/// The maximum length of an SNS subject.
const LONGEST_SUBJECT: usize = 100;

/// Whether a decision with its outcome is new. Without the record, the previous report is unknown.
pub(crate) fn is_new(decision: &RepairDecision, seen: &Observation) -> bool {
    decision.outcome.as_ref().is_some_and(Outcome::is_done)
        || seen.facts.state == StateAccess::Known && is_news(&decision.own, &seen.facts.record)
}

/// The event about a new decision.
pub(crate) fn event(function: &str, decision: &RepairDecision, seen: &Observation) -> Message {
    Message::Event(BusEvent {
        detail_type: "Meshwarden Decision".to_owned(),
        detail: json!({ "function": function, "decision": decision.line() }),
        resources: seen.about(&decision.own.resource).map(|about| about.arn.to_string()).into_iter().collect(),
    })
}

/// Records repairs that were not completed, and returns one page for all that have lasted too long.
pub(crate) fn standstills(
    function: &str,
    done: &[RepairDecision],
    record: &mut Record,
    paging: &PagingPolicy,
    now: Timestamp,
) -> Option<Message> {
    let limits = WatchLimits { interval: INTERVAL, repeat: paging.remind_after.get() };
    let mut pages = Vec::new();
    for entry in done {
        let decision = &entry.own;
        let Some((code, facts, expects)) = undone(entry) else {
            record.watches.remove(&decision.resource);
            continue;
        };
        let (_, _, text) = reason(&decision.verdict);
        let (subject, command) = (decision.resource.to_string(), format!("meshwarden explain {}", decision.resource));
        let watched = WatchedDecision {
            subject: &subject,
            code: &code,
            facts: &facts,
            // The plan's id changes with each version of the resource, although no repair is completed.
            plan: None,
            expects,
            text: &text,
            command: &command,
        };
        let (next, page) = watch(record.watches.get(&decision.resource), &watched, &limits, now);
        if let Some(next) = next {
            record.watches.insert(decision.resource.clone(), next);
        }
        pages.extend(page);
    }
    let subjects = match pages.as_slice() {
        [] => return None,
        [page] => page.subject.clone(),
        [first, ..] => format!("{} resources, first {}", pages.len(), first.subject),
    };
    let subject = sns_subject(&format!("{function}: {} {subjects}", NoProgress::CODE));
    let lines: Vec<String> = pages.iter().take(MOST_LINES).map(ToString::to_string).collect();
    Some(Message::Notice(Notice { urgency: Urgency::Page, subject, body: lines.join("\n") }))
}

/// One notice for all new decisions about a mesh.
pub(crate) fn notice(function: &str, news: &[&RepairDecision], seen: &Observation) -> Message {
    let mesh = ResourcePath::Mesh(seen.facts.mesh.name.clone());
    let (mut remediated, mut wrong, mut well) = (0, 0, 0);
    let mut lines = Vec::new();
    for entry in news {
        let (decision, outcome) = (&entry.own, &entry.outcome);
        let (code, _, text) = reason(&decision.verdict);
        let said = match (&decision.verdict, outcome) {
            (_, Some(outcome)) if outcome.is_done() => {
                remediated += 1;
                format!("remediated: {text}")
            }
            (Verdict::Act(_), _) => {
                wrong += 1;
                let outcome = outcome.as_ref().map_or("", Outcome::name);
                format!("{}; {outcome}: {text}", decision.judged.text())
            }
            (Verdict::Hold(_), _) => {
                // A resource with unknown compliance does not count as non-compliant.
                wrong += usize::from(decision.judged.status != ComplianceStatus::InsufficientData);
                format!("{}; {code}: {text}", decision.judged.text())
            }
            (Verdict::Keep(_), _) if is_late(decision, &seen.facts.record) => {
                remediated += 1;
                "compliant again: a repair of an earlier invocation is in place".to_owned()
            }
            (Verdict::Keep(_), _) => {
                well += 1;
                "compliant again".to_owned()
            }
        };
        lines.push(format!("{}: {said}", decision.resource));
    }
    if let Some(more) = lines.len().checked_sub(MOST_LINES).filter(|more| *more > 0) {
        lines.truncate(MOST_LINES);
        lines.push(format!("and {more} more in the report"));
    }
    let subject = format!("{function}: {mesh}: {remediated} remediated, {wrong} not compliant, {well} compliant again");
    Message::Notice(Notice { urgency: Urgency::Note, subject: sns_subject(&subject), body: lines.join("\n") })
}

/// Enters decisions and their outcomes into the record.
pub(crate) fn remember(done: &[RepairDecision], seen: &Observation, record: &mut Record) {
    for RepairDecision { own: decision, outcome, .. } in done {
        let undone = matches!(outcome, Some(Outcome::Failed { .. } | Outcome::Refused { .. } | Outcome::OutOfTime));
        if !undone {
            // An intent of a killed invocation is decided again by now, or was found in place.
            record.intents.remove(&decision.resource);
        }
        match outcome {
            // The next reading will show the resource as compliant, which is not reported again.
            Some(outcome) if outcome.is_done() => {
                record.reported.remove(&decision.resource);
            }
            Some(Outcome::Superseded) => {}
            Some(_) | None => record.mark_reported(decision),
        }
    }
    let facts = &seen.facts;
    record.retain_existing(|path| facts.about.contains_key(path) || facts.unread.contains_key(path));
}

/// The code, the facts and the permitted duration of a due repair that was not completed although no call failed.
fn undone(decision: &RepairDecision) -> Option<(String, Value, Expects)> {
    match (&decision.own.verdict, &decision.outcome) {
        (Verdict::Act(plan), Some(outcome @ (Outcome::Superseded | Outcome::OutOfTime | Outcome::Refused { .. }))) => {
            let facts = json!({ "outcome": outcome, "rules": plan.remediates });
            Some((outcome.name().to_owned(), facts, Expects::Within(UNDONE_FOR)))
        }
        (Verdict::Hold(reason), _) if reason.expects() != Expects::Final => {
            let (code, facts) = reason.parts();
            Some((code, facts, reason.expects()))
        }
        (Verdict::Keep(_) | Verdict::Hold(_) | Verdict::Act(_), _) => None,
    }
}

/// Records failed changes of a mesh, so that one page reports them if they last.
pub(crate) fn note_failed_changes(done: &[RepairDecision], mesh: &WorkItem, failures: &FailureRun) {
    let target = format!("changes of {}", mesh.subject);
    for decision in done {
        let (_, _, text) = reason(&decision.own.verdict);
        let resource = &decision.own.resource;
        match &decision.outcome {
            Some(Outcome::Failed { error, may_heal }) => {
                let class = if *may_heal { FailureClass::Transient } else { FailureClass::Permanent };
                failures.fail(&target, class, "Failed", format!("{resource}: {text}: {error}"));
            }
            Some(Outcome::Overwrote { version }) => {
                let target = format!("{resource} version {version}");
                let text = format!("{text}: the write replaced a change that had not been read");
                failures.fail(&target, FailureClass::Permanent, "Overwrote", text);
            }
            Some(outcome) if outcome.is_done() => failures.succeeded(&target),
            Some(_) | None => {}
        }
    }
}

/// Converts a text to a valid SNS subject.
fn sns_subject(text: &str) -> String {
    text.chars()
        .map(|character| if character.is_ascii_graphic() { character } else { ' ' })
        .take(LONGEST_SUBJECT)
        .collect()
}
