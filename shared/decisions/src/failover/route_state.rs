//! The state of a route: as declared, changed by Meshwarden, or written by another writer.

use jiff::Timestamp;

use super::facts::{Memory, RouteFacts};
use super::record::{Edit, Intent, OwedNote, Phase, RouteRecord, Shift};
use super::restore_tag::{RestoreTag, restore_tag};
use crate::weights::spread::shares;
use crate::weights::{
    Author, Ending, LayerKind, Layers, PendingWrite, Writer, admit, author, declared_write, rollout_split,
};
use policy::{EditPolicy, Policy, WeightsPolicy};

/// A route's record, updated with the observed route.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RouteState {
    /// The updated record.
    pub(super) record: RouteRecord,
    /// Whether the record differs from the one in the state table.
    pub(super) changed: bool,
    /// Whether the budget was already spent on a write that never took effect.
    pub(super) budget_spent: bool,
}

/// The reason why the state of a route cannot be determined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RouteStateError {
    /// The stored record cannot be read.
    Unreadable(String),
    /// The route was read at an older version than the stored one.
    Stale {
        /// The stored version.
        known: u64,
    },
}

/// Compares the stored record with the observed route.
pub(super) fn route_state(route: &RouteFacts, policy: &Policy, now: Timestamp) -> Result<RouteState, RouteStateError> {
    let known = match &route.memory {
        Memory::Unreadable(why) => return Err(RouteStateError::Unreadable(why.clone())),
        Memory::None => return Ok(first_seen(route, policy, now)),
        // The stored record belongs to a deleted route of the same name.
        Memory::Record(record) if record.uid != route.uid => {
            let mut state = first_seen(route, policy, now);
            state.record.epoch = state.record.epoch.max(record.epoch);
            return Ok(state);
        }
        Memory::Record(record) if record.version > route.version => {
            return Err(RouteStateError::Stale { known: record.version });
        }
        Memory::Record(record) => record.as_ref().clone(),
    };
    let mut state = complete_intent(route, &known, policy, now);
    state.record.version = route.version;
    end_edit(&mut state, route, now);
    state.changed = state.record != known;
    Ok(state)
}

/// The state of a route without a stored record: as declared, unless its tag carries a restore point. Then the state
/// table was lost during a failover, and the nodes with less weight than in the restore point were drained. If it was lost
/// during a rollout or drill, the weights say nothing about nodes, and the declared split is to be written. A split that
/// an infrastructure-as-code role wrote since is as declared, and the tag is out of date.
fn first_seen(route: &RouteFacts, policy: &Policy, now: Timestamp) -> RouteState {
    let mut record = RouteRecord::first_seen(route.uid.clone(), route.version, route.split.clone());
    let tag = route.restore_tag.as_deref().and_then(RestoreTag::parse);
    let is_layered = tag.as_ref().is_some_and(RestoreTag::is_layered);
    let is_declared = match author(route.written_by.as_deref(), &policy.weights) {
        Author::Declared { .. } => true,
        Author::Operator => false,
    };
    if let Some(point) = tag.and_then(|tag| tag.point(&route.split, now)).filter(|_| !is_declared) {
        record.epoch = point.epoch;
        if is_layered {
            record.layers.pending = Some(PendingWrite::StateLost);
            record.shift.restore = Some(point);
        } else {
            let (before, after) = (shares(&point.split), shares(&route.split));
            record.shift.phases = before
                .iter()
                .filter(|(node, share)| after.get(**node).is_none_or(|now| now < *share))
                .map(|(node, _)| ((*node).clone(), Phase::drained(now)))
                .collect();
            if record.shift.phases.is_empty() && point.split != route.split {
                // The shares are those declared, in other integers.
                record.layers.pending = Some(PendingWrite::Reapplied);
            }
            if !record.shift.phases.is_empty() || record.layers.pending.is_some() {
                record.shift.restore = Some(point);
            }
        }
    }
    // A tag without a restore point would later undo a declared change.
    record.stale_tag = route.restore_tag.is_some() && record.shift.restore.is_none();
    RouteState { record, changed: true, budget_spent: false }
}

