//! The production chain, case by case: the decision, its reason and the weights.

use std::collections::BTreeMap;

use decisions::failover::{Decision, HarmFact, KillSwitchFact, RouteRecord, Subject, Verdict};
use mesh::alarm::{AlarmName, AlarmSource, AlarmState};
use mesh::name::VirtualServiceName;

use crate::world::{World, code, node, route};

/// A world that has been seen once, in which these nodes' alarms then go on.
fn failing(routes: &[&str], policy: &str, nodes: &[&str]) -> World {
    let mut world = seen(routes, policy);
    world.wait(60);
    for name in nodes {
        world.alarm(name, AlarmState::Alarm);
    }
    world
}

/// A world in which every node with traffic has an alarm in state `OK`.
fn seen(routes: &[&str], policy: &str) -> World {
    let mut world = World::new(routes, policy);
    let serving: Vec<String> = world
        .routes
        .values()
        .flat_map(|route| route.split.targets().to_vec())
        .filter(|target| target.weight.get() > 0)
        .map(|target| target.virtual_node.to_string())
        .collect();
    for name in serving {
        world.alarm(&name, AlarmState::Ok);
    }
    world.wake();
    world
}

fn assert_acts(world: &World, reason: &str, weights: &[u8]) {
    match world.verdict("recs") {
        Verdict::Act(plan) => assert_eq!((plan.why.code().as_str(), plan.to.weights()), (reason, weights.to_vec())),
        other => panic!("expected {reason}, not {other:?}"),
    }
}

fn assert_holds(world: &World, reason: &str) {
    let verdict = world.verdict("recs");
    assert!(matches!(verdict, Verdict::Hold(_)), "expected {reason}, not {verdict:?}");
    assert_eq!(code(&verdict), reason);
}

#[test]
fn a_failing_share_goes_to_its_ready_siblings_in_proportion() {
    let cases: [(&str, &[&str], &[u8]); 6] = [
        ("recs v1:50 v2:50", &["v2"], &[100, 0]),
        ("recs v1:3 v2:1", &["v1"], &[0, 100]),
        ("recs v1:60 v2:20 v3:20", &["v3"], &[75, 25, 0]),
        ("recs v1:1 v2:1 v3:1", &["v1"], &[0, 50, 50]),
        ("recs v1:99 v2:1 v3:0", &["v2"], &[100, 0, 0]),
        ("recs a:10 b:10 c:10 d:10 e:10 f:10 g:10 h:10 i:10 j:10", &["j"], &[12, 11, 11, 11, 11, 11, 11, 11, 11, 0]),
    ];
    for (routes, nodes, weights) in cases {
        assert_acts(&failing(&[routes], "", nodes), "Failover", weights);
    }
}

#[test]
fn an_idle_target_receives_only_when_something_vouches_for_it() {
    let idle = |policy: &str| failing(&["recs v1:100 v2:0"], policy, &["v1"]);
    assert_holds(&idle(""), "NothingEligible");
    let mut with_request_alarm = idle("");
    with_request_alarm.alarm("v2", AlarmState::Ok);
    assert_holds(&with_request_alarm, "NothingEligible");
    assert_acts(&idle("targets: [{mesh: shop, virtualNode: v2, assumeReady: true}]"), "Failover", &[0, 100]);

    let bound = "bindings: [{alarm: ready, mesh: shop, virtualNode: v2, role: readiness}]";
    for (state, ready) in [
        (AlarmState::Ok, true),
        (AlarmState::InsufficientData, false),
        (AlarmState::Alarm, false),
        (AlarmState::Unrecognised("PAUSED".to_owned()), false),
    ] {
        let mut world = idle(bound);
        world.plain_alarm("ready", state.clone());
        assert_eq!(matches!(world.verdict("recs"), Verdict::Act(_)), ready, "{state:?}");
    }
}

