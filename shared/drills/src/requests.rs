//! Accepts requests, plans that are due, and missed windows.

use jiff::{SignedDuration, Timestamp};
use policy::{DrillName, Policy};

use crate::calendar;
use crate::decision::{DrillNews, Urgency};
use crate::drill_plan::DrillPlan;
use crate::observation::Observation;
use crate::outcome::DrillOutcome;
use crate::plan::{drill_id, requested_plan};
use crate::reason::Reason;
use crate::record::{Drill, DrillPhase, MeshDrills, Request, RequestAction, Stop};

/// How long the checks of a requested drill may take: long enough for an alarm with a period of five minutes.
pub(crate) const START_WITHIN: SignedDuration = SignedDuration::from_mins(15);

/// The requester of a drill by the schedule.
pub(crate) const SCHEDULE: &str = "schedule";

/// Handles all requests, the oldest first. A start that cannot be accepted ends at once, with its reason.
pub(crate) fn accept(
    record: &mut MeshDrills,
    seen: &Observation,
    policy: &Policy,
    now: Timestamp,
    news: &mut Vec<DrillNews>,
) {
    let requests = std::mem::take(&mut record.requests);
    for request in requests {
        match &request.action {
            RequestAction::Stop => stop(record, &request),
            RequestAction::Start { .. } if record.knows(&request.id) => {}
            RequestAction::Start { plan } => {
                let plan = requested_plan(&seen.mesh, &request.drill, plan.as_deref(), &policy.drills);
                start(record, seen, &request, plan, now, news);
            }
        }
    }
    if record.active.is_none()
        && let Some((plan, window)) = calendar::due(&seen.mesh, record, &policy.drills, now)
    {
        let id = format!("{SCHEDULE}-{}", window.since.as_second());
        let plan = DrillPlan::new(plan, &policy.drills);
        record.active = Some(accepted(seen, plan, &id, SCHEDULE, window.until, now));
    }
}

fn stop(record: &mut MeshDrills, request: &Request) {
    if let Some(drill) = record.active.as_mut().filter(|drill| drill.plan.name == request.drill) {
        drill.stop.get_or_insert_with(|| Stop { by: request.by.clone(), at: request.at });
    }
}

fn start(
    record: &mut MeshDrills,
    seen: &Observation,
    request: &Request,
    plan: Option<DrillPlan>,
    now: Timestamp,
    news: &mut Vec<DrillNews>,
) {
    let active = record.active.as_ref().map(|active| active.id.clone());
    match (plan, active) {
        (Some(plan), None) => {
            record.active = Some(accepted(seen, plan, &request.id, &request.by, now + START_WITHIN, now));
        }
        (Some(plan), Some(active)) => {
            let drill = accepted(seen, plan, &request.id, &request.by, now, now);
            refuse(record, &drill, Reason::DrillActive { drill: active }, now, news);
        }
        // Without a plan there is no node that a result could be about. The sender was answered with the error.
        (None, _) => {}
    }
}

fn accepted(
    seen: &Observation,
    plan: DrillPlan,
    request: &str,
    by: &str,
    begin_by: Timestamp,
    now: Timestamp,
) -> Drill {
    Drill {
        id: drill_id(&seen.mesh, &plan.name, request),
        plan,
        request: request.to_owned(),
        by: by.to_owned(),
        accepted: now,
        begin_by,
        phase: DrillPhase::Checking,
        since: now,
        started: None,
        restore_by: None,
        routes: Vec::new(),
        acknowledged: None,
        no_data_since: None,
        obstacle: None,
        stop: None,
        verdict: None,
        peaks: std::collections::BTreeMap::new(),
        traffic: None,
        restored: None,
        restore_acknowledged: None,
    }
}

fn refuse(record: &mut MeshDrills, drill: &Drill, reason: Reason, now: Timestamp, news: &mut Vec<DrillNews>) {
    let outcome = DrillOutcome::NotStarted;
    news.push(ended(drill, outcome, reason.clone(), Urgency::Note));
    record.ended(&drill.plan.name, drill.end(outcome, reason, now), now);
}

/// The news of an end.
pub(crate) fn ended(drill: &Drill, outcome: DrillOutcome, reason: Reason, urgency: Urgency) -> DrillNews {
    DrillNews {
        urgency,
        drill: drill.plan.name.clone(),
        id: drill.id.clone(),
        node: drill.plan.node.clone(),
        phase: None,
        outcome: Some(outcome),
        reason,
        restore_by: None,
        result: None,
    }
}

/// Records when each plan of the policy was first known, and the windows that passed without an attempt.
pub(crate) fn account(
    record: &mut MeshDrills,
    seen: &Observation,
    policy: &Policy,
    now: Timestamp,
    news: &mut Vec<DrillNews>,
) {
    for plan in policy.drills.plans.iter().filter(|plan| plan.mesh == seen.mesh) {
        let is_active = record.active.as_ref().is_some_and(|drill| drill.plan.name == plan.name);
        let missed = calendar::missed(plan, record.history(&plan.name, now), &policy.drills, now);
        let Some(window) = missed.filter(|_| !is_active) else { continue };
        let request = format!("{SCHEDULE}-{}", window.since.as_second());
        let resolved = DrillPlan::new(plan, &policy.drills);
        let drill = accepted(seen, resolved, &request, SCHEDULE, window.until, now);
        let reason = Reason::WindowMissed { until: window.until };
        news.push(ended(&drill, DrillOutcome::Missed, reason.clone(), Urgency::Note));
        record.ended(&plan.name, drill.end(DrillOutcome::Missed, reason, now), now);
        record.history(&plan.name, now).window_closed = Some(window.until);
    }
    // Plans that left the policy keep their history while a drill of theirs could be asked for.
    let known = |name: &DrillName| policy.drills.plans.iter().any(|plan| plan.name == *name && plan.mesh == seen.mesh);
    record.plans.retain(|name, history| {
        let last = history.last.as_ref().map_or(history.first_seen, |end| end.ended);
        known(name) || now < last + FORGET
    });
}

/// How long the result of a plan outside the policy is kept.
const FORGET: SignedDuration = SignedDuration::from_hours(90 * 24);
