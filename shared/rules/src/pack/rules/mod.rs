//! The rules, one file per domain.

mod addresses;
mod alarms;
mod backends;
mod calls;
mod certificates;
mod cost;
mod drills;
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

pub(super) use edges::is_unencrypted;

/// Every rule, group by group.
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
    drills::RULES,
    logs::RULES,
    addresses::RULES,
    quotas::RULES,
    cost::RULES,
    names::RULES,
    environments::RULES,
    files::RULES,
    waivers::RULES,
];
