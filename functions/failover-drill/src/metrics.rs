//! The metrics of drills, without dimensions. A metric is published only if it is not 0: each published metric costs.

use drills::{DrillOutcome, MeshDrills};
use jiff::Timestamp;
use runner::Metric;

/// The number of drills whose deadline has passed and whose weights are not restored.
pub(crate) fn restores_overdue<'a>(records: impl Iterator<Item = &'a MeshDrills>, now: Timestamp) -> Option<Metric> {
    let overdue = records.filter_map(|record| record.active.as_ref()?.restore_by).filter(|by| *by <= now);
    count("RestoresOverdue", overdue.count())
}

/// The number of drills that failed in this run.
pub(crate) fn drills_failed<'a>(records: impl Iterator<Item = (&'a MeshDrills, &'a MeshDrills)>) -> Option<Metric> {
    let verdict = |record: &MeshDrills| {
        let verdict = record.active.as_ref()?.verdict.as_ref()?;
        Some((record.active.as_ref()?.id.clone(), verdict.outcome))
    };
    let failed = records.filter(|(before, after)| {
        let now = verdict(after);
        now.as_ref().is_some_and(|(_, outcome)| *outcome == DrillOutcome::Failed) && now != verdict(before)
    });
    count("DrillsFailed", failed.count())
}

fn count(name: &'static str, count: usize) -> Option<Metric> {
    (count > 0).then(|| Metric::count(name, count, Vec::new()))
}
