use super::*;
use crate::failover::facts::Memory;
use crate::failover::fixtures::{at, node, route, split};
use crate::failover::{RestoreTag, current_record};
use crate::weights::{Edit, LayerKind, Move, Moves, Receiver};
use mesh::amounts::Percent;
use policy::Policy;

fn policy() -> Policy {
    Policy::read("version: 1\n").unwrap()
}

fn step(percent: u8) -> LayerChange {
    LayerChange::RolloutStep(RolloutLayer {
        id: "r1".to_owned(),
        moves: Moves::new(vec![Move { from: node("v1"), to: node("v2") }]).unwrap(),
        percent: Percent::new(percent).unwrap(),
        since: at(0),
        acknowledged: None,
        attend_by: at(300),
        to_capacity: None,
    })
}

fn drill_start() -> LayerChange {
    LayerChange::DrillStart(DrillLayer { id: "d1".to_owned(), node: node("v1"), since: at(0), restore_by: at(2100) })
}

fn rollback() -> LayerChange {
    LayerChange::Rollback { id: "r1".to_owned() }
}

fn drill_end(come_back: ComeBack) -> LayerChange {
    LayerChange::DrillEnd { id: "d1".to_owned(), reason: EndReason::DrillEnded, come_back, verdict: None }
}

/// A route with its record, on which changes are planned and written.
struct Fixture {
    route: RouteFacts,
    tag: Option<String>,
    kill_switch: Option<KillSwitchFact>,
}

impl Fixture {
    fn new(targets: &[(&str, u8)]) -> Self {
        Self { route: route(targets, Memory::None), tag: None, kill_switch: None }
    }

    fn record(&self) -> RouteRecord {
        current_record(&self.route, &policy(), at(60)).unwrap()
    }

    fn plan(&self, change: LayerChange) -> Result<LayerWrite, LayerRefusal> {
        let ready = self.route.split.targets().iter().map(|target| target.virtual_node.clone());
        let ready = ready.map(|node| Receiver { node, limit: None, first: false }).collect();
        let receivers = Receivers { ready, present: self.route.split.clone() };
        let note = OwedNote { code: "Test".to_owned(), text: "a change".to_owned() };
        let (record, policy) = (self.record(), policy());
        let kill_switch = self.kill_switch.as_ref();
        layer_write(&self.route, &record, change, &receivers, note, &policy.failover.failback, kill_switch, at(60))
    }

    fn write(&mut self, change: LayerChange) -> LayerWrite {
        let write = self.plan(change).unwrap();
        self.route.split = write.to.clone();
        self.route.memory = Memory::Record(Box::new(write.done.clone()));
        match &write.tag {
            TagChange::Set(value) => self.tag = Some(value.clone()),
            TagChange::Clear => self.tag = None,
            TagChange::Keep => {}
        }
        write
    }

    fn change_record(&mut self, change: impl FnOnce(&mut RouteRecord)) {
        let mut record = self.record();
        change(&mut record);
        self.route.memory = Memory::Record(Box::new(record));
    }
}

#[test]
fn rollout_steps_keep_the_declared_integers_and_the_rollback_writes_them() {
    let mut fixture = Fixture::new(&[("v1", 8), ("v2", 2)]);
    assert_eq!(fixture.write(step(25)).to.weights(), [15, 5]);
    let tag = fixture.tag.clone().unwrap();
    assert!(tag.starts_with("2.1.") && tag.ends_with(".8-2.r"), "{tag}");
    assert_eq!(fixture.write(step(50)).to.weights(), [5, 5]);
    assert_eq!(fixture.tag.as_ref(), Some(&tag), "the tag has no percentage");
    let ended = fixture.write(rollback());
    assert_eq!(ended.to, split(&[("v1", 8), ("v2", 2)]));
    assert_eq!(ended.ends, [Ending { layer: LayerKind::Rollout, reason: EndReason::RolledBack }]);
    assert_eq!(fixture.tag, None);
    assert_eq!(ended.done.stored_format(), 1, "older versions can read the record again");
    assert_eq!(fixture.plan(rollback()), Err(LayerRefusal::NoSuchLayer), "a second rollback");
}

#[test]
fn rollback_while_a_node_is_drained_recomputes_the_failover() {
    let mut fixture = Fixture::new(&[("v1", 80), ("v2", 0), ("v3", 20)]);
    fixture.write(step(50));
    assert_eq!(fixture.route.split.weights(), [40, 40, 20]);
    fixture.route.split = split(&[("v1", 60), ("v2", 40), ("v3", 0)]);
    fixture.change_record(|record| {
        record.split = split(&[("v1", 60), ("v2", 40), ("v3", 0)]);
        record.edit = None;
        record.shift.phases.insert(node("v3"), Phase::drained(at(30)));
        let base = split(&[("v1", 40), ("v2", 40), ("v3", 20)]);
        record.shift.restore = Some(RestorePoint { epoch: 2, split: base, taken: at(30) });
        record.layers.declared = Some(split(&[("v1", 80), ("v2", 0), ("v3", 20)]));
        if let LayerChange::RolloutStep(layer) = step(50) {
            record.layers.rollout = Some(layer);
        }
    });
    let write = fixture.write(rollback());
    assert_eq!(write.to.weights(), [100, 0, 0]);
    assert_eq!(write.done.shift.restore.as_ref().unwrap().split.weights(), [80, 0, 20]);
    assert!(!RestoreTag::parse(&fixture.tag.unwrap()).unwrap().is_layered());
    assert!(matches!(
        Fixture { tag: None, ..fixture }.plan(step(75)),
        Err(LayerRefusal::Wait { reason: Blocker::FailoverActive { .. }, until: None, pages: false })
    ));
}

