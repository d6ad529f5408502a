use super::*;
use crate::failover::fixtures::{at, node, split};
use crate::weights::{DrillLayer, Move, Moves, RolloutLayer};
use mesh::amounts::Percent;
use policy::FailbackPolicy;

const DECLARED: [(&str, u8); 3] = [("v1", 6), ("v2", 0), ("v3", 4)];

/// A rollout from v1 to v2, a drill of a node, and nodes with their phases.
fn layers(rollout: Option<(u8, Option<u8>)>, drill: Option<&str>, phases: &[(&str, Phase)]) -> Layers {
    let mut layers = Layers::declared(split(&DECLARED));
    layers.rollout = rollout.map(|(percent, capacity)| RolloutLayer {
        id: "r1".to_owned(),
        moves: Moves::new(vec![Move { from: node("v1"), to: node("v2") }]).unwrap(),
        percent: Percent::new(percent).unwrap(),
        since: at(0),
        acknowledged: None,
        attend_by: at(300),
        to_capacity: capacity.map(|capacity| Percent::new(capacity).unwrap()),
    });
    layers.drill =
        drill.map(|name| DrillLayer { id: "d1".to_owned(), node: node(name), since: at(0), restore_by: at(900) });
    layers.failover.phases = phases.iter().map(|(name, phase)| (node(name), *phase)).collect();
    layers
}

fn receivers(names: &[&str]) -> Receivers {
    let ready = names.iter().map(|name| Receiver { node: node(name), limit: None, first: false }).collect();
    Receivers { ready, present: split(&DECLARED) }
}

#[test]
#[expect(clippy::type_complexity, reason = "a table of cases")]
fn split_of_layers() {
    let drained = Phase::drained(at(0));
    let all = ["v1", "v2", "v3"];
    // layers, receivers -> split, base
    let cases: Vec<(&str, Layers, &[&str], [u8; 3], [u8; 3])> = vec![
        ("no layer", layers(None, None, &[]), &[], [6, 0, 4], [6, 0, 4]),
        ("rollout", layers(Some((50, None)), None, &[]), &[], [3, 3, 4], [3, 3, 4]),
        ("drill", layers(None, Some("v3"), &[]), &["v1"], [100, 0, 0], [100, 0, 0]),
        ("drill of a node without a share", layers(None, Some("v2"), &[]), &[], [6, 0, 4], [6, 0, 4]),
        ("failover", layers(None, None, &[("v1", drained)]), &all, [0, 0, 100], [6, 0, 4]),
        (
            "returning at step 1",
            layers(None, None, &[("v1", Phase::returning(1, at(0)))]),
            &["v3"],
            [15, 0, 85],
            [6, 0, 4],
        ),
        (
            "other node drained during a rollout",
            layers(Some((50, None)), None, &[("v3", drained)]),
            &all,
            [70, 30, 0],
            [3, 3, 4],
        ),
        (
            "with the capacity of `to`",
            layers(Some((50, Some(50))), None, &[("v3", drained)]),
            &all,
            [50, 50, 0],
            [3, 3, 4],
        ),
        (
            "with a capacity below the step",
            layers(Some((50, Some(20))), None, &[("v3", drained)]),
            &all,
            [70, 30, 0],
            [3, 3, 4],
        ),
    ];
    for (name, layers, ready, expected, base) in cases {
        let composed = compose(&layers, &receivers(ready), &FailbackPolicy::default()).unwrap();
        assert_eq!((composed.split.weights(), composed.base.weights()), (expected.to_vec(), base.to_vec()), "{name}");
        assert_eq!(composed.unplaced, 0, "{name}");
    }
}

#[test]
fn drained_share_without_a_receiver_is_an_error() {
    let drained = Phase::drained(at(0));
    let none = [
        layers(None, Some("v1"), &[]),
        layers(None, None, &[("v1", drained)]),
        // The target of a rollout is no receiver.
        layers(Some((50, None)), None, &[("v1", drained)]),
    ];
    for layers in none {
        let composed = compose(&layers, &receivers(&["v2"]), &FailbackPolicy::default());
        let expected = if layers.rollout.is_none() { composed.is_ok() } else { composed == Err(NoReceiver) };
        assert!(expected, "{layers:?}: {composed:?}");
        assert_eq!(compose(&layers, &receivers(&[]), &FailbackPolicy::default()), Err(NoReceiver));
    }
}

#[test]
fn limit_of_a_receiver_leaves_the_rest_where_it_is() {
    let layers = layers(None, None, &[("v1", Phase::drained(at(0)))]);
    let ready = vec![Receiver { node: node("v3"), limit: Some(70), first: false }];
    let composed =
        compose(&layers, &Receivers { ready, present: split(&DECLARED) }, &FailbackPolicy::default()).unwrap();
    assert_eq!((composed.split.weights(), composed.unplaced), (vec![30, 0, 70], 30));
}
