//! Where a route stands: as declared, shifted by us, or changed by somebody else.

use jiff::Timestamp;

use super::facts::{Memory, RouteFacts};
use super::record::{Edit, Phase, RestoreTag, RouteRecord, Shift};
use super::spread::shares;
use crate::policy::EditPolicy;

/// A route's record, brought up to what was observed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Standing {
    /// The record as it should be.
    pub(super) record: RouteRecord,
    /// Whether it differs from what the state table has.
    pub(super) changed: bool,
    /// Whether a budget was spent already on a write that never happened.
    pub(super) paid: bool,
}

/// Why nothing can be said of where a route stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unclear {
    /// What is remembered can't be read.
    Unreadable(String),
    /// The route was read as it was before something that is remembered.
    Stale {
        /// The version that is remembered.
        known: u64,
    },
}

/// Compares what is remembered with what was observed.
pub(super) fn standing(route: &RouteFacts, policy: &EditPolicy, now: Timestamp) -> Result<Standing, Unclear> {
    let known = match &route.memory {
        Memory::Unreadable(why) => return Err(Unclear::Unreadable(why.clone())),
        Memory::None => return Ok(first_seen(route, now)),
        // Another route of the same name: what was remembered is of one that is gone.
        Memory::Record(record) if record.uid != route.uid => {
            let mut standing = first_seen(route, now);
            standing.record.epoch = standing.record.epoch.max(record.epoch);
            return Ok(standing);
        }
        Memory::Record(record) if record.version > route.version => {
            return Err(Unclear::Stale { known: record.version });
        }
        Memory::Record(record) => record.as_ref().clone(),
    };
    let mut standing = settle(route, &known, policy, now);
    standing.record.version = route.version;
    end_of_edit(&mut standing, route, now);
    standing.changed = standing.record != known;
    Ok(standing)
}

/// Nothing is remembered: the route is as declared, unless its tag carries a restore point. Then the state table was
/// lost in the middle of a fail-over, and what the route no longer has is what was drained.
fn first_seen(route: &RouteFacts, now: Timestamp) -> Standing {
    let mut record = RouteRecord::first_seen(route.uid.clone(), route.version, route.split.clone());
    let point = route.restore_tag.as_deref().and_then(RestoreTag::parse).and_then(|tag| tag.point(&route.split, now));
    if let Some(point) = point {
        let (before, after) = (shares(&point.split), shares(&route.split));
        record.shift.phases = before
            .iter()
            .filter(|(node, share)| after.get(**node).is_none_or(|now| now < *share))
            .map(|(node, _)| ((*node).clone(), Phase::drained(now)))
            .collect();
        record.epoch = point.epoch;
        if !record.shift.phases.is_empty() {
            record.shift.restore = Some(point);
        }
    }
    // A tag that restores nothing would, if it stayed, undo what somebody declares later.
    record.stale_tag = route.restore_tag.is_some() && record.shift.restore.is_none();
    Standing { record, changed: true, paid: false }
}

/// Takes up what was begun, or finds that somebody else has written.
fn settle(route: &RouteFacts, known: &RouteRecord, policy: &EditPolicy, now: Timestamp) -> Standing {
    let mut record = known.clone();
    let intent = record.intent.take();
    let begun = intent.as_ref().is_some_and(|intent| intent.then.restore.is_some());
    let shifted = record.shift.restore.is_some();
    match intent {
        // The write was made, and its end was never recorded.
        Some(intent) if route.split == intent.to => {
            record.stale_tag |= intent.then.restore.is_none();
            // No two restore points of a route have the same number.
            record.epoch = intent.then.restore.as_ref().map_or(record.epoch, |point| record.epoch.max(point.epoch));
            record.tag_missing |= begun && !shifted;
            record.owed = intent.note.or(record.owed);
            record.split = intent.to;
            record.shift = intent.then;
            record.drains = intent.drains;
            // An intent of an earlier version knows of no trials, and makes none.
            record.trials.extend(intent.trials);
            Standing { record, changed: true, paid: false }
        }
        // It never was; the budget was spent on it all the same, and its tag may have been set.
        Some(_) if route.split == known.split => {
            record.stale_tag |= begun && !shifted;
            Standing { record, changed: true, paid: true }
        }
        None if route.split == known.split => Standing { record, changed: false, paid: false },
        Some(_) | None => {
            record.stale_tag |= begun || shifted;
            record.tag_missing = false;
            record.shift = Shift::default();
            let until = now + policy.hold_for.get();
            // Somebody may have asked for longer.
            let until = record.edit.map_or(until, |edit| edit.until.max(until));
            record.edit = Some(Edit { seen: now, until });
            record.split = route.split.clone();
            Standing { record, changed: true, paid: false }
        }
    }
}

