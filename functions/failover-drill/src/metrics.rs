//! The metrics of drills, without dimensions.

use drills::{DrillOutcome, MeshDrills};
use jiff::Timestamp;
use runner::Metric;

/// The number of drills whose deadline has passed and whose weights are not restored.
pub(crate) fn restores_overdue<'a>(records: impl Iterator<Item = &'a MeshDrills>, now: Timestamp) -> Metric {
    let overdue = records.filter_map(|record| record.active.as_ref()?.restore_by).filter(|by| *by <= now);
    Metric::count("RestoresOverdue", overdue.count(), Vec::new())
}

/// The number of drills that failed in this run.
pub(crate) fn drills_failed<'a>(records: impl Iterator<Item = (&'a MeshDrills, &'a MeshDrills)>) -> Metric {
    let verdict = |record: &MeshDrills| {
        let verdict = record.active.as_ref()?.verdict.as_ref()?;
        Some((record.active.as_ref()?.id.clone(), verdict.outcome))
    };
    let failed = records.filter(|(before, after)| {
        let now = verdict(after);
        now.as_ref().is_some_and(|(_, outcome)| *outcome == DrillOutcome::Failed) && now != verdict(before)
    });
    Metric::count("DrillsFailed", failed.count(), Vec::new())
}
