//! The calls of a write: begin, tag, weights, finish. A run may be killed between any two.

use decisions::failover::{LayerWrite, Plan, RouteRecord, TagChange};
use jiff::SignedDuration;
use mesh::split::WeightSplit;

use crate::route::Route;

/// Where a run is killed. A lost answer of the write has the same effect as a kill after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kill {
    Never,
    AfterBegin,
    AfterTag,
    AfterWrite,
}

/// The result of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Applied,
    Refused,
    Superseded,
    Killed,
}

/// A write with everything that its calls need.
pub(crate) struct Write {
    pub(crate) holder: &'static str,
    /// The revision of the record and the version of the route that were observed.
    pub(crate) observed: (u64, u64),
    pub(crate) from: WeightSplit,
    pub(crate) to: WeightSplit,
    pub(crate) tag: TagChange,
    pub(crate) begun: RouteRecord,
    pub(crate) done: RouteRecord,
}

impl Write {
    pub(crate) fn of_plan(plan: &Plan, begun: RouteRecord, revision: u64) -> Self {
        Self {
            holder: "route-failover",
            observed: (revision, plan.version),
            from: plan.from.clone(),
            to: plan.to.clone(),
            tag: plan.tag.clone(),
            begun,
            done: plan.then.clone(),
        }
    }

    pub(crate) fn of_layers(holder: &'static str, write: LayerWrite, observed: (u64, u64)) -> Self {
        let LayerWrite { from, to, tag, begun, done, .. } = write;
        Self { holder, observed, from, to, tag, begun, done }
    }
}

impl Route {
    /// Executes a write in the order of the functions.
    pub(crate) fn execute(&mut self, write: Write, kill: Kill) -> Written {
        let Write { holder, observed: (revision, version), from, to, tag, begun, done } = write;
        let is_leased = self.lease.is_some_and(|(_, until)| self.now < until);
        if self.kill_switch.is_some() || is_leased || revision != self.revision {
            return Written::Refused;
        }
        self.record = Some(begun.clone());
        self.revision += 1;
        self.lease = Some((holder, self.now + SignedDuration::from_secs(75)));
        if kill == Kill::AfterBegin {
            return Written::Killed;
        }
        if let TagChange::Set(_) = tag {
            self.apply_tag(&tag);
        }
        if kill == Kill::AfterTag {
            return Written::Killed;
        }
        let mut end = done;
        if from != to {
            if version != self.version {
                self.finish(begun);
                return Written::Superseded;
            }
            self.split = to.clone();
            self.version += 1;
            self.written_by = Some("arn:aws:iam::123456789012:role/meshwarden".to_owned());
        }
        self.note(format!("{holder} wrote {from} -> {to}"));
        if kill == Kill::AfterWrite {
            return Written::Killed;
        }
        end.version = self.version;
        if tag == TagChange::Clear {
            self.apply_tag(&tag);
        }
        self.finish(end);
        Written::Applied
    }

    fn finish(&mut self, record: RouteRecord) {
        self.record = Some(record);
        self.revision += 1;
        self.lease = None;
    }
}
