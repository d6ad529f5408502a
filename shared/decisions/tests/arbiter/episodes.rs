//! Episodes with their expected weights, minute by minute.

use decisions::failover::{HoldReason, Verdict, with_accepted_declaration, with_hold};
use decisions::weights::{Move, Moves, PendingWrite};
use mesh::alarm::AlarmState;

use crate::actors::{Disturbance, DrillFunction, FailoverRun, Gate, Progress, RolloutFunction, run_failover};
use crate::execution::Kill;
use crate::random::Defect;
use crate::route::{ROLE, Route, node, split};

/// The functions and their route.
struct Fixture {
    route: Route,
    rollout: RolloutFunction,
    drill: DrillFunction,
    gate: Gate,
}

impl Fixture {
    fn new(weights: &[u8]) -> Self {
        let mut fixture = Self {
            route: Route::new(weights),
            rollout: RolloutFunction::new(),
            drill: DrillFunction::default(),
            gate: Gate::Pass,
        };
        fixture.failover();
        fixture
    }

    /// A route with a rollout from v1 to v2 at 25 %.
    fn at_25_percent(weights: &[u8]) -> Self {
        let mut fixture = Self::new(weights);
        let moves = Moves::new(vec![Move { from: node("v1"), to: node("v2") }]).unwrap();
        fixture.rollout.start("r1", moves, fixture.route.now);
        fixture.rollout();
        fixture.rollout();
        assert_eq!(fixture.route.current().layers.rollout.unwrap().percent.get(), 25);
        fixture.gate = Gate::Unknown;
        fixture
    }

    fn failover(&mut self) -> FailoverRun {
        self.route.wait(60);
        let mut between = |_: &mut Route| {};
        let disturbance = Disturbance { kill: Kill::Never, between: &mut between };
        run_failover(&mut self.route, disturbance, Defect::None)
    }

    /// A run of route-failover, with the code of its decision and whether it pages.
    fn decided(&mut self) -> (String, bool) {
        let run = self.failover();
        let code = match &run.verdict {
            Verdict::Act(plan) => plan.why.code(),
            Verdict::Hold(hold) => hold.code(),
            Verdict::Keep(keep) => keep.code(),
        };
        (code, run.pages)
    }

    fn rollout(&mut self) {
        self.route.wait(60);
        self.route.acknowledged = self.route.version;
        let mut between = |_: &mut Route| {};
        let disturbance = Disturbance { kill: Kill::Never, between: &mut between };
        self.rollout.run(&mut self.route, self.gate, disturbance, Defect::None);
    }

    fn start_drill(&mut self, name: &str) {
        let mut between = |_: &mut Route| {};
        let disturbance = Disturbance { kill: Kill::Never, between: &mut between };
        let report = self.drill.start("d1", &node(name), &mut self.route, disturbance, Defect::None);
        assert_eq!(report.refused, None);
    }

    fn weights(&self) -> Vec<u8> {
        self.route.split.weights()
    }

    fn fails(&mut self, name: &'static str) {
        self.route.set_alarm(name, AlarmState::Alarm);
    }

    fn rollout_end(&mut self) -> &Progress {
        self.rollout();
        &self.rollout.progress
    }
}

fn ended(code: &str) -> Progress {
    Progress::Ended(code.to_owned())
}

fn act(code: &str) -> (String, bool) {
    (code.to_owned(), false)
}

fn page(code: &str) -> (String, bool) {
    (code.to_owned(), true)
}

#[test]
fn rollout_is_promoted_and_failover_restores_the_promoted_split() {
    let mut fixture = Fixture::at_25_percent(&[100, 0, 0]);
    fixture.gate = Gate::Pass;
    for _ in 0..4 {
        fixture.rollout();
    }
    assert_eq!((fixture.weights(), &fixture.rollout.progress), (vec![0, 100, 0], &ended("Promoted")));
    assert_eq!(fixture.route.current().declared().weights(), [0, 100, 0]);
    assert_eq!(fixture.route.tag, None);
}

