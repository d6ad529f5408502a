use serde_json::json;

use super::*;

const LIMITS: WatchLimits =
    WatchLimits { interval: SignedDuration::from_mins(1), repeat: SignedDuration::from_mins(15) };

fn minute(minute: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + minute * 60).unwrap()
}

fn decision<'a>(code: &'a str, facts: &'a Value, plan: Option<&'a str>, expects: Expects) -> WatchedDecision<'a> {
    let text = "the leaf has ended";
    WatchedDecision { subject: "certificate/web", code, facts, plan, expects, text, command: "meshwarden release web" }
}

/// Decides the same once a minute and gives the minutes at which a page is sent.
fn pages(minutes: i64, facts: impl Fn(i64) -> Value, expects: impl Fn(i64) -> Expects) -> Vec<i64> {
    let (mut state, mut pages) = (None, Vec::new());
    for at in 0..=minutes {
        let facts = facts(at);
        let (next, page) =
            watch(state.as_ref(), &decision("InsideDwell", &facts, None, expects(at)), &LIMITS, minute(at));
        pages.extend(page.map(|_| at));
        state = next;
    }
    pages
}

#[test]
fn each_expectation_has_its_limit() {
    let nothing = |_| json!({});
    for (name, expects, first) in [
        ("until", Expects::Until(minute(5)), Some(7)),
        ("within", Expects::Within(SignedDuration::from_mins(5)), Some(6)),
        ("runs", Expects::Runs(3), Some(2)),
        ("final", Expects::Final, None),
    ] {
        let sent = pages(60, nothing, |_| expects);
        assert_eq!(sent.first().copied(), first, "{name}");
        let distances: Vec<i64> = sent.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(distances.iter().all(|distance| *distance == 15), "{name}: {sent:?}");
    }
}

#[test]
fn an_end_that_moves_away_does_not_move_the_limit() {
    let sent = pages(10, |at| json!({ "until": minute(at + 5).to_string() }), |at| Expects::Until(minute(at + 5)));
    assert_eq!(sent, [7]);
}

#[test]
fn facts_that_change_are_progress_and_times_are_not() {
    let expects = |_| Expects::Within(SignedDuration::from_mins(5));
    for (name, facts, first) in [
        ("a count", (|at| json!({ "points": at })) as fn(i64) -> Value, None),
        ("a time", |at| json!({ "seen": minute(at).to_string() }), Some(6)),
        ("a nested time", |at| json!({ "nodes": [{ "seen": minute(at).to_string() }] }), Some(6)),
        ("an error's text", |at| json!({ "message": format!("request {at}") }), Some(6)),
        ("a name", |at| json!({ "node": format!("v{at}") }), None),
    ] {
        assert_eq!(pages(10, facts, expects).first().copied(), first, "{name}");
    }
}

#[test]
fn other_code_condition_or_plan_restarts_the_wait() {
    let same = json!({ "node": "web" });
    let other = json!({ "node": "pay" });
    let within = Expects::Within(SignedDuration::from_mins(5));
    for (name, second) in [
        ("code", decision("Unproven", &same, Some("p1"), within)),
        ("condition", decision("Dwell", &other, Some("p1"), within)),
        ("plan", decision("Dwell", &same, Some("p2"), within)),
    ] {
        let (first, _) = watch(None, &decision("Dwell", &same, Some("p1"), within), &LIMITS, minute(0));
        let (next, page) = watch(first.as_ref(), &second, &LIMITS, minute(6));
        assert_eq!(page, None, "{name}");
        let next = next.unwrap();
        assert_eq!((next.since, next.runs), (minute(6), 1), "{name}");
    }
}

#[test]
fn a_final_decision_ends_the_watch() {
    let facts = json!({});
    let within = Expects::Within(SignedDuration::from_mins(5));
    let (first, _) = watch(None, &decision("Dwell", &facts, None, within), &LIMITS, minute(0));
    let kept = decision("Steady", &facts, None, Expects::Final);
    assert_eq!(watch(first.as_ref(), &kept, &LIMITS, minute(9)), (None, None));
}

#[test]
fn several_decisions_of_one_run_count_once() {
    let facts = json!({});
    let plan = decision("Failing", &facts, Some("p1"), Expects::Runs(SAME_PLAN_RUNS));
    let mut state = None;
    for _ in 0..5 {
        let (next, page) = watch(state.as_ref(), &plan, &LIMITS, minute(0));
        assert_eq!(page, None);
        state = next;
    }
    assert_eq!(state.unwrap().runs, 1);
}

#[test]
fn two_conditions_that_take_turns_do_not_page_at_each_turn() {
    let facts = json!({});
    let mut state = None;
    let mut sent = 0;
    // Each is stuck at once, and another one takes over at every run.
    for at in 0..15 {
        let code = if at % 2 == 0 { "Dwell" } else { "Unproven" };
        let (next, page) = watch(state.as_ref(), &decision(code, &facts, None, Expects::Runs(1)), &LIMITS, minute(at));
        sent += usize::from(page.is_some());
        state = next;
    }
    assert!(sent <= 2, "{sent} pages in a quarter of an hour");
}

#[test]
fn a_page_that_was_not_sent_is_due_at_the_next_run() {
    let facts = json!({});
    let stuck = decision("Dwell", &facts, None, Expects::Runs(1));
    let (state, page) = watch(None, &stuck, &LIMITS, minute(0));
    assert!(page.is_some());
    let mut state = state.unwrap();
    state.page_failed();
    assert!(watch(Some(&state), &stuck, &LIMITS, minute(1)).1.is_some());
}

#[test]
fn a_page_names_facts_and_command() {
    let facts = json!({ "node": "web" });
    let (_, page) = watch(None, &decision("Dwell", &facts, Some("p1"), Expects::Runs(1)), &LIMITS, minute(0));
    let page = page.unwrap();
    assert_eq!(page.facts, facts);
    let text = page.to_string();
    for part in ["certificate/web", "Dwell", "the leaf has ended", "meshwarden release web"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_stored_watch_reads_back_and_so_do_older_and_newer_forms() {
    let facts = json!({ "node": "web" });
    let (state, _) = watch(None, &decision("Dwell", &facts, Some("p1"), Expects::Runs(1)), &LIMITS, minute(0));
    let state = state.unwrap();
    let stored = serde_json::to_value(&state).unwrap();
    assert_eq!(serde_json::from_value::<Watch>(stored.clone()).unwrap(), state);
    assert!(stored.to_string().len() < 400, "it is part of a record: {stored}");
    let oldest = json!({ "code": "Dwell", "since": "2026-11-30T00:00:00Z" });
    assert_eq!(serde_json::from_value::<Watch>(oldest).unwrap().runs, 0);
    let mut newer = stored;
    newer["added"] = json!(1);
    assert_eq!(serde_json::from_value::<Watch>(newer).unwrap(), state);
}