#[test]
fn a_sibling_that_is_not_known_to_be_well_gets_nothing() {
    for state in [AlarmState::InsufficientData, AlarmState::Unrecognised("PAUSED".to_owned())] {
        let mut world = failing(&["recs v1:50 v2:50"], "", &["v1"]);
        world.alarm("v2", state);
        assert_holds(&world, "NothingEligible");
    }
    let mut unreadable =
        failing(&["recs v1:50 v2:50"], "bindings: [{alarm: v2, mesh: shop, virtualNode: v2}]", &["v1"]);
    unreadable.put_alarm("v2", AlarmState::Ok, AlarmSource::Unreadable("no metric".to_owned()));
    assert_holds(&unreadable, "NothingEligible");
}

#[test]
fn what_is_unknown_sets_nothing_off() {
    for state in [AlarmState::InsufficientData, AlarmState::Unrecognised("PAUSED".to_owned())] {
        let mut world = seen(&["recs v1:50 v2:50"], "");
        world.alarm("v1", state);
        assert_eq!(code(&world.verdict("recs")), "Steady");
    }
}

#[test]
fn standbys_take_over_in_their_order_and_within_their_capacity() {
    let ready =
        |name: &str, capacity: &str| format!("{{mesh: shop, virtualNode: {name}, assumeReady: true{capacity}}}");
    let policy = |first: &str, second: &str| {
        format!(
            "targets: [{}, {}]\nstandbys: [{{mesh: shop, virtualRouter: recs, order: [s1, s2]}}]",
            ready("s1", first),
            ready("s2", second)
        )
    };
    let world = |policy: &str| failing(&["recs v1:50 v2:50 s1:0 s2:0"], policy, &["v1"]);
    assert_acts(&world(&policy("", "")), "Failover", &[0, 50, 50, 0]);
    assert_acts(&world(&policy(", capacityShare: 20", "")), "Failover", &[0, 50, 20, 30]);
    // What the standbys can't take, ready siblings do.
    assert_acts(&world(&policy(", capacityShare: 20", ", capacityShare: 10")), "Failover", &[0, 70, 20, 10]);
}

#[test]
fn capacity_is_summed_over_routes() {
    let policy = "targets: [{mesh: shop, virtualNode: v2, capacityShare: 120}]";
    let mut world = failing(&["recs v1:50 v2:50", "cart v2:60 v3:40"], policy, &["v1"]);
    assert_acts(&world, "PartialSpill", &[40, 60]);
    world.wake();
    assert_eq!(world.weights("recs"), [40, 60]);
}

#[test]
fn weights_sum_to_100_whatever_they_were() {
    assert_acts(&failing(&["recs v1:7 v2:3 v3:3"], "", &["v3"]), "Failover", &[70, 30, 0]);
}

#[test]
fn the_original_integers_come_back() {
    for original in ["recs v1:3 v2:1", "recs v1:99 v2:1", "recs v1:1 v2:1 v3:1", "recs v1:100 v2:50"] {
        let mut world = failing(&[original], "", &["v2"]);
        let before = world.weights("recs");
        world.wake();
        assert_ne!(world.weights("recs"), before);
        world.alarm("v2", AlarmState::Ok);
        for _ in 0..30 {
            world.wait(60);
            world.wake();
        }
        assert_eq!(world.weights("recs"), before, "{original}");
        assert_eq!(world.routes[&route("recs")].tag, None);
    }
}

#[test]
fn nodes_that_fail_together_are_left_alone() {
    let routes = &["recs v1:50 v2:50", "cart c1:50 c2:50"];
    assert_holds(&failing(routes, "", &["v1", "c1"]), "CommonCause");
    assert_acts(&failing(routes, "commonCause: {targets: 3}", &["v1", "c1"]), "Failover", &[0, 100]);
    let mut apart = failing(routes, "", &["c1"]);
    apart.wait(3 * 60);
    apart.alarm("v1", AlarmState::Alarm);
    assert_acts(&apart, "Failover", &[0, 100]);
    // Alarms without a time of their last change count as new ones.
    let mut timeless = apart.clone();
    for alarm in timeless.alarms.values_mut() {
        alarm.since = None;
    }
    assert_holds(&timeless, "CommonCause");
}