#[test]
fn failing_target_of_a_rollout_is_rolled_back_and_its_declared_share_drained_in_one_write() {
    let mut fixture = Fixture::at_25_percent(&[50, 10, 40]);
    assert_eq!(fixture.weights(), [45, 15, 40]);
    fixture.fails("v2");
    let version = fixture.route.version;
    assert_eq!(fixture.decided(), page("Rollback"));
    assert_eq!((fixture.weights(), fixture.route.version), (vec![56, 0, 44], version + 1));
    assert_eq!(fixture.route.current().restore_split().weights(), [50, 10, 40]);
    assert_eq!(*fixture.rollout_end(), ended("TargetFailed"));
}

/// A drain without effect would hold the next rollout for ever: a node without a share never proves its health.
#[test]
fn failing_target_without_a_declared_share_is_not_drained_after_the_rollback() {
    let mut fixture = Fixture::at_25_percent(&[100, 0]);
    fixture.fails("v2");
    assert_eq!(fixture.decided(), page("Rollback"));
    assert_eq!((fixture.weights(), fixture.route.tag.clone()), (vec![100, 0], None));
    assert!(fixture.route.current().all_layers().failover.phases.is_empty());
}

#[test]
fn other_failing_node_is_drained_over_the_step_and_the_rollout_waits() {
    let mut fixture = Fixture::at_25_percent(&[60, 0, 40]);
    assert_eq!(fixture.weights(), [45, 15, 40]);
    fixture.fails("v3");
    assert_eq!(fixture.decided(), act("Failover"));
    assert_eq!(fixture.weights(), [85, 15, 0], "v2 gets nothing above its step");
    fixture.gate = Gate::Pass;
    fixture.rollout();
    assert_eq!(fixture.weights(), [85, 15, 0]);
    fixture.gate = Gate::Fail;
    fixture.rollout();
    assert_eq!(fixture.weights(), [100, 0, 0], "the rollback recomputes the failover");
    fixture.route.set_alarm("v3", AlarmState::Ok);
    for _ in 0..20 {
        fixture.failover();
    }
    assert_eq!(fixture.weights(), [60, 0, 40]);
}

#[test]
fn failing_source_keeps_its_traffic_and_pages_because_the_target_is_under_rollout() {
    let mut fixture = Fixture::at_25_percent(&[100, 0]);
    fixture.fails("v1");
    let run = fixture.failover();
    let Verdict::Hold(HoldReason::NothingEligible { others, .. }) = &run.verdict else {
        panic!("{:?}", run.verdict);
    };
    assert_eq!(serde_json::to_value(&others[0].why).unwrap()["obstacle"], "under-rollout");
    assert!(run.pages);
    fixture.gate = Gate::Fail;
    fixture.rollout();
    assert_eq!(fixture.weights(), [100, 0], "a failing `from` does not stop a rollback");
}

#[test]
fn both_fail_together_and_only_the_rollback_is_made() {
    let mut fixture = Fixture::at_25_percent(&[100, 0, 0]);
    fixture.fails("v1");
    fixture.fails("v2");
    assert_eq!(fixture.decided(), page("Rollback"));
    assert_eq!(fixture.weights(), [100, 0, 0]);
    assert!(fixture.decided().1, "the failing source pages");
}

#[test]
fn hold_freezes_a_rollout_and_an_edit_ends_it() {
    let mut fixture = Fixture::at_25_percent(&[100, 0]);
    let until = fixture.route.now + jiff::SignedDuration::from_mins(10);
    let held = with_hold(fixture.route.current(), until, fixture.route.now).unwrap();
    assert!(fixture.route.store(fixture.route.revision, held));
    fixture.gate = Gate::Pass;
    fixture.rollout();
    assert_eq!(fixture.weights(), [75, 25]);
    fixture.route.released = Some(fixture.route.now);
    fixture.failover();
    fixture.rollout();
    assert_eq!(fixture.weights(), [40, 60], "the step goes on after the release");
    fixture.route.write_from_outside(&split(&[90, 10]), "dana");
    assert_eq!(*fixture.rollout_end(), ended("Interrupted"));
    assert_eq!(fixture.weights(), [90, 10]);
}

