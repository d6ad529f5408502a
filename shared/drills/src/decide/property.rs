//! Random runs of a drill: alarms, edits, kill switches, refused writes, runs that do not happen. At the end everything
//! is quiet, and the weights are those of before.

use std::collections::BTreeMap;

use decisions::failover::KillSwitchFact;
use proptest::prelude::*;

use super::*;
use crate::fixtures::{alarm, at, before, drain, drained, facts, node, observation, policy, request, start};
use crate::observation::{AlarmReading, DrainedSplit, RouteLayer};
use crate::record::RequestAction;

/// The state of the mesh and of the services.
struct Scene {
    record: MeshDrills,
    /// The layer of each of the two routes.
    layers: [Option<RouteLayer>; 2],
    /// The verdict with which the function ended the layer of each route.
    verdicts: [Option<DrillVerdict>; 2],
    /// Pages so far.
    pages: usize,
}

/// What happens in one minute.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each happens independently")]
struct Minute {
    outcome_alarm: u8,
    failing: u8,
    kill: bool,
    stop: bool,
    outstanding: bool,
    /// For each route: whether a write takes effect.
    writes: [bool; 2],
    /// Whether the state of the decision is stored.
    stores: bool,
    /// Whether the function runs.
    runs: bool,
    /// An operator ends the drill on a route.
    edit: Option<usize>,
}

fn minute() -> impl Strategy<Value = Minute> {
    let rare = || prop::bool::weighted(0.04);
    let mostly = || prop::bool::weighted(0.85);
    let edit = prop::option::weighted(0.03, 0_usize..2);
    (0_u8..40, 0_u8..40, rare(), rare(), prop::bool::weighted(0.2), (mostly(), mostly()), mostly(), mostly(), edit)
        .prop_map(|(outcome_alarm, failing, kill, stop, outstanding, writes, stores, runs, edit)| Minute {
            outcome_alarm,
            failing,
            kill,
            stop,
            outstanding,
            writes: [writes.0, writes.1],
            stores,
            runs,
            edit,
        })
}

const QUIET: Minute = Minute {
    outcome_alarm: 9,
    failing: 9,
    kill: false,
    stop: false,
    outstanding: false,
    writes: [true; 2],
    stores: true,
    runs: true,
    edit: None,
};

impl Scene {
    fn facts(&self, minute: Minute, policy: &Policy) -> DrillFacts {
        let mut facts = facts(policy);
        let mut layered = facts.clone();
        drain(&mut layered, at(0));
        for (index, layer) in self.layers.iter().enumerate() {
            if let Some(layer) = layer {
                facts.routes[index] = layered.routes[index].clone();
                facts.routes[index].layer = Some(layer.clone());
            }
        }
        for (route, verdict) in facts.routes.iter_mut().zip(&self.verdicts) {
            route.verdict.clone_from(verdict);
        }
        let state = match minute.outcome_alarm {
            0 => AlarmReading::On,
            1 | 2 => AlarmReading::new(None),
            _ => AlarmReading::Off,
        };
        facts.alarms.insert(alarm("checkout"), state);
        let failing = match minute.failing {
            0 => Some("v1"),
            1 => Some("v2"),
            2 => Some("other"),
            _ => None,
        };
        facts.failing = failing.map(|name| (node(name), vec![alarm("x")])).into_iter().collect::<BTreeMap<_, _>>();
        if minute.outstanding {
            facts.proxies = Proxies::Outstanding { why: "x".to_owned() };
        }
        facts
    }

    fn minute(&mut self, minute: Minute, policy: &Policy, now: Timestamp) {
        if let Some(route) = minute.edit {
            self.layers[route] = None;
        }
        if minute.stop {
            self.record.requests.push(request("stop", RequestAction::Stop));
        }
        if !minute.runs {
            return;
        }
        // As many passes as the function makes in one run.
        for _ in 0..5 {
            let mut seen = observation(self.record.clone(), self.facts(minute, policy));
            seen.kill_switch = minute.kill.then(|| KillSwitchFact { by: "ada".to_owned(), reason: "no".to_owned() });
            let decision = decide(&seen, policy, now);
            assert_eq!(decision, decide(&seen, policy, now), "the same observation gives the same decision");
            let began = self.record.active.as_ref().and_then(|drill| drill.restore_by);
            if minute.stores {
                self.record = match &decision.step {
                    Step::Begin { then, .. } => then.as_ref().clone(),
                    Step::None | Step::WouldBegin | Step::Routes(_) => decision.record.clone(),
                };
                self.pages += decision.news.iter().filter(|news| news.urgency == Urgency::Page).count();
            }
            let Step::Routes(steps) = &decision.step else {
                if matches!(decision.step, Step::Begin { .. }) {
                    continue;
                }
                break;
            };
            assert!(!minute.kill, "no write while the kill switch is on");
            for step in steps {
                let index = usize::from(step.route() != &seen.facts.as_ref().unwrap().routes[0].route);
                if !minute.writes[index] {
                    continue;
                }
                match step {
                    RouteStep::Drain { restore_by, to, .. } => {
                        assert_eq!(began, Some(*restore_by), "the deadline is stored before the first write");
                        assert_eq!(*to, drained());
                        let layer = RouteLayer { node: node("v1"), restore_by: *restore_by, in_place: true };
                        self.layers[index] = Some(layer);
                    }
                    RouteStep::Restore { verdict, .. } => {
                        self.layers[index] = None;
                        self.verdicts[index].clone_from(verdict);
                    }
                }
            }
        }
    }

    fn layers_after(&self, deadline: Timestamp) -> usize {
        self.layers.iter().flatten().filter(|layer| layer.restore_by <= deadline).count()
    }
}

proptest! {
    #[test]
    fn two_runs_after_the_deadline_the_weights_are_restored_or_a_page_is_open(
        minutes in prop::collection::vec(minute(), 1..70),
    ) {
        let policy = policy("duration: 20m");
        let mut scene = Scene {
            record: MeshDrills { requests: vec![start("r1")], ..MeshDrills::default() },
            layers: [None, None],
            verdicts: [None, None],
            pages: 0,
        };
        let mut overdue_runs = 0;
        let mut now = at(0);
        for minute in &minutes {
            let overdue = scene.layers_after(now) > 0;
            scene.minute(*minute, &policy, now);
            // A run without its document stored can neither page nor be known to have run.
            overdue_runs = if overdue && scene.layers_after(now) > 0 { overdue_runs + usize::from(minute.runs && minute.stores) } else { 0 };
            if overdue_runs >= 2 {
                prop_assert!(scene.record.paged.contains_key("RestoreOverdue"), "{:?}", scene.record);
            }
            now += SignedDuration::from_mins(1);
        }
        // Quiet: the drill ends without a command, and nothing is left.
        for _ in 0..45 {
            scene.minute(QUIET, &policy, now);
            now += SignedDuration::from_mins(1);
        }
        prop_assert_eq!(&scene.layers, &[None, None]);
        prop_assert!(scene.record.active.is_none());
        prop_assert!(scene.record.plans.values().all(|plan| plan.last.is_some()));
        prop_assert!(scene.facts(QUIET, &policy).routes.iter().all(|route| route.split == before() && route.drained == DrainedSplit::To(drained())));
    }
}
