//! What is measured: when certificates end, and what became of rotations.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lambda_kit::Metric;
use mesh::certificates::{Readings, forecast};
use mesh::policy::CertificatesPolicy;
use mesh::rotation::{Facts, overdue};

use crate::NAME;
use crate::account::Account;

/// Certificates that have a metric of their own: those that end first. Each is billed as two metrics, so a mesh of a
/// thousand would cost more than what it runs on; the first end of all is always measured.
const NAMED: usize = 50;

/// Days until the first end of all, and of those that end first, by the certificate itself and by its chain. What is over
/// counts as 0.
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

/// How late the latest renewal is, in percent of the time that it had: by that, and not by days, leaves that live for a
/// day and for a year can have one alarm.
pub(crate) fn lateness(facts: &Facts, policy: &CertificatesPolicy, now: Timestamp) -> Option<Metric> {
    let value = f64::from(overdue(facts, policy, now)?);
    Some(Metric { name: "RenewalOverdue", unit: "Percent", value, dimensions: vec![("Function", NAME.to_owned())] })
}

/// How many steps of each kind had each outcome.
pub(crate) fn rotations(accounts: &[Account]) -> Vec<Metric> {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for account in accounts {
        if let Some(outcome) = account.outcome {
            *counts.entry((&account.line.decision, outcome)).or_default() += 1;
        }
    }
    let metric = |((decision, outcome), count): ((&str, &str), usize)| {
        let dimensions = vec![("Decision", decision.to_owned()), ("Outcome", outcome.to_owned())];
        Metric::count("Rotations", count, dimensions)
    };
    counts.into_iter().map(metric).collect()
}