/// Completes an unfinished write, or detects a write of another writer.
fn complete_intent(route: &RouteFacts, known: &RouteRecord, policy: &Policy, now: Timestamp) -> RouteState {
    let mut record = known.clone();
    let intent = record.intent.take();
    let before = restore_tag(&record);
    // The tag of a write that was begun may be set.
    let begun = intent.as_ref().and_then(|intent| restore_tag(&after_intent(&record, intent)));
    match intent {
        // The write took effect, but its outcome was never recorded.
        Some(intent) if route.split == intent.to => {
            let owed = intent.note.clone();
            record = after_intent(&record, &intent);
            record.owed = owed.or(record.owed);
            let tag = restore_tag(&record);
            record.stale_tag |= tag.is_none();
            record.tag_missing |= tag.is_some() && tag != before;
            RouteState { record, changed: true, budget_spent: false }
        }
        // The write did not take effect, but its budget is spent.
        Some(_) if route.split == known.split => {
            record.stale_tag |= before.is_none() && begun.is_some();
            record.tag_missing |= before.is_some() && begun != before;
            RouteState { record, changed: true, budget_spent: true }
        }
        None if route.split == known.split => {
            adopt_promotion(&mut record, route, known, &policy.weights);
            RouteState { record, changed: false, budget_spent: false }
        }
        Some(_) | None => {
            let had_tag = before.is_some() || begun.is_some();
            match author(route.written_by.as_deref(), &policy.weights) {
                Author::Operator => edited(&mut record, &policy.failover.edits, now),
                Author::Declared { caller } => declared(&mut record, route, &caller, &policy.weights, now),
            }
            record.split = route.split.clone();
            let tag = restore_tag(&record);
            record.stale_tag |= had_tag && tag.is_none();
            record.tag_missing = tag.is_some();
            RouteState { record, changed: true, budget_spent: false }
        }
    }
}

/// The record after a write that took effect.
fn after_intent(record: &RouteRecord, intent: &Intent) -> RouteRecord {
    let mut after = record.clone();
    // Restore points of one route have distinct numbers.
    after.epoch = intent.then.restore.as_ref().map_or(record.epoch, |point| record.epoch.max(point.epoch));
    after.split = intent.to.clone();
    after.shift = intent.then.clone();
    after.drains = intent.drains.clone();
    // An intent of an earlier version has no trials, and its plan made none.
    after.trials.extend(intent.trials.clone());
    if let Some(layers) = &intent.layers {
        after.layers = layers.as_ref().clone();
    }
    after
}

/// Ends the wait for a role that declares the promoted split: its write changes the version and not the split.
fn adopt_promotion(record: &mut RouteRecord, route: &RouteFacts, known: &RouteRecord, policy: &WeightsPolicy) {
    let is_promoted = record.layers.promoted.as_ref().is_some_and(|promotion| promotion.promoted == route.split);
    let is_new = route.version > known.version;
    match author(route.written_by.as_deref(), policy) {
        Author::Declared { .. } if is_promoted && is_new => record.layers.promoted = None,
        Author::Declared { .. } | Author::Operator => {}
    }
}

/// An operator's edit ends all layers, and holds the route.
fn edited(record: &mut RouteRecord, policy: &EditPolicy, now: Timestamp) {
    let admission = admit(&Writer::OperatorEdit, &record.all_layers(), None, now);
    for Ending { layer, reason } in admission.ends().unwrap_or_default() {
        match layer {
            LayerKind::Rollout => record.layers.end_rollout(*reason, now),
            LayerKind::Drill => record.layers.end_drill(*reason, now),
            LayerKind::Failover => {}
        }
    }
    record.layers.pending = None;
    record.shift = Shift::default();
    let until = now + policy.hold_for.get();
    // An operator may have requested a longer hold.
    let until = record.edit.map_or(until, |edit| edit.until.max(until));
    record.edit = Some(Edit { seen: now, until });
}