#[test]
fn a_caller_is_explained_by_what_it_calls_unless_they_call_each_other() {
    let mut world = failing(&["recs v1:50 v2:50", "cart c1:50 c2:50"], "", &["v1", "c1"]);
    world.calls.insert(node("v1"), [node("c1")].into());
    assert_holds(&world, "DependencyFailing");
    world.calls.insert(node("c1"), [node("v1")].into());
    assert_holds(&world, "CommonCause");
}

#[test]
fn a_muted_alarm_sets_nothing_off_and_receives_nothing() {
    let mut world = failing(&["recs v1:50 v2:50"], "", &["v1"]);
    let mute = |world: &mut World, name: &str| {
        world.alarms.get_mut(&AlarmName::parse(name).unwrap()).unwrap().suppressed = Some("WaitPeriod".to_owned());
    };
    world.alarm("v2", AlarmState::Alarm);
    mute(&mut world, "v2");
    assert_holds(&world, "NothingEligible");
    mute(&mut world, "v1");
    assert_holds(&world, "Muted");
}

#[test]
fn harms_hold_unless_they_are_waived() {
    let harm = HarmFact { id: "tls-lost".to_owned(), text: "plain text".to_owned() };
    let mut world = failing(&["recs v1:50 v2:50"], "", &["v1"]);
    world.harms = vec![harm.clone()];
    assert_holds(&world, "Harmful");
    let waiver = |until: &str| {
        format!(
            "version: 1\nwaivers: [{{harm: tls-lost, resource: shop/recs/all, owner: sre, reason: r, until: {until}}}]"
        )
    };
    for (until, allowed) in [("2026-10-06T00:00:00Z", true), ("2026-10-05T00:00:00Z", false)] {
        let mut world = failing(&["recs v1:50 v2:50"], &waiver(until), &["v1"]);
        world.harms = vec![harm.clone()];
        assert_eq!(matches!(world.verdict("recs"), Verdict::Act(_)), allowed, "{until}");
    }
}

#[test]
fn budget_and_kill_switch_stop_a_shift_and_restoring_never_spends() {
    let mut world = failing(&["recs v1:50 v2:50"], "budget: {changes: 2}", &["v1"]);
    world.budget_used = 2;
    assert_holds(&world, "BudgetSpent");
    world.budget_used = 1;
    assert_acts(&world, "Failover", &[0, 100]);
    world.kill_switch = Some(KillSwitchFact { by: "sre".to_owned(), reason: "drill".to_owned() });
    assert_holds(&world, "KillSwitchOn");

    world.kill_switch = None;
    world.wake();
    world.budget_used = 2;
    world.alarm("v1", AlarmState::Ok);
    for _ in 0..30 {
        world.wait(60);
        world.wake();
    }
    assert_eq!(world.weights("recs"), [50, 50]);
}

#[test]
fn a_budget_is_shared_by_the_routes_of_one_wake() {
    let policy = "budget: {changes: 1}\ncommonCause: {targets: 9}";
    let world = failing(&["recs v1:50 v2:50", "cart c1:50 c2:50"], policy, &["v1", "c1"]);
    let codes: Vec<String> = world.decisions().iter().map(|decision| code(&decision.verdict)).collect();
    assert_eq!(codes, ["Failover", "BudgetSpent"]);
}