#[test]
fn returning_node_that_fails_under_a_hold_pages() {
    let mut fixture = Fixture::new(&[50, 50]);
    fixture.fails("v1");
    assert_eq!(fixture.decided(), act("Failover"));
    fixture.route.set_alarm("v1", AlarmState::Ok);
    while fixture.weights()[0] == 0 {
        fixture.failover();
    }
    let until = fixture.route.now + jiff::SignedDuration::from_mins(10);
    let held = with_hold(fixture.route.current(), until, fixture.route.now).unwrap();
    fixture.route.store(fixture.route.revision, held);
    fixture.fails("v1");
    assert_eq!(fixture.decided(), page("PersonEdited"));
}

#[test]
fn declared_write_during_a_failover_is_declared_and_the_failing_node_stays_drained() {
    let mut fixture = Fixture::new(&[50, 50, 0]);
    fixture.fails("v1");
    fixture.failover();
    assert_eq!(fixture.weights(), [0, 100, 0]);
    fixture.route.write_from_outside(&split(&[30, 30, 40]), ROLE);
    fixture.route.set_alarm("v3", AlarmState::Ok);
    assert_eq!(fixture.decided(), act("Reapplied"), "no new failover, and no budget");
    assert_eq!((fixture.weights()[0], fixture.weights().iter().sum::<u8>()), (0, 100));
    fixture.route.set_alarm("v1", AlarmState::Ok);
    for _ in 0..20 {
        fixture.failover();
    }
    assert_eq!(fixture.weights(), [30, 30, 40]);
}

#[test]
fn declared_write_during_a_rollout_is_applied_again_or_ends_it() {
    let mut fixture = Fixture::at_25_percent(&[100, 0]);
    fixture.route.write_from_outside(&split(&[100, 0]), ROLE);
    assert_eq!(fixture.decided(), act("Reapplied"));
    assert_eq!(fixture.weights(), [75, 25]);
    fixture.route.write_from_outside(&split(&[80, 20]), ROLE);
    fixture.failover();
    assert_eq!(fixture.weights(), [80, 20]);
    assert_eq!(*fixture.rollout_end(), ended("DeclaredChanged"));
    assert_eq!(fixture.route.tag, None);
}

#[test]
fn stale_declaration_after_a_promotion_is_overwritten_unless_an_operator_accepts_it() {
    let mut fixture = Fixture::at_25_percent(&[100, 0]);
    fixture.gate = Gate::Pass;
    for _ in 0..4 {
        fixture.rollout();
    }
    assert_eq!(fixture.weights(), [0, 100]);
    fixture.route.write_from_outside(&split(&[100, 0]), ROLE);
    assert_eq!(fixture.decided(), page("StaleDeclaration"));
    assert_eq!(fixture.weights(), [0, 100]);
    let record = with_accepted_declaration(fixture.route.current()).unwrap();
    fixture.route.store(fixture.route.revision, record);
    fixture.route.write_from_outside(&split(&[100, 0]), ROLE);
    assert_eq!(fixture.decided(), act("Steady"));
    assert_eq!(fixture.weights(), [100, 0]);
}

#[test]
fn unattended_rollout_pages_and_is_rolled_back() {
    let mut fixture = Fixture::at_25_percent(&[100, 0]);
    let mut codes = Vec::new();
    for _ in 0..25 {
        let decided = fixture.decided();
        if codes.last() != Some(&decided) {
            codes.push(decided);
        }
    }
    assert_eq!(codes, [act("Steady"), page("Unattended"), page("Rollback"), act("Steady")]);
    assert_eq!(fixture.weights(), [100, 0]);
    assert_eq!(*fixture.rollout_end(), ended("Unattended"));
}

