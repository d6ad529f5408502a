//! Operator requests on a route: hold it, release it, restore the original weights now.
//!
//! A hold is stored as an [`Edit`], like a change of weights by hand, so that both have the same effect. These
//! functions return records; the caller stores them.

use jiff::Timestamp;

use super::candidate::plan_id;
use super::facts::RouteFacts;
use super::reason::HoldReason;
use super::record::{Edit, Intent, OwedNote, RouteRecord, Shift};
use super::route_state::{RouteStateError, route_state};
use crate::weights::{Admission, Blocker, Ending, LayerKind, PendingWrite, StoredLayers, Writer, admit};
use mesh::split::WeightSplit;
use policy::Policy;

/// The record of a route, updated with the observed route and its release; or a hold if the route's state is unclear.
pub fn current_record(route: &RouteFacts, policy: &Policy, now: Timestamp) -> Result<RouteRecord, HoldReason> {
    match route_state(route, policy, now) {
        Ok(state) => Ok(state.record),
        Err(RouteStateError::Unreadable(why)) => Err(HoldReason::RecordUnreadable { why }),
        Err(RouteStateError::Stale { known }) => Err(HoldReason::StaleRead { read: route.version, known }),
    }
}

/// The record of a route that an operator holds until `until`. A failover or rollout stays in place and resumes after the
/// hold. Of two holds, the later end counts.
///
/// # Errors
///
/// Returns the reason if a drill is on the route: its restore must not wait.
pub fn with_hold(record: RouteRecord, until: Timestamp, now: Timestamp) -> Result<RouteRecord, Blocker> {
    match admit(&Writer::OperatorHold, &record.all_layers(), None, now) {
        Admission::Go { .. } => {}
        Admission::Wait { reason, .. } | Admission::Refuse { reason } => return Err(reason),
    }
    let until = record.edit.map_or(until, |edit| edit.until.max(until));
    Ok(RouteRecord { edit: Some(Edit { seen: now, until }), ..record })
}

/// The record of a route of which an operator accepts the split that an infrastructure-as-code role declared, although it
/// is the split from before a promotion. `None` if no promotion is remembered.
#[must_use]
pub fn with_accepted_declaration(record: RouteRecord) -> Option<RouteRecord> {
    record.layers.promoted.as_ref()?;
    let mut record = record;
    record.layers.promoted = None;
    record.layers.pending = record.layers.pending.filter(|pending| *pending != PendingWrite::StaleDeclaration);
    Some(record)
}

/// The restoration of a route's original split, requested by an operator.
#[derive(Clone, Debug, PartialEq)]
pub struct Restoration {
    /// Identifies route, base version and weights; the client token of the write.
    pub plan: String,
    /// The split before the write.
    pub from: WeightSplit,
    /// The split after the write: the original integers.
    pub to: WeightSplit,
    /// The record to store before the write, including the intent.
    pub begun: RouteRecord,
    /// The record to store after the write.
    pub done: RouteRecord,
}

/// The restoration of a route: the declared split without any layer. `None` if the route has no layer. `keep` holds the
/// route after the restoration: alarms still in `ALARM` would drain it again within a minute. An existing hold stays
/// in place.
#[must_use]
pub fn restoration(
    route: &RouteFacts,
    record: &RouteRecord,
    note: OwedNote,
    keep: Option<Edit>,
    now: Timestamp,
) -> Option<Restoration> {
    (record.shift.restore.is_some() || record.layers.has_layer()).then_some(())?;
    let to = record.declared().clone();
    let plan = plan_id(route, &to);
    let record = RouteRecord { edit: keep.or(record.edit), ..record.clone() };
    let then = Shift::default();
    let mut layers = StoredLayers { pending: None, ..record.layers.clone() };
    // A restore proceeds on every layer; the store checks the kill switch.
    let admission = admit(&Writer::Restore, &record.all_layers(), None, now);
    for Ending { layer, reason } in admission.ends().unwrap_or_default() {
        match layer {
            LayerKind::Rollout => layers.end_rollout(*reason, now),
            LayerKind::Drill => layers.end_drill(*reason, now),
            LayerKind::Failover => {}
        }
    }
    let intent = Intent {
        plan: plan.clone(),
        to: to.clone(),
        version: route.version,
        then: then.clone(),
        drains: record.drains.clone(),
        trials: record.trials.clone(),
        note: Some(note),
        layers: (layers != record.layers).then(|| Box::new(layers.clone())),
    };
    let done = RouteRecord { split: to.clone(), shift: then, intent: None, layers, ..record.clone() };
    let begun = RouteRecord { intent: Some(intent), ..record };
    Some(Restoration { plan, from: route.split.clone(), to, begun, done })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failover::facts::Memory;
    use crate::failover::fixtures::{at, node, route, split};
    use crate::failover::record::{Phase, RestorePoint};

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
    fn hold_keeps_the_shift_and_ends_by_time_or_release() {
        let policy = Policy::read("version: 1\n").unwrap();
        let mut route = shifted();
        let record = with_hold(current_record(&route, &policy, at(10)).unwrap(), at(600), at(10)).unwrap();
        assert!(record.shift.restore.is_some());
        route.memory = Memory::Record(Box::new(record));
        assert!(current_record(&route, &policy, at(599)).unwrap().edit.is_some());
        assert_eq!(current_record(&route, &policy, at(600)).unwrap().edit, None);
        route.released = Some(at(20));
        let released = current_record(&route, &policy, at(20)).unwrap();
        assert_eq!((released.edit, released.released), (None, Some(at(20))));
    }

    #[test]
    fn edit_by_hand_does_not_shorten_a_hold() {
        let policy = Policy::read("version: 1\n").unwrap();
        let day = 24 * 3600;
        let mut route = shifted();
        route.memory = Memory::Record(Box::new(
            with_hold(current_record(&route, &policy, at(0)).unwrap(), at(day), at(0)).unwrap(),
        ));
        route.split = split(&[("v1", 30), ("v2", 70)]);
        assert_eq!(current_record(&route, &policy, at(60)).unwrap().edit, Some(Edit { seen: at(60), until: at(day) }));
    }

    #[test]
    fn restoration_writes_the_original_integers_and_resumes_before_and_after_the_write() {
        let policy = Policy::read("version: 1\n").unwrap();
        let mut route = shifted();
        let record = current_record(&route, &policy, at(10)).unwrap();
        let restoration = restoration(&route, &record, note(), None, at(10)).unwrap();
        assert_eq!(restoration.to, split(&[("v1", 8), ("v2", 2)]));
        route.memory = Memory::Record(Box::new(restoration.begun.clone()));
        assert_eq!(current_record(&route, &policy, at(11)).unwrap().shift, record.shift, "before the write");
        route.split = restoration.to.clone();
        let written = current_record(&route, &policy, at(11)).unwrap();
        assert_eq!((written.shift, written.split), (Shift::default(), restoration.done.split));
        assert!(written.stale_tag, "the tag may still exist");
    }

    #[test]
    fn unshifted_route_has_no_restoration() {
        let steady = route(&[("v1", 8), ("v2", 2)], Memory::None);
        let record = current_record(&steady, &Policy::read("version: 1\n").unwrap(), at(0)).unwrap();
        assert_eq!(restoration(&steady, &record, note(), None, at(0)), None);
    }
}