#[test]
fn alarms_that_no_route_can_answer_are_told() {
    let mut world = seen(&["recs v1:50 v2:50"], "");
    world.provides.insert(node("db"), vec![VirtualServiceName::parse("db.local").unwrap()]);
    world.alarm("db", AlarmState::Alarm);
    world.alarm("ghost", AlarmState::Alarm);
    let reported: BTreeMap<String, String> = world
        .decisions()
        .into_iter()
        .filter_map(|Decision { subject, verdict, .. }| match subject {
            Subject::Node(node) => Some((node.to_string(), code(&verdict))),
            Subject::Route(_) => None,
        })
        .collect();
    let expected = [("db", "NoRoute"), ("ghost", "NodeMissing")];
    assert_eq!(reported, expected.map(|(name, code)| (name.to_owned(), code.to_owned())).into());
}

#[test]
fn a_missing_sibling_and_a_drained_route_are_no_way_out() {
    let mut missing = failing(&["recs v1:50 v2:50"], "", &["v1"]);
    missing.missing.insert(node("v2"));
    assert_holds(&missing, "NothingEligible");
    let mut drained = World::new(&["recs v1:0 v2:0"], "");
    drained.alarm("v1", AlarmState::Alarm);
    assert_eq!(code(&drained.verdict("recs")), "FailingWithoutTraffic");
}

#[test]
fn an_edit_wins_whether_the_route_was_shifted_or_not() {
    let mut steady = seen(&["recs v1:50 v2:50"], "");
    steady.edit("recs", "v1:80 v2:20");
    steady.wake();
    steady.wait(60);
    steady.alarm("v1", AlarmState::Alarm);
    assert_holds(&steady, "PersonEdited");
    steady.release("recs");
    assert_acts(&steady, "Failover", &[0, 100]);

    let mut shifted = failing(&["recs v1:50 v2:50"], "", &["v1"]);
    shifted.wake();
    shifted.edit("recs", "v1:10 v2:90");
    shifted.wake();
    assert_eq!(shifted.weights("recs"), [10, 90]);
    shifted.wait(5 * 3600);
    assert_acts(&shifted, "Failover", &[0, 100]);
}

#[test]
fn an_edit_of_the_targets_voids_the_restore_tag() {
    let mut world = failing(&["recs v1:50 v2:50"], "", &["v1"]);
    world.wake();
    world.edit("recs", "v3:100 v2:0");
    world.lose_table();
    world.alarm("v1", AlarmState::Ok);
    world.wait(3600);
    assert_eq!(code(&world.verdict("recs")), "Steady");
}

#[test]
fn a_record_that_cannot_be_read_holds() {
    let world = failing(&["recs v1:50 v2:50"], "", &["v1"]);
    let mut facts = world.facts();
    facts.routes[0].memory = decisions::failover::Memory::Unreadable("unknown member".to_owned());
    let decisions = decisions::failover::decide(&facts, &|_, _| Vec::new(), &world.policy(), world.now);
    assert_eq!(code(&decisions[0].verdict), "RecordUnreadable");
    assert!(decisions[0].failing);
}

#[test]
fn a_read_that_is_older_than_what_is_remembered_holds() {
    let mut world = failing(&["recs v1:50 v2:50"], "", &["v1"]);
    let before = world.routes[&route("recs")].clone();
    world.wake();
    let record: Option<RouteRecord> = world.routes[&route("recs")].record.clone();
    let stale = world.routes.get_mut(&route("recs")).unwrap();
    *stale = before;
    stale.record = record;
    assert_holds(&world, "StaleRead");
}

#[test]
fn what_was_drained_and_can_no_longer_be_judged_stays_drained() {
    let mut world = failing(&["recs v1:50 v2:50"], "", &["v1"]);
    world.wake();
    world.alarms.remove(&AlarmName::parse("v1").unwrap());
    world.wait(3600);
    assert_holds(&world, "NoVerdict");
}

#[test]
fn an_alarm_from_the_future_only_makes_the_dwell_longer() {
    let mut world = failing(&["recs v1:50 v2:50"], "", &["v1"]);
    world.wake();
    world.wait(60);
    world.alarm("v1", AlarmState::Ok);
    let clock_skew = jiff::SignedDuration::from_secs(300);
    let alarm = world.alarms.get_mut(&AlarmName::parse("v1").unwrap()).unwrap();
    alarm.since = alarm.since.map(|since| since + clock_skew);
    world.wait(300);
    assert_holds(&world, "InsideDwell");
    world.wait(300);
    assert_acts(&world, "Failback", &[5, 95]);
}

