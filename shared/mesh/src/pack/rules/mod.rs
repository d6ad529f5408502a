//! The rules, a file a domain.

mod addresses;
mod alarms;
mod backends;
mod calls;
mod certificates;
mod cost;
mod durations;
mod edges;
mod egress;
mod ejection;
mod environments;
pub(super) mod files;
mod gateways;
mod health;
mod kinds;
mod limits;
mod logs;
mod names;
mod ports;
mod quotas;
mod references;
mod retries;
mod routes;
mod spread;
mod tags;
mod tls;
mod waivers;

use super::rule::Rule;
use crate::likeness::distance;

pub(super) use edges::is_unencrypted;

/// Every rule; a group's rules stand together.
pub(super) const ALL: &[&[Rule]] = &[
    tags::RULES,
    egress::RULES,
    tls::RULES,
    edges::RULES,
    certificates::RULES,
    references::RULES,
    kinds::RULES,
    ports::RULES,
    routes::RULES,
    gateways::RULES,
    backends::RULES,
    retries::RULES,
    durations::RULES,
    calls::RULES,
    limits::RULES,
    health::RULES,
    ejection::RULES,
    spread::RULES,
    alarms::RULES,
    logs::RULES,
    addresses::RULES,
    quotas::RULES,
    cost::RULES,
    names::RULES,
    environments::RULES,
    files::RULES,
    waivers::RULES,
];

/// The id that is most like a text.
pub(super) fn nearest(text: &str) -> &'static str {
    let ids = ALL.iter().flat_map(|rules| rules.iter()).map(|rule| rule.id);
    ids.min_by_key(|id| distance(id, text)).unwrap_or_default()
}
