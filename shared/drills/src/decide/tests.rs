//! Each phase and each edge of the state machine, as tables.

mod answers;

use decisions::failover::KillSwitchFact;

use super::*;
use crate::fixtures::{
    alarm, at, before, drain, drained, ended, facts, node, observation, policy, request, route, split, start,
};
use crate::observation::{AlarmReading, DrainedSplit, Occupied};
use crate::record::{PlanHistory, RequestAction};
use crate::{DrillTraffic, Load, Measured, ReceiverLoad, ReceiverTraffic};

/// Runs a decision and stores its result, a start included.
fn run(record: &MeshDrills, facts: DrillFacts, policy: &Policy, now: i64) -> (Decision, MeshDrills) {
    let decision = decide(&observation(record.clone(), facts), policy, at(now));
    let stored = match &decision.step {
        Step::Begin { then, .. } => then.as_ref().clone(),
        Step::None | Step::WouldBegin | Step::Routes(_) => decision.record.clone(),
    };
    (decision, stored)
}

fn requested() -> MeshDrills {
    MeshDrills { requests: vec![start("r1")], ..MeshDrills::default() }
}

/// The record of a drill in this phase, since 0.
fn in_phase(phase: DrillPhase) -> MeshDrills {
    let policy = policy("");
    let (_, mut record) = run(&requested(), facts(&policy), &policy, 0);
    record.active.as_mut().unwrap().enter(phase, at(0));
    record
}

/// The facts while the drill's layers are in place.
fn in_place(policy: &Policy) -> DrillFacts {
    let mut facts = facts(policy);
    drain(&mut facts, at(35 * 60));
    facts
}

fn last(record: &MeshDrills) -> (DrillOutcome, &'static str) {
    let end = record.plans.values().next().unwrap().last.as_ref().unwrap();
    (end.outcome, end.reason.code())
}

#[test]
fn drill_passes_all_phases_and_restores_the_weights() {
    let policy = policy("");
    let (decision, record) = run(&requested(), facts(&policy), &policy, 0);
    let drill = record.active.clone().unwrap();
    assert!(matches!(decision.step, Step::Begin { .. }));
    assert!(decision.record.active.unwrap().restore_by.is_none(), "a start that is refused leaves no deadline");
    assert_eq!((drill.phase, drill.restore_by), (DrillPhase::Draining, Some(at(35 * 60))));
    assert_eq!(
        drill.routes.iter().map(|route| (&route.before, &route.drained)).collect::<Vec<_>>(),
        [(&before(), &drained()); 2]
    );

    let (decision, record) = run(&record, facts(&policy), &policy, 1);
    let Step::Routes(steps) = &decision.step else { panic!("{:?}", decision.step) };
    let to: Vec<_> = steps.iter().map(|step| step.route().clone()).collect();
    assert_eq!(to, [route("recs"), route("beta")]);

    let mut waiting = in_place(&policy);
    waiting.proxies = Proxies::Outstanding { why: "frontend has version 3 of 4".to_owned() };
    let (decision, record) = run(&record, waiting, &policy, 5);
    assert_eq!(
        (decision.reason.code(), record.active.as_ref().unwrap().phase),
        ("AwaitsProxies", DrillPhase::Confirming)
    );

    let (decision, record) = run(&record, in_place(&policy), &policy, 10);
    assert_eq!(decision.reason, Reason::DrillRunning { until: at(10 + 30 * 60) });
    assert_eq!(record.active.as_ref().unwrap().acknowledged, Some(at(10)));

    let (decision, record) = run(&record, in_place(&policy), &policy, 10 + 30 * 60);
    let Step::Routes(steps) = &decision.step else { panic!("{:?}", decision.step) };
    assert!(steps.iter().all(|step| matches!(step, RouteStep::Restore { by_steps: false, .. })), "{steps:?}");
    assert_eq!(record.active.as_ref().unwrap().phase, DrillPhase::Restoring);

    let (decision, record) = run(&record, facts(&policy), &policy, 15 + 30 * 60);
    assert_eq!((decision.step, record.active.is_none()), (Step::None, true));
    let end = record.plans.values().next().unwrap().last_conclusive.clone().unwrap();
    assert_eq!((end.outcome, end.reason), (DrillOutcome::Succeeded, Reason::DurationOver));
    assert_eq!((end.acknowledged_after, end.restored_after), (Some(10), Some(5)));
    assert_eq!(end.peaks.get(&node("v2")), Some(&10.0));
    assert_eq!(
        decision.news.iter().map(|news| (news.urgency, news.outcome)).collect::<Vec<_>>(),
        [(Urgency::Note, Some(DrillOutcome::Succeeded))]
    );
}

