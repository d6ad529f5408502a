//! What a person asks of a route: to keep it for themselves, to give it back, to write the original weights now.
//!
//! A hold is an [`Edit`] like the one that a change of weights by hand leads to, so that there is one way in which a
//! person is respected. What is returned is a record to store; nothing is stored here.

use jiff::Timestamp;

use super::draft::plan_id;
use super::facts::RouteFacts;
use super::reason::HoldReason;
use super::record::{Edit, Intent, OwedNote, RouteRecord, Shift};
use super::standing::{Unclear, standing};
use crate::policy::EditPolicy;
use crate::weights::WeightSplit;

/// The record of a route, brought up to what was observed of it, a release among that; or why nothing can be said.
pub fn observed(route: &RouteFacts, policy: &EditPolicy, now: Timestamp) -> Result<RouteRecord, HoldReason> {
    match standing(route, policy, now) {
        Ok(standing) => Ok(standing.record),
        Err(Unclear::Unreadable(why)) => Err(HoldReason::RecordUnreadable { why }),
        Err(Unclear::Stale { known }) => Err(HoldReason::StaleRead { read: route.version, known }),
    }
}

/// The record once a person keeps the route. What is shifted stays so, and goes on from there afterwards.
#[must_use]
pub fn held(record: RouteRecord, until: Timestamp, now: Timestamp) -> RouteRecord {
    RouteRecord { edit: Some(Edit { seen: now, until }), ..record }
}

/// The original split, about to be written because a person asks for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Restoration {
    /// Stands for route, base version and weights: the client token of the write.
    pub plan: String,
    /// The split before.
    pub from: WeightSplit,
    /// The split after: the original integers.
    pub to: WeightSplit,
    /// The record before the write, with the intent in it.
    pub begun: RouteRecord,
    /// The record once the write is made.
    pub done: RouteRecord,
}

/// What restores the route; `None` where nothing is shifted. With `keep` the route stays a person's until then: alarms
/// that are on would undo the restore within a minute. A hold that is there already stays either way.
#[must_use]
pub fn restoration(
    route: &RouteFacts,
    record: &RouteRecord,
    note: OwedNote,
    keep: Option<Edit>,
) -> Option<Restoration> {
    let to = record.shift.restore.as_ref()?.split.clone();
    let plan = plan_id(route, &to);
    let record = RouteRecord { edit: keep.or(record.edit), ..record.clone() };
    let then = Shift::default();
    let intent = Intent {
        plan: plan.clone(),
        to: to.clone(),
        version: route.version,
        then: then.clone(),
        drains: record.drains.clone(),
        trials: record.trials.clone(),
        note: Some(note),
    };
    let done = RouteRecord { split: to.clone(), shift: then, intent: None, ..record.clone() };
    let begun = RouteRecord { intent: Some(intent), ..record };
    Some(Restoration { plan, from: route.split.clone(), to, begun, done })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failover::facts::Memory;
    use crate::failover::record::{Phase, RestorePoint};
    use crate::failover::sample::{at, node, route, split};

    fn shifted() -> RouteFacts {
        let mut record = RouteRecord::first_seen("u1".to_owned(), 1, split(&[("v1", 0), ("v2", 100)]));
        record.shift.restore = Some(RestorePoint { epoch: 1, split: split(&[("v1", 8), ("v2", 2)]), taken: at(0) });
        record.shift.phases.insert(node("v1"), Phase::drained(at(0)));
        route(&[("v1", 0), ("v2", 100)], Memory::Record(Box::new(record)))
    }

    fn note() -> OwedNote {
        OwedNote { code: "PersonRestored".to_owned(), text: "dana".to_owned() }
    }

    #[test]
    fn a_hold_keeps_what_is_shifted_and_ends_by_time_or_release() {
        let policy = EditPolicy::default();
        let mut route = shifted();
        let record = held(observed(&route, &policy, at(10)).unwrap(), at(600), at(10));
        assert!(record.shift.restore.is_some());
        route.memory = Memory::Record(Box::new(record));
        assert!(observed(&route, &policy, at(599)).unwrap().edit.is_some());
        assert_eq!(observed(&route, &policy, at(600)).unwrap().edit, None);
        route.released = Some(at(20));
        let released = observed(&route, &policy, at(20)).unwrap();
        assert_eq!((released.edit, released.released), (None, Some(at(20))));
    }

    #[test]
    fn an_edit_by_hand_does_not_shorten_a_hold() {
        let policy = EditPolicy::default();
        let day = 24 * 3600;
        let mut route = shifted();
        route.memory = Memory::Record(Box::new(held(observed(&route, &policy, at(0)).unwrap(), at(day), at(0))));
        route.split = split(&[("v1", 30), ("v2", 70)]);
        assert_eq!(observed(&route, &policy, at(60)).unwrap().edit, Some(Edit { seen: at(60), until: at(day) }));
    }

    #[test]
    fn a_restoration_writes_the_original_integers_and_is_taken_up_from_either_side() {
        let policy = EditPolicy::default();
        let mut route = shifted();
        let record = observed(&route, &policy, at(10)).unwrap();
        let restoration = restoration(&route, &record, note(), None).unwrap();
        assert_eq!(restoration.to, split(&[("v1", 8), ("v2", 2)]));
        route.memory = Memory::Record(Box::new(restoration.begun.clone()));
        assert_eq!(observed(&route, &policy, at(11)).unwrap().shift, record.shift, "not written");
        route.split = restoration.to.clone();
        let written = observed(&route, &policy, at(11)).unwrap();
        assert_eq!((written.shift, written.split), (Shift::default(), restoration.done.split));
        assert!(written.stale_tag, "its tag may still be there");
    }

    #[test]
    fn nothing_is_restored_where_nothing_is_shifted() {
        let steady = route(&[("v1", 8), ("v2", 2)], Memory::None);
        let record = observed(&steady, &EditPolicy::default(), at(0)).unwrap();
        assert_eq!(restoration(&steady, &record, note(), None), None);
    }
}
