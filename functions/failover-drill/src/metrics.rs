//! The metrics of drills, without dimensions. A metric is published only if it is not 0: each published metric costs.

use std::collections::BTreeSet;

use drills::{DrillOutcome, MeshDrills};
use jiff::Timestamp;
use runner::Metric;

/// The number of drills past their deadline without restored weights.
pub(crate) fn restores_overdue<'a>(records: impl Iterator<Item = &'a MeshDrills>, now: Timestamp) -> Option<Metric> {
    let overdue = records.filter_map(|record| record.active.as_ref()?.restore_by).filter(|by| *by <= now);
    count("RestoresOverdue", overdue.count())
}

/// The number of drills that failed in this run.
pub(crate) fn drills_failed<'a>(records: impl Iterator<Item = (&'a MeshDrills, &'a MeshDrills)>) -> Option<Metric> {
    let new = records.map(|(before, after)| failed(after).difference(&failed(before)).count());
    count("DrillsFailed", new.sum())
}

/// The ids of the failed drills of a mesh: of the active one, and of each plan's last one.
fn failed(record: &MeshDrills) -> BTreeSet<&str> {
    let active = record
        .active
        .as_ref()
        .filter(|drill| drill.verdict.as_ref().is_some_and(|verdict| verdict.outcome == DrillOutcome::Failed));
    let ended = record.plans.values().filter_map(|history| history.last_conclusive.as_ref());
    let ended = ended.filter(|end| end.outcome == DrillOutcome::Failed).map(|end| end.id.as_str());
    active.map(|drill| drill.id.as_str()).into_iter().chain(ended).collect()
}

fn count(name: &'static str, count: usize) -> Option<Metric> {
    (count > 0).then(|| Metric::count(name, count, Vec::new()))
}
