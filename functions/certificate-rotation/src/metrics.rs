//! The metrics of the function: the expiry of certificates, and the outcomes of rotations.

use std::collections::BTreeMap;

use decisions::rotation::{RotationFacts as Facts, overdue};
use jiff::Timestamp;
use mesh::certificates::{Readings, forecast};
use policy::CertificatesPolicy;
use runner::Metric;

use crate::NAME;

/// The most certificates with metrics of their own: the first to expire. Each certificate is billed as two metrics, so
/// a mesh of a thousand would cost more than the function. The first expiry of all certificates is always measured.
const NAMED: usize = 50;

/// Days until the first expiry of all certificates, and until the expiry of each of the first [`NAMED`] by leaf and by
/// chain. An expired certificate counts as 0.
pub(crate) fn expiry(readings: &Readings, now: Timestamp) -> Vec<Metric> {
    let forecast = forecast(readings, now);
    let mut metrics = Vec::new();
    let days = |name, days: i64, dimensions| Metric::count(name, usize::try_from(days).unwrap_or(0), dimensions);
    if let Some(first) = forecast.first() {
        metrics.push(days("FirstExpiryDays", first.days, vec![("Function", NAME.to_owned())]));
    }
    for one in forecast.iter().take(NAMED) {
        let of_leaf = one.leaf.duration_since(now).as_secs().div_euclid(24 * 60 * 60);
        let dimensions = || vec![("Certificate", one.source.to_string())];
        metrics.push(days("DaysToExpiry", of_leaf, dimensions()));
        metrics.push(days("ChainDaysToExpiry", one.days, dimensions()));
    }
    metrics
}

/// The delay of the latest renewal, in percent of its allowed time. In percent rather than days, leaves that live for a
/// day and for a year can share one alarm.
pub(crate) fn lateness(facts: &Facts, policy: &CertificatesPolicy, now: Timestamp) -> Option<Metric> {
    let value = f64::from(overdue(facts, policy, now)?);
    Some(Metric { name: "RenewalOverdue", unit: "Percent", value, dimensions: vec![("Function", NAME.to_owned())] })
}

/// The number of steps of each kind by outcome.
pub(crate) fn rotations(outcomes: &BTreeMap<(String, &'static str), usize>) -> Vec<Metric> {
    let metric = |((decision, outcome), count): (&(String, &str), &usize)| {
        let dimensions = vec![("Decision", decision.clone()), ("Outcome", (*outcome).to_owned())];
        Metric::count("Rotations", *count, dimensions)
    };
    outcomes.iter().map(metric).collect()
}
