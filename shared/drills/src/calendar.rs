//! When the schedule starts drills: due plans, windows and blocked dates, in UTC.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use mesh::name::MeshName;
use policy::{DrillPlanPolicy, DrillWindow, DrillsPolicy, OpenWindow};

use crate::record::{MeshDrills, PlanHistory};

/// The windows of a plan.
pub(crate) fn windows<'a>(plan: &'a DrillPlanPolicy, policy: &'a DrillsPolicy) -> &'a [DrillWindow] {
    plan.windows.as_deref().unwrap_or(&policy.windows)
}

/// When a plan is next due: one period after its last conclusive drill; for a plan without one, when it was first known.
pub(crate) fn due_at(plan: &DrillPlanPolicy, history: &PlanHistory, policy: &DrillsPolicy) -> Timestamp {
    let every = plan.every.unwrap_or(policy.every).get();
    let last = history.last_conclusive.as_ref();
    last.map_or(history.first_seen, |end| end.started.unwrap_or(end.ended) + every)
}

/// Whether no drill starts on the day of `now`.
pub(crate) fn is_blocked(policy: &DrillsPolicy, now: Timestamp) -> bool {
    let today = now.to_zoned(TimeZone::UTC).date();
    policy.blocked_dates.contains(&today)
}

/// The first plan of the mesh that is due in an open window and had no attempt in it.
pub(crate) fn due<'a>(
    mesh: &MeshName,
    record: &MeshDrills,
    policy: &'a DrillsPolicy,
    now: Timestamp,
) -> Option<(&'a DrillPlanPolicy, OpenWindow)> {
    if is_blocked(policy, now) {
        return None;
    }
    policy.plans.iter().filter(|plan| plan.mesh == *mesh).find_map(|plan| {
        let window = windows(plan, policy).iter().find_map(|window| window.open_at(now))?;
        let Some(history) = record.plans.get(&plan.name) else { return Some((plan, window)) };
        let is_tried = history.last.as_ref().is_some_and(|end| window.since <= end.started.unwrap_or(end.ended));
        (due_at(plan, history, policy) <= now && !is_tried).then_some((plan, window))
    })
}

/// The newest closed window in which the plan was due and had no attempt, and which is not accounted for.
pub(crate) fn missed(
    plan: &DrillPlanPolicy,
    history: &PlanHistory,
    policy: &DrillsPolicy,
    now: Timestamp,
) -> Option<OpenWindow> {
    let closed = windows(plan, policy).iter().filter_map(|window| window.closed_before(now));
    let newest = closed.max_by_key(|window| window.until)?;
    let was_due = due_at(plan, history, policy) < newest.until && history.first_seen < newest.since;
    let is_known = history.window_closed.is_some_and(|known| newest.until <= known);
    let is_tried = history.last.as_ref().is_some_and(|end| newest.since <= end.ended);
    (was_due && !is_known && !is_tried).then_some(newest)
}