#[test]
fn checks_hold_the_start_in_their_order() {
    type Change = fn(&mut Observation);
    let rows: [(&str, Change); 14] = [
        ("KillSwitchOn", |seen| {
            seen.kill_switch = Some(KillSwitchFact { by: "ada".to_owned(), reason: "no".to_owned() });
        }),
        ("NodeMissing", |seen| seen.facts.as_mut().unwrap().node_exists = false),
        ("NoRoute", |seen| seen.facts.as_mut().unwrap().routes.clear()),
        ("RouteOccupied", |seen| {
            let why = Occupied { code: "PersonEdited".to_owned(), why: "edited".to_owned() };
            seen.facts.as_mut().unwrap().routes[1].occupied = Some(why);
        }),
        ("BlockingAlarm", |seen| {
            seen.facts.as_mut().unwrap().alarms.insert(alarm("deploys"), AlarmReading::On);
        }),
        ("BlockingAlarm", |seen| {
            seen.facts.as_mut().unwrap().alarms.insert(alarm("checkout"), AlarmReading::On);
        }),
        ("AlarmUnknown", |seen| {
            seen.facts.as_mut().unwrap().alarms.insert(alarm("deploys"), AlarmReading::new(None));
        }),
        ("AlarmUnknown", |seen| {
            seen.facts.as_mut().unwrap().alarms.remove(&alarm("checkout"));
        }),
        ("NodeFailing", |seen| {
            seen.facts.as_mut().unwrap().failing.insert(node("other"), vec![alarm("x")]);
        }),
        ("ReceiverNotReady", |seen| {
            let held = DrainedSplit::NotReady { hold: "NothingEligible".to_owned(), why: "none".to_owned() };
            seen.facts.as_mut().unwrap().routes[1].drained = held;
        }),
        ("Harmful", |seen| seen.facts.as_mut().unwrap().routes[1].drained = DrainedSplit::Harmful(Vec::new())),
        ("CapacityUnknown", |seen| seen.facts.as_mut().unwrap().load = Load::Unknown { why: "denied".to_owned() }),
        ("CapacityExceeded", |seen| {
            let load = ReceiverLoad { present: 10.0, highest: 10.0, declared: false };
            seen.facts.as_mut().unwrap().load = Load::Known { node: 10.0, receivers: [(node("v2"), load)].into() };
        }),
        ("BudgetSpent", |seen| seen.budget_used = 10),
    ];
    let policy = policy("");
    let mut all = observation(requested(), facts(&policy));
    // Alone, and with everything later in the list: the first counts.
    for (code, change) in rows.iter().rev() {
        let mut alone = observation(requested(), facts(&policy));
        change(&mut alone);
        let is_refused = matches!(*code, "NodeMissing" | "NoRoute");
        for seen in [&alone, &all] {
            let mut seen = seen.clone();
            change(&mut seen);
            let decision = decide(&seen, &policy, at(0));
            assert_eq!((decision.reason.code(), decision.step), (*code, Step::None));
            assert_eq!(decision.record.active.is_none(), is_refused, "{code}");
        }
        if !is_refused {
            change(&mut all);
        }
    }
    let observe = Policy::read("version: 1\ndrills: {plans: [{name: recs, mesh: shop, virtualNode: v1, outcomeAlarms: [checkout], blockingAlarms: [deploys]}]}").unwrap();
    let (decision, _) = run(&requested(), facts(&observe), &observe, 0);
    assert_eq!((decision.reason, decision.step), (Reason::ObserveOnly, Step::WouldBegin));
}