/// The split of an infrastructure-as-code role becomes the declared one, below all layers.
fn declared(record: &mut RouteRecord, route: &RouteFacts, caller: &str, policy: &WeightsPolicy, now: Timestamp) {
    let layers = record.all_layers();
    let outcome = declared_write(&layers, &record.layers, &route.split, policy, now);
    record.layers = outcome.stored;
    // A node that is not a target any more has no phase.
    record.shift.phases.retain(|node, _| outcome.declared.carries(node));
    if record.shift.phases.is_empty() {
        record.shift = Shift::default();
    } else if let Some(point) = &mut record.shift.restore {
        let after = Layers {
            declared: outcome.declared.clone(),
            rollout: record.layers.rollout.clone(),
            ..Layers::declared(outcome.declared)
        };
        point.split = rollout_split(&after);
    }
    if let Some(text) = outcome.code.note(&route.split, caller) {
        record.owed = Some(OwedNote { code: outcome.code.code().to_owned(), text });
    }
}

/// Ends an edit by time or by an operator's release. A release counts once, however often it is delivered.
fn end_edit(state: &mut RouteState, route: &RouteFacts, now: Timestamp) {
    let record = &mut state.record;
    let release = route.released.filter(|requested| record.released.is_none_or(|known| known < *requested));
    // The edit may be observed only after its release was requested, so their times are not compared.
    if release.is_some() || record.edit.is_some_and(|edit| edit.until <= now) {
        record.edit = None;
    }
    if let Some(requested) = release {
        record.released = Some(requested);
        // A release also permits the nodes drained before it to return.
        record.drains.values_mut().for_each(|times| times.retain(|drained| *drained > requested));
        record.drains.retain(|_, times| !times.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::failover::fixtures::{at, node, route, split};
    use crate::failover::record::{Intent, OwedNote, RestorePoint};
    use crate::weights::PromotedOver;

    fn policy() -> Policy {
        Policy::read("version: 1\n").unwrap()
    }

    fn shifted() -> RouteRecord {
        let mut record = RouteRecord::first_seen("u1".to_owned(), 1, split(&[("v1", 0), ("v2", 100)]));
        record.epoch = 1;
        record.shift.restore = Some(RestorePoint { epoch: 1, split: split(&[("v1", 50), ("v2", 50)]), taken: at(0) });
        record.shift.phases.insert(node("v1"), Phase::drained(at(0)));
        record
    }

    #[test]
    fn unfinished_write_is_completed_before_and_after_the_write() {
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
            layers: None,
        });
        // Whether its tag was set and the notification was sent is unknown.
        done.tag_missing = true;
        done.owed = begun.intent.as_ref().unwrap().note.clone();
        let memory = Memory::Record(Box::new(begun.clone()));
        let written = route_state(&route(&[("v1", 0), ("v2", 100)], memory.clone()), &policy(), at(1)).unwrap();
        assert_eq!((written.record, written.budget_spent), (done, false));
        let unwritten = route_state(&route(&[("v1", 50), ("v2", 50)], memory), &policy(), at(1)).unwrap();
        begun.intent = None;
        // Its tag may have been set.
        begun.stale_tag = true;
        assert_eq!((unwritten.record, unwritten.budget_spent), (begun, true));
    }

    #[test]
    fn unknown_split_is_an_operators_edit_and_ends_by_time_or_release() {
        let seen = |memory: RouteRecord, released: bool, now| {
            let mut route = route(&[("v1", 30), ("v2", 70)], Memory::Record(Box::new(memory)));
            route.released = released.then_some(now);
            route_state(&route, &policy(), now).unwrap()
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
    fn release_delivered_again_keeps_later_drains() {
        let mut known = RouteRecord::first_seen("u1".to_owned(), 1, split(&[("v1", 50), ("v2", 50)]));
        known.drains.insert(node("v1"), vec![at(10), at(20)]);
        let released = |known: RouteRecord, requested: i64, now: i64| {
            let mut route = route(&[("v1", 50), ("v2", 50)], Memory::Record(Box::new(known)));
            route.released = Some(at(requested));
            route_state(&route, &policy(), at(now)).unwrap().record
        };
        let first = released(known, 15, 30);
        assert_eq!(first.drains, BTreeMap::from([(node("v1"), vec![at(20)])]), "drains after the request stay");
        assert_eq!(released(first.clone(), 15, 40), first, "the same release again");
        assert_eq!(released(first.clone(), 14, 40), first, "an older release that arrives late");
        assert_eq!(released(first, 35, 40).drains, BTreeMap::new(), "a new release");
    }

    #[test]
    fn role_that_writes_the_promoted_split_has_adopted_it() {
        let policy = "version: 1\nweights: { declaredBy: [terraform] }\n";
        let policy = Policy::read(policy).unwrap();
        let mut known = RouteRecord::first_seen("u1".to_owned(), 1, split(&[("v1", 0), ("v2", 100)]));
        known.layers.promoted =
            Some(PromotedOver { before: split(&[("v1", 100), ("v2", 0)]), promoted: known.split.clone(), at: at(0) });
        for (version, caller, adopted) in
            [(2, Some("terraform"), true), (1, Some("terraform"), false), (2, Some("ada"), false), (2, None, false)]
        {
            let mut route = route(&[("v1", 0), ("v2", 100)], Memory::Record(Box::new(known.clone())));
            route.version = version;
            route.written_by = caller.map(str::to_owned);
            let state = route_state(&route, &policy, at(1)).unwrap();
            assert_eq!(state.record.layers.promoted.is_none(), adopted, "version {version} by {caller:?}");
            assert_eq!(state.changed, version == 2);
        }
    }

    #[test]
    fn stale_read_is_not_an_edit() {
        let mut known = shifted();
        known.version = 2;
        let late = route(&[("v1", 50), ("v2", 50)], Memory::Record(Box::new(known)));
        assert_eq!(route_state(&late, &policy(), at(0)), Err(RouteStateError::Stale { known: 2 }));
    }

    #[test]
    fn recreated_route_starts_without_a_shift() {
        let mut known = shifted();
        known.uid = "u0".to_owned();
        known.version = 9;
        known.epoch = 4;
        let made = route(&[("v1", 50), ("v2", 50)], Memory::Record(Box::new(known)));
        let state = route_state(&made, &policy(), at(0)).unwrap();
        let mut expected = RouteRecord::first_seen("u1".to_owned(), 1, made.split.clone());
        expected.epoch = 4;
        assert_eq!((state.record, state.changed), (expected, true));
    }

    #[test]
    fn tag_without_a_restore_point_is_stale() {
        let mut unshifted = route(&[("v1", 50), ("v2", 50)], Memory::None);
        assert!(!route_state(&unshifted, &policy(), at(0)).unwrap().record.stale_tag);
        unshifted.restore_tag = Some(RestoreTag::new(shifted().shift.restore.as_ref().unwrap()).to_string());
        assert!(route_state(&unshifted, &policy(), at(0)).unwrap().record.stale_tag);
    }

    #[test]
    fn lost_state_table_is_recovered_from_the_route_tag() {
        let mut lost = route(&[("v1", 0), ("v2", 100)], Memory::None);
        lost.restore_tag = Some(RestoreTag::new(shifted().shift.restore.as_ref().unwrap()).to_string());
        let state = route_state(&lost, &policy(), at(0)).unwrap();
        assert_eq!(state.record.shift, shifted().shift);
    }
}