#[test]
fn a_composite_alarm_fails_the_targets_of_its_children() {
    let mut world = seen(&["recs v1:50 v2:50"], "");
    world.wait(60);
    world.alarm("v1", AlarmState::Alarm);
    world.put_alarm("both", AlarmState::Alarm, AlarmSource::Composite("ALARM(v1) OR ALARM(v2)".to_owned()));
    assert_acts(&world, "Failover", &[0, 100]);
}

#[test]
fn what_else_fails_when_a_node_goes_back_down_is_drained_with_it() {
    let mut world = failing(&["recs v1:40 v2:30 v3:30"], "commonCause: {targets: 3}", &["v1"]);
    world.wake();
    world.alarm("v1", AlarmState::Ok);
    for _ in 0..7 {
        world.wait(60);
        world.wake();
    }
    assert_ne!(world.weights("recs"), [0, 50, 50], "it is on its way back");
    world.alarm("v1", AlarmState::Alarm);
    world.alarm("v2", AlarmState::Alarm);
    assert_acts(&world, "BackDown", &[0, 0, 100]);
    world.wake();
    assert_eq!(code(&world.verdict("recs")), "AlreadyShifted");
}

#[test]
fn a_node_goes_back_down_even_if_what_else_fails_has_to_stay() {
    let mut world = failing(&["recs v1:40 v2:30 v3:30"], "commonCause: {targets: 3}\nbudget: {changes: 1}", &["v1"]);
    world.wake();
    world.alarm("v1", AlarmState::Ok);
    for _ in 0..7 {
        world.wait(60);
        world.wake();
    }
    world.budget_used = 1;
    world.alarm("v1", AlarmState::Alarm);
    world.alarm("v2", AlarmState::Alarm);
    // What the other one carries stays with it; it gets nothing more.
    assert_acts(&world, "BackDown", &[0, 30, 70]);
    world.wake();
    assert_holds(&world, "BudgetSpent");
}

#[test]
fn returning_node_that_fails_again_under_an_operators_hold_is_a_hold_that_pages() {
    let mut world = failing(&["recs v1:50 v2:50"], "", &["v1"]);
    world.wake();
    world.alarm("v1", AlarmState::Ok);
    world.minutes(6);
    assert_eq!(world.weights("recs"), [5, 95], "it is on its way back");
    world.hold("recs");
    world.alarm("v1", AlarmState::Alarm);
    assert_holds(&world, "PersonEdited");
    assert!(world.decisions()[0].failing);
}

#[test]
fn failing_node_that_keeps_traffic_for_want_of_capacity_is_a_hold() {
    let mut world =
        failing(&["recs v1:50 v2:50"], "targets: [{mesh: shop, virtualNode: v2, capacityShare: 80}]", &["v1"]);
    assert_acts(&world, "PartialSpill", &[20, 80]);
    world.wake();
    assert_holds(&world, "Unplaced");
    assert!(world.decisions()[0].failing);
    // Nor does another node's way back hide it.
    world.hold("recs");
    assert_holds(&world, "PersonEdited");
}

#[test]
fn node_that_a_service_calls_directly_is_a_hold_even_if_a_route_knows_it() {
    let mut world = seen(&["recs v1:100 v2:0"], "");
    world.provides.insert(node("v2"), vec![VirtualServiceName::parse("v2.local").unwrap()]);
    world.alarm("v2", AlarmState::Alarm);
    let codes: Vec<String> = world.decisions().iter().map(|decision| code(&decision.verdict)).collect();
    assert_eq!(codes, ["FailingWithoutTraffic", "NoRoute"]);
}