#[test]
fn checks_end_with_the_window() {
    let policy = policy("");
    let mut low = facts(&policy);
    low.load = Load::Unknown { why: "denied".to_owned() };
    let mut blocked = facts(&policy);
    blocked.alarms.insert(alarm("deploys"), AlarmReading::On);
    for (facts, outcome, code) in [
        (low, DrillOutcome::CapacityCheckFailed, "CapacityUnknown"),
        (blocked, DrillOutcome::NotStarted, "BlockingAlarm"),
    ] {
        let (_, record) = run(&requested(), facts.clone(), &policy, 0);
        assert_eq!(record.active.as_ref().unwrap().obstacle.as_ref().unwrap().code(), code);
        let (_, record) = run(&record, facts.clone(), &policy, 15 * 60 - 1);
        assert!(record.active.is_some());
        let (decision, record) = run(&record, facts, &policy, 15 * 60);
        assert_eq!((last(&record), decision.step), ((outcome, code), Step::None));
    }
    // The obstacle is resolved too late: the stored one is the reason.
    let mut late = in_phase(DrillPhase::Checking);
    let drill = late.active.as_mut().unwrap();
    (drill.restore_by, drill.obstacle) = (None, Some(Reason::BudgetSpent { used: 10, cap: 10 }));
    let (_, record) = run(&late, facts(&policy), &policy, 15 * 60);
    assert_eq!(last(&record), (DrillOutcome::NotStarted, "BudgetSpent"));
}

#[test]
fn anything_red_ends_an_active_drill_and_restores_at_once() {
    type Change = fn(&mut Observation);
    let rows: [(DrillOutcome, &str, Change); 9] = [
        (DrillOutcome::Failed, "OutcomeAlarm", |seen| {
            seen.facts.as_mut().unwrap().alarms.insert(alarm("checkout"), AlarmReading::On);
        }),
        (DrillOutcome::Failed, "ReceiverFailing", |seen| {
            seen.facts.as_mut().unwrap().failing.insert(node("v2"), vec![alarm("x")]);
        }),
        (DrillOutcome::Interrupted, "Stopped", |seen| seen.record.requests.push(request("s", RequestAction::Stop))),
        (DrillOutcome::Interrupted, "KillSwitchOn", |seen| {
            seen.kill_switch = Some(KillSwitchFact { by: "ada".to_owned(), reason: "no".to_owned() });
        }),
        (DrillOutcome::Interrupted, "DrilledNodeFailing", |seen| {
            seen.facts.as_mut().unwrap().failing.insert(node("v1"), vec![alarm("x")]);
        }),
        (DrillOutcome::Interrupted, "BlockingAlarm", |seen| {
            seen.facts.as_mut().unwrap().alarms.insert(alarm("deploys"), AlarmReading::On);
        }),
        (DrillOutcome::Interrupted, "LayerLost", |seen| {
            let edited = &mut seen.facts.as_mut().unwrap().routes[0];
            (edited.layer, edited.split) = (None, split(&[("v1", 30), ("v2", 70)]));
        }),
        (DrillOutcome::Interrupted, "NodeFailing", |seen| {
            seen.facts.as_mut().unwrap().failing.insert(node("other"), vec![alarm("x")]);
        }),
        (DrillOutcome::Interrupted, "AlarmUnknown", |seen| {
            seen.facts.as_mut().unwrap().alarms.insert(alarm("deploys"), AlarmReading::new(None));
            seen.record.active.as_mut().unwrap().no_data_since = Some(at(60 - 5 * 60));
        }),
    ];
    let policy = policy("");
    for phase in [DrillPhase::Draining, DrillPhase::Confirming, DrillPhase::Running] {
        for (outcome, code, change) in &rows {
            let mut seen = observation(in_phase(phase), in_place(&policy));
            change(&mut seen);
            let decision = decide(&seen, &policy, at(60));
            let drill = decision.record.active.as_ref().unwrap();
            let verdict = drill.verdict.as_ref().unwrap();
            assert_eq!((verdict.outcome, verdict.reason.code()), (*outcome, *code), "{phase:?}");
            assert_eq!(drill.phase, DrillPhase::Restoring);
            let restores = matches!(&decision.step, Step::Routes(steps) if !steps.is_empty());
            // The kill switch stops the restore, and a failing node stays drained.
            assert_eq!(restores, !matches!(*code, "KillSwitchOn" | "DrilledNodeFailing"), "{code}");
            let pages = decision.news.iter().any(|news| news.urgency == Urgency::Page);
            assert_eq!(pages, *outcome == DrillOutcome::Failed, "{code}");
        }
    }
}

