use super::*;
use crate::failover::fixtures::{at, node, split};
use crate::weights::{DrillLayer, Edit, FailoverLayer, Move, Moves, Phase, PromotedOver, RolloutLayer};
use mesh::amounts::Percent;

const ROLE: &str = "arn:aws:iam::123456789012:role/terraform";

fn policy() -> WeightsPolicy {
    serde_json::from_value(serde_json::json!({ "declaredBy": ["arn:aws:iam::\\d+:role/terraform"] })).unwrap()
}

fn old() -> WeightSplit {
    split(&[("v1", 100), ("v2", 0)])
}

fn new() -> WeightSplit {
    split(&[("v1", 0), ("v2", 100)])
}

fn stored(rollout: bool, drill: bool) -> StoredLayers {
    let mut stored = StoredLayers::default();
    if rollout {
        stored.rollout = Some(RolloutLayer {
            id: "r1".to_owned(),
            moves: Moves::new(vec![Move { from: node("v1"), to: node("v2") }]).unwrap(),
            percent: Percent::new(25).unwrap(),
            since: at(0),
            acknowledged: None,
            attend_by: at(300),
            to_capacity: None,
        });
    }
    if drill {
        stored.drill = Some(DrillLayer { id: "d1".to_owned(), node: node("v1"), since: at(0), restore_by: at(900) });
    }
    if stored.has_layer() {
        stored.declared = Some(old());
    }
    stored
}

fn layers(stored: &StoredLayers, declared: WeightSplit, drained: bool, held: bool) -> Layers {
    let mut failover = FailoverLayer::default();
    if drained {
        failover.phases.insert(node("v1"), Phase::drained(at(0)));
    }
    Layers {
        declared,
        rollout: stored.rollout.clone(),
        drill: stored.drill.clone(),
        failover,
        held: held.then(|| Edit { seen: at(0), until: at(3600) }),
    }
}

#[test]
fn author_is_an_operator_unless_the_policy_names_the_role() {
    let policy = policy();
    assert_eq!(author(Some(ROLE), &policy), Author::Declared { caller: ROLE.to_owned() });
    for caller in [None, Some("arn:aws:iam::123456789012:role/admin"), Some("")] {
        assert_eq!(author(caller, &policy), Author::Operator, "{caller:?}");
    }
    assert_eq!(author(Some(ROLE), &WeightsPolicy::default()), Author::Operator);
}

/// One declared write on each combination of layers.
#[test]
fn declared_writes_by_layers() {
    use DeclaredCode::{Declared, DeclaredChanged, DrillOverwritten, HoldOverwritten, Reapplied};
    let (same, other) = (old(), split(&[("v1", 50), ("v2", 50)]));
    // rollout, drill, drained, held, split -> code, the rollout stays, written again
    let cases = [
        ((false, false, false, false), &other, Declared, false, false),
        ((false, false, true, false), &same, Reapplied, false, true),
        ((false, false, true, false), &other, Reapplied, false, true),
        ((true, false, false, false), &same, Reapplied, true, true),
        ((true, false, false, false), &other, DeclaredChanged, false, false),
        ((true, false, true, false), &same, Reapplied, true, true),
        ((true, false, true, false), &other, DeclaredChanged, false, true),
        ((false, true, false, false), &same, DrillOverwritten, false, false),
        ((false, true, false, false), &other, DrillOverwritten, false, false),
        ((false, false, false, true), &other, HoldOverwritten, false, false),
        ((true, false, false, true), &same, HoldOverwritten, true, false),
        ((false, false, true, true), &other, HoldOverwritten, false, false),
    ];
    for ((rollout, drill, drained, held), written, code, keeps_rollout, again) in cases {
        let name = format!("rollout {rollout}, drill {drill}, drained {drained}, held {held}, {written}");
        let stored = stored(rollout, drill);
        let outcome = declared_write(&layers(&stored, old(), drained, held), &stored, written, &policy(), at(60));
        assert_eq!(outcome.code, code, "{name}");
        assert_eq!(&outcome.declared, written, "{name}");
        assert_eq!(outcome.stored.rollout.is_some(), keeps_rollout, "{name}");
        assert_eq!(outcome.stored.drill, None, "{name}");
        assert_eq!(outcome.stored.pending, again.then_some(PendingWrite::Reapplied), "{name}");
        assert_eq!(outcome.stored.declared.is_some(), keeps_rollout, "{name}");
    }
}

#[test]
fn split_from_before_a_promotion_is_overwritten_until_the_role_adopts_the_promoted_one() {
    let promoted = PromotedOver { before: old(), promoted: new(), at: at(0) };
    let stored = StoredLayers { promoted: Some(promoted), ..StoredLayers::default() };
    let write = |stored: &StoredLayers, split: &WeightSplit, held| {
        declared_write(&layers(stored, new(), false, held), stored, split, &policy(), at(60))
    };
    let stale = write(&stored, &old(), false);
    assert_eq!((stale.code, stale.declared), (DeclaredCode::StaleDeclaration, new()));
    assert_eq!(stale.stored.pending, Some(PendingWrite::StaleDeclaration));
    assert!(stale.stored.promoted.is_some(), "the next stale write is overwritten, too");

    let adopted = write(&stored, &new(), false);
    assert_eq!((adopted.code, adopted.stored.promoted.clone()), (DeclaredCode::PromotionAdopted, None));
    let reverted = write(&adopted.stored, &old(), false);
    assert_eq!((reverted.code, reverted.declared), (DeclaredCode::Declared, old()), "a wanted revert");

    let other = write(&stored, &split(&[("v1", 50), ("v2", 50)]), false);
    assert_eq!((other.code, other.stored.promoted), (DeclaredCode::Declared, None));
    let held = write(&stored, &old(), true);
    assert_eq!(held.code, DeclaredCode::HoldOverwritten, "on hold, it stands");
}

#[test]
fn third_revert_within_an_hour_ends_the_rollout() {
    let mut layers_stored = stored(true, false);
    let mut codes = Vec::new();
    for minute in [0, 10, 20] {
        let now = at(minute * 60);
        let outcome =
            declared_write(&layers(&layers_stored, old(), false, false), &layers_stored, &old(), &policy(), now);
        codes.push(outcome.code);
        layers_stored = outcome.stored;
    }
    assert_eq!(codes, [DeclaredCode::Reapplied, DeclaredCode::Reapplied, DeclaredCode::WritersFighting]);
    assert_eq!((layers_stored.rollout.as_ref(), layers_stored.pending), (None, None));
    assert_eq!(layers_stored.end_of(LayerKind::Rollout, "r1").unwrap().reason, EndReason::WritersFighting);

    let mut slow = stored(true, false);
    for hour in 0..6 {
        let now = at(hour * 1900);
        let outcome = declared_write(&layers(&slow, old(), false, false), &slow, &old(), &policy(), now);
        assert_eq!(outcome.code, DeclaredCode::Reapplied, "reverts leave the window");
        slow = outcome.stored;
    }
}

#[test]
fn during_a_failover_fighting_writers_only_page() {
    let mut layers_stored = StoredLayers::default();
    for minute in 0..3 {
        let layers = layers(&layers_stored, old(), true, false);
        let outcome = declared_write(&layers, &layers_stored, &old(), &policy(), at(minute * 60));
        layers_stored = outcome.stored;
        if minute == 2 {
            assert_eq!(outcome.code, DeclaredCode::WritersFighting);
            assert!(DeclaredCode::WritersFighting.note(&old(), ROLE).unwrap().contains(ROLE));
        }
    }
    assert_eq!(layers_stored.pending, Some(PendingWrite::Reapplied), "failing nodes stay drained");
}