/// An edit ends by time, or because somebody released the route. A release counts once, however often it is delivered.
fn end_of_edit(standing: &mut Standing, route: &RouteFacts, now: Timestamp) {
    let record = &mut standing.record;
    let release = route.released.filter(|asked| record.released.is_none_or(|known| known < *asked));
    // The edit may be seen for the first time after its release was asked for, so that their times say nothing.
    if release.is_some() || record.edit.is_some_and(|edit| edit.until <= now) {
        record.edit = None;
    }
    if let Some(asked) = release {
        record.released = Some(asked);
        // A person says that what was drained until then may be tried again.
        record.drains.values_mut().for_each(|times| times.retain(|drained| *drained > asked));
        record.drains.retain(|_, times| !times.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::failover::record::{Intent, OwedNote, RestorePoint};
    use crate::failover::sample::{at, node, route, split};

    fn policy() -> EditPolicy {
        EditPolicy::default()
    }

    fn shifted() -> RouteRecord {
        let mut record = RouteRecord::first_seen("u1".to_owned(), 1, split(&[("v1", 0), ("v2", 100)]));
        record.epoch = 1;
        record.shift.restore = Some(RestorePoint { epoch: 1, split: split(&[("v1", 50), ("v2", 50)]), taken: at(0) });
        record.shift.phases.insert(node("v1"), Phase::drained(at(0)));
        record
    }

    #[test]
    fn an_unfinished_write_is_taken_up_from_either_side() {
        let mut done = shifted();
        let mut begun = RouteRecord::first_seen("u1".to_owned(), 1, split(&[("v1", 50), ("v2", 50)]));
        begun.intent = Some(Intent {
            plan: "p".to_owned(),
            to: done.split.clone(),
            version: 1,
            then: done.shift.clone(),
            drains: BTreeMap::new(),
            trials: BTreeMap::new(),
            note: Some(OwedNote { code: "Failover".to_owned(), text: "v1 fails".to_owned() }),
        });
        // Whether its tag was set and people were told is not known.
        done.tag_missing = true;
        done.owed = begun.intent.as_ref().unwrap().note.clone();
        let memory = Memory::Record(Box::new(begun.clone()));
        let written = standing(&route(&[("v1", 0), ("v2", 100)], memory.clone()), &policy(), at(1)).unwrap();
        assert_eq!((written.record, written.paid), (done, false));
        let unwritten = standing(&route(&[("v1", 50), ("v2", 50)], memory), &policy(), at(1)).unwrap();
        begun.intent = None;
        // Its tag may have been set.
        begun.stale_tag = true;
        assert_eq!((unwritten.record, unwritten.paid), (begun, true));
    }

    #[test]
    fn another_split_is_somebody_elses_edit_and_ends_by_time_or_release() {
        let seen = |memory: RouteRecord, released: bool, now| {
            let mut route = route(&[("v1", 30), ("v2", 70)], Memory::Record(Box::new(memory)));
            route.released = released.then_some(now);
            standing(&route, &policy(), now).unwrap()
        };
        let edited = seen(shifted(), false, at(10));
        assert_eq!(edited.record.edit, Some(Edit { seen: at(10), until: at(10 + 4 * 3600) }));
        assert_eq!(edited.record.shift, Shift::default());
        assert!(edited.record.stale_tag);
        let later = seen(edited.record.clone(), false, at(3600));
        assert_eq!(later.record.edit, edited.record.edit);
        assert_eq!(seen(edited.record.clone(), true, at(20)).record.edit, None);
        assert_eq!(seen(edited.record.clone(), false, at(10 + 4 * 3600)).record.edit, None);
    }

    #[test]
    fn a_release_delivered_again_forgets_no_later_drain() {
        let mut known = RouteRecord::first_seen("u1".to_owned(), 1, split(&[("v1", 50), ("v2", 50)]));
        known.drains.insert(node("v1"), vec![at(10), at(20)]);
        let released = |known: RouteRecord, asked: i64, now: i64| {
            let mut route = route(&[("v1", 50), ("v2", 50)], Memory::Record(Box::new(known)));
            route.released = Some(at(asked));
            standing(&route, &policy(), at(now)).unwrap().record
        };
        let first = released(known, 15, 30);
        assert_eq!(
            first.drains,
            BTreeMap::from([(node("v1"), vec![at(20)])]),
            "what came after it was asked for stays"
        );
        assert_eq!(released(first.clone(), 15, 40), first, "the same one again");
        assert_eq!(released(first.clone(), 14, 40), first, "an older one that comes late");
        assert_eq!(released(first, 35, 40).drains, BTreeMap::new(), "a new one");
    }

    #[test]
    fn a_route_as_it_was_before_the_last_write_is_no_edit() {
        let mut known = shifted();
        known.version = 2;
        let late = route(&[("v1", 50), ("v2", 50)], Memory::Record(Box::new(known)));
        assert_eq!(standing(&late, &policy(), at(0)), Err(Unclear::Stale { known: 2 }));
    }

    #[test]
    fn a_new_route_of_the_same_name_begins_anew() {
        let mut known = shifted();
        known.uid = "u0".to_owned();
        known.version = 9;
        known.epoch = 4;
        let made = route(&[("v1", 50), ("v2", 50)], Memory::Record(Box::new(known)));
        let standing = standing(&made, &policy(), at(0)).unwrap();
        let mut expected = RouteRecord::first_seen("u1".to_owned(), 1, made.split.clone());
        expected.epoch = 4;
        assert_eq!((standing.record, standing.changed), (expected, true));
    }

    #[test]
    fn a_tag_that_restores_nothing_goes() {
        let mut unshifted = route(&[("v1", 50), ("v2", 50)], Memory::None);
        assert!(!standing(&unshifted, &policy(), at(0)).unwrap().record.stale_tag);
        unshifted.restore_tag = Some(RestoreTag::of(shifted().shift.restore.as_ref().unwrap()).to_string());
        assert!(standing(&unshifted, &policy(), at(0)).unwrap().record.stale_tag);
    }

    #[test]
    fn a_lost_table_is_made_good_by_the_route_tag() {
        let mut lost = route(&[("v1", 0), ("v2", 100)], Memory::None);
        lost.restore_tag = Some(RestoreTag::of(shifted().shift.restore.as_ref().unwrap()).to_string());
        let standing = standing(&lost, &policy(), at(0)).unwrap();
        assert_eq!(standing.record.shift, shifted().shift);
    }
}