#[test]
fn verdict_is_never_replaced() {
    let policy = policy("");
    let mut record = in_phase(DrillPhase::Restoring);
    let reason = Reason::OutcomeAlarm { alarms: vec![alarm("checkout")] };
    record.active.as_mut().unwrap().verdict = Some(DrillVerdict { outcome: DrillOutcome::Failed, reason, at: at(0) });
    record.requests.push(request("s", RequestAction::Stop));
    let (decision, record) = run(&record, in_place(&policy), &policy, 60);
    assert_eq!(decision.reason.code(), "Restoring");
    let (_, record) = run(&record, facts(&policy), &policy, 120);
    assert_eq!(last(&record), (DrillOutcome::Failed, "OutcomeAlarm"));
}

/// A process that is killed after the weights and before its record leaves the verdict on the route.
#[test]
fn verdict_of_a_restored_route_is_resumed_and_a_failure_pages_once() {
    let policy = policy("");
    for outcome in [DrillOutcome::Failed, DrillOutcome::Succeeded, DrillOutcome::Interrupted] {
        let reason = match outcome {
            DrillOutcome::Failed => Reason::OutcomeAlarm { alarms: vec![alarm("checkout")] },
            _ => Reason::DurationOver,
        };
        let verdict = DrillVerdict { outcome, reason: reason.clone(), at: at(50) };
        // One route is restored, and the other one is still drained. The alarm is `OK` again.
        let mut half = in_place(&policy);
        half.routes[0] = facts(&policy).routes[0].clone();
        half.routes[0].verdict = Some(verdict.clone());
        let (decision, record) = run(&in_phase(DrillPhase::Running), half, &policy, 60);
        assert_eq!(record.active.as_ref().unwrap().verdict, Some(verdict));
        assert!(decision.is_restore(), "{:?}", decision.step);
        let pages = decision.news.iter().filter(|news| news.urgency == Urgency::Page).count();
        assert_eq!(pages, usize::from(outcome == DrillOutcome::Failed), "{outcome:?}");
        let (decision, record) = run(&record, facts(&policy), &policy, 70);
        assert_eq!(last(&record), (outcome, reason.code()));
        assert!(!decision.news.iter().any(|news| news.urgency == Urgency::Page), "{outcome:?}");
        let end = record.plans.values().next().unwrap().last.clone().unwrap();
        assert_eq!(end.restored_after, Some(20));
    }
}

#[test]
fn restored_drill_ends_with_the_acknowledgement_or_with_the_next_run() {
    let policy = policy("");
    let restored = |proxies: Proxies| DrillFacts { proxies, ..facts(&policy) };
    let outstanding = || Proxies::Outstanding { why: "web is not up to date".to_owned() };
    let mut record = in_phase(DrillPhase::Restoring);
    let (outcome, reason) = (DrillOutcome::Succeeded, Reason::DurationOver);
    record.active.as_mut().unwrap().verdict = Some(DrillVerdict { outcome, reason, at: at(0) });
    for (proxies, acknowledged) in
        [(Proxies::UpToDate, Some(60)), (Proxies::NotReported, None), (Proxies::NoneConnected, None)]
    {
        let (_, ended) = run(&record, restored(proxies.clone()), &policy, 60);
        let end = ended.plans.values().next().unwrap().last.clone().unwrap();
        assert_eq!(end.restore_acknowledged_after, acknowledged, "{proxies:?}");
    }
    let (decision, waiting) = run(&record, restored(outstanding()), &policy, 5);
    assert_eq!((decision.reason.code(), &decision.step), ("AwaitsProxies", &Step::None));
    assert_eq!(waiting.active.as_ref().unwrap().restored, Some(at(5)));
    let (_, ended) = run(&waiting, restored(outstanding()), &policy, 65);
    let end = ended.plans.values().next().unwrap().last.clone().unwrap();
    assert_eq!((end.restored_after, end.restore_acknowledged_after), (Some(5), None), "the next run ends it");
}

