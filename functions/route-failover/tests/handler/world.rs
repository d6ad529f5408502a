//! The invariants of every instant, and the comparison of end states.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use ports::{BudgetWindow, StateKey};
use serde_json::{Value, json};

use crate::shop::{BEFORE, ROUTERS, Shop, route, spec};

impl Shop {
    /// Checks the invariants; called after every invocation.
    pub(crate) fn check(&self) {
        for (id, written) in self.ports.mesh.updates() {
            let weights = written.split().unwrap().weights();
            let sum: u32 = weights.iter().map(|weight| u32::from(*weight)).sum();
            assert!(sum == 100 || weights.starts_with(&BEFORE), "{id}: {weights:?} is neither whole nor the original");
            let expected = spec(id.router.as_str(), &weights);
            assert_eq!(serde_json::to_value(&written).unwrap(), expected, "{id}: something but the weights changed");
        }
    }

    /// The end state of a run, without times and notifications.
    pub(crate) fn world(&self) -> BTreeMap<String, Value> {
        let mut world = BTreeMap::new();
        for router in ROUTERS {
            let id = route(router);
            let Some(data) = self.ports.mesh.route(&id) else { continue };
            world.insert(format!("{router} spec"), serde_json::to_value(&data.spec).unwrap());
            world.insert(format!("{router} version"), json!(data.metadata.version.get()));
            world.insert(format!("{router} tag"), json!(self.restore_tag(router).map(|tag| without_epoch(&tag))));
            let stored = self.ports.state.stored(&StateKey::route(&id));
            world.insert(
                format!("{router} leased"),
                json!(stored.as_ref().is_some_and(|stored| stored.leased_at(self.now()))),
            );
            world.insert(format!("{router} record"), stored.map_or(Value::Null, |stored| timeless(stored.document)));
        }
        world.insert("budget spent".to_owned(), json!(self.spent()));
        world
    }

    /// The number of failovers in all windows of the day.
    pub(crate) fn spent(&self) -> u32 {
        let day: jiff::Timestamp = "2026-11-20T00:00:00Z".parse().unwrap();
        let window = |hour| BudgetWindow {
            class: route_failover::NAME.to_owned(),
            start: day + SignedDuration::from_hours(hour),
            end: day + SignedDuration::from_hours(hour + 1),
        };
        (0..24).map(|hour| self.ports.state.spent(&window(hour))).sum()
    }
}

/// `1.<epoch>.<hash>.<weights>` without the epoch.
fn without_epoch(tag: &str) -> String {
    let parts: Vec<&str> = tag.split('.').collect();
    [&parts[..1], &parts[2..]].concat().join(".")
}

/// A record without times, epochs and notifications: a killed run ends a little later.
fn timeless(mut record: Value) -> Value {
    strip(&mut record);
    if let Some(drains) = record.get_mut("drains").and_then(Value::as_object_mut) {
        for times in drains.values_mut() {
            *times = json!(times.as_array().map_or(0, Vec::len));
        }
    }
    record
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(members) => {
            let instants =
                ["since", "taken", "seen", "until", "quiet", "paged", "at", "attendBy", "restoreBy", "acknowledged"];
            for member in instants.into_iter().chain(["told", "epoch", "watch"]) {
                members.remove(member);
            }
            members.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