#[test]
fn overdue_drill_is_restored_by_route_failover() {
    let mut fixture = Fixture::new(&[1, 1, 1]);
    fixture.start_drill("v1");
    assert_eq!(fixture.weights(), [0, 50, 50]);
    let mut codes = Vec::new();
    for _ in 0..12 {
        let decided = fixture.decided();
        if codes.last() != Some(&decided) {
            codes.push(decided);
        }
    }
    assert_eq!(codes, [act("Steady"), page("DrillRestored"), act("Steady")]);
    assert_eq!((fixture.weights(), &fixture.route.tag), (vec![1, 1, 1], &None));
}

#[test]
fn failing_receiver_ends_a_drill_and_is_drained_over_the_restored_split() {
    let mut fixture = Fixture::new(&[40, 30, 30]);
    fixture.start_drill("v1");
    fixture.fails("v2");
    // v1 has had no requests, so only v3 is known to be ready.
    assert_eq!(fixture.decided(), page("DrillRestored"));
    assert_eq!(fixture.weights(), [40, 0, 60]);
    assert_eq!(fixture.route.current().restore_split().weights(), [40, 30, 30]);
    assert!(fixture.route.tag.as_ref().unwrap().starts_with("1."));
}

#[test]
fn failing_drilled_node_stays_drained() {
    let mut fixture = Fixture::new(&[40, 30, 30]);
    fixture.start_drill("v1");
    let version = fixture.route.version;
    fixture.fails("v1");
    assert_eq!(fixture.decided(), act("DrillRestored"));
    assert_eq!((fixture.weights(), fixture.route.version), (vec![0, 50, 50], version));
    fixture.route.set_alarm("v1", AlarmState::Ok);
    for _ in 0..20 {
        fixture.failover();
    }
    assert_eq!(fixture.weights(), [40, 30, 30]);
}

#[test]
fn kill_switch_delays_the_restore_of_a_drill_and_pages() {
    let mut fixture = Fixture::new(&[50, 50]);
    fixture.start_drill("v1");
    fixture.route.kill_switch =
        Some(decisions::failover::KillSwitchFact { by: "dana".to_owned(), reason: "incident".to_owned() });
    for _ in 0..10 {
        fixture.failover();
    }
    assert_eq!(fixture.decided(), page("RestoreOverdue"));
    assert_eq!(fixture.weights(), [0, 100]);
    fixture.route.kill_switch = None;
    assert_eq!(fixture.decided(), page("DrillRestored"));
    assert_eq!(fixture.weights(), [50, 50]);
}

#[test]
fn lost_table_during_a_rollout_gives_the_declared_split_without_failing_nodes() {
    let mut fixture = Fixture::at_25_percent(&[60, 0, 40]);
    fixture.route.record = None;
    fixture.route.revision += 1;
    assert_eq!(fixture.route.current().layers.pending, Some(PendingWrite::StateLost));
    fixture.fails("v3");
    assert_eq!(fixture.decided(), page("StateLost"));
    assert_eq!(fixture.weights(), [100, 0, 0]);
    fixture.route.set_alarm("v3", AlarmState::Ok);
    for _ in 0..20 {
        fixture.failover();
    }
    assert_eq!(fixture.weights(), [60, 0, 40]);
}

#[test]
fn hold_is_refused_while_a_drill_drains_a_node() {
    let mut fixture = Fixture::new(&[50, 50]);
    fixture.start_drill("v1");
    let until = fixture.route.now + jiff::SignedDuration::from_mins(10);
    let refused = with_hold(fixture.route.current(), until, fixture.route.now).unwrap_err();
    assert_eq!(refused.code(), "DrillActive");
}