#[test]
fn writes_and_acknowledgements_have_deadlines() {
    let policy = policy("");
    let mut half = facts(&policy);
    half.routes[0] = in_place(&policy).routes[0].clone();
    let mut waiting = in_place(&policy);
    waiting.proxies = Proxies::Outstanding { why: "x".to_owned() };
    let mut silent = in_place(&policy);
    silent.proxies = Proxies::NotReported;
    // Phase, facts, seconds, code, outcome.
    for (phase, facts, now, code, outcome) in [
        (DrillPhase::Draining, &half, 299, "Draining", None),
        (DrillPhase::Draining, &half, 300, "Restoring", Some("DrainTimedOut")),
        (DrillPhase::Confirming, &waiting, 119, "AwaitsProxies", None),
        (DrillPhase::Confirming, &waiting, 120, "Restoring", Some("Unacknowledged")),
        (DrillPhase::Confirming, &silent, 59, "AwaitsProxies", None),
        (DrillPhase::Confirming, &silent, 60, "DrillRunning", None),
        (DrillPhase::Running, &waiting, 30 * 60 - 1, "DrillRunning", None),
        (DrillPhase::Running, &waiting, 30 * 60, "Restoring", Some("DurationOver")),
    ] {
        let (decision, record) = run(&in_phase(phase), facts.clone(), &policy, now);
        let verdict = record.active.as_ref().unwrap().verdict.as_ref().map(|verdict| verdict.reason.code());
        assert_eq!((decision.reason.code(), verdict), (code, outcome), "{phase:?} at {now}");
        let pages = decision.news.iter().filter(|news| news.urgency == Urgency::Page).count();
        let is_ineffective = matches!(outcome, Some("DrainTimedOut" | "Unacknowledged"));
        assert_eq!(pages, usize::from(is_ineffective), "{phase:?} at {now}: a real failover would meet the same");
    }
}

#[test]
fn drilled_routes_are_restored_one_by_one() {
    let policy = policy("");
    let mut half = facts(&policy);
    half.routes[0] = in_place(&policy).routes[0].clone();
    // A write that was begun and not executed leaves a layer that is not in place: it is removed, too.
    half.routes[0].layer.as_mut().unwrap().in_place = false;
    let (decision, _) = run(&in_phase(DrillPhase::Restoring), half, &policy, 60);
    let Step::Routes(steps) = decision.step else { panic!("{:?}", decision.step) };
    assert_eq!(steps.iter().map(RouteStep::route).collect::<Vec<_>>(), [&route("recs")]);
}

#[test]
fn overdue_restore_pages_and_repeats() {
    let policy = policy("");
    let restore_by = 35 * 60;
    let mut record = in_phase(DrillPhase::Restoring);
    let mut pages = Vec::new();
    for minute in 34..=66 {
        let (decision, after) = run(&record, in_place(&policy), &policy, minute * 60);
        assert!(matches!(decision.step, Step::Routes(_)), "every run tries again");
        if decision.news.iter().any(|news| news.urgency == Urgency::Page) {
            pages.push(minute * 60 - restore_by);
        }
        record = after;
    }
    assert_eq!(pages, [0, 15 * 60, 30 * 60]);
}

#[test]
fn node_comes_back_in_steps_only_after_a_success() {
    let policy = policy("comeBack: steps");
    for (now, alarm_state, expected) in [(30 * 60, AlarmReading::Off, true), (60, AlarmReading::On, false)] {
        let mut record = in_phase(DrillPhase::Running);
        record.active.as_mut().unwrap().plan.come_back = ComeBack::Steps;
        let mut facts = in_place(&policy);
        facts.alarms.insert(alarm("checkout"), alarm_state);
        let (decision, _) = run(&record, facts, &policy, now);
        let Step::Routes(steps) = decision.step else { panic!("{:?}", decision.step) };
        assert!(steps.iter().all(|step| matches!(step, RouteStep::Restore { by_steps, .. } if *by_steps == expected)));
    }
}

#[test]
fn requests_are_accepted_once_and_one_at_a_time() {
    let policy = policy("");
    // The same request again, while the drill is active and after it.
    let mut record = in_phase(DrillPhase::Running);
    record.requests.push(start("r1"));
    let (_, record) = run(&record, in_place(&policy), &policy, 60);
    assert!(record.requests.is_empty() && record.plans.values().all(|plan| plan.last.is_none()));
    let mut over = record.clone();
    let drill = over.active.take().unwrap();
    over.ended(&drill.plan.name, drill.end(DrillOutcome::Succeeded, Reason::DurationOver, at(90)), at(90));
    over.requests.push(start("r1"));
    let (decision, over) = run(&over, facts(&policy), &policy, 100);
    assert_eq!((decision.reason, over.active.is_none()), (Reason::NoDrill, true));
    // Another request is refused while a drill is active.
    let mut second = record;
    second.requests.push(start("r2"));
    let (decision, second) = run(&second, in_place(&policy), &policy, 120);
    assert_eq!(last(&second), (DrillOutcome::NotStarted, "DrillActive"));
    assert_eq!(decision.news.first().unwrap().outcome, Some(DrillOutcome::NotStarted));
    // A stop without a drill, and a request without a plan, change nothing.
    for request in [request("s", RequestAction::Stop), crate::Request { drill: "none".parse().unwrap(), ..start("r3") }]
    {
        let record = MeshDrills { requests: vec![request], ..MeshDrills::default() };
        let (decision, record) = run(&record, facts(&policy), &policy, 0);
        assert_eq!((decision.reason, record.requests), (Reason::NoDrill, Vec::new()));
    }
}