#[test]
fn promotion_declares_the_rollouts_split() {
    let mut fixture = Fixture::new(&[("v1", 100), ("v2", 0)]);
    fixture.write(step(50));
    fixture.write(step(100));
    let epoch = fixture.record().epoch;
    let write = fixture.write(LayerChange::Promote { id: "r1".to_owned() });
    assert_eq!((write.from.weights(), write.to.weights()), (vec![0, 100], vec![0, 100]));
    let record = fixture.record();
    assert_eq!((record.declared().weights(), record.layers.rollout.clone()), (vec![0, 100], None));
    assert_eq!(record.epoch, epoch + 1);
    assert_eq!(record.layers.promoted.as_ref().unwrap().before.weights(), [100, 0]);
    assert_eq!(fixture.tag, None);
}

#[test]
fn drill_drains_and_restores_the_exact_split() {
    let mut fixture = Fixture::new(&[("v1", 1), ("v2", 1), ("v3", 1)]);
    assert_eq!(fixture.write(drill_start()).to.weights(), [0, 50, 50]);
    assert!(fixture.tag.as_ref().unwrap().ends_with(".1-1-1.d"));
    assert!(matches!(
        fixture.plan(step(25)),
        Err(LayerRefusal::Wait { reason: Blocker::DrillActive { .. }, until: Some(_), .. })
    ));
    assert!(matches!(fixture.plan(drill_start()), Err(LayerRefusal::Refuse { reason: Blocker::DrillActive { .. } })));
    let write = fixture.write(drill_end(ComeBack::AtOnce));
    assert_eq!((write.to.weights(), fixture.tag), (vec![1, 1, 1], None));
}

#[test]
fn drill_can_hand_its_node_to_failback() {
    let mut fixture = Fixture::new(&[("v1", 50), ("v2", 50)]);
    fixture.write(drill_start());
    let write = fixture.write(drill_end(ComeBack::Steps));
    assert_eq!((write.from, write.to.weights()), (split(&[("v1", 0), ("v2", 100)]), vec![0, 100]));
    let record = fixture.record();
    assert_eq!(record.shift.phases[&node("v1")], Phase::Drained { since: at(0), quiet: Some(at(0)) });
    assert_eq!(record.restore_split().weights(), [50, 50]);
    assert!(fixture.tag.unwrap().starts_with("1."));
}

#[test]
fn drill_without_a_receiver_is_refused() {
    let fixture = Fixture::new(&[("v1", 100)]);
    assert_eq!(fixture.plan(drill_start()), Err(LayerRefusal::NoReceiver));
}

#[test]
fn held_route_and_kill_switch_delay_even_a_rollback() {
    let mut fixture = Fixture::new(&[("v1", 100), ("v2", 0)]);
    fixture.write(step(25));
    fixture.kill_switch = Some(KillSwitchFact { by: "dana".to_owned(), reason: "incident".to_owned() });
    assert!(matches!(
        fixture.plan(rollback()),
        Err(LayerRefusal::Wait { reason: Blocker::KillSwitchOn { .. }, pages: true, .. })
    ));
    fixture.kill_switch = None;
    fixture.change_record(|record| record.edit = Some(Edit { seen: at(0), until: at(600) }));
    assert!(matches!(
        fixture.plan(rollback()),
        Err(LayerRefusal::Wait { reason: Blocker::PersonEdited { .. }, until: Some(_), pages: true })
    ));
}

/// Killed before or after the write, with only the begun record stored, the layers are those before or after it.
#[test]
fn begun_record_is_completed_before_and_after_the_write() {
    let mut fixture = Fixture::new(&[("v1", 100), ("v2", 0)]);
    fixture.write(step(25));
    let write = fixture.plan(rollback()).unwrap();
    let mut begun = fixture.route.clone();
    begun.memory = Memory::Record(Box::new(write.begun.clone()));
    let unwritten = current_record(&begun, &policy(), at(61)).unwrap();
    assert!(unwritten.layers.rollout.is_some());
    assert!(unwritten.tag_missing, "the tag may have been removed");
    begun.split = write.to.clone();
    let written = current_record(&begun, &policy(), at(61)).unwrap();
    assert_eq!((&written.layers, &written.split), (&write.done.layers, &write.to));
    assert!(written.stale_tag);
    assert_eq!(written.owed.unwrap().code, "Test");
}

#[test]
fn renewal_changes_only_its_own_layer() {
    let mut fixture = Fixture::new(&[("v1", 100), ("v2", 0)]);
    fixture.write(step(25));
    let record = fixture.record();
    assert_eq!(renewed(&record, "r2", None, at(900)), None);
    let record = renewed(&record, "r1", Some(at(70)), at(900)).unwrap();
    let layer = record.layers.rollout.clone().unwrap();
    assert_eq!((layer.acknowledged, layer.attend_by), (Some(at(70)), at(900)));
    let again = renewed(&record, "r1", Some(at(80)), at(960)).unwrap();
    assert_eq!(again.layers.rollout.unwrap().acknowledged, Some(at(70)), "the first acknowledgement counts");
}