#[test]
fn stop_before_the_start_changes_nothing() {
    let policy = policy("");
    let record = MeshDrills { requests: vec![start("r1"), request("s", RequestAction::Stop)], ..MeshDrills::default() };
    let (decision, record) = run(&record, facts(&policy), &policy, 0);
    assert_eq!((decision.step, last(&record)), (Step::None, (DrillOutcome::NotStarted, "Stopped")));
}

#[test]
fn schedule_starts_due_plans_in_their_window() {
    let day = 24 * 3600;
    let history = |first: i64, conclusive: Option<i64>| {
        let last = conclusive.map(|at_| ended(DrillOutcome::Succeeded, Reason::DurationOver, at(at_)));
        PlanHistory { first_seen: at(first), last: last.clone(), last_conclusive: last, window_closed: None }
    };
    let window = "windows: ['Mon:10:00-Mon:16:00']";
    // The section, the history, now (0 is Monday 12:00), whether a drill begins.
    for (line, history, now, begins) in [
        ("", Some(history(-day, None)), 0, false),
        (window, None, 0, true),
        (window, Some(history(-day, None)), 0, true),
        (window, Some(history(-day, None)), 5 * 3600, false),
        (window, Some(history(-day, None)), -3 * 3600, false),
        (window, Some(history(-9 * day, Some(-7 * day))), 0, true),
        (window, Some(history(-9 * day, Some(-6 * day))), 0, false),
    ] {
        let policy = policy(line);
        let mut record = MeshDrills::default();
        record.plans.extend(history.clone().map(|history| ("recs".parse().unwrap(), history)));
        let (decision, _) = run(&record, facts(&policy), &policy, now);
        assert_eq!(
            matches!(decision.step, Step::Begin { .. }),
            begins,
            "{line} {history:?} at {now}: {:?}",
            decision.reason
        );
        let needs_facts = crate::candidate(&"shop".parse().unwrap(), &record, &policy.drills, at(now)).is_some();
        assert_eq!(needs_facts, begins, "{line} at {now}");
    }
}

#[test]
fn blocked_date_refuses_every_start() {
    let mut policy = policy("windows: ['Mon:10:00-Mon:16:00']");
    policy.drills.blocked_dates.push("2026-10-05".parse().unwrap());
    let (decision, _) = run(&MeshDrills::default(), facts(&policy), &policy, 0);
    assert_eq!(decision.reason, Reason::NoDrill);
    let (_, record) = run(&requested(), facts(&policy), &policy, 0);
    assert_eq!(last(&record), (DrillOutcome::NotStarted, "BlockedDate"));
}

#[test]
fn missed_window_is_reported_once() {
    let policy = policy("windows: ['Mon:10:00-Mon:16:00']");
    let day = 24 * 3600;
    let mut record = MeshDrills::default();
    let history = PlanHistory { first_seen: at(-day), last: None, last_conclusive: None, window_closed: None };
    record.plans.insert("recs".parse().unwrap(), history);
    // No run in the window.
    let (decision, record) = run(&record, facts(&policy), &policy, day);
    assert_eq!(last(&record), (DrillOutcome::Missed, "WindowMissed"));
    assert_eq!(decision.news.len(), 1);
    let (decision, record) = run(&record, facts(&policy), &policy, day + 60);
    assert!(decision.news.is_empty());
    // The plan is still due in the next window.
    let (decision, _) = run(&record, facts(&policy), &policy, 7 * day);
    assert!(matches!(decision.step, Step::Begin { .. }));
}

#[test]
fn facts_of_another_plan_change_nothing() {
    let policy = policy("");
    let mut other = in_place(&policy);
    other.plan.name = "other".parse().unwrap();
    let (decision, record) = run(&in_phase(DrillPhase::Running), other, &policy, 60 * 60);
    assert_eq!(decision.step, Step::None);
    assert_eq!(record.active.unwrap().phase, DrillPhase::Running);
}
